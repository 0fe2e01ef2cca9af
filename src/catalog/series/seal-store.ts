/** The state of series: sealed, with the hash of what they hold, and opened again. */
import { sql } from 'kysely';
import { notFound, VarveError } from '../../core/errors.ts';
import type { ContentHash, Series } from '../../core/signal/series.ts';
import type { FieldChange } from '../../core/tags/tag-edit.ts';
import { commitChanges } from '../commit-feed.ts';
import type { Database, DatabaseTransaction } from '../database.ts';
import { recordHistory } from './history-store.ts';
import { toContentHash } from './series-row.ts';
import { assertVersion, getSeries, lockHeadAfterSeries } from './series-store.ts';
import type { StoredHash } from '../tables.ts';

interface Request {
  /** Refuse unless the metadata still have this version. */
  readonly ifVersion?: number;
  readonly tokenId: string | null;
}

/**
 * Seals a series. From here on nothing is acknowledged for it: appends look under the same lock. A series that is
 * sealed already stays as it is. @throws not-found; precondition-failed
 */
export async function sealSeries(db: Database, id: string, { ifVersion, tokenId }: Request): Promise<Series> {
  await db.transaction().execute(async (trx) => {
    const row = await lockState(trx, id, ifVersion);
    if (row.sealed_at) return;
    await trx.updateTable('series').set(raised(row.version)).where('id', '=', id).execute();
    await trx
      .updateTable('heads')
      // Whole milliseconds, so that it is the same when it comes back as a Date.
      .set({ sealed_at: sql<Date>`date_trunc('milliseconds', clock_timestamp())` })
      .where('series_id', '=', id)
      .execute();
    await record(trx, 'seal', row, tokenId, [{ field: 'state', old: 'open', new: 'sealed' }]);
  });
  return getSeries(db, { id });
}

/**
 * Opens a sealed series, which takes samples again. The hash is forgotten, except in the history. A series that is open
 * already stays as it is. @throws not-found; precondition-failed
 */
export async function unsealSeries(db: Database, id: string, { ifVersion, tokenId }: Request): Promise<Series> {
  await db.transaction().execute(async (trx) => {
    const row = await lockState(trx, id, ifVersion);
    if (!row.sealed_at) return;
    await trx
      .updateTable('series')
      .set({ ...raised(row.version), content_hash: null })
      .where('id', '=', id)
      .execute();
    await trx.updateTable('heads').set({ sealed_at: null }).where('series_id', '=', id).execute();
    const forgotten = row.content_hash && { field: 'content_hash', old: row.content_hash, new: null };
    await record(trx, 'unseal', row, tokenId, [
      { field: 'state', old: 'sealed', new: 'open' },
      ...(forgotten ? [forgotten] : []),
    ]);
  });
  return getSeries(db, { id });
}

/**
 * The first hash of a seal stays. It raises the version, too: who has seen the series without it is told.
 * @param sealedAt of the seal that it was computed for
 * @throws not-found; conflict `series-unsealed` if the series was opened meanwhile
 */
export async function storeContentHash(db: Database, id: string, sealedAt: Date, hash: ContentHash): Promise<Series> {
  await db.transaction().execute(async (trx) => {
    const row = await lockState(trx, id);
    if (row.sealed_at?.getTime() !== sealedAt.getTime()) {
      const message = `series ${id} was opened again before its content was hashed`;
      throw new VarveError('conflict', message, { slug: 'series-unsealed' });
    }
    if (row.content_hash) return;
    const stored: StoredHash = { ...hash, commit: Number(hash.commit) };
    await trx
      .updateTable('series')
      .set({ ...raised(row.version), content_hash: JSON.stringify(stored) })
      .where('id', '=', id)
      .execute();
    await commitChanges(trx, [{ seriesId: id, projectId: row.project_id, kind: 'update', tokenId: null }]);
  });
  return getSeries(db, { id });
}

/** Series that hold what they held when they were hashed. @param only of these; null: all */
export async function hashedSeries(
  db: Database,
  only: readonly string[] | null,
): Promise<{ id: string; hash: ContentHash }[]> {
  let query = db
    .selectFrom('series as s')
    .innerJoin('heads as h', 'h.series_id', 's.id')
    .select(['s.id', 's.content_hash'])
    .where('s.deleted_at', 'is', null)
    .where(sql<boolean>`(s.content_hash -> 'commit')::bigint = h."commit"`)
    .orderBy('s.id');
  if (only) query = query.where('s.id', '=', sql<string>`any(${[...only]}::uuid[])`);
  return (await query.execute()).map((row) => ({ id: row.id, hash: toContentHash(row.content_hash!) }));
}

type StateRow = Awaited<ReturnType<typeof lockState>>;

async function lockState(trx: DatabaseTransaction, id: string, ifVersion?: number) {
  const row = await trx
    .selectFrom('series')
    .select(['id', 'project_id', 'version', 'content_hash'])
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
    .forNoKeyUpdate()
    .executeTakeFirst();
  if (!row) throw notFound('series', id);
  assertVersion(row.version, ifVersion);
  return { ...row, sealed_at: (await lockHeadAfterSeries(trx, id)).sealed_at };
}

function raised(version: number) {
  return { version: version + 1, updated_at: sql<Date>`now()` };
}

async function record(
  trx: DatabaseTransaction,
  action: 'seal' | 'unseal',
  { id, project_id: projectId }: StateRow,
  tokenId: string | null,
  changes: readonly FieldChange[],
): Promise<void> {
  await recordHistory(trx, { action, tokenId }, [{ seriesId: id, changes }]);
  await commitChanges(trx, [{ seriesId: id, projectId, kind: action, tokenId }]);
}
