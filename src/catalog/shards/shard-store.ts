/** Shards and what lies in them, for those who look after files. */
import { sql } from 'kysely';
import type { Chunk } from '../../core/rows/chunk.ts';
import { parseNumber, type Dtype } from '../../core/numbers/dtype.ts';
import { notFound } from '../../core/errors.ts';
import type { RowShape } from '../../core/numbers/missing-value.ts';
import { parseRate, type Rate } from '../../core/signal/rate.ts';
import type { ShardState } from '../../core/upkeep/shard-state.ts';
import { toChunk } from '../chunks/chunk-row.ts';
import type { Database } from '../database.ts';
import type { SeriesTable } from '../tables.ts';
import { oneRow } from '../one-row.ts';

export interface ShardRecord {
  readonly id: string;
  readonly laneId: string;
  readonly path: string;
  readonly state: ShardState;
  /** Committed length of the file. */
  readonly bytes: number;
}

/** One series as a shard has it. */
export interface ShardSeries extends RowShape {
  readonly id: string;
  /** Null: irregular. */
  readonly rate: Rate | null;
  /** Rows of its datasets that are committed. */
  readonly datasetRows: number;
  /** Row of the series that row 0 of the datasets is. */
  readonly firstRow: number;
  readonly chunks: number;
}

/**
 * Chunks are asked for in pages. A block has at most 1 MiB, unless one row is larger, so the blocks of a page have at
 * most 64 MiB.
 */
const PAGE_CHUNKS = 64;

const uuids = (ids: readonly string[]): ReturnType<typeof sql<string>> => sql<string>`any(${[...ids]}::uuid[])`;

/** @param holding only those that hold rows of these series */
export async function listShards(db: Database, holding: readonly string[] | null = null): Promise<ShardRecord[]> {
  let query = db
    .selectFrom('shards as h')
    .select(['h.id', 'h.lane_id', 'h.path', 'h.state', 'h.bytes'])
    .orderBy('h.id');
  if (holding) {
    query = query.where(({ exists, selectFrom }) =>
      exists(
        selectFrom('chunks as c')
          .select('c.series_id')
          .whereRef('c.shard_id', '=', 'h.id')
          .where('c.series_id', '=', uuids(holding)),
      ),
    );
  }
  const rows = await query.execute();
  return rows.map(({ lane_id: laneId, bytes, ...row }) => ({ ...row, laneId, bytes: Number(bytes) }));
}

/** @throws not-found */
export async function getShard(db: Database, id: string): Promise<ShardRecord> {
  const row = await db
    .selectFrom('shards')
    .selectAll()
    .where(sql`id::text`, '=', id)
    .executeTakeFirst();
  if (!row) throw notFound('shard', id);
  return { id: row.id, laneId: row.lane_id, path: row.path, state: row.state, bytes: Number(row.bytes) };
}

/** Series of an id, or of a name in any project; deleted ones too: their rows are still there. @throws not-found */
export async function findSeriesIds(db: Database, idOrName: string): Promise<string[]> {
  const rows = await db
    .selectFrom('series')
    .select('id')
    .where(({ eb, or }) => or([eb(sql`id::text`, '=', idOrName), eb('name', '=', idOrName)]))
    .orderBy('id')
    .execute();
  if (rows.length === 0) throw notFound('series', idOrName);
  return rows.map((row) => row.id);
}

/** Series that have rows in a shard. */
export async function shardSeries(
  db: Database,
  shardId: string,
  only: readonly string[] | null = null,
): Promise<ShardSeries[]> {
  let query = db
    .selectFrom('chunks as c')
    .innerJoin('series as s', 's.id', 'c.series_id')
    .select(['s.id', 's.dtype', 's.channel_count', 's.missing_value', 's.rate'])
    .select(({ fn }) => fn.max(sql<bigint>`c.dataset_row + c.rows`).as('dataset_rows'))
    .select(({ fn }) => fn.min(sql<bigint>`c.first_row - c.dataset_row`).as('first_row'))
    .select(({ fn }) => fn.countAll<bigint>().as('chunks'))
    .where('c.shard_id', '=', shardId)
    .groupBy('s.id')
    .orderBy('s.id');
  if (only) query = query.where('s.id', '=', uuids(only));
  return (await query.execute()).map(toShardSeries);
}

type ShardSeriesRow = Pick<SeriesTable, 'id' | 'dtype' | 'channel_count' | 'missing_value' | 'rate'> & {
  readonly dataset_rows: bigint;
  readonly first_row: bigint;
  readonly chunks: bigint;
};

export function toShardSeries(row: ShardSeriesRow): ShardSeries {
  const dtype = row.dtype as Dtype;
  return {
    id: row.id,
    dtype,
    channels: row.channel_count,
    missingValue: row.missing_value === null ? null : parseNumber(dtype, row.missing_value),
    rate: row.rate === null ? null : (parseRate(row.rate) ?? null),
    datasetRows: Number(row.dataset_rows),
    firstRow: Number(row.first_row),
    chunks: Number(row.chunks),
  };
}

/** The chunks of one series in one shard, in the order in which they were written, a page at a time. */
export async function* shardChunks(
  db: Database,
  shardId: string,
  seriesId: string,
): AsyncGenerator<(Chunk & { readonly id: number })[]> {
  for (let after = 0n; ;) {
    const rows = await db
      .selectFrom('chunks as c')
      .selectAll('c')
      .where('c.shard_id', '=', shardId)
      .where('c.series_id', '=', seriesId)
      .where('c.id', '>', after)
      .orderBy('c.id')
      .limit(PAGE_CHUNKS)
      .execute();
    if (rows.length > 0) yield rows.map((row) => ({ ...toChunk(row), id: Number(row.id) }));
    if (rows.length < PAGE_CHUNKS) return;
    after = oneRow(rows.slice(-1)).id;
  }
}

/**
 * Says whether the file of a shard is as it should be, after another look. @param fileBytes length of the file; null:
 * there is none @returns false if what is said was known, or does not hold any more
 */
export async function markShard(
  db: Database,
  shardId: string,
  fileBytes: number | null,
  as: 'lost' | 'damaged' | 'live',
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update shards set state = ${as}
    where id = ${shardId} and state in ('live', 'lost', 'damaged') and state <> ${as}
      and ${as} = case when ${fileBytes}::bigint is null then 'lost' when ${fileBytes}::bigint < bytes then 'damaged' else 'live' end`.execute(
    db,
  );
  return numAffectedRows === 1n;
}

/** Says which chunks of a shard cannot be read: rewritings leave them out. Its others can. */
export async function markChunks(db: Database, shardId: string, damaged: readonly number[]): Promise<void> {
  const isDamaged = sql<boolean>`(id = any(${[...damaged]}::bigint[]))`;
  await sql`
    update chunks set damaged_at = case when ${isDamaged} then coalesce(damaged_at, now()) end
    where shard_id = ${shardId} and (damaged_at is not null) <> ${isDamaged}`.execute(db);
}

/** Whether samples are missing: the file of a shard is not as it was, or chunks cannot be read. */
export async function hasDamage(db: Database): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select exists (select from shards where state in ('lost', 'damaged')) or exists (select from fresh where damaged_at is not null)
      or exists (select from chunks where damaged_at is not null) as found`.execute(db);
  return oneRow(rows).found;
}
