/** Sealing of series, from the request to the hash of their content, and opening them again. */
import type { ReadsAndWrites } from '../../catalog/database.ts';
import { sealSeries, storeContentHash, unsealSeries } from '../../catalog/series/seal-store.ts';
import { SMALL_READ_BYTES, type AnswerRoom } from '../read/answer-room.ts';
import { hashContent, type HashDeps } from './hash-content.ts';
import { visibleSeries } from '../series/series-reach.ts';
import type { StateService } from './seal-service.ts';
import type { SeriesTurns } from '../series/series-turns.ts';

export interface SealDeps extends ReadsAndWrites, Omit<HashDeps, 'db'> {
  readonly turns: SeriesTurns;
  readonly room: AnswerRoom;
}

/** What pages of a plan mostly need, with rows that are put in order. */
const HASH_BYTES = 8 * SMALL_READ_BYTES;

export function stateService(deps: SealDeps): StateService {
  const { reads, writes: db } = deps;
  const visible = visibleSeries(reads);
  return {
    async seal(principal, id, { ifVersion, signal }) {
      await visible(principal, { id });
      const { tokenId } = principal;
      const sealed = await deps.turns.take(id, () => sealSeries(db, id, { ifVersion, tokenId }));
      if (sealed.contentHash) return sealed;
      // What was acknowledged before is there, and nothing more will come.
      const hash = await deps.room.during(HASH_BYTES, (claim) =>
        hashContent({ ...deps, db: reads }, id, { signal, claim }),
      );
      return storeContentHash(db, id, sealed.sealedAt!, hash);
    },
    async unseal(principal, id, { ifVersion }) {
      await visible(principal, { id });
      return deps.turns.take(id, () => unsealSeries(db, id, { ifVersion, tokenId: principal.tokenId }));
    },
  };
}
