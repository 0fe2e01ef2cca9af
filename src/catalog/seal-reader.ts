/** What sealing must know: which shards a lane has, and of each series in some of them everything that decides which rows are read from where. */
import { sql } from 'kysely';
import type { Codec } from '../core/codec.ts';
import { expiry, type Erasure } from '../core/erasure.ts';
import type { StoredCells, StoredChunk } from '../core/dead-rows.ts';
import type { SealableShard } from '../core/seal-plan.ts';
import { selectRows, type RowRange, type Segment } from '../core/segment.ts';
import type { Series } from '../core/series.ts';
import { INT64_MAX, INT64_MIN } from '../core/time.ts';
import type { SummaryBlock } from '../core/summary-block.ts';
import type { ChunkLocation } from './sample-snapshot.ts';
import type { Database } from './database.ts';
import { holesOf } from './edit-store.ts';
import { isPurgeable } from './purge-store.ts';
import { SERIES_COLUMNS, toSeries } from './series-row.ts';
import { segmentsOf } from './shard-store.ts';
import { toSummaryBlock } from './summary-row.ts';

/** A shard of a lane, without what takes a look at its chunks. */
export type LaneShard = Omit<SealableShard, 'deadBytes' | 'overlaps'>;

/** Lanes with shards that may be rewritten. @param laneId only this one */
export async function lanesWithShards(db: Database, laneId: string | null = null): Promise<Map<string, LaneShard[]>> {
  let query = db
    .selectFrom('shards')
    .select(['id', 'lane_id', 'state', 'bytes'])
    .select(sql<number>`(extract(epoch from now() - created_at) * 1000)::float8`.as('age_ms'))
    .where('state', 'in', ['hot', 'retired', 'sealed'])
    .orderBy('lane_id')
    .orderBy('id');
  if (laneId !== null) query = query.where('lane_id', '=', laneId);
  const lanes = new Map<string, LaneShard[]>();
  for (const row of await query.execute()) {
    const shards = lanes.get(row.lane_id) ?? [];
    lanes.set(row.lane_id, shards);
    shards.push({ id: row.id, state: row.state as LaneShard['state'], bytes: Number(row.bytes), ageMs: row.age_ms });
  }
  return lanes;
}

/** Sealed shards whose irregular series have times between those of another: each with those others. Only of shards that are given. */
export async function overlappingShards(db: Database, shardIds: readonly string[]): Promise<Map<string, string[]>> {
  const { rows } = await sql<{ shard_id: string; others: string[] }>`
    with spans as (
      select series_id, shard_id, min(first_ns) as first_ns, max(last_ns) as last_ns
      from chunks where shard_id = any(${[...shardIds]}::uuid[]) and first_ns is not null
      group by series_id, shard_id)
    select a.shard_id, array_agg(distinct b.shard_id::text) as others
    from spans a join spans b on b.series_id = a.series_id and b.shard_id <> a.shard_id
      and b.first_ns <= a.last_ns and b.last_ns >= a.first_ns
    group by a.shard_id`.execute(db);
  return new Map(rows.map((row) => [row.shard_id, row.others]));
}

/** The series whose masks may have left dead rows in shards of a lane. */
export async function maskedSeries(db: Database, laneId: string): Promise<string[]> {
  const rows = await db
    .selectFrom('series')
    .select('id')
    .where('lane_id', '=', laneId)
    .where('masked', '=', true)
    .execute();
  return rows.map((row) => row.id);
}

/** Nothing of them is dead. A mask that has come since they were looked at keeps its mark: it came with a commit. */
export async function clearMasked(db: Database, series: ReadonlyArray<Pick<Series, 'id' | 'commit'>>): Promise<void> {
  if (series.length === 0) return;
  const clean = JSON.stringify(series.map(({ id, commit }) => ({ id, commit: commit.toString() })));
  await sql`
    update series s set masked = false
    from jsonb_to_recordset(${clean}::jsonb) as c(id uuid, "commit" bigint)
    where s.id = c.id and s."commit" = c."commit"`.execute(db);
}

/** Everything that decides from where the rows of a series are read. */
export interface SealSeries {
  readonly series: Series;
  readonly segments: readonly Segment[];
  /** All that have rows in the range, in any shard, in order of rows. */
  readonly chunks: ReadonlyArray<ChunkLocation & StoredChunk>;
  /** Regular: rows that are not there, removed or expired. */
  readonly holes: readonly RowRange[];
  /** Irregular: what was taken out or has expired. */
  readonly erasures: readonly Erasure[];
  /** The newest edit that is visible. */
  readonly generation: number;
  /** Raw samples before have expired, and summaries before. */
  readonly expiredNs: bigint | null;
  readonly summariesExpiredNs: bigint | null;
  /** Regular: the same as rows; 0 for irregular ones. */
  readonly expiredRow: number;
  readonly summariesExpiredRow: number;
  /** Of the shards that are rewritten, or all. */
  readonly summaries: ReadonlyArray<SummaryBlock & StoredCells & { readonly path: string }>;
  /** It was deleted, and cannot be restored any more: all of it is dead. */
  readonly purged: boolean;
}

/** Series that have rows or summaries in any of the shards. */
export async function seriesInShards(db: Database, shardIds: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ series_id: string }>`
    select series_id from chunks where shard_id = any(${[...shardIds]}::uuid[])
    union select series_id from summaries where shard_id = any(${[...shardIds]}::uuid[])
    order by 1`.execute(db);
  return rows.map((row) => row.series_id);
}

/** Of one instant. @param shardIds those to be rewritten; null: all chunks and summaries of the series */
export async function readSealSeries(
  db: Database,
  seriesId: string,
  shardIds: readonly string[] | null,
): Promise<SealSeries> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (trx) => {
      const row = await trx
        .selectFrom('series as s')
        .innerJoin('projects as p', 'p.id', 's.project_id')
        .select([...SERIES_COLUMNS, 's.expired_ns', 's.summaries_expired_ns', isPurgeable('s').as('purged')])
        .where('s.id', '=', seriesId)
        .executeTakeFirstOrThrow();
      const segments = await segmentsOf(trx, seriesId);
      const within = shardIds
        ? sql<boolean>`c.first_row < (select max(first_row + rows) from chunks where series_id = ${seriesId} and shard_id = any(${[...shardIds]}::uuid[]))
            and c.first_row + c.rows > (select min(first_row) from chunks where series_id = ${seriesId} and shard_id = any(${[...shardIds]}::uuid[]))`
        : sql<boolean>`true`;
      const chunks = await trx
        .selectFrom('chunks as c')
        .innerJoin('shards as h', 'h.id', 'c.shard_id')
        .selectAll('c')
        .select('h.path')
        .where('c.series_id', '=', seriesId)
        .where(within)
        .orderBy('c.first_row')
        .execute();
      const holes = await holesOf(trx, seriesId);
      const erasures = await trx.selectFrom('erasures').selectAll().where('series_id', '=', seriesId).execute();
      const summaries = await trx
        .selectFrom('summaries as y')
        .innerJoin('shards as h', 'h.id', 'y.shard_id')
        .selectAll('y')
        .select('h.path')
        .where('y.series_id', '=', seriesId)
        .where(shardIds ? sql<boolean>`y.shard_id = any(${[...shardIds]}::uuid[])` : sql<boolean>`true`)
        .orderBy('y.factor')
        .orderBy('y.shard_id')
        .orderBy('y.ordinal')
        .execute();
      const series = toSeries(row);
      const { sampling } = series;
      const expired = row.expired_ns;
      const rowAt = (ns: bigint | null): number =>
        ns === null || sampling.kind === 'irregular'
          ? 0
          : (selectRows(segments, sampling.rate, INT64_MIN, ns).at(-1)?.to ?? 0);
      const { purged } = row;
      const expiredRow = purged ? series.rows : rowAt(expired);
      // Of a compressed block that several chunks are runs of, each has its share.
      const rowsOfBlock = new Map<string, number>();
      const blockOf = (c: (typeof chunks)[number]): string => `${c.shard_id} ${c.values_offset}`;
      for (const chunk of chunks) {
        rowsOfBlock.set(blockOf(chunk), (rowsOfBlock.get(blockOf(chunk)) ?? 0) + Number(chunk.rows));
      }
      const generations = [...chunks, ...erasures].map(({ generation }) => generation);
      return {
        series,
        segments,
        chunks: chunks.map((c) => ({
          shardId: c.shard_id,
          path: c.path,
          firstRow: Number(c.first_row),
          rows: Number(c.rows),
          generation: c.generation,
          skip: c.skip,
          firstNs: c.first_ns,
          lastNs: c.last_ns,
          sorted: c.sorted,
          codec: c.codec as Codec,
          values: { offset: Number(c.values_offset), length: Number(c.values_length) },
          valuesCrc: Number(c.values_crc),
          timesCodec: c.times_codec,
          times: c.times_offset === null ? null : { offset: Number(c.times_offset), length: Number(c.times_length) },
          timesCrc: c.times_crc === null ? null : Number(c.times_crc),
          storedBytes:
            ((Number(c.values_length) + Number(c.times_length ?? 0)) * Number(c.rows)) / rowsOfBlock.get(blockOf(c))!,
        })),
        holes: [
          ...(expiredRow > 0 ? [{ from: 0, to: expiredRow }] : []),
          ...holes
            .map(({ from, to }) => ({ from: Math.max(expiredRow, from), to }))
            .filter(({ from, to }) => from < to),
        ],
        erasures: [
          ...erasures.map((each): Erasure => ({
            generation: each.generation,
            startNs: each.start_ns,
            endNs: each.end_ns,
            beforeRow: Number(each.before_row),
          })),
          ...(expired !== null && sampling.kind === 'irregular' ? [expiry(expired)] : []),
          ...(purged && sampling.kind === 'irregular' ? [expiry(INT64_MAX + 1n)] : []),
        ],
        generation: generations.reduce((a, b) => Math.max(a, b), 0),
        expiredNs: expired,
        summariesExpiredNs: purged ? INT64_MAX + 1n : row.summaries_expired_ns,
        expiredRow,
        summariesExpiredRow: purged ? Infinity : rowAt(row.summaries_expired_ns),
        summaries: summaries.map((each) => {
          const block = toSummaryBlock(each, series);
          const storedBytes = block.parts.reduce((sum, { length }) => sum + length, 0);
          return { ...block, shardId: each.shard_id, path: each.path, storedBytes };
        }),
        purged,
      };
    });
}
