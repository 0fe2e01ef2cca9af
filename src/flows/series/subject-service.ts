/** Subjects of a project. */
import type { Insist, StoredSubject } from '../../catalog/series/subject-store.ts';
import type { Principal } from '../principal.ts';

export type { StoredSubject };

/** What is personal. Projects out of the principal's reach do not exist for it (not-found). */
export interface SubjectService {
  /** @throws not-found */
  get(principal: Principal, project: string, id: string): Promise<StoredSubject>;
  /** Lists subjects by identifier. @param page after: identifier that the page before ended with */
  list(
    principal: Principal,
    project: string,
    page: { limit: number; after: string | null },
  ): Promise<{ items: StoredSubject[]; after: string | null }>;
  /** Takes the place of all that was there. @param insist throws where it must not */
  put(
    principal: Principal,
    project: string,
    subject: Pick<StoredSubject, 'id' | 'content'>,
    insist: Insist,
  ): Promise<{ subject: StoredSubject; isNew: boolean }>;
  /** Deletes a subject at once and for good. @throws not-found */
  delete(principal: Principal, project: string, id: string, insist: Insist): Promise<void>;
}
