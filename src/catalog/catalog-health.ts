/** Whether Postgres answers, and how much waits. */
import { sql } from 'kysely';
import type { ShardState } from '../core/shard-state.ts';
import type { Database } from './database.ts';
import { RESTING } from './lane-store.ts';

export interface CatalogNumbers {
  readonly series: number;
  readonly shards: ReadonlyMap<ShardState, { readonly count: number; readonly bytes: number }>;
  readonly pendingWrites: number;
  readonly pendingBytes: number;
  /** Age of the oldest pending write; 0 if there is none. */
  readonly pendingSeconds: number;
  readonly failedWrites: number;
  readonly restingLanes: number;
  /** Of writes that were applied, and what drains and sealing have written for them, by all processes since the catalog was made. */
  readonly acceptedBytes: number;
  readonly appendedBytes: number;
  readonly sealedBytes: number;
}

export async function pingCatalog(db: Database): Promise<void> {
  await sql`select 1`.execute(db);
}

/** Cheap estimates for what is large (the planner's), counts for what should be small. */
export async function catalogNumbers(db: Database): Promise<CatalogNumbers> {
  const { rows } = await sql<{
    series: number;
    shards: Array<[ShardState, number, number]> | null;
    accepted: number;
    appended: number;
    sealed: number;
    pending: number;
    pending_bytes: number;
    pending_seconds: number;
    failed: number;
    resting: number;
  }>`
    select
      (select greatest(reltuples, 0)::int from pg_class where oid = 'series'::regclass) as series,
      (select json_agg(json_build_array(state, count, bytes))
        from (select state, count(*) as count, sum(bytes) as bytes from shards group by state) by_state) as shards,
      (select accepted_bytes::float8 from commit_counter) as accepted,
      (select appended_bytes::float8 from commit_counter) as appended,
      (select sealed_bytes::float8 from commit_counter) as sealed,
      (select count(*)::int from writes where state = 'failed') as failed,
      (select count(*)::int from lanes where ${RESTING}) as resting,
      count(*)::int as pending,
      coalesce(sum(bytes), 0)::float8 as pending_bytes,
      coalesce(greatest(0, extract(epoch from now() - min(created_at))), 0)::float8 as pending_seconds
    from writes where state = 'pending'`.execute(db);
  const row = rows[0];
  return {
    series: row.series,
    shards: new Map((row.shards ?? []).map(([state, count, bytes]) => [state, { count, bytes }])),
    pendingWrites: row.pending,
    pendingBytes: row.pending_bytes,
    pendingSeconds: row.pending_seconds,
    failedWrites: row.failed,
    restingLanes: row.resting,
    acceptedBytes: row.accepted,
    appendedBytes: row.appended,
    sealedBytes: row.sealed,
  };
}
