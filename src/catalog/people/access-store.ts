/** Projects and tokens. */
import { sql } from 'kysely';
import { VarveError, notFound } from '../../core/errors.ts';
import type { Database } from '../database.ts';

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
    .onConflict((conflict) => conflict.expression(sql`varve_nfc(name)`).doNothing())
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

/** @param token with the SHA-256 of its text, which is stored nowhere. An existing token of the same hash is left as it is. */
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

/**
 * Makes this the first token and replaces any other, which is valid no more. One that was revoked stays so.
 * @param token with the SHA-256 of its text
 */
export async function storeFirstToken(db: Database, token: { id: string; name: string; hash: Buffer }): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await trx
      .updateTable('tokens')
      .set({ replaced_at: sql<Date>`now()` })
      .where('is_first', '=', true)
      .where('hash', '!=', token.hash)
      .where('replaced_at', 'is', null)
      .execute();
    await trx
      .insertInto('tokens')
      .values({ ...token, scopes: ['admin'], project_ids: null, is_first: true })
      .onConflict((conflict) =>
        conflict.column('hash').doUpdateSet({ replaced_at: null }).where('tokens.is_first', '=', true),
      )
      .execute();
  });
}

/** What a link shows: one of the three. */
export type SharedThing =
  | { readonly series: readonly string[] }
  | { readonly recording: string }
  /** A tree of conditions, as it was sent. */
  | { readonly search: unknown };

/** What a secret stands for: that of a token, or of a session or link that stands for a token in its turn. */
export interface KnownSecret {
  /** SHA-256 of its text, in hexadecimal; that of sessions and links begins with a word of its own. */
  readonly hash: string;
  /** Id of the token. */
  readonly id: string;
  readonly scopes: Scope[];
  /** By name; null: all. */
  readonly projects: readonly { readonly id: string; readonly name: string }[] | null;
  /** Null: it does not end by itself. */
  readonly endsAt: Date | null;
  /** What a link shows; null for a token or session. */
  readonly share: { readonly id: string; readonly thing: SharedThing; readonly isEnded: boolean } | null;
}

/** Reads secrets: those with these hashes, or the first of all. Of links those that have ended are told, too. */
export async function knownSecrets(
  db: Database,
  which: { readonly hashes: readonly Buffer[] } | { readonly limit: number },
): Promise<KnownSecret[]> {
  const { rows } = await sql<Omit<KnownSecret, 'endsAt'> & { ends_ms: number | null }>`
    select encode(k.hash, 'hex') as hash, t.id, t.scopes, case when t.project_ids is not null then coalesce(
      (select json_agg(json_build_object('id', p.id, 'name', p.name) order by p.name) from projects p
        where p.id = any(t.project_ids)), '[]') end as projects,
      (extract(epoch from k.ends_at) * 1000)::float8 as ends_ms,
      case when k.share is not null then json_build_object('id', k.share, 'thing', k.thing,
        'isEnded', k.is_revoked or t.revoked_at is not null or t.replaced_at is not null) end as share
    from (
      select hash, id as token_id, null::timestamptz as ends_at, null::uuid as share, null::json as thing, false as is_revoked from tokens
      union all
      select hash, token_id, ends_at, null, null, false from sessions
      union all
      select hash, token_id, ends_at, id, json_strip_nulls(json_build_object('series', series, 'recording', recording, 'search', search)),
        revoked_at is not null from shares) k
    join tokens t on t.id = k.token_id
    where (k.share is not null or (t.revoked_at is null and t.replaced_at is null))
      and ${'hashes' in which ? sql`k.hash = any(${[...which.hashes]}::bytea[])` : sql`true`}
    ${'limit' in which ? sql`limit ${which.limit}` : sql``}`.execute(db);
  return rows.map(({ ends_ms, ...known }) => ({ ...known, endsAt: ends_ms === null ? null : new Date(ends_ms) }));
}

export async function findToken(db: Database, hash: Buffer): Promise<TokenRecord | null> {
  const row = await db
    .selectFrom('tokens')
    .selectAll()
    .where('hash', '=', hash)
    .where('revoked_at', 'is', null)
    .where('replaced_at', 'is', null)
    .executeTakeFirst();
  return row ? toToken(row) : null;
}

export async function listTokens(db: Database): Promise<TokenRecord[]> {
  const rows = await db
    .selectFrom('tokens')
    .selectAll()
    .where('revoked_at', 'is', null)
    .where('replaced_at', 'is', null)
    .orderBy('created_at')
    .execute();
  return rows.map(toToken);
}

/** @throws not-found for one that is unknown or revoked */
export async function tokenById(db: Database, id: string): Promise<TokenRecord> {
  const row = await db
    .selectFrom('tokens')
    .selectAll()
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  if (!row) throw notFound('token', id);
  return toToken(row);
}

/** @throws not-found */
export async function revokeToken(db: Database, id: string): Promise<void> {
  const row = await db
    .updateTable('tokens')
    .set({ revoked_at: sql<Date>`now()` })
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .where('replaced_at', 'is', null)
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
