/** What an overview must know of one series, as of one instant: summaries first, and then only the chunks that they leave. */
import { CompiledQuery, sql } from 'kysely';
import { expiry, type Erasure } from '../../core/rows/erasure.ts';
import { notFound } from '../../core/errors.ts';
import type { RowRange, Segment } from '../../core/signal/segment.ts';
import type { Series } from '../../core/signal/series.ts';
import type { SummaryBlock } from '../../core/overview/summary-block.ts';
import { nameKey } from '../../core/same-name.ts';
import type { Database, DatabaseTransaction } from '../database.ts';
import { HELD_COLUMNS, heldChunks, toHeldChunks, type HeldRow } from './held-chunks.ts';
import { inRowOrder, toSegment, type SegmentArray } from './sample-snapshot.ts';
import { LOCATION_COLUMNS, toLocation, type ChunkArray, type ChunkLocation } from '../chunks/chunk-location.ts';
import { SERIES_COLUMNS_TEXT, toSeries, type SeriesRow } from '../series/series-row.ts';
import type { SeriesRef } from '../series/series-store.ts';
import { toSummaryBlock } from '../chunks/summary-row.ts';
import { oneRow } from '../one-row.ts';

export type LocatedSummary = SummaryBlock & { readonly shardId: string; readonly path: string };

/** The location of a chunk, with statistics where they were asked for. */
export type OverviewChunkLocation = ChunkLocation & { readonly stats: Uint8Array | null };

export interface OverviewSnapshot {
  readonly series: Series;
  readonly segments: readonly Segment[];
  readonly holes: readonly RowRange[];
  /** Irregular series: erasures, without what has expired … */
  readonly erasures: readonly Erasure[];
  /** … and what has expired, as an erasure: none or one. */
  readonly expiry: readonly Erasure[];
  readonly expiredNs: bigint | null;
  readonly summariesExpiredNs: bigint | null;
  /** Edits that were acknowledged, ever. */
  readonly edits: number;
  /** Summaries in the order of their cells, by shard and level. */
  readonly summaries: readonly LocatedSummary[];
  /** For each shard that has summaries: the rows that its chunks span, and how many rows they have. */
  readonly summarized: ReadonlyArray<RowRange & { readonly shardId: string; readonly rows: number }>;
}

/** Which chunks are wanted. */
export type OverviewChunks = { readonly stats: 'all' | 'of others' } & (
  | {
      readonly by: 'rows';
      readonly range: RowRange;
      /**
       * Shards of which only some chunks are wanted, those with rows in `parts`. Of other shards all chunks in the
       * range are wanted.
       */
      readonly summarized: readonly string[];
      readonly parts: readonly RowRange[];
    }
  | { readonly by: 'time'; readonly startNs: bigint; readonly endNs: bigint; readonly summarized: readonly string[] }
);

export interface OverviewReader {
  readonly snapshot: OverviewSnapshot;
  /**
   * Asks for chunks, in order of rows.
   * @param most chunks in files, and bytes of those in rows of Postgres
   * @returns null if there are more
   */
  chunks(wanted: OverviewChunks, most: OverviewSize): Promise<OverviewChunkLocation[] | null>;
}

export interface OverviewSize {
  readonly chunks: number;
  readonly heldBytes: number;
}

type SummaryArray = [
  shardId: string,
  path: string,
  factor: number,
  firstCell: number,
  lastCell: number,
  cells: number,
  ...rest: unknown[],
];

interface KnownRow extends SeriesRow {
  readonly expired_ns: bigint | null;
  readonly summaries_expired_ns: bigint | null;
  readonly edits: number;
  readonly segments: SegmentArray[];
  readonly holes: [number, number][] | null;
  readonly erasures: [number, string, string, number][] | null;
  readonly summaries: SummaryArray[] | null;
  readonly summarized: [string, number, number, number][] | null;
}

const KNOWN = `
  select ${SERIES_COLUMNS_TEXT}, h.expired_ns, h.summaries_expired_ns, h.edits,
    coalesce((
      select json_agg(json_build_array(first_row, start_ns::text, rows, skip) order by first_row)
      from segments where series_id = s.id), '[]') as segments,
    case when h.edits > 0 then (
      select json_agg(json_build_array(from_row, to_row) order by from_row)
      from holes where series_id = s.id) end as holes,
    case when h.edits > 0 then (
      select json_agg(json_build_array(generation, start_ns::text, end_ns::text, before_row) order by generation)
      from erasures where series_id = s.id) end as erasures,
    (select json_agg(json_build_array(y.shard_id, d.path, y.factor, y.first_cell, y.last_cell, y.cells, y.first_row, y.last_row,
        y.first_ns::text, y.last_ns::text, y.parts) order by y.shard_id, y.factor, y.ordinal)
      from summaries y join shards d on d.id = y.shard_id where y.series_id = s.id) as summaries,
    (select json_agg(json_build_array(shard_id, first, last, count)) from (
        select c.shard_id, min(c.first_row) as first, max(c.first_row + c.rows) as last, sum(c.rows) as count
        from chunks c where c.series_id = s.id and c.shard_id in (select y.shard_id from summaries y where y.series_id = s.id)
        group by c.shard_id) each) as summarized
  from series s join heads h on h.series_id = s.id join projects p on p.id = s.project_id
  where s.deleted_at is null and `;

/** Parameters $5 and $6 are the range. For rows, $7 and $8 are the parts that are wanted of shards with summaries. */
const CHOSEN: Record<OverviewChunks['by'], { readonly held: string; readonly stored: string }> = {
  rows: {
    held: 'c.first_row < $6::bigint and c.first_row + c.rows > $5::bigint',
    stored: `(not c.shard_id = any($2::uuid[]) or exists (
      select from unnest($7::bigint[], $8::bigint[]) part(first, last) where c.first_row < part.last and c.first_row + c.rows > part.first))`,
  },
  time: { held: 'c.first_ns < $6::bigint and c.last_ns >= $5::bigint', stored: 'true' },
};

/** Parameters: series, shards with summaries, whether all statistics are wanted, how many chunks and bytes, and the range. Fresh chunks have no statistics. */
const CHUNKS = Object.fromEntries(
  (['rows', 'time'] as const).map((by) => [
    by,
    `select ${HELD_COLUMNS}, coalesce(l.chunks, '[]') as chunks, l.stats
      from (select $1::uuid as id) s
      cross join lateral (
        select json_agg(json_build_array(coalesce(octet_length(c.wanted), 0), ${LOCATION_COLUMNS}) order by c.first_row, c.key) as chunks,
          string_agg(c.wanted, '' order by c.first_row, c.key) as stats
        from (
          select c.*, case when $3 or not c.shard_id = any($2::uuid[]) then c.stats end as wanted from located_chunks c
          where c.series_id = s.id and c.values is null and ${CHOSEN[by].held} and ${CHOSEN[by].stored}
          limit ($4::bigint[])[1]) c) l
      ${heldChunks(CHOSEN[by].held, { mostBytes: '($4::bigint[])[2]' })}`,
  ]),
) as Record<OverviewChunks['by'], string>;

interface ChunksRow extends HeldRow {
  /** With the bytes of statistics of each … */
  readonly chunks: [statsBytes: number, ...location: ChunkArray][];
  /** … which follow each other here; null: there are none. */
  readonly stats: Buffer | null;
}

/** Lends a reader whose answers are all as of one instant. @throws not-found */
export async function withOverview<T>(
  db: Database,
  ref: SeriesRef,
  work: (reader: OverviewReader) => Promise<T>,
): Promise<T> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (trx) => {
      const snapshot = await readKnown(trx, ref);
      return work({ snapshot, chunks: (wanted, most) => readChunks(trx, snapshot.series.id, wanted, most) });
    });
}

async function readKnown(trx: DatabaseTransaction, ref: SeriesRef): Promise<OverviewSnapshot> {
  const [where, named] =
    'id' in ref
      ? ['s.id = $1 and $2::text is null', [ref.id, null]]
      : ['varve_nfc(p.name) = $1 and varve_nfc(s.name) = $2', [nameKey(ref.project), nameKey(ref.name)]];
  const { rows } = await trx.executeQuery<KnownRow>(CompiledQuery.raw(KNOWN + where, named));
  const row = rows[0];
  if (!row) throw notFound('series', 'id' in ref ? ref.id : ref.name);
  const series = toSeries(row);
  return {
    series,
    segments: row.segments.map(toSegment),
    holes: (row.holes ?? []).map(([from, to]) => ({ from, to })),
    erasures: (row.erasures ?? []).map(([generation, startNs, endNs, beforeRow]) => ({
      generation,
      startNs: BigInt(startNs),
      endNs: BigInt(endNs),
      beforeRow,
    })),
    expiry: row.expired_ns === null ? [] : [expiry(row.expired_ns)],
    expiredNs: row.expired_ns,
    summariesExpiredNs: row.summaries_expired_ns,
    edits: row.edits,
    summaries: (row.summaries ?? []).map((each) => toSummary(each, series)),
    summarized: (row.summarized ?? []).map(([shardId, from, to, count]) => ({ shardId, from, to, rows: count })),
  };
}

function toSummary(
  [shardId, path, factor, firstCell, lastCell, cells, ...rest]: SummaryArray,
  series: Series,
): LocatedSummary {
  const [firstRow, lastRow, firstNs, lastNs, parts] = rest as [
    number | null,
    number | null,
    string | null,
    string | null,
    unknown,
  ];
  const block = toSummaryBlock(
    {
      series_id: series.id,
      shard_id: shardId,
      factor,
      ordinal: 0,
      first_cell: BigInt(firstCell),
      last_cell: BigInt(lastCell),
      cells,
      first_row: firstRow === null ? null : BigInt(firstRow),
      last_row: lastRow === null ? null : BigInt(lastRow),
      first_ns: firstNs === null ? null : BigInt(firstNs),
      last_ns: lastNs === null ? null : BigInt(lastNs),
      parts,
    },
    series,
  );
  return { ...block, shardId, path };
}

async function readChunks(
  trx: DatabaseTransaction,
  seriesId: string,
  wanted: OverviewChunks,
  most: OverviewSize,
): Promise<OverviewChunkLocation[] | null> {
  const range =
    wanted.by === 'time'
      ? [wanted.startNs, wanted.endNs]
      : [wanted.range.from, wanted.range.to, wanted.parts.map(({ from }) => from), wanted.parts.map(({ to }) => to)];
  const parameters = [
    seriesId,
    [...wanted.summarized],
    wanted.stats === 'all',
    [most.chunks + 1, most.heldBytes],
    ...range,
  ];
  const { rows } = await trx.executeQuery<ChunksRow>(CompiledQuery.raw(CHUNKS[wanted.by], parameters));
  const { chunks, stats: all, ...held } = oneRow(rows);
  if (chunks.length > most.chunks || held.held_cut_row !== null) return null;
  let at = 0;
  const stored = chunks.map(([statsBytes, ...location]) => ({
    ...toLocation(location),
    stats: statsBytes === 0 ? null : all!.subarray(at, (at += statsBytes)),
  }));
  return inRowOrder([...stored, ...toHeldChunks(held).map((chunk) => ({ ...chunk, stats: null }))]);
}

/** A chunk of an irregular series, without its place. */
export interface NewestChunk {
  readonly rows: number;
  readonly firstNs: bigint;
  readonly lastNs: bigint;
}

/** The chunks of an irregular series that end last, the last first. */
export async function newestChunks(db: Database, seriesId: string, most: number): Promise<NewestChunk[]> {
  const { rows } = await sql<{ rows: bigint; first_ns: bigint; last_ns: bigint }>`
    select rows, first_ns, last_ns from located_chunks
    where series_id = ${seriesId} and last_ns is not null order by last_ns desc limit ${most}`.execute(db);
  return rows.map((row) => ({ rows: Number(row.rows), firstNs: row.first_ns, lastNs: row.last_ns }));
}
