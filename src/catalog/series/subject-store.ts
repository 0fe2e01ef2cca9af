/** Subjects: what is personal, by project and identifier. Nothing of it is kept elsewhere: no history, no feed of changes, no statistics. */
import { sql } from 'kysely';
import { notFound } from '../../core/errors.ts';
import { nameKey } from '../../core/same-name.ts';
import type { Database, DatabaseTransaction } from '../database.ts';
import { oneRow } from '../one-row.ts';

export interface StoredSubject {
  readonly id: string;
  readonly content: Readonly<Record<string, unknown>>;
  readonly updatedAt: Date;
}

/** Throws what a change is refused with. Told what is there; null: nothing. */
export type Insist = (current: StoredSubject | null) => void;

/** @returns null if the project has none, or is not */
export async function readSubject(db: Database, project: string, id: string): Promise<StoredSubject | null> {
  const row = await subjectsOf(db, project)
    .where(sql`varve_nfc(b.id)`, '=', nameKey(id))
    .executeTakeFirst();
  return row ? toSubject(row) : null;
}

/** Lists subjects in the order of their identifiers. @param after identifier that the page before ended with */
export async function listSubjects(
  db: Database,
  project: string,
  { limit, after }: { limit: number; after: string | null },
): Promise<{ items: StoredSubject[]; after: string | null }> {
  let query = subjectsOf(db, project)
    .orderBy('b.id')
    .limit(limit + 1);
  if (after !== null) query = query.where('b.id', '>', after);
  const rows = await query.execute();
  const items = rows.slice(0, limit).map(toSubject);
  return { items, after: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
}

/** Takes the place of all that was there. @throws not-found for an unknown project; what `insist` throws */
export async function storeSubject(
  db: Database,
  project: string,
  subject: Pick<StoredSubject, 'id' | 'content'>,
  insist: Insist,
): Promise<{ subject: StoredSubject; isNew: boolean }> {
  return db.transaction().execute(async (trx) => {
    const current = await lockSubject(trx, project, subject.id);
    insist(current);
    const { rows } = await sql<SubjectRow>`
      insert into subjects (project_id, id, content)
      select p.id, ${subject.id}, ${JSON.stringify(subject.content)}::jsonb from projects p where varve_nfc(p.name) = ${nameKey(project)}
      on conflict (project_id, varve_nfc(id)) do update set content = excluded.content, updated_at = now()
      returning id, content, updated_at`.execute(trx);
    if (rows.length === 0) throw notFound('project', project);
    return { subject: toSubject(oneRow(rows)), isNew: current === null };
  });
}

/** Deletes a subject for good. @throws not-found; what `insist` throws */
export async function deleteSubject(db: Database, project: string, id: string, insist: Insist): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const current = await lockSubject(trx, project, id);
    if (!current) throw notFound('subject', id);
    insist(current);
    await sql`delete from subjects b using projects p where p.id = b.project_id and varve_nfc(p.name) = ${nameKey(project)} and varve_nfc(b.id) = ${nameKey(id)}`.execute(
      trx,
    );
  });
}

async function lockSubject(trx: DatabaseTransaction, project: string, id: string): Promise<StoredSubject | null> {
  const row = await subjectsOf(trx, project)
    .where(sql`varve_nfc(b.id)`, '=', nameKey(id))
    .forUpdate('b')
    .executeTakeFirst();
  return row ? toSubject(row) : null;
}

function subjectsOf(db: Database | DatabaseTransaction, project: string) {
  return db
    .selectFrom('subjects as b')
    .innerJoin('projects as p', 'p.id', 'b.project_id')
    .select(['b.id', 'b.content', 'b.updated_at'])
    .where(sql`varve_nfc(p.name)`, '=', nameKey(project));
}

interface SubjectRow {
  readonly id: string;
  readonly content: StoredSubject['content'];
  readonly updated_at: Date;
}

function toSubject({ id, content, updated_at }: SubjectRow): StoredSubject {
  return { id, content, updatedAt: updated_at };
}
