/** What replacements have put into shards beside appended rows, for those who look after files. */
import { sql } from 'kysely';
import type { Chunk } from '../core/chunk.ts';
import { toChunk } from './chunk-row.ts';
import type { Database } from './database.ts';
import { toShardSeries, type ShardSeries } from './shard-store.ts';

/** One replacement as a shard has it: a series whose datasets are its own. */
export type ShardEdit = ShardSeries & { readonly generation: number };

const PAGE_CHUNKS = 64;

/** In a sealed shard edits are taken in: it has none. @param only of these series; null: all */
export async function shardEdits(
  db: Database,
  shardId: string,
  only: readonly string[] | null = null,
): Promise<ShardEdit[]> {
  let query = db
    .selectFrom('chunks as c')
    .innerJoin('series as s', 's.id', 'c.series_id')
    .innerJoin('shards as h', 'h.id', 'c.shard_id')
    .select(['s.id', 's.dtype', 's.channel_count', 's.missing_value', 's.rate', 'c.generation'])
    .select(({ fn }) => fn.max(sql<bigint>`c.dataset_row + c.rows`).as('dataset_rows'))
    .select(({ fn }) => fn.min(sql<bigint>`c.first_row - c.dataset_row`).as('first_row'))
    .where('c.shard_id', '=', shardId)
    .where('c.generation', '>', 0)
    .where(sql<boolean>`h.parents = '{}'`)
    .groupBy(['s.id', 'c.generation'])
    .orderBy('s.id')
    .orderBy('c.generation');
  if (only) query = query.where('s.id', '=', sql<string>`any(${[...only]}::uuid[])`);
  return (await query.execute()).map((row) => ({ ...toShardSeries(row), generation: row.generation }));
}

/** The chunks of one replacement, in order of rows, a page at a time. */
export async function* editChunks(db: Database, shardId: string, edit: ShardEdit): AsyncGenerator<Chunk[]> {
  for (let after = -1; ;) {
    const rows = await db
      .selectFrom('chunks')
      .selectAll()
      .where('shard_id', '=', shardId)
      .where('series_id', '=', edit.id)
      .where('generation', '=', edit.generation)
      .where('first_row', '>', BigInt(after))
      .orderBy('first_row')
      .limit(PAGE_CHUNKS)
      .execute();
    if (rows.length > 0) yield rows.map(toChunk);
    if (rows.length < PAGE_CHUNKS) return;
    after = Number(rows[rows.length - 1].first_row);
  }
}
