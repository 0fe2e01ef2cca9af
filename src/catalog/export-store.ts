/** Exports: what was asked for, how far it is, and what became of it. */
import { sql } from 'kysely';
import type { Database } from './database.ts';

export type ExportState = 'waiting' | 'running' | 'done' | 'failed';

export interface ExportFailure {
  readonly code: string;
  readonly slug: string;
  readonly message: string;
}

export interface ExportRecord {
  readonly id: string;
  readonly tokenId: string;
  readonly request: unknown;
  readonly state: ExportState;
  readonly series: number;
  /** Bytes so far, or of the whole file. */
  readonly written: number;
  readonly fileName: string | null;
  readonly mediaType: string | null;
  /** What the file does not have of the series. */
  readonly notes: readonly string[];
  readonly error: ExportFailure | null;
  readonly createdAt: Date;
  readonly finishedAt: Date | null;
}

/** Whoever makes an export says so this often at least; without it for so long, its process is gone. */
const SILENT_S = 60;
const INTERRUPTED: ExportFailure = {
  code: 'unavailable',
  slug: 'interrupted',
  message: 'the process that made the file has ended; ask for it once more',
};

export async function storeExport(
  db: Database,
  made: Pick<ExportRecord, 'id' | 'tokenId' | 'request' | 'series'>,
): Promise<void> {
  const { id, tokenId, request, series } = made;
  await db
    .insertInto('exports')
    .values({ id, token_id: tokenId, request: JSON.stringify(request), state: 'waiting', series })
    .execute();
}

/** @param tokenId whose it is; null: anybody's */
export async function findExport(db: Database, id: string, tokenId: string | null): Promise<ExportRecord | null> {
  const [found] = await listExports(db, tokenId, { limit: 1, id });
  return found ?? null;
}

/** Newest first. @param page after: id of the one that the page before ended with */
export async function listExports(
  db: Database,
  tokenId: string | null,
  page: { readonly limit: number; readonly after?: string | null; readonly id?: string },
): Promise<ExportRecord[]> {
  let query = db
    .selectFrom('exports')
    .selectAll()
    .select(
      sql<boolean>`state in ('waiting', 'running') and alive_at < now() - make_interval(secs => ${SILENT_S})`.as(
        'lost',
      ),
    )
    .orderBy('id', 'desc')
    .limit(page.limit);
  if (tokenId !== null) query = query.where('token_id', '=', tokenId);
  if (page.after) query = query.where('id', '<', page.after);
  if (page.id !== undefined) query = query.where('id', '=', page.id);
  return (await query.execute()).map((row) => ({
    id: row.id,
    tokenId: row.token_id,
    request: row.request,
    state: row.lost ? 'failed' : row.state,
    series: row.series,
    written: Number(row.written),
    fileName: row.file_name,
    mediaType: row.media_type,
    notes: row.notes,
    error: row.lost ? INTERRUPTED : row.error,
    createdAt: row.created_at,
    finishedAt: row.finished_at,
  }));
}

/** @returns false if it is not there any more: nobody wants it */
export async function tellProgress(
  db: Database,
  id: string,
  state: 'waiting' | 'running',
  written: number,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('exports')
    .set({ state, written, alive_at: sql`now()` })
    .where('id', '=', id)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

export async function finishExport(
  db: Database,
  id: string,
  outcome:
    | {
        readonly fileName: string;
        readonly mediaType: string;
        readonly bytes: number;
        readonly notes: readonly string[];
      }
    | { readonly error: ExportFailure },
): Promise<void> {
  const finished = { finished_at: sql<Date>`now()` };
  const set =
    'error' in outcome
      ? { ...finished, state: 'failed' as const, error: JSON.stringify(outcome.error) }
      : {
          ...finished,
          state: 'done' as const,
          file_name: outcome.fileName,
          media_type: outcome.mediaType,
          written: outcome.bytes,
          notes: JSON.stringify(outcome.notes),
        };
  await db.updateTable('exports').set(set).where('id', '=', id).execute();
}

/** @returns whether it was there. @param tokenId whose it is; null: anybody's */
export async function deleteExport(db: Database, id: string, tokenId: string | null): Promise<boolean> {
  let query = db.deleteFrom('exports').where('id', '=', id);
  if (tokenId !== null) query = query.where('token_id', '=', tokenId);
  return (await query.executeTakeFirst()).numDeletedRows > 0n;
}

/** @returns the ids of those that are older and are gone now */
export async function expireExports(db: Database, olderThanMs: number): Promise<string[]> {
  const gone = await db
    .deleteFrom('exports')
    .where('created_at', '<', sql<Date>`now() - make_interval(secs => ${olderThanMs / 1000})`)
    .returning('id')
    .execute();
  return gone.map(({ id }) => id);
}
