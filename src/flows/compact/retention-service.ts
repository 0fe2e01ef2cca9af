/** For how long samples are kept. */
import type { NewRetentionRule, RetentionRule } from '../../catalog/shards/retention-store.ts';

/** For administrators of the whole service. */
export type { RetentionRule };

export interface RetentionService {
  /** @throws not-found for an unknown project */
  create(rule: NewRetentionRule): Promise<RetentionRule>;
  list(): Promise<RetentionRule[]>;
  /** What has expired stays so. @throws not-found */
  delete(id: string): Promise<void>;
}
