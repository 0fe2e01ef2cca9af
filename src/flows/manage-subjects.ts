/** Subjects, as a principal may see and change them. What is personal goes nowhere else. */
import type { Database } from '../catalog/database.ts';
import { deleteSubject, listSubjects, readSubject, storeSubject } from '../catalog/subject-store.ts';
import { notFound } from '../core/errors.ts';
import { assertProject } from './series-reach.ts';
import type { SubjectService } from './service.ts';

export function subjectService(db: Database): SubjectService {
  return {
    async get(principal, project, id) {
      await assertProject(db, principal, project);
      const subject = await readSubject(db, project, id);
      if (!subject) throw notFound('subject', id);
      return subject;
    },
    async list(principal, project, page) {
      await assertProject(db, principal, project);
      return listSubjects(db, project, page);
    },
    async put(principal, project, subject, insist) {
      await assertProject(db, principal, project);
      return storeSubject(db, project, subject, insist);
    },
    async delete(principal, project, id, insist) {
      await assertProject(db, principal, project);
      await deleteSubject(db, project, id, insist);
    },
  };
}
