/** How much of the catalog plans of some series will bring, before any of it is asked for. */
import { sql } from 'kysely';
import type { Database } from '../database.ts';

export interface PlanSizes {
  /** Chunks in files. */
  readonly chunks: number;
  /** Bytes of fresh chunks in rows of Postgres. */
  readonly heldBytes: number;
}

/** @returns by id; series without chunks are not in it */
export async function readPlanSizes(db: Database, seriesIds: readonly string[]): Promise<Map<string, PlanSizes>> {
  const { rows } = await sql<{ series_id: string; chunks: bigint; held_bytes: bigint }>`
    select series_id, sum(chunks)::bigint as chunks, sum(held_bytes)::bigint as held_bytes from (
      select series_id, count(*) as chunks, 0 as held_bytes from chunks
      where series_id = any(${seriesIds}::uuid[]) group by series_id
      union all
      select series_id, count(*) filter (where values is null), coalesce(sum(bytes) filter (where values is not null), 0) from fresh
      where series_id = any(${seriesIds}::uuid[]) group by series_id) each
    group by series_id`.execute(db);
  return new Map(rows.map((row) => [row.series_id, { chunks: Number(row.chunks), heldBytes: Number(row.held_bytes) }]));
}
