/** Shards and what lies in them, for those who look after files. */
import { sql } from 'kysely';
import type { Chunk } from '../core/chunk.ts';
import { valueOf, type Dtype } from '../core/dtype.ts';
import { VarveError, notFound } from '../core/errors.ts';
import type { RowShape } from '../core/missing-value.ts';
import { parseRate, type Rate } from '../core/rate.ts';
import type { Segment } from '../core/segment.ts';
import type { ShardState } from '../core/shard-state.ts';
import { toChunk } from './chunk-row.ts';
import type { Database } from './database.ts';
import type { SeriesTable } from './tables.ts';

export interface ShardRecord {
  readonly id: string;
  readonly laneId: string;
  readonly path: string;
  readonly state: ShardState;
  /** Committed length of the file. */
  readonly bytes: number;
}

/** One series as a shard has it. */
export interface ShardSeries extends RowShape {
  readonly id: string;
  /** Null: irregular. */
  readonly rate: Rate | null;
  /** Rows of its datasets that are committed. */
  readonly datasetRows: number;
  /** Row of the series that row 0 of the datasets is. */
  readonly firstRow: number;
}

/** Chunks are asked for in pages: their blocks are at most 1 MiB (of rows that are not larger), so a page's are at most 64 MiB. */
const PAGE_CHUNKS = 64;

const uuids = (ids: readonly string[]): ReturnType<typeof sql<string>> => sql<string>`any(${[...ids]}::uuid[])`;

/** @param holding only those that hold rows of these series */
export async function listShards(db: Database, holding: readonly string[] | null = null): Promise<ShardRecord[]> {
  let query = db
    .selectFrom('shards as h')
    .select(['h.id', 'h.lane_id', 'h.path', 'h.state', 'h.bytes'])
    .orderBy('h.id');
  if (holding) {
    query = query.where(({ exists, selectFrom }) =>
      exists(
        selectFrom('chunks as c')
          .select('c.series_id')
          .whereRef('c.shard_id', '=', 'h.id')
          .where('c.series_id', '=', uuids(holding)),
      ),
    );
  }
  const rows = await query.execute();
  return rows.map(({ lane_id: laneId, bytes, ...row }) => ({ ...row, laneId, bytes: Number(bytes) }));
}

/** @throws not-found */
export async function getShard(db: Database, id: string): Promise<ShardRecord> {
  const row = await db
    .selectFrom('shards')
    .selectAll()
    .where(sql`id::text`, '=', id)
    .executeTakeFirst();
  if (!row) throw notFound('shard', id);
  return { id: row.id, laneId: row.lane_id, path: row.path, state: row.state, bytes: Number(row.bytes) };
}

/** Series of an id, or of a name in any project; deleted ones too: their rows are still there. @throws not-found */
export async function findSeries(db: Database, idOrName: string): Promise<string[]> {
  const rows = await db
    .selectFrom('series')
    .select('id')
    .where(({ eb, or }) => or([eb(sql`id::text`, '=', idOrName), eb('name', '=', idOrName)]))
    .orderBy('id')
    .execute();
  if (rows.length === 0) throw notFound('series', idOrName);
  return rows.map((row) => row.id);
}

/** Series that have rows in a shard. */
export async function shardSeries(
  db: Database,
  shardId: string,
  only: readonly string[] | null = null,
): Promise<ShardSeries[]> {
  let query = db
    .selectFrom('chunks as c')
    .innerJoin('series as s', 's.id', 'c.series_id')
    .select(['s.id', 's.dtype', 's.channel_count', 's.missing_value', 's.rate'])
    .select(({ fn }) => fn.max(sql<bigint>`c.dataset_row + c.rows`).as('dataset_rows'))
    .select(({ fn }) => fn.min(sql<bigint>`c.first_row - c.dataset_row`).as('first_row'))
    .where('c.shard_id', '=', shardId)
    .groupBy('s.id')
    .orderBy('s.id');
  if (only) query = query.where('s.id', '=', uuids(only));
  return (await query.execute()).map(toShardSeries);
}

type ShardSeriesRow = Pick<SeriesTable, 'id' | 'dtype' | 'channel_count' | 'missing_value' | 'rate'> & {
  readonly dataset_rows: bigint;
  readonly first_row: bigint;
};

export function toShardSeries(row: ShardSeriesRow): ShardSeries {
  const dtype = row.dtype as Dtype;
  return {
    id: row.id,
    dtype,
    channels: row.channel_count,
    missingValue: row.missing_value === null ? null : valueOf(dtype, row.missing_value),
    rate: row.rate === null ? null : (parseRate(row.rate) ?? null),
    datasetRows: Number(row.dataset_rows),
    firstRow: Number(row.first_row),
  };
}

/** The chunks of one series in one shard, in order of rows, a page at a time. */
export async function* shardChunks(db: Database, shardId: string, seriesId: string): AsyncGenerator<Chunk[]> {
  for (let after = -1; ;) {
    const rows = await db
      .selectFrom('chunks as c')
      .selectAll('c')
      .where('c.shard_id', '=', shardId)
      .where('c.series_id', '=', seriesId)
      .where('c.first_row', '>', BigInt(after))
      .orderBy('first_row')
      .limit(PAGE_CHUNKS)
      .execute();
    if (rows.length > 0) yield rows.map(toChunk);
    if (rows.length < PAGE_CHUNKS) return;
    after = Number(rows[rows.length - 1].first_row);
  }
}

/** The segments of a regular series, in order of rows. */
export async function segmentsOf(db: Database, seriesId: string): Promise<Segment[]> {
  const rows = await db
    .selectFrom('segments')
    .selectAll()
    .where('series_id', '=', seriesId)
    .orderBy('first_row')
    .execute();
  return rows.map((row) => ({ firstRow: Number(row.first_row), startNs: row.start_ns, rows: Number(row.rows) }));
}

/** Where a chunk lies in the file that takes a shard's place. */
export type MovedChunk = Pick<Chunk, 'seriesId' | 'generation' | 'firstRow' | 'datasetRow' | 'values' | 'times'>;

/**
 * Says of chunks of one shard that they lie in another, which is new, and gives the lane's lease back; one transaction. If none are left the old
 * shard is forgotten. Neither takes appends any more: the lane's next drain starts a new shard if the old one was its hot one.
 * @returns whether the old shard still has chunks
 * @throws conflict `lease-lost` if another worker has claimed the lane since; nothing is changed then
 */
export async function moveChunks(
  db: Database,
  lease: Pick<Lease, 'laneId' | 'token'>,
  fromShardId: string,
  to: { readonly id: string; readonly path: string; readonly bytes: number },
  chunks: readonly MovedChunk[],
): Promise<boolean> {
  return db.transaction().execute(async (trx) => {
    const lane = await trx
      .selectFrom('lanes')
      .select('hot_shard_id')
      .where('id', '=', lease.laneId)
      .where('lease_token', '=', lease.token)
      .forNoKeyUpdate()
      .executeTakeFirst();
    if (!lane) throw new VarveError('conflict', `lane ${lease.laneId} was taken over`, { slug: 'lease-lost' });
    await trx
      .insertInto('shards')
      .values({ ...to, lane_id: lease.laneId, state: 'retired', lease_token: lease.token })
      .execute();
    const records = chunks.map((chunk) => ({
      series_id: chunk.seriesId,
      generation: chunk.generation,
      first_row: chunk.firstRow,
      dataset_row: chunk.datasetRow,
      values_offset: chunk.values.offset,
      values_length: chunk.values.length,
      times_offset: chunk.times?.offset ?? null,
      times_length: chunk.times?.length ?? null,
    }));
    const moved = await sql`
      update chunks c set shard_id = ${to.id}, dataset_row = m.dataset_row, values_offset = m.values_offset,
        values_length = m.values_length, times_offset = m.times_offset, times_length = m.times_length
      from jsonb_to_recordset(${JSON.stringify(records)}::jsonb) as m(series_id uuid, generation integer, first_row bigint, dataset_row bigint,
        values_offset bigint, values_length bigint, times_offset bigint, times_length bigint)
      where c.shard_id = ${fromShardId} and c.series_id = m.series_id and c.first_row = m.first_row
        and c.generation = m.generation`.execute(trx);
    if (moved.numAffectedRows !== BigInt(chunks.length)) {
      throw new Error(`${moved.numAffectedRows} chunks of shard ${fromShardId} were found, not ${chunks.length}`);
    }
    const left = await trx
      .selectFrom('chunks')
      .select('series_id')
      .where('shard_id', '=', fromShardId)
      .limit(1)
      .execute();
    if (left.length === 0) await trx.deleteFrom('shards').where('id', '=', fromShardId).execute();
    else await trx.updateTable('shards').set({ state: 'retired' }).where('id', '=', fromShardId).execute();
    await trx
      .updateTable('lanes')
      .set({
        lease_holder: null,
        lease_expires_at: null,
        ...(lane.hot_shard_id === fromShardId && { hot_shard_id: null }),
      })
      .where('id', '=', lease.laneId)
      .execute();
    return left.length > 0;
  });
}

/** The file of a shard is missing. Its lane gets a new hot shard with the next drain. @returns false if that was known */
export async function markShardLost(db: Database, shardId: string): Promise<boolean> {
  return db.transaction().execute(async (trx) => {
    // The lane first, as in a publish, so that the two never wait for each other.
    await trx.updateTable('lanes').set({ hot_shard_id: null }).where('hot_shard_id', '=', shardId).execute();
    const result = await trx
      .updateTable('shards')
      .set({ state: 'lost' })
      .where('id', '=', shardId)
      .where('state', '!=', 'lost')
      .executeTakeFirst();
    return result.numUpdatedRows === 1n;
  });
}

/** The file is there again. It takes no more appends: its lane has gone on without it. */
export async function markShardFound(db: Database, shardId: string): Promise<void> {
  await db
    .updateTable('shards')
    .set({ state: sql<ShardState>`case when parents = '{}' then 'retired' else 'sealed' end` })
    .where('id', '=', shardId)
    .where('state', '=', 'lost')
    .execute();
}

export async function hasLostShards(db: Database): Promise<boolean> {
  return (await db.selectFrom('shards').select('id').where('state', '=', 'lost').limit(1).execute()).length > 0;
}
