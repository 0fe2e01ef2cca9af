/** Series that take no more samples. */
import type { Series } from '../../core/signal/series.ts';
import type { Principal } from '../principal.ts';

/** Series that take no more samples. */
export interface StateService {
  /**
   * Refuses all writes from then on, and stores the hash of what there is. Sealed already and
   * hashed, the series is answered as it is; sealed and not hashed, it is hashed.
   * @throws not-found; precondition-failed; conflict `series-unsealed`, `content-changed`; corrupt; an abort
   */
  seal(
    principal: Principal,
    id: string,
    request: { readonly ifVersion?: number; readonly signal: AbortSignal },
  ): Promise<Series>;
  /** @throws not-found; precondition-failed */
  unseal(principal: Principal, id: string, request: { readonly ifVersion?: number }): Promise<Series>;
}
