/** Fresh chunks: how many wait to be flushed, and where. */
import { sql } from 'kysely';
import type { LaneBacklog } from '../../core/upkeep/flush-plan.ts';
import type { Database } from '../database.ts';
import { oneRow } from '../one-row.ts';

/** Counts what is fresh, in one pass over the index. @param most chunks to count; beyond, it counts no further */
export async function countFresh(db: Database, most: number): Promise<{ chunks: number; bytes: number }> {
  const { rows } = await sql<{ chunks: bigint; bytes: bigint }>`
    select count(*) as chunks, coalesce(sum(bytes), 0)::bigint as bytes from (select bytes from fresh limit ${most}) as counted`.execute(
    db,
  );
  const { chunks, bytes } = oneRow(rows);
  return { chunks: Number(chunks), bytes: Number(bytes) };
}

/**
 * The backlog of each lane that has something to be flushed or told, in one pass over the index of fresh chunks. @param
 * laneId only this one
 */
export async function laneBacklogs(db: Database, laneId: string | null = null): Promise<LaneBacklog[]> {
  const only = laneId === null ? sql`true` : sql`lane_id = ${laneId}`;
  const { rows } = await sql<{
    lane_id: string;
    bytes: number;
    chunks: number;
    series: number;
    most_bytes: number;
    most_chunks: number;
    age_ms: number | null;
    untold_ms: number | null;
  }>`
    with each as (
      select lane_id, series_id, count(*) as chunks, sum(bytes) as bytes, min(at) as at
      from fresh where damaged_at is null and ${only} group by lane_id, series_id),
    lane as (
      select lane_id, sum(bytes) as bytes, sum(chunks) as chunks, count(*) as series, max(bytes) as most_bytes,
        max(chunks) as most_chunks, min(at) as at from each group by lane_id),
    untold as (
      select h.lane_id, min(coalesce(k.at, now())) as at
      from heads h join lanes l on l.id = h.lane_id left join commits k on k."commit" = h.masked_commit
      where h.masked_commit > l.flushed_commit and h.purged_at is null and ${laneId === null ? sql`true` : sql`h.lane_id = ${laneId}`}
      group by h.lane_id)
    select lane_id, coalesce(f.bytes, 0)::float8 as bytes, coalesce(f.chunks, 0)::float8 as chunks, coalesce(f.series, 0)::float8 as series,
      coalesce(f.most_bytes, 0)::float8 as most_bytes, coalesce(f.most_chunks, 0)::float8 as most_chunks,
      (extract(epoch from now() - f.at) * 1000)::float8 as age_ms, (extract(epoch from now() - u.at) * 1000)::float8 as untold_ms
    from lane f full join untold u using (lane_id) order by lane_id`.execute(db);
  return rows.map((row) => ({
    laneId: row.lane_id,
    bytes: row.bytes,
    chunks: row.chunks,
    series: row.series,
    mostBytes: row.most_bytes,
    mostChunks: row.most_chunks,
    ageMs: row.age_ms,
    untoldMs: row.untold_ms,
  }));
}

/**
 * Marks chunks that cannot be read: flushes leave them out from now on. Readers of their rows are told so as they were.
 */
export async function markDamaged(db: Database, ids: readonly number[]): Promise<void> {
  await sql`update fresh set damaged_at = now() where id = any(${[...ids]}::bigint[]) and damaged_at is null`.execute(
    db,
  );
}

/** Takes marks back: bytes may be there again, and the next flush finds out. */
export async function markSound(db: Database, ids: readonly number[]): Promise<void> {
  await sql`update fresh set damaged_at = null where id = any(${[...ids]}::bigint[])`.execute(db);
}

/** Tells those who watch that the flushes of a lane fail. @param restMs null: the lane is well again */
export async function tellRest(db: Database, laneId: string, restMs: number | null): Promise<void> {
  await (
    restMs === null
      ? sql`update lanes set failures = 0, resting_until = null where id = ${laneId}`
      : sql`update lanes set failures = failures + 1, resting_until = now() + make_interval(secs => ${restMs / 1000}) where id = ${laneId}`
  ).execute(db);
}

/** Number of the advisory lock that lets one process vacuum at a time. */
const VACUUM_LOCK = 0x76_61_63;

/**
 * Gives the room of flushed chunks to those that come. All of them come and go within a minute, so autovacuum comes too
 * late. The table is not cut, which would need a lock that readers and appends wait for. @returns false if another
 * process is at it
 */
export async function vacuumFresh(db: Database): Promise<boolean> {
  return db.connection().execute(async (connection) => {
    const { rows } = await sql<{ mine: boolean }>`select pg_try_advisory_lock(${VACUUM_LOCK}) as mine`.execute(
      connection,
    );
    if (!oneRow(rows).mine) return false;
    try {
      await sql`vacuum (truncate off) fresh`.execute(connection);
      return true;
    } finally {
      await sql`select pg_advisory_unlock(${VACUUM_LOCK})`.execute(connection);
    }
  });
}

/** A fresh chunk, for those who look after its bytes. */
export interface FreshBytes {
  readonly id: number;
  readonly seriesId: string;
  readonly firstRow: number;
  readonly rows: number;
  readonly valuesCrc: number;
  readonly timesCrc: number | null;
  /** Bytes of the values; times have eight bytes a row. */
  readonly valuesLength: number;
  readonly place:
    | { readonly kind: 'held'; readonly values: Buffer; readonly times: Buffer | null }
    | {
        readonly kind: 'spool';
        readonly spoolId: string;
        readonly valuesOffset: number;
        readonly timesOffset: number | null;
      };
}

const TIME_BYTES = 8;
const PAGE_CHUNKS = 256;

interface FreshRow {
  id: number;
  series_id: string;
  first_row: number;
  rows: number;
  bytes: number;
  values: Buffer | null;
  times: Buffer | null;
  values_crc: number;
  times_crc: number | null;
  spool_id: string | null;
  values_offset: number | null;
  times_offset: number | null;
}

/**
 * Lists all fresh chunks, or those of some series, in pages. Each page is as of its own instant: a flush may have taken
 * away what the one before had.
 */
export async function* freshPages(db: Database, only: readonly string[] | null): AsyncGenerator<FreshBytes[]> {
  const wanted = only === null ? sql`true` : sql`series_id = any(${[...only]}::uuid[])`;
  for (let after = 0; ;) {
    const { rows } = await sql<FreshRow>`
      select id::float8 as id, series_id, first_row::float8 as first_row, rows::float8 as rows, bytes::float8 as bytes, values, times,
        values_crc::float8 as values_crc, times_crc::float8 as times_crc, spool_id, values_offset::float8 as values_offset,
        times_offset::float8 as times_offset
      from fresh where id > ${after} and ${wanted} order by id limit ${PAGE_CHUNKS}`.execute(db);
    if (rows.length > 0) yield rows.map(toFreshBytes);
    if (rows.length < PAGE_CHUNKS) return;
    after = oneRow(rows.slice(-1)).id;
  }
}

function toFreshBytes(row: FreshRow): FreshBytes {
  const { spool_id: spoolId, values_offset: valuesOffset, times_offset: timesOffset } = row;
  return {
    id: row.id,
    seriesId: row.series_id,
    firstRow: row.first_row,
    rows: row.rows,
    valuesCrc: row.values_crc,
    timesCrc: row.times_crc,
    valuesLength: row.bytes - (row.times_crc === null ? 0 : TIME_BYTES * row.rows),
    place:
      spoolId === null
        ? { kind: 'held', values: row.values!, times: row.times }
        : { kind: 'spool', spoolId, valuesOffset: valuesOffset!, timesOffset },
  };
}

/** @returns whether it is still fresh: a flush may have taken it away */
export async function isFresh(db: Database, id: number): Promise<boolean> {
  return (await sql`select from fresh where id = ${id}`.execute(db)).rows.length > 0;
}
