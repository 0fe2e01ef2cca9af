/** What a read must know of one series, as of one instant. */
import { sql, type RawBuilder, type SqlBool } from 'kysely';
import { notFound } from '../core/errors.ts';
import type { Segment } from '../core/segment.ts';
import type { Database } from './database.ts';

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
  readonly rows: number;
  readonly commit: bigint;
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

/**
 * Series row, segments and chunks in one statement, hence of one instant: rows and chunks always agree.
 * For a time range of a regular series, chunks are chosen generously by their rows' place in the segments (a segment's whole span counts).
 * @throws not-found
 */
export async function readSampleSnapshot(
  db: Database,
  seriesId: string,
  selection: ChunkSelection,
): Promise<SampleSnapshot> {
  const chosen: RawBuilder<SqlBool> =
    selection.by === 'rows'
      ? sql`c.first_row < ${selection.to} and c.first_row + c.rows > ${selection.from}`
      : sql`case when s.kind = 'irregular'
          then c.first_ns < ${selection.endNs} and c.last_ns >= ${selection.startNs}
          else exists (
            select from segments g where g.series_id = s.id
              and g.start_ns < ${selection.endNs}
              and c.first_row < g.first_row + least(g.rows, ceil((${selection.endNs}::numeric - g.start_ns) * s.rate_hz::numeric / 1e9) + 1)
              and c.first_row + c.rows > g.first_row + greatest(0, floor((${selection.startNs}::numeric - g.start_ns) * s.rate_hz::numeric / 1e9) - 1)
              and c.first_row + c.rows > g.first_row)
          end`;
  const { rows } = await sql<{
    rows: bigint;
    commit: bigint;
    segments: [number, string, number][];
    chunks: ChunkArray[];
  }>`
    select s.rows, s.commit,
      coalesce((
        select json_agg(json_build_array(first_row, start_ns::text, rows) order by first_row)
        from segments where series_id = s.id), '[]') as segments,
      coalesce((
        select json_agg(json_build_array(h.id, h.path, c.first_row, c.rows, c.first_ns::text, c.last_ns::text, c.sorted,
          c.values_offset, c.values_crc, c.times_offset, c.times_crc) order by c.first_row)
        from chunks c join shards h on h.id = c.shard_id
        where c.series_id = s.id and ${chosen}), '[]') as chunks
    from series s where s.id = ${seriesId} and s.deleted_at is null`.execute(db);
  const row = rows[0];
  if (!row) throw notFound('series', seriesId);
  return {
    rows: Number(row.rows),
    commit: row.commit,
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
