/** Fresh chunks: how many wait to be flushed. */
import { sql } from 'kysely';
import type { Database } from './database.ts';

/** What is fresh, as one pass over the index says. @param most chunks to count; beyond, it counts no further */
export async function countFresh(db: Database, most: number): Promise<{ chunks: number; bytes: number }> {
  const { rows } = await sql<{ chunks: bigint; bytes: bigint }>`
    select count(*) as chunks, coalesce(sum(bytes), 0)::bigint as bytes from (select bytes from fresh limit ${most}) as counted`.execute(db);
  return { chunks: Number(rows[0].chunks), bytes: Number(rows[0].bytes) };
}
