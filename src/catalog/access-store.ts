/** Projects and tokens. */
import { sql } from 'kysely';
import { VarveError, notFound } from '../core/errors.ts';
import type { Database } from './database.ts';

/** `subjects`: what is personal, to read and to write. */
export type Scope = 'read' | 'write' | 'subjects' | 'admin';

export interface TokenRecord {
  readonly id: string;
  readonly name: string;
  readonly scopes: Scope[];
  /** Null: all projects. */
  readonly projectIds: string[] | null;
  readonly createdAt: Date;
}

export interface Project {
  readonly id: string;
  readonly name: string;
  readonly createdAt: Date;
}

/** @throws conflict if the name is taken */
export async function createProject(db: Database, id: string, name: string): Promise<Project> {
  const row = await db
    .insertInto('projects')
    .values({ id, name })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .returningAll()
    .executeTakeFirst();
  if (!row) {
    throw new VarveError('conflict', `name: a project named ${JSON.stringify(name)} exists`, {
      slug: 'name-taken',
      errors: [{ field: 'name', message: 'is taken' }],
    });
  }
  return { id: row.id, name: row.name, createdAt: row.created_at };
}

export async function listProjects(db: Database, ids: readonly string[] | null): Promise<Project[]> {
  let query = db.selectFrom('projects').selectAll().orderBy('name');
  if (ids) query = query.where('id', '=', sql<string>`any(${[...ids]}::uuid[])`);
  return (await query.execute()).map((row) => ({ id: row.id, name: row.name, createdAt: row.created_at }));
}

/** @param hash SHA-256 of the token. An existing token of the same hash is left as it is. */
export async function storeToken(
  db: Database,
  token: { id: string; name: string; hash: Buffer; scopes: readonly Scope[]; projectIds: readonly string[] | null },
): Promise<void> {
  await db
    .insertInto('tokens')
    .values({
      id: token.id,
      name: token.name,
      hash: token.hash,
      scopes: [...token.scopes],
      project_ids: token.projectIds && [...token.projectIds],
    })
    .onConflict((conflict) => conflict.column('hash').doNothing())
    .execute();
}

export async function findToken(db: Database, hash: Buffer): Promise<TokenRecord | null> {
  const row = await db
    .selectFrom('tokens')
    .selectAll()
    .where('hash', '=', hash)
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  return row ? toToken(row) : null;
}

export async function listTokens(db: Database): Promise<TokenRecord[]> {
  const rows = await db
    .selectFrom('tokens')
    .selectAll()
    .where('revoked_at', 'is', null)
    .orderBy('created_at')
    .execute();
  return rows.map(toToken);
}

/** @throws not-found */
export async function revokeToken(db: Database, id: string): Promise<void> {
  const row = await db
    .updateTable('tokens')
    .set({ revoked_at: sql<Date>`now()` })
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .returning('id')
    .executeTakeFirst();
  if (!row) throw notFound('token', id);
}

function toToken(row: {
  id: string;
  name: string;
  scopes: string[];
  project_ids: string[] | null;
  created_at: Date;
}): TokenRecord {
  return {
    id: row.id,
    name: row.name,
    scopes: row.scopes as Scope[],
    projectIds: row.project_ids,
    createdAt: row.created_at,
  };
}
