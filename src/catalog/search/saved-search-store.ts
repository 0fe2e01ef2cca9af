/** Searches that a project keeps by name. */
import { sql } from 'kysely';
import { VarveError, notFound } from '../../core/errors.ts';
import { nameKey } from '../../core/same-name.ts';
import type { Database } from '../database.ts';

/** Searches of one project. */
const MAX_SEARCHES_PER_PROJECT = 1000;

/** A question as it was sent: it was checked then, and is read again when it is asked. */
export interface SavedQuestion {
  readonly where: unknown;
  readonly sort: readonly string[];
  readonly facets: readonly string[];
}

export interface SavedSearch extends SavedQuestion {
  readonly id: string;
  readonly project: string;
  readonly name: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** @throws not-found for the project; conflict `name-taken` and `too-many-searches` */
export async function storeSearch(
  db: Database,
  id: string,
  { project, name, question, tokenId }: { project: string; name: string; question: SavedQuestion; tokenId: string },
): Promise<void> {
  await namingTaken(name, () =>
    db.transaction().execute(async (trx) => {
      const { rows } = await sql<{ count: number }>`
        with p as (select id from projects where varve_nfc(name) = ${nameKey(project)}),
          made as (insert into saved_searches (id, project_id, name, question, token_id)
            select ${id}::uuid, p.id, ${name}, ${JSON.stringify(question)}::jsonb, ${tokenId}::uuid from p)
        select (select count(*)::integer from saved_searches s where s.project_id = p.id) as count from p`.execute(trx);
      const [made] = rows;
      if (!made) throw notFound('project', project);
      if (made.count < MAX_SEARCHES_PER_PROJECT) return;
      const message = `the project has ${MAX_SEARCHES_PER_PROJECT} saved searches, the most there may be`;
      throw new VarveError('conflict', message, { slug: 'too-many-searches' });
    }),
  );
}

/** Lists them by name. @param projectIds of those it may be; null: all. @param project only those of one */
export async function listSearches(
  db: Database,
  projectIds: readonly string[] | null,
  project: string | undefined,
): Promise<SavedSearch[]> {
  let query = selectSearches(db, projectIds)
    .orderBy(sql`varve_nfc(s.name) collate "C"`)
    .orderBy('s.id');
  if (project !== undefined) query = query.where(sql`varve_nfc(p.name)`, '=', nameKey(project));
  return (await query.execute()).map(toSavedSearch);
}

/** @throws not-found, also out of reach */
export async function savedSearch(
  db: Database,
  id: string,
  projectIds: readonly string[] | null,
): Promise<SavedSearch> {
  const row = await selectSearches(db, projectIds).where('s.id', '=', id).executeTakeFirst();
  if (!row) throw notFound('saved search', id);
  return toSavedSearch(row);
}

/** @throws conflict `name-taken`; not-found */
export async function replaceSearch(
  db: Database,
  id: string,
  { name, question, tokenId }: { name: string; question: SavedQuestion; tokenId: string },
): Promise<void> {
  const row = await namingTaken(name, () =>
    db
      .updateTable('saved_searches')
      .set({ name, question: JSON.stringify(question), token_id: tokenId, updated_at: sql`now()` })
      .where('id', '=', id)
      .returning('id')
      .executeTakeFirst(),
  );
  if (!row) throw notFound('saved search', id);
}

export async function deleteSearch(db: Database, id: string): Promise<void> {
  await db.deleteFrom('saved_searches').where('id', '=', id).execute();
}

const UNIQUE_VIOLATION = '23505';

async function namingTaken<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if ((error as { code?: string }).code !== UNIQUE_VIOLATION) throw error;
    throw new VarveError('conflict', `name: the project has a saved search named ${JSON.stringify(name)}`, {
      slug: 'name-taken',
      errors: [{ field: 'name', message: 'is taken' }],
      cause: error,
    });
  }
}

function selectSearches(db: Database, projectIds: readonly string[] | null) {
  const query = db
    .selectFrom('saved_searches as s')
    .innerJoin('projects as p', 'p.id', 's.project_id')
    .select(['s.id', 'p.name as project', 's.name', 's.question', 's.created_at', 's.updated_at']);
  return projectIds ? query.where('s.project_id', '=', sql<string>`any(${[...projectIds]}::uuid[])`) : query;
}

type SavedRow = Awaited<ReturnType<ReturnType<typeof selectSearches>['executeTakeFirstOrThrow']>>;

function toSavedSearch(row: SavedRow): SavedSearch {
  return {
    ...(row.question as SavedQuestion),
    id: row.id,
    project: row.project,
    name: row.name,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
