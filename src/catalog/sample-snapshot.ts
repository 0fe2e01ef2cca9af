/** What a read must know of one series, as of one instant. */
import { CompiledQuery } from 'kysely';
import { notFound } from '../core/errors.ts';
import type { Segment } from '../core/segment.ts';
import type { Series } from '../core/series.ts';
import type { Database } from './database.ts';
import { toSeries, type SeriesRow } from './series-row.ts';
import type { SeriesRef } from './series-store.ts';

/** A chunk as a reader needs it: no statistics, but the path of its shard. */
export interface ChunkLocation {
  readonly shardId: string;
  readonly path: string;
  readonly firstRow: number;
  readonly rows: number;
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
  readonly sorted: boolean;
  readonly valuesOffset: number;
  readonly valuesCrc: number;
  readonly timesOffset: number | null;
  readonly timesCrc: number | null;
}

export interface SampleSnapshot {
  readonly series: Series;
  /** Regular series: all segments, in order of rows. */
  readonly segments: readonly Segment[];
  /** In order of rows. */
  readonly chunks: readonly ChunkLocation[];
}

/** Which chunks are wanted; segments always come whole. */
export type ChunkSelection =
  | { readonly by: 'rows'; readonly from: number; readonly to: number }
  /** Regular series: rows follow from the segments, so chunks are found by row in the same statement. */
  | { readonly by: 'time'; readonly startNs: bigint; readonly endNs: bigint };

type ChunkArray = [
  string,
  string,
  number,
  number,
  string | null,
  string | null,
  boolean,
  number,
  number,
  number | null,
  number | null,
];

/** Parameters $3 and $4 are the range. */
const CHOSEN: Record<ChunkSelection['by'], string> = {
  rows: 'c.first_row < $4::bigint and c.first_row + c.rows > $3::bigint',
  // Of a regular series, generously: the row that a float64 rate says, and one more either way.
  time: `case when s.kind = 'irregular'
      then c.first_ns < $4::bigint and c.last_ns >= $3::bigint
      else exists (
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
    `select s.id, p.name as project, s.name, s.description, s.kind, s.dtype, s.channels, s.unit, s.scale, s."offset", s.rate, s.start_ns,
        s.time_reference, s.duplicates, s.codec, s.tags, s.provenance, s.version, s.created_at, s.updated_at, s.rows, s.first_ns, s.last_ns,
        s."commit",
        coalesce((
          select json_agg(json_build_array(first_row, start_ns::text, rows) order by first_row)
          from segments where series_id = s.id), '[]') as segments,
        coalesce((
          select json_agg(json_build_array(h.id, h.path, c.first_row, c.rows, c.first_ns::text, c.last_ns::text, c.sorted,
            c.values_offset, c.values_crc, c.times_offset, c.times_crc) order by c.first_row)
          from chunks c join shards h on h.id = c.shard_id
          where c.series_id = s.id and ${CHOSEN[by]}), '[]') as chunks
      from series s join projects p on p.id = s.project_id
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
  const range = selection.by === 'rows' ? [selection.from, selection.to] : [selection.startNs, selection.endNs];
  const [where, named] =
    'id' in ref
      ? ['s.id = $1 and $2::text is null', [ref.id, null]]
      : ['p.name = $1 and s.name = $2', [ref.project, ref.name]];
  const { rows } = await db.executeQuery<SeriesRow & { segments: [number, string, number][]; chunks: ChunkArray[] }>(
    CompiledQuery.raw(TEXTS[selection.by] + where, [...named, ...range]),
  );
  const row = rows[0];
  if (!row) throw notFound('series', 'id' in ref ? ref.id : ref.name);
  return {
    series: toSeries(row),
    segments: row.segments.map(([firstRow, startNs, count]) => ({ firstRow, startNs: BigInt(startNs), rows: count })),
    chunks: row.chunks.map(
      ([shardId, path, firstRow, count, firstNs, lastNs, sorted, valuesOffset, valuesCrc, timesOffset, timesCrc]) => ({
        shardId,
        path,
        firstRow,
        rows: count,
        firstNs: firstNs === null ? null : BigInt(firstNs),
        lastNs: lastNs === null ? null : BigInt(lastNs),
        sorted,
        valuesOffset,
        valuesCrc,
        timesOffset,
        timesCrc,
      }),
    ),
  };
}
