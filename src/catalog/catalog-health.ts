/** Whether Postgres answers, and how much waits. */
import { sql } from 'kysely';
import { oneRow } from './one-row.ts';
import type { ShardState } from '../core/upkeep/shard-state.ts';
import type { Database } from './database.ts';

export interface CatalogNumbers {
  readonly series: number;
  readonly shards: ReadonlyMap<ShardState, { readonly count: number; readonly bytes: number }>;
  /** Chunks that are in no shard yet. */
  readonly freshChunks: number;
  readonly freshBytes: number;
  /** Age of the oldest of these chunks; 0 if there is none. */
  readonly freshSeconds: number;
  readonly restingLanes: number;
  /** Bytes of appends and edits, and bytes that were written for them, by all processes since the catalog was made. */
  readonly acceptedBytes: number;
  readonly spooledBytes: number;
  readonly flushedBytes: number;
  readonly compactedBytes: number;
}

export async function pingCatalog(db: Database): Promise<void> {
  await sql`select 1`.execute(db);
}

/** Counts what should be small, and takes the planner's estimates for what is large. */
export async function catalogNumbers(db: Database): Promise<CatalogNumbers> {
  const { rows } = await sql<{
    series: number;
    shards: Array<[ShardState, number, number]> | null;
    accepted: number;
    spooled: number;
    flushed: number;
    compacted: number;
    fresh: number;
    fresh_bytes: number;
    fresh_seconds: number;
    resting: number;
  }>`
    select
      (select greatest(reltuples, 0)::int from pg_class where oid = 'series'::regclass) as series,
      (select json_agg(json_build_array(state, count, bytes))
        from (select state, count(*) as count, sum(bytes) as bytes from shards group by state) by_state) as shards,
      (select accepted_bytes::float8 from commit_counter) as accepted,
      w.spooled::float8 as spooled, w.flushed::float8 as flushed, w.compacted::float8 as compacted,
      (select count(*)::int from lanes where resting_until > now()) as resting,
      f.chunks as fresh, f.bytes as fresh_bytes, f.seconds as fresh_seconds
    from written_bytes w cross join (
      select count(*)::int as chunks, coalesce(sum(bytes), 0)::float8 as bytes,
        coalesce(greatest(0, extract(epoch from now() - min(at))), 0)::float8 as seconds from fresh) f`.execute(db);
  const row = oneRow(rows);
  return {
    series: row.series,
    shards: new Map((row.shards ?? []).map(([state, count, bytes]) => [state, { count, bytes }])),
    freshChunks: row.fresh,
    freshBytes: row.fresh_bytes,
    freshSeconds: row.fresh_seconds,
    restingLanes: row.resting,
    acceptedBytes: row.accepted,
    spooledBytes: row.spooled,
    flushedBytes: row.flushed,
    compactedBytes: row.compacted,
  };
}
