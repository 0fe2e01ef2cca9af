/** What a read must know of one series, as of one instant. */
import { CompiledQuery } from 'kysely';
import { notFound } from '../core/errors.ts';
import { expiry, type Erasure } from '../core/erasure.ts';
import type { PlannedChunk } from '../core/read-plan.ts';
import type { RowRange, Segment } from '../core/segment.ts';
import type { Series } from '../core/series.ts';
import { nameKey } from '../core/same-name.ts';
import type { Database } from './database.ts';
import { HELD_COLUMNS, heldChunks, toHeldChunks, type HeldRow } from './held-chunks.ts';
import { SERIES_COLUMNS_TEXT, toSeries, type SeriesRow } from './series-row.ts';
import type { SeriesRef } from './series-store.ts';

/** A chunk as a reader needs it: no statistics, but the path of its shard. */
export interface ChunkLocation extends PlannedChunk {
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
  readonly sorted: boolean;
}

export interface SampleSnapshot {
  readonly series: Series;
  /** Regular series: all segments, in order of rows. */
  readonly segments: readonly Segment[];
  /** In order of rows; chunks of later edits may cover others. */
  readonly chunks: readonly ChunkLocation[];
  /** Regular series: rows that were removed, in order. */
  readonly holes: readonly RowRange[];
  /** Irregular series: what was taken out and is still in chunks. */
  readonly erasures: readonly Erasure[];
  /** Raw samples before this have expired. */
  readonly expiredNs: bigint | null;
}

/** Which chunks are wanted; segments always come whole. */
export type ChunkSelection =
  /** @property most rows that are to be answered: of a regular series, no more chunks are wanted than have them; undefined: all */
  | { readonly by: 'rows'; readonly from: number; readonly to: number; readonly most?: number }
  /** Regular series: rows follow from the segments, so chunks are found by row in the same statement. */
  | { readonly by: 'time'; readonly startNs: bigint; readonly endNs: bigint };

export type ChunkArray = [
  key: string,
  shardId: string,
  path: string,
  firstRow: number,
  rows: number,
  generation: number,
  skip: number,
  firstNs: string | null,
  lastNs: string | null,
  sorted: boolean,
  codec: string,
  valuesOffset: number,
  valuesLength: number,
  valuesCrc: number,
  timesCodec: string | null,
  timesOffset: number | null,
  timesLength: number | null,
  timesCrc: number | null,
];

interface SnapshotRow extends SeriesRow, HeldRow {
  readonly expired_ns: bigint | null;
  readonly segments: SegmentArray[];
  readonly chunks: ChunkArray[];
  readonly holes: [number, number][] | null;
  readonly erasures: [number, string, string, number][] | null;
}

/** As {@link ChunkArray}, of a row `c` of `located_chunks`. */
export const LOCATION_COLUMNS = `c.key, c.shard_id, c.path, c.first_row, c.rows, c.generation, c.skip, c.first_ns::text, c.last_ns::text, c.sorted, c.codec,
  c.values_offset, c.values_length, c.values_crc, c.times_codec, c.times_offset, c.times_length, c.times_crc`;

/** Parameters $3 and $4 are the range, $5 at most how many rows of it; of those that were removed all may lie among them. */
const CHOSEN: Record<ChunkSelection['by'], string> = {
  // Rows of an irregular series are counted in order of time, so all chunks are wanted, if any.
  rows: `case when s.kind = 'irregular' then $3::bigint < $4::bigint
      else c.first_row < least($4::bigint, case when h.expired_ns is null then $3::bigint + $5::bigint + h.removed end)
        and c.first_row + c.rows > $3::bigint end`,
  // Of a regular series all, without a look at segments, if all are in the range; else generously: the row that a float64 rate says, and one more either way.
  time: `case when s.kind = 'irregular'
      then c.first_ns < $4::bigint and c.last_ns >= $3::bigint
      else (h.first_ns >= $3::bigint and h.last_ns < $4::bigint) or exists (
        select from segments g where g.series_id = s.id
          and g.start_ns < $4::bigint
          and c.first_row < g.first_row + least(g.rows, ceil(($4::numeric - g.start_ns) * s.rate_hz::numeric / 1e9) + 1)
          and c.first_row + c.rows > g.first_row + greatest(0, floor(($3::numeric - g.start_ns) * s.rate_hz::numeric / 1e9) - 1)
          and c.first_row + c.rows > g.first_row)
      end`,
};

/** Texts rather than a query builder: this runs for every read, and building it took longer than Postgres takes to answer. */
const TEXTS = Object.fromEntries(
  (['rows', 'time'] as const).map((by) => [
    by,
    `select ${SERIES_COLUMNS_TEXT}, h.expired_ns, ${HELD_COLUMNS},
        coalesce((
          select json_agg(json_build_array(first_row, start_ns::text, rows, skip) order by first_row)
          from segments where series_id = s.id), '[]') as segments,
        coalesce((
          select json_agg(json_build_array(${LOCATION_COLUMNS}) order by c.first_row)
          from located_chunks c where c.series_id = s.id and c.values is null and ${CHOSEN[by]}), '[]') as chunks,
        case when h.edits > 0 then (
          select json_agg(json_build_array(from_row, to_row) order by from_row)
          from holes where series_id = s.id) end as holes,
        case when h.edits > 0 then (
          select json_agg(json_build_array(generation, start_ns::text, end_ns::text, before_row) order by generation)
          from erasures where series_id = s.id) end as erasures
      from series s join heads h on h.series_id = s.id join projects p on p.id = s.project_id
      ${heldChunks(CHOSEN[by])}
      where s.deleted_at is null and `,
  ]),
) as Record<ChunkSelection['by'], string>;

/**
 * Series row, segments and chunks in one statement, hence of one instant: rows and chunks always agree.
 * @throws not-found
 */
export async function readSampleSnapshot(
  db: Database,
  ref: SeriesRef,
  selection: ChunkSelection,
): Promise<SampleSnapshot> {
  const range =
    selection.by === 'rows'
      ? [selection.from, selection.to, selection.most ?? Number.MAX_SAFE_INTEGER]
      : [selection.startNs, selection.endNs];
  const [where, named] =
    'id' in ref
      ? ['s.id = $1 and $2::text is null', [ref.id, null]]
      : ['varve_nfc(p.name) = $1 and varve_nfc(s.name) = $2', [nameKey(ref.project), nameKey(ref.name)]];
  const { rows } = await db.executeQuery<SnapshotRow>(
    CompiledQuery.raw(TEXTS[selection.by] + where, [...named, ...range]),
  );
  const row = rows[0];
  if (!row) throw notFound('series', 'id' in ref ? ref.id : ref.name);
  const erasures = (row.erasures ?? []).map(([generation, startNs, endNs, beforeRow]): Erasure => ({
    generation,
    startNs: BigInt(startNs),
    endNs: BigInt(endNs),
    beforeRow,
  }));
  if (row.expired_ns !== null && row.kind === 'irregular') erasures.push(expiry(row.expired_ns));
  return {
    series: toSeries(row),
    segments: row.segments.map(toSegment),
    chunks: inOrder([...row.chunks.map(toLocation), ...toHeldChunks(row)]),
    holes: (row.holes ?? []).map(([from, to]) => ({ from, to })),
    erasures,
    expiredNs: row.expired_ns,
  };
}

export type SegmentArray = [firstRow: number, startNs: string, rows: number, skip: number];

export function toSegment([firstRow, startNs, rows, skip]: SegmentArray): Segment {
  return { firstRow, startNs: BigInt(startNs), rows, skip };
}

export function inOrder<C extends ChunkLocation>(chunks: C[]): C[] {
  return chunks.sort((a, b) => a.firstRow - b.firstRow);
}

/** Of a chunk whose bytes lie in a file. */
export function toLocation([key, shardId, path, firstRow, rows, generation, skip, ...rest]: ChunkArray): ChunkLocation {
  const [firstNs, lastNs, sorted, codec, valuesOffset, valuesLength, valuesCrc, ...times] = rest;
  const [timesCodec, timesOffset, timesLength, timesCrc] = times;
  return {
    key,
    shardId,
    path,
    held: null,
    firstRow,
    rows,
    generation,
    skip,
    firstNs: firstNs === null ? null : BigInt(firstNs),
    lastNs: lastNs === null ? null : BigInt(lastNs),
    sorted,
    codec,
    values: { offset: valuesOffset, length: valuesLength },
    valuesCrc,
    timesCodec,
    times: timesOffset === null ? null : { offset: timesOffset, length: timesLength! },
    timesCrc,
  };
}
