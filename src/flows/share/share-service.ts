/** Links that show a part of the store to whoever has them. */
import type { SharedThing } from '../../catalog/people/access-store.ts';
import type { ShareRecord } from '../../catalog/people/share-store.ts';
import type { Principal } from '../principal.ts';
import type { SeriesRef } from '../series/series-service.ts';

export type { SharedThing, ShareRecord };

export interface ShareService {
  /**
   * Makes a link to what the principal may read.
   * @returns its secret, once
   * @throws not-found naming `series[i]` or `recording`; invalid-input and unprocessable naming a place in `search`;
   * conflict for too many links
   */
  createShare(
    principal: Principal,
    input: { readonly thing: SharedThing; readonly note: string | null; readonly endsAt: Date },
  ): Promise<{ secret: string; share: ShareRecord }>;
  /** Lists those of the principal's token; to administrators of the whole service those of all. */
  listShares(principal: Principal): Promise<ShareRecord[]>;
  /** @throws not-found, also for that of another token */
  revokeShare(principal: Principal, id: string): Promise<void>;
  /**
   * Whom a link stands for: its maker, as far as he may read now, and no more than what is shared.
   * @throws forbidden `share-unknown` or `share-ended`
   */
  openShare(secret: string): Promise<Principal>;
  /** What a principal of {@link openShare} is shown. */
  share(principal: Principal): Promise<ShareRecord>;
  /** @throws forbidden `not-shared` for a series that a principal of {@link openShare} is not shown */
  assertShown(principal: Principal, ref: SeriesRef): Promise<void>;
}
