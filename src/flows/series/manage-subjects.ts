/** Subjects, as a principal may see and change them. What is personal goes nowhere else. */
import type { ReadsAndWrites } from '../../catalog/database.ts';
import { deleteSubject, listSubjects, readSubject, storeSubject } from '../../catalog/series/subject-store.ts';
import { notFound } from '../../core/errors.ts';
import { assertProject } from './series-reach.ts';
import type { SubjectService } from './subject-service.ts';

export function subjectService({ reads, writes }: ReadsAndWrites): SubjectService {
  return {
    async get(principal, project, id) {
      await assertProject(reads, principal, project);
      const subject = await readSubject(reads, project, id);
      if (!subject) throw notFound('subject', id);
      return subject;
    },
    async list(principal, project, page) {
      await assertProject(reads, principal, project);
      return listSubjects(reads, project, page);
    },
    async put(principal, project, subject, insist) {
      await assertProject(reads, principal, project);
      return storeSubject(writes, project, subject, insist);
    },
    async delete(principal, project, id, insist) {
      await assertProject(reads, principal, project);
      await deleteSubject(writes, project, id, insist);
    },
  };
}
