/** Space: what series and shards take on the disk, as the catalog knows it. */
import { sql } from 'kysely';
import type { ShardState } from '../../core/upkeep/shard-state.ts';
import type { Database } from '../database.ts';
import { oneRow } from '../one-row.ts';

export interface SeriesStorage {
  /** In chunks, fresh ones too: among them are rows that were removed or have expired, until compaction drops them. */
  readonly rows: number;
  readonly chunks: number;
  /** Bytes of fresh chunks, and of the blocks of chunks and summaries in shards. */
  readonly storedBytes: number;
  /** Bytes of fresh chunks alone. */
  readonly freshBytes: number;
  /** In the order they were made. */
  readonly shards: ReadonlyArray<{ readonly id: string; readonly state: ShardState; readonly bytes: number }>;
}

export interface StoredShard {
  readonly id: string;
  readonly laneId: string;
  readonly state: ShardState;
  /** Size of the file. */
  readonly bytes: number;
  /** Bytes of the blocks that the catalog refers to. The rest is HDF5's own structure, or left over. */
  readonly storedBytes: number;
  /** Series that have rows or summaries in it. */
  readonly series: number;
  readonly madeAt: Date;
}

/** A condition on `series_id` and `shard_id` of chunks and summaries. */
type Chosen = ReturnType<typeof sql<boolean>>;

/** Blocks by shard and series. Several chunks may be runs of one block, which counts once. */
const storedBlocks = (chosen: Chosen): ReturnType<typeof sql> => sql`(
  select shard_id, series_id, max(values_length) as bytes from chunks where ${chosen} group by shard_id, series_id, values_offset
  union all
  select shard_id, series_id, max(times_length) from chunks where ${chosen} and times_offset is not null
    group by shard_id, series_id, times_offset
  union all
  select shard_id, series_id, (part ->> 2)::bigint from summaries, jsonb_array_elements(parts) part where ${chosen})`;

/** What a series takes, as of one instant. */
export async function readSeriesStorage(db: Database, seriesId: string): Promise<SeriesStorage> {
  const { rows } = await sql<{
    rows: number;
    chunks: number;
    fresh: number;
    shards: Array<{ id: string; state: ShardState; bytes: number }> | null;
  }>`
    select coalesce(sum(rows), 0)::float8 as rows, count(*)::int as chunks, coalesce(sum(bytes), 0)::float8 as fresh, (
      select json_agg(json_build_object('id', h.id, 'state', h.state, 'bytes', b.bytes) order by h.id)
      from (select shard_id, sum(bytes) as bytes from ${storedBlocks(sql<boolean>`series_id = ${seriesId}`)} b group by shard_id) b
      join shards h on h.id = b.shard_id) as shards
    from (
      select rows, 0 as bytes from chunks where series_id = ${seriesId}
      union all
      select rows, bytes from fresh where series_id = ${seriesId}) c`.execute(db);
  const { rows: count, chunks, fresh: freshBytes, shards } = oneRow(rows);
  const listed = shards ?? [];
  const storedBytes = listed.reduce((sum, { bytes }) => sum + bytes, freshBytes);
  return { rows: count, chunks, shards: listed, storedBytes, freshBytes };
}

/** Shards in the order they were made. @param after id of the last one before */
export async function listStoredShards(
  db: Database,
  { limit, after }: { readonly limit: number; readonly after: string | null },
): Promise<StoredShard[]> {
  const { rows } = await sql<{
    id: string;
    lane_id: string;
    state: ShardState;
    bytes: number;
    stored: number;
    series: number;
    made_at: Date;
  }>`
    with page as materialized (
      select * from shards where ${after === null ? sql`true` : sql`id > ${after}::uuid`} order by id limit ${limit})
    select p.id, p.lane_id, p.state, p.bytes::float8 as bytes, p.made_at, coalesce(b.bytes, 0)::float8 as stored,
      coalesce(b.series, 0)::int as series
    from page p left join (
      select shard_id, sum(bytes) as bytes, count(distinct series_id) as series
      from ${storedBlocks(sql<boolean>`shard_id = any(array(select id from page))`)} b group by shard_id) b on b.shard_id = p.id
    order by p.id`.execute(db);
  return rows.map((row) => ({
    id: row.id,
    laneId: row.lane_id,
    state: row.state,
    bytes: row.bytes,
    storedBytes: row.stored,
    series: row.series,
    madeAt: row.made_at,
  }));
}

/** Stored bytes of some shards, as {@link StoredShard.storedBytes}. */
export async function storedBytesOf(db: Database, shardIds: readonly string[]): Promise<Map<string, number>> {
  const { rows } = await sql<{ shard_id: string; bytes: number }>`
    select shard_id, sum(bytes)::float8 as bytes
    from ${storedBlocks(sql<boolean>`shard_id = any(${[...shardIds]}::uuid[])`)} b group by shard_id`.execute(db);
  return new Map(rows.map(({ shard_id: id, bytes }) => [id, bytes]));
}
