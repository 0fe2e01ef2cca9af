/** Sealing of series, from the request to the hash of their content, and opening them again. */
import type { Database, ReadsAndWrites } from '../catalog/database.ts';
import { newestPending, sealSeries, storeContentHash, unsealSeries } from '../catalog/series-state.ts';
import { VarveError } from '../core/errors.ts';
import { hashContent, type HashDeps } from './hash-content.ts';
import { visibleSeries } from './series-reach.ts';
import type { StateService } from './service.ts';
import type { SeriesTurns } from './series-turns.ts';
import type { WriteWatch } from './watch-writes.ts';

export interface SealDeps extends ReadsAndWrites, Omit<HashDeps, 'db'> {
  readonly watch: Pick<WriteWatch, 'settled'>;
  readonly turns: SeriesTurns;
}

/** How long acknowledged writes may take to be applied before whoever seals is told to ask again. */
const APPLY_LIMIT_MS = 60_000;
const RETRY_AFTER_S = 10;

export function stateService(deps: SealDeps): StateService {
  const { reads, writes: db } = deps;
  const visible = visibleSeries(reads);
  return {
    async seal(principal, id, { ifVersion, signal }) {
      await visible(principal, { id });
      const { tokenId } = principal;
      const sealed = await deps.turns.take(id, () => sealSeries(db, id, { ifVersion, tokenId }));
      if (sealed.contentHash) return sealed;
      await appliedWrites({ ...deps, db: reads }, id, signal);
      return storeContentHash(db, id, sealed.sealedAt!, await hashContent({ ...deps, db: reads }, id, { signal }));
    },
    async unseal(principal, id, { ifVersion }) {
      await visible(principal, { id });
      return deps.turns.take(id, () => unsealSeries(db, id, { ifVersion, tokenId: principal.tokenId }));
    },
  };
}

/** Waits until nothing that was acknowledged for the series is pending; it is sealed, so nothing more will be. @throws unavailable; an abort */
async function appliedWrites(
  { db, watch }: { readonly db: Database; readonly watch: SealDeps['watch'] },
  seriesId: string,
  signal: AbortSignal,
): Promise<void> {
  const end = Date.now() + APPLY_LIMIT_MS;
  for (let id = await newestPending(db, seriesId); id !== null; id = await newestPending(db, seriesId)) {
    signal.throwIfAborted();
    const left = end - Date.now();
    if (left <= 0) {
      const message =
        'the series is sealed, but some of its writes are still to be applied; seal it again to get its hash';
      throw new VarveError('unavailable', message, { slug: 'writes-pending', retryAfterS: RETRY_AFTER_S });
    }
    await watch.settled(id, left, signal);
  }
}
