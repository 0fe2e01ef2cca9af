/** Shares: a link stands for its maker, as a condition that every search and every read of its visitor has to meet. */
import { v7 as uuidv7 } from 'uuid';
import { listShares, revokeShare, shareById, storeShare } from '../../catalog/people/share-store.ts';
import { searchSeries, seriesByIds } from '../../catalog/search/search-store.ts';
import { namingFaults } from '../../catalog/search/search-snapshot.ts';
import type { DatabasePools } from '../../catalog/database.ts';
import { VarveError } from '../../core/errors.ts';
import { readExpression } from '../../core/tags/tag-tree.ts';
import type { Expression } from '../../core/tags/tag-expression.ts';
import { hashOf, newSecret } from '../people/secret.ts';
import { isPast, type TokenMemory } from '../people/token-memory.ts';
import type { Principal } from '../principal.ts';
import { visibleSeries } from '../series/series-reach.ts';
import { readUnit } from '../series/tag-units.ts';
import type { SharedThing, ShareService } from './share-service.ts';

export function shareService(
  { reads, writes, searches }: Pick<DatabasePools, 'reads' | 'writes' | 'searches'>,
  tokens: TokenMemory,
): ShareService {
  const visible = visibleSeries(reads);
  return {
    async createShare(principal, { thing, note, endsAt }) {
      await assertSharable({ reads, searches }, principal, thing);
      const secret = newSecret();
      const id = uuidv7();
      const { tokenId } = principal;
      await storeShare(writes, { id, hash: hashOf('share', secret), tokenId, thing, note, endsAt });
      tokens.forget();
      return { secret, share: await shareById(writes, id) };
    },
    listShares: (principal) => listShares(reads, mayManageAll(principal) ? null : principal.tokenId),
    async revokeShare(principal, id) {
      await revokeShare(writes, id, mayManageAll(principal) ? null : principal.tokenId);
      tokens.forget();
    },
    async openShare(secret) {
      const known = await tokens.known(hashOf('share', secret));
      if (!known?.share) throw new VarveError('forbidden', 'there is no such link', { slug: 'share-unknown' });
      const { principal, share } = known;
      // A token keeps its scopes; should that change, no link outlives its right.
      const mayRead = principal.scopes.includes('read') || principal.scopes.includes('admin');
      if (isPast(known) || !mayRead) {
        throw new VarveError('forbidden', 'the link has expired, or was revoked', { slug: 'share-ended' });
      }
      return { ...principal, scopes: ['read'], share: { id: share.id, within: conditionOf(share.thing) } };
    },
    share: ({ share }) => shareById(reads, share?.id ?? ''),
    async assertShown(principal, ref) {
      await visible(principal, ref);
    },
  };
}

function mayManageAll({ scopes, projects }: Principal): boolean {
  return projects === null && scopes.includes('admin');
}

/** @throws invalid-input and unprocessable naming a place in `search` */
function conditionOf(thing: SharedThing): Expression {
  if ('series' in thing) return { kind: 'ids', ids: thing.series };
  if ('search' in thing) return readExpression(thing.search, 'search', readUnit);
  return readExpression({ field: 'recording_id', eq: thing.recording }, 'recording', readUnit);
}

/** A search may find nothing yet. @throws as createShare */
async function assertSharable(
  { reads, searches }: Pick<DatabasePools, 'reads' | 'searches'>,
  principal: Principal,
  thing: SharedThing,
): Promise<void> {
  const where = conditionOf(thing);
  const scope = principal.projects?.ids ?? null;
  if ('series' in thing) {
    const found = new Set((await seriesByIds(reads, thing.series, scope)).map(({ id }) => id));
    const wrong = thing.series.findIndex((id) => !found.has(id));
    if (wrong !== -1) throw nothingAt(`series[${wrong}]`, `no series ${thing.series[wrong]}`);
    return;
  }
  // This also shows that Postgres can run it: a pattern may be one that it does not know.
  const { items } = await namingFaults(() => searchSeries(searches, { where, sort: [], limit: 1, after: null }, scope));
  if ('recording' in thing && items.length === 0) throw nothingAt('recording', `no recording ${thing.recording}`);
}

function nothingAt(field: string, message: string): VarveError {
  return new VarveError('not-found', message, { errors: [{ field, message: 'is not there' }] });
}
