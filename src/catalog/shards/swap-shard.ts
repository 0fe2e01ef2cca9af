/** The transaction that makes a new shard true: its chunks take the place of those that it was made of. */
import { sql, type RawBuilder } from 'kysely';
import type { Chunk } from '../../core/rows/chunk.ts';
import { VarveError } from '../../core/errors.ts';
import type { SummaryBlock } from '../../core/overview/summary-block.ts';
import { CHUNK_COLUMNS, CHUNK_RECORD, chunkRecord } from '../chunks/chunk-row.ts';
import type { Database, DatabaseTransaction } from '../database.ts';
import { summaryRecord } from '../chunks/summary-row.ts';
import { oneRow } from '../one-row.ts';

/** A shard of which no reader knows yet. */
export interface WritingShard {
  readonly id: string;
  readonly laneId: string;
  readonly path: string;
  readonly level: 0 | 1;
  readonly commit: bigint;
}

/** Another one at work is left alone for so long: this spares work, and nothing hangs on it. */
const UNDER_WAY_MINUTES = [1, 10] as const;

/** Whether a shard of this kind is being written for the lane. */
export async function isUnderWay(db: Database, laneId: string, level: 0 | 1): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select exists (select from shards where lane_id = ${laneId} and state = 'writing' and level = ${level}
      and made_at > now() - make_interval(mins => ${UNDER_WAY_MINUTES[level]})) as found`.execute(db);
  return oneRow(rows).found;
}

/**
 * Inserts the row of a shard before its file is made: a file that has no row is rubbish. @param parents shards whose
 * rows it will have @returns the commit of the oldest flush among them
 */
export async function registerShard(db: Database, shard: WritingShard, parents: readonly string[]): Promise<bigint> {
  const { rows } = await sql<{ first_commit: bigint }>`
    insert into shards (id, lane_id, state, level, path, "commit", first_commit)
    values (${shard.id}, ${shard.laneId}, 'writing', ${shard.level}, ${shard.path}, ${shard.commit},
      coalesce((select min(first_commit) from shards where id = any(${[...parents]}::uuid[])), ${shard.commit}))
    returning first_commit`.execute(db);
  return oneRow(rows).first_commit;
}

/** Nothing came of it. @returns whether its file may be removed: false if it was swapped in after all */
export async function forgetShard(db: Database, shardId: string): Promise<boolean> {
  const { rows } = await sql<{ state: string }>`
    with gone as (delete from shards where id = ${shardId} and state = 'writing' returning id)
    select state from shards where id = ${shardId} and not exists (select from gone)`.execute(db);
  return rows.length === 0;
}

export interface Swap {
  readonly shard: WritingShard;
  /** Size of its file; null: there is nothing to be said any more, and no file. */
  readonly bytes: number | null;
  /** Chunks that go. */
  readonly freshIds: readonly number[];
  readonly chunkIds: readonly number[];
  /** Shards that they lie in: those of which no chunk is left are replaced. */
  readonly parents: readonly string[];
  /** Series that were looked at. */
  readonly series: readonly string[];
  readonly chunks: readonly Chunk[];
  readonly summaries: ReadonlyArray<SummaryBlock & { readonly seriesId: string }>;
  /** Shards tell all of the lane now, as of the shard's commit. */
  readonly tellsAll: boolean;
}

/** Records of one statement: more would make its text hundreds of megabytes. */
const BATCH = 5_000;

/**
 * Readers see the old chunks or the new ones, and the same samples. Old files stay for a while, for those who have just asked.
 * @throws conflict `shard-swept` if its row is not there any more, conflict `chunks-changed` if a chunk that was planned is not. Nothing is changed then
 */
export async function swapShard(db: Database, swap: Swap): Promise<void> {
  const { shard, bytes, parents } = swap;
  const old = sql`any(${[...parents]}::uuid[])`;
  await db.transaction().execute(async (trx) => {
    const mine = sql`where id = ${shard.id} and state = 'writing' returning id`;
    const { rows } =
      bytes === null
        ? await sql`delete from shards ${mine}`.execute(trx)
        : await sql`update shards set state = 'live', bytes = ${bytes}, data_bytes = ${dataBytes(swap.chunks)} ${mine}`.execute(
            trx,
          );
    if (rows.length === 0) throw conflict('shard-swept', `the shard ${shard.id} is not being written any more`);
    if (parents.length > 0) await sql`select from shards where id = ${old} order by id for no key update`.execute(trx);
    const spooled = await takeAway(trx, sql`fresh`, sql`case when spool_id is not null then bytes end`, swap.freshIds);
    await takeAway(trx, sql`chunks`, sql`null::bigint`, swap.chunkIds);
    const chosen = sql`any(${[...swap.series]}::uuid[])`;
    if (parents.length > 0)
      await sql`delete from summaries where shard_id = ${old} and series_id = ${chosen}`.execute(trx);
    await insertAll(trx, sql`chunks`, CHUNK_COLUMNS, CHUNK_RECORD, swap.chunks.map(chunkRecord));
    const ordinals = new Map<string, number>();
    const summaries = swap.summaries.map((block) => {
      const of = `${block.seriesId} ${block.factor}`;
      const ordinal = ordinals.get(of) ?? 0;
      ordinals.set(of, ordinal + 1);
      return summaryRecord(block.seriesId, shard.id, ordinal, block);
    });
    await insertAll(trx, sql`summaries`, SUMMARY_COLUMNS, SUMMARY_RECORD, summaries);
    // What every chunk that is left has taken in, or came after, takes nothing out any more.
    const concerned = sql`c.series_id = e.series_id and c.generation < e.generation and c.first_row < e.before_row`;
    await sql`
      delete from erasures e where e.series_id = ${chosen}
        and not exists (select from chunks c where ${concerned}) and not exists (select from fresh c where ${concerned})`.execute(
      trx,
    );
    await sql`
      update shards h set state = 'replaced', replaced_at = now()
      where h.id = ${old} and h.state in ('live', 'damaged') and not exists (select from chunks c where c.shard_id = h.id)
        and not exists (select from summaries y where y.shard_id = h.id)`.execute(trx);
    if (swap.tellsAll) await tellFlushed(trx, shard.laneId, shard.commit);
    const column = sql.ref(shard.level === 0 ? 'flushed' : 'compacted');
    await sql`update written_bytes set spooled = spooled + ${spooled}, ${column} = ${column} + ${bytes ?? 0}`.execute(
      trx,
    );
  });
}

/** Shards tell all that was so in the lane as of this commit. */
export async function tellFlushed(db: Database, laneId: string, commit: bigint): Promise<void> {
  await sql`update lanes set flushed_commit = greatest(flushed_commit, ${commit}) where id = ${laneId}`.execute(db);
}

/** Blocks, each once: several chunks may be runs of one. */
function dataBytes(chunks: readonly Chunk[]): number {
  const blocks = new Map<string, number>();
  for (const { seriesId, values, times } of chunks) {
    blocks.set(`${seriesId} ${values.offset}`, values.length + (times?.length ?? 0));
  }
  return [...blocks.values()].reduce((sum, bytes) => sum + bytes, 0);
}

/** Exactly these, or nothing. @param counted bytes of a row. @returns their sum */
async function takeAway(
  trx: DatabaseTransaction,
  table: RawBuilder<unknown>,
  counted: RawBuilder<unknown>,
  ids: readonly number[],
): Promise<number> {
  if (ids.length === 0) return 0;
  const planned = sql`id = any(${[...ids]}::bigint[])`;
  const { rows } = await sql<{ n: number }>`
    select count(*)::int as n from (select id from ${table} where ${planned} order by id for update) f`.execute(trx);
  const { n } = oneRow(rows);
  if (n !== ids.length) throw conflict('chunks-changed', `${n} of ${ids.length} chunks are still there`);
  const gone = await sql<{ bytes: number }>`
    with gone as (delete from ${table} where ${planned} returning ${counted} as bytes)
    select coalesce(sum(bytes), 0)::float8 as bytes from gone`.execute(trx);
  return oneRow(gone.rows).bytes;
}

function conflict(slug: string, message: string): VarveError {
  return new VarveError('conflict', message, { slug });
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
