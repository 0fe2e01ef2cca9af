/** Imports of files: what is asked, who is at it, how far it is, and what became of it. */
import { sql, type RawBuilder } from 'kysely';
import type { ErrorRecord } from '../../core/errors.ts';
import { notFound } from '../../core/errors.ts';
import { nameKey } from '../../core/same-name.ts';
import type { Database, DatabaseTransaction } from '../database.ts';

export type ImportState = 'waiting' | 'running' | 'done' | 'failed' | 'cancelled';

export interface StoredImport {
  readonly id: string;
  readonly project: string;
  readonly projectId: string;
  readonly tokenId: string;
  /** As it was asked for, as plain JSON. */
  readonly request: Readonly<Record<string, unknown>>;
  readonly state: ImportState;
  readonly progress: Readonly<Record<string, unknown>> | null;
  /** What the files were, once they have been read, as plain JSON. */
  readonly files: readonly Readonly<Record<string, unknown>>[] | null;
  readonly problem: ErrorRecord | null;
  /** The import that did the same before; this one changed nothing. */
  readonly sameAs: string | null;
  readonly createdAt: Date;
  readonly endedAt: Date | null;
}

/** Runs that may end without a word, as a process does that is killed, before an import is given up. */
const MOST_ATTEMPTS = 3;
/** A runner that has not been heard of for so long has lost its process. */
const SILENT_MS = 5_000;

export async function insertImport(
  trx: Database | DatabaseTransaction,
  given: { id: string; projectId: string; tokenId: string; request: object },
): Promise<void> {
  await sql`
    insert into imports (id, project_id, token_id, request)
    values (${given.id}::uuid, ${given.projectId}::uuid, ${given.tokenId}::uuid, ${JSON.stringify(given.request)}::jsonb)`.execute(
    trx,
  );
}

/** @throws not-found */
export async function getImport(db: Database | DatabaseTransaction, id: string): Promise<StoredImport> {
  const [found] = await imports(db, [sql`i.id = ${id}::uuid`], 1);
  if (!found) throw notFound('import', id);
  return found;
}

/** Lists imports, newest first. @param projectIds null: of all projects */
export async function listImports(
  db: Database,
  { projectIds, project, state }: { projectIds: readonly string[] | null; project?: string; state?: ImportState },
  { limit, after }: { limit: number; after: string | null },
): Promise<{ items: StoredImport[]; after: string | null }> {
  const conditions = [
    ...(projectIds === null ? [] : [sql`i.project_id = any(${[...projectIds]}::uuid[])`]),
    ...(project === undefined ? [] : [sql`varve_nfc(p.name) = ${nameKey(project)}`]),
    ...(state === undefined ? [] : [sql`i.state = ${state}`]),
    ...(after === null ? [] : [sql`i.id < ${after}::uuid`]),
  ];
  const rows = await imports(db, conditions, limit + 1);
  const items = rows.slice(0, limit);
  return { items, after: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
}

interface ImportRow {
  readonly id: string;
  readonly project: string;
  readonly project_id: string;
  readonly token_id: string;
  readonly request: StoredImport['request'];
  readonly state: ImportState;
  readonly progress: StoredImport['progress'];
  readonly files: StoredImport['files'];
  readonly problem: ErrorRecord | null;
  readonly same_as: string | null;
  readonly created_at: Date;
  readonly ended_at: Date | null;
}

async function imports(
  db: Database | DatabaseTransaction,
  conditions: readonly RawBuilder<unknown>[],
  limit: number,
): Promise<StoredImport[]> {
  const { rows } = await sql<ImportRow>`
    select i.id, p.name as project, i.project_id, i.token_id, i.request, i.state, i.progress, i.files, i.problem, i.same_as,
      i.created_at, i.ended_at
    from imports i join projects p on p.id = i.project_id
    where ${sql.join([sql`true`, ...conditions], sql` and `)}
    order by i.id desc limit ${limit}`.execute(db);
  return rows.map((row) => ({
    id: row.id,
    project: row.project,
    projectId: row.project_id,
    tokenId: row.token_id,
    request: row.request,
    state: row.state,
    progress: row.progress,
    files: row.files,
    problem: row.problem,
    sameAs: row.same_as,
    createdAt: row.created_at,
    endedAt: row.ended_at,
  }));
}

/** Imports that nobody is at, oldest first. */
export async function openImports(db: Database, limit: number): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select id from imports i where ${IS_FREE} order by created_at limit ${limit}`.execute(db);
  return rows.map(({ id }) => id);
}

const IS_FREE = sql`(i.state = 'waiting' or
  (i.state = 'running' and i.seen_at < now() - make_interval(secs => ${SILENT_MS / 1000})))`;

/**
 * Takes an import that nobody is at. One whose runners keep vanishing is given up, and so is one whose token is valid
 * no more.
 * @returns null if somebody is, or it has ended
 */
export async function claimImport(db: Database, id: string, runner: string): Promise<StoredImport | null> {
  return db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ attempts: number; is_allowed: boolean }>`
      select i.attempts, exists (select from tokens t where t.id = i.token_id and t.revoked_at is null and t.replaced_at is null) as is_allowed
      from imports i where i.id = ${id}::uuid and ${IS_FREE} for update of i skip locked`.execute(trx);
    const [found] = rows;
    if (!found) return null;
    if (!found.is_allowed) {
      await endImport(trx, id, failure('forbidden', 'the token that asked for it has been revoked'));
      return null;
    }
    if (found.attempts >= MOST_ATTEMPTS) {
      await endImport(trx, id, failure('unavailable', `the process that read it ended ${MOST_ATTEMPTS} times`));
      return null;
    }
    await sql`
      update imports set state = 'running', runner = ${runner}::uuid, attempts = attempts + 1, seen_at = now(), progress = null
      where id = ${id}::uuid`.execute(trx);
    return getImport(trx, id);
  });
}

function failure(code: ErrorRecord['code'], message: string): { state: 'failed'; problem: ErrorRecord } {
  return { state: 'failed', problem: { code, message } };
}

async function endImport(
  db: Database | DatabaseTransaction,
  id: string,
  { state, problem }: { state: 'failed'; problem: ErrorRecord },
): Promise<void> {
  await sql`
    update imports set state = ${state}, problem = ${JSON.stringify(problem)}::jsonb, ended_at = now(), runner = null
    where id = ${id}::uuid and state in ('waiting', 'running')`.execute(db);
}

/** Says that the runner is alive, and how far it is. @returns false if the import is not its own any more */
export async function seeImport(db: Database, id: string, runner: string, progress: object): Promise<boolean> {
  const { rows } = await sql`
    update imports set seen_at = now(), progress = ${JSON.stringify(progress)}::jsonb
    where id = ${id}::uuid and runner = ${runner}::uuid and state = 'running' returning id`.execute(db);
  return rows.length > 0;
}

/**
 * Ends an import well, in the transaction of what it brings.
 * @returns false if it is not the runner's any more
 */
export async function finishImport(
  db: Database | DatabaseTransaction,
  id: string,
  runner: string,
  end: { files: readonly object[]; contentKey: Buffer; progress: object; sameAs: string | null },
): Promise<boolean> {
  const { rows } = await sql`
    update imports set state = 'done', files = ${JSON.stringify(end.files)}::jsonb, content_key = ${end.contentKey},
      progress = ${JSON.stringify(end.progress)}::jsonb, same_as = ${end.sameAs}::uuid, ended_at = now(), runner = null
    where id = ${id}::uuid and runner = ${runner}::uuid and state = 'running' returning id`.execute(db);
  return rows.length > 0;
}

/** Ends an import badly; nothing of it was stored. */
export async function failImport(db: Database, id: string, runner: string, problem: ErrorRecord): Promise<void> {
  await sql`
    update imports set state = 'failed', problem = ${JSON.stringify(problem)}::jsonb, ended_at = now(), runner = null
    where id = ${id}::uuid and runner = ${runner}::uuid and state = 'running'`.execute(db);
}

/** Gives an import back, to be tried again; this run does not count. */
export async function releaseImport(db: Database, id: string, runner: string): Promise<void> {
  await sql`
    update imports set state = 'waiting', runner = null, attempts = attempts - 1
    where id = ${id}::uuid and runner = ${runner}::uuid and state = 'running'`.execute(db);
}

/** Cancels an import that has not ended. @returns false if it has */
export async function cancelImport(db: Database, id: string): Promise<boolean> {
  const { rows } = await sql`
    update imports set state = 'cancelled', ended_at = now(), runner = null
    where id = ${id}::uuid and state in ('waiting', 'running') returning id`.execute(db);
  return rows.length > 0;
}

/** An import that has done the same, and whose series are all there; null: there is none. */
export async function sameImport(db: Database, projectId: string, contentKey: Buffer): Promise<StoredImport | null> {
  const { rows } = await sql<{ id: string }>`
    select i.id from imports i
    where i.content_key = ${contentKey} and i.state = 'done' and i.same_as is null
      and not coalesce((i.request ->> 'dryRun')::boolean, false) and i.project_id = ${projectId}::uuid
      and not exists (
        select from jsonb_path_query(i.files, '$[*].series[*].id') x
        where not exists (select from series s where s.id = (x #>> '{}')::uuid and s.deleted_at is null))
    order by i.id desc limit 1`.execute(db);
  const [found] = rows;
  return found ? getImport(db, found.id) : null;
}
