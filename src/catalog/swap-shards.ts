/** The one transaction that makes a sealed shard true: its chunks take the place of those of the shards it was made from. */
import { sql, type RawBuilder } from 'kysely';
import type { Chunk } from '../core/chunk.ts';
import { VarveError } from '../core/errors.ts';
import type { SummaryBlock } from '../core/summary-block.ts';
import { CHUNK_COLUMNS, CHUNK_RECORD, chunkRecord } from './chunk-row.ts';
import { countSealed } from './commit-number.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import type { SealLease } from './seal-lease.ts';
import { summaryRecord } from './summary-row.ts';

export interface Swap {
  readonly lease: SealLease;
  /** Null: nothing is left of the old ones. */
  readonly shard: { readonly id: string; readonly path: string; readonly bytes: number } | null;
  /** Shards that are replaced. */
  readonly parents: readonly string[];
  /** Chunks that the parents had when they were read. */
  readonly parentChunks: number;
  readonly chunks: readonly Chunk[];
  readonly summaries: ReadonlyArray<SummaryBlock & { readonly seriesId: string }>;
}

/** Records of one statement: more would make its text hundreds of megabytes. */
const BATCH = 5_000;

/**
 * Readers see the old chunks or the new ones, and the same samples. The old files stay for a while, for those who have just asked.
 * @throws conflict `lease-lost` if another process has claimed the lane's sealing since; conflict `shards-changed` if the parents have other chunks by now.
 *   Nothing is changed then
 */
export async function swapShards(db: Database, swap: Swap): Promise<void> {
  const { lease, shard, parents } = swap;
  const ids = sql<string>`any(${[...parents]}::uuid[])`;
  await db.transaction().execute(async (trx) => {
    const lane = await trx
      .selectFrom('lanes')
      .select('id')
      .where('id', '=', lease.laneId)
      .where('seal_token', '=', lease.token)
      .forNoKeyUpdate()
      .executeTakeFirst();
    if (!lane) throw new VarveError('conflict', `lane ${lease.laneId} is sealed by another`, { slug: 'lease-lost' });
    if (shard) {
      await trx
        .insertInto('shards')
        .values({
          ...shard,
          lane_id: lease.laneId,
          state: 'sealed',
          lease_token: lease.token,
          parents: sql<string[]>`${[...parents]}::uuid[]` as unknown as string[],
        })
        .execute();
    }
    const gone = await trx.deleteFrom('chunks').where('shard_id', '=', ids).executeTakeFirst();
    if (gone.numDeletedRows !== BigInt(swap.parentChunks)) {
      throw new VarveError('conflict', `the shards have ${gone.numDeletedRows} chunks, not ${swap.parentChunks}`, {
        slug: 'shards-changed',
      });
    }
    await trx.deleteFrom('summaries').where('shard_id', '=', ids).execute();
    await insertAll(trx, sql`chunks`, CHUNK_COLUMNS, CHUNK_RECORD, swap.chunks.map(chunkRecord));
    const ordinals = new Map<string, number>();
    const summaries = swap.summaries.map((block) => {
      const of = `${block.seriesId} ${block.factor}`;
      const ordinal = ordinals.get(of) ?? 0;
      ordinals.set(of, ordinal + 1);
      return summaryRecord(block.seriesId, shard!.id, ordinal, block);
    });
    await insertAll(trx, sql`summaries`, SUMMARY_COLUMNS, SUMMARY_RECORD, summaries);
    // What every chunk that is left has taken in, or came after, takes nothing out any more.
    await sql`
      delete from erasures e using series s
      where s.id = e.series_id and s.lane_id = ${lease.laneId} and not exists (
        select from chunks c where c.series_id = e.series_id and c.generation < e.generation and c.first_row < e.before_row)`.execute(
      trx,
    );
    await trx
      .updateTable('shards')
      .set({ state: 'replaced', replaced_at: sql<Date>`now()` })
      .where('id', '=', ids)
      .execute();
    await trx
      .updateTable('lanes')
      .set({ seal_holder: null, seal_expires_at: null })
      .where('id', '=', lease.laneId)
      .execute();
    if (shard) await countSealed(trx, shard.bytes);
  });
}

const SUMMARY_COLUMNS =
  sql.raw(`series_id, shard_id, factor, ordinal, first_cell, last_cell, cells, first_row, last_row, first_ns,
  last_ns, parts`);
const SUMMARY_RECORD =
  sql.raw(`series_id uuid, shard_id uuid, factor integer, ordinal integer, first_cell bigint, last_cell bigint,
  cells integer, first_row bigint, last_row bigint, first_ns bigint, last_ns bigint, parts jsonb`);

async function insertAll(
  trx: DatabaseTransaction,
  table: RawBuilder<unknown>,
  columns: RawBuilder<unknown>,
  record: RawBuilder<unknown>,
  records: readonly Record<string, unknown>[],
): Promise<void> {
  for (let at = 0; at < records.length; at += BATCH) {
    const batch = JSON.stringify(records.slice(at, at + BATCH));
    await sql`
      insert into ${table} (${columns})
      select ${columns} from jsonb_to_recordset(${batch}::jsonb) as r(${record})`.execute(trx);
  }
}

/** The file of a replaced shard is gone. */
export async function forgetReplaced(db: Database, shardId: string): Promise<void> {
  await db.deleteFrom('shards').where('id', '=', shardId).where('state', '=', 'replaced').execute();
}
