/** Whether Postgres answers, and how much waits. */
import { sql } from 'kysely';
import type { Database } from './database.ts';

export interface CatalogNumbers {
  readonly series: number;
  readonly shards: number;
  readonly pendingWrites: number;
  readonly failedWrites: number;
}

export async function pingCatalog(db: Database): Promise<void> {
  await sql`select 1`.execute(db);
}

/** Cheap estimates for what is large (the planner's), counts for what should be small. */
export async function catalogNumbers(db: Database): Promise<CatalogNumbers> {
  const { rows } = await sql<{ series: number; shards: number; pending: number; failed: number }>`
    select
      (select greatest(reltuples, 0)::int from pg_class where oid = 'series'::regclass) as series,
      (select count(*)::int from shards) as shards,
      (select count(*)::int from writes where state = 'pending') as pending,
      (select count(*)::int from writes where state = 'failed') as failed`.execute(db);
  const { series, shards, pending, failed } = rows[0];
  return { series, shards, pendingWrites: pending, failedWrites: failed };
}
