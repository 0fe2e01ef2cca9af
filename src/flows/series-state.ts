/** Sealing of series, from the request to the hash of their content, and opening them again. */
import { sealSeries, storeContentHash, unsealSeries } from '../catalog/series-state.ts';
import { hashContent, type HashDeps } from './hash-content.ts';
import { visibleSeries } from './series-reach.ts';
import type { StateService } from './service.ts';

export function stateService(deps: HashDeps): StateService {
  const { db } = deps;
  const visible = visibleSeries(db);
  return {
    async seal(principal, id, { ifVersion, signal }) {
      await visible(principal, { id });
      const { tokenId } = principal;
      const sealed = await sealSeries(db, id, { ifVersion, tokenId });
      if (sealed.contentHash) return sealed;
      // What was acknowledged before is there, and nothing more will be.
      return storeContentHash(db, id, sealed.sealedAt!, await hashContent(deps, id, { signal }));
    },
    async unseal(principal, id, { ifVersion }) {
      await visible(principal, { id });
      return unsealSeries(db, id, { ifVersion, tokenId: principal.tokenId });
    },
  };
}
