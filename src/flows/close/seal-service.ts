/** Series that take no more samples. */
import type { Series } from '../../core/signal/series.ts';
import type { Principal } from '../principal.ts';

/** Series that take no more samples. */
export interface StateService {
  /**
   * Refuses all writes to a series from then on, and stores the hash of what there is. A series that is sealed and
   * hashed already is answered as it is. One that is sealed and not hashed is hashed.
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
