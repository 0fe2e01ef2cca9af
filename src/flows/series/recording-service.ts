/** Recordings: series that were taken together. */
import type { RecordingFilter, StoredRecording } from '../../catalog/series/recording-store.ts';
import type { RecordingSource } from '../../core/signal/series.ts';
import type { Principal } from '../principal.ts';

export type { StoredRecording };

export type RecordingQuestion = Omit<RecordingFilter, 'projectIds'>;

/** Recordings outside the principal's projects do not exist for it (not-found). */
export interface RecordingService {
  /** Lists recordings, newest first. @param page after: id of the one that the page before ended with */
  list(
    principal: Principal,
    question: RecordingQuestion,
    page: { limit: number; after: string | null },
  ): Promise<{ items: StoredRecording[]; after: string | null }>;
  /** @throws not-found */
  get(principal: Principal, id: string): Promise<StoredRecording>;
  /** Renames it for all its series, or notes one more file of it. @throws not-found; conflict `name-taken` */
  update(
    principal: Principal,
    id: string,
    patch: { readonly name?: string; readonly addSource?: RecordingSource },
  ): Promise<StoredRecording>;
}
