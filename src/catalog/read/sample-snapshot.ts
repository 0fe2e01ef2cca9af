/** What a read must know of one series, as of one instant. */
import { CompiledQuery } from 'kysely';
import { MAX_CHUNK_BYTES } from '../../core/rows/chunk.ts';
import { notFound } from '../../core/errors.ts';
import { expiry, type Erasure } from '../../core/rows/erasure.ts';
import type { RowRange, Segment } from '../../core/signal/segment.ts';
import type { Series } from '../../core/signal/series.ts';
import { nameKey } from '../../core/same-name.ts';
import type { Database } from '../database.ts';
import { toLocation, LOCATION_COLUMNS, type ChunkArray, type ChunkLocation } from '../chunks/chunk-location.ts';
import { HELD_COLUMNS, heldChunks, toHeldChunks, type HeldRow } from './held-chunks.ts';
import { SERIES_COLUMNS_TEXT, toSeries, type SeriesRow } from '../series/series-row.ts';
import type { SeriesRef } from '../series/series-store.ts';

export interface SampleSnapshot {
  readonly series: Series;
  /**
   * Segments of a regular series that have rows of the selection, in order of rows. All segments, if no row is wanted,
   * or if rows are counted and some have expired.
   */
  readonly segments: readonly Segment[];
  /** In order of rows; chunks of later edits may cover others. */
  readonly chunks: readonly ChunkLocation[];
  /**
   * Where the chunks were cut at their limit: all rows before this row, or before this time, are there. Null: the whole
   * selection is there.
   */
  readonly completeTo: { readonly row: number } | { readonly ns: bigint } | null;
  /** Irregular series: there are more chunks than were asked for at most, and those that came are no use. */
  readonly isCut: boolean;
  /** Fresh chunks were left out for their bytes. */
  readonly hasMoreHeld: boolean;
  /** The number of the newest edit. */
  readonly edits: number;
  /** Regular series: rows that were removed, in order. */
  readonly holes: readonly RowRange[];
  /** Irregular series: what was taken out and is still in chunks. */
  readonly erasures: readonly Erasure[];
  /** Raw samples before this have expired. */
  readonly expiredNs: bigint | null;
}

/**
 * Which chunks are wanted.
 * @property most rows that are to be answered. No more chunks are wanted than have so many, if none is covered or was
 * taken out. Undefined: all
 * @property mostChunks how many chunks in files of a regular series, from the first one on. Undefined: all
 * @property atMost of those in files of an irregular series; where there are more, the snapshot is cut. Undefined: all
 * @property mostHeldBytes of fresh chunks in rows of Postgres, the first ones. Undefined: all
 */
export type ChunkSelection = (
  | {
      readonly by: 'rows';
      readonly from: number;
      readonly to: number;
    }
  /** Regular series: rows follow from the segments, so chunks are found by row in the same statement. */
  | { readonly by: 'time'; readonly startNs: bigint; readonly endNs: bigint }
) & {
  readonly most?: number;
  readonly mostChunks?: number;
  readonly atMost?: number;
  readonly mostHeldBytes?: number;
};

interface SnapshotRow extends SeriesRow, HeldRow {
  readonly expired_ns: bigint | null;
  readonly edits: number;
  readonly until_ns: bigint | null;
  readonly segments: SegmentArray[];
  readonly chunks: ChunkArray[];
  readonly holes: [number, number][] | null;
  readonly erasures: [number, string, string, number][] | null;
}

/**
 * For a range by rows: where the rows of the answer end at the latest. All rows that were removed may lie among them.
 */
const LAST_ROW = `least($4::bigint, case when h.expired_ns is null then $3::bigint + $6::bigint + h.removed end)`;
/** The row of a segment `g` that a float64 rate says is at a time, and generously one more either way. */
const rowAt = (time: string, round: 'ceil' | 'floor'): string =>
  `${round}((${time}::numeric - g.start_ns) * s.rate_hz::numeric / 1e9) ${round === 'ceil' ? '+' : '-'} 1`;

const NO_ROW = '9223372036854775807';
/**
 * Parameters $3 and $4 are the range, and $6 is how many rows. In $5 is how many chunks of a regular series, how many of
 * an irregular one, and how many bytes.
 */
const CHOSEN_SEGMENTS: Record<ChunkSelection['by'], string> = {
  rows: `($3::bigint >= $4::bigint or h.expired_ns is not null or (g.first_row < ${LAST_ROW} and g.first_row + g.rows > $3::bigint))`,
  time: `g.start_ns < $4::bigint and g.rows > ${rowAt('$3', 'floor')}`,
};

/**
 * Which chunks are wanted. Those of a regular series begin between these rows, which an index finds; those of an
 * irregular one are all looked at.
 */
const BEGIN: Record<ChunkSelection['by'], string> = {
  rows: `cross join lateral (select
      case when s.kind = 'regular' then $3::bigint - ${MAX_CHUNK_BYTES} / s.channel_count else -1 end as after_row,
      case when s.kind = 'regular' then ${LAST_ROW} when $3::bigint < $4::bigint then ${NO_ROW} else 0 end as before_row) b`,
  time: `cross join lateral (select
      case when s.kind = 'regular' then min(g.first_row + greatest(0, ${rowAt('$3', 'floor')}))::bigint - ${MAX_CHUNK_BYTES} / s.channel_count else -1 end as after_row,
      case when s.kind = 'regular' then max(g.first_row + least(g.rows, ${rowAt('$4', 'ceil')}))::bigint else ${NO_ROW} end as before_row
      from segments g where g.series_id = s.id and ${CHOSEN_SEGMENTS.time}) b`,
};
const BEGINS = 'c.first_row > b.after_row and c.first_row < b.before_row';
const CHOSEN: Record<ChunkSelection['by'], string> = {
  // Rows of an irregular series are counted in order of time, so all chunks are wanted, if any.
  rows: `${BEGINS} and (s.kind = 'irregular' or c.first_row + c.rows > $3::bigint)`,
  // All chunks of a regular series are chosen, without a look at its segments, if all its rows are in the range.
  time: `${BEGINS} and case when s.kind = 'irregular'
      then c.first_ns < $4::bigint and c.last_ns >= $3::bigint
      else (h.first_ns >= $3::bigint and h.last_ns < $4::bigint) or exists (
        select from segments g where g.series_id = s.id and ${CHOSEN_SEGMENTS.time}
          and c.first_row < g.first_row + least(g.rows, ${rowAt('$4', 'ceil')})
          and c.first_row + c.rows > g.first_row + greatest(0, ${rowAt('$3', 'floor')})
          and c.first_row + c.rows > g.first_row)
      end`,
};

/**
 * For an irregular series: the chunks that end first and have more rows than are to be answered, and where these end.
 * All chunks that have rows up to there come then.
 */
const UNTIL = `left join lateral (
  select c.last_ns as until_ns from (
    select c.last_ns, sum(c.rows) over (order by c.last_ns) as rows from located_chunks c
    where s.kind = 'irregular' and c.series_id = s.id and c.first_ns < $4::bigint and c.last_ns >= $3::bigint) c
  where c.rows > $6::bigint order by c.last_ns limit 1) u on true`;
const ENDS = '(u.until_ns is null or c.first_ns <= u.until_ns)';

/**
 * These are texts rather than queries of the builder. One runs for every read, and building it took longer than
 * Postgres takes to answer.
 */
const TEXTS = {
  rows: textOf('rows', null),
  time: textOf('time', null),
  first: textOf('time', UNTIL),
};

function textOf(by: ChunkSelection['by'], until: string | null): string {
  const chosen = until ? `${CHOSEN[by]} and ${ENDS}` : CHOSEN[by];
  return `select ${SERIES_COLUMNS_TEXT}, h.expired_ns, h.edits, ${until ? 'u.until_ns' : 'null::bigint as until_ns'}, ${HELD_COLUMNS},
        coalesce((
          select json_agg(json_build_array(first_row, start_ns::text, rows, skip) order by first_row)
          from segments g where g.series_id = s.id and ${CHOSEN_SEGMENTS[by]}), '[]') as segments,
        coalesce((
          select json_agg(json_build_array(${LOCATION_COLUMNS}) order by c.first_row)
          from (
            select * from located_chunks c where c.series_id = s.id and c.values is null and ${chosen}
            order by c.first_row limit ($5::bigint[])[case when s.kind = 'regular' then 1 else 2 end]) c), '[]') as chunks,
        case when h.edits > 0 then (
          select json_agg(json_build_array(from_row, to_row) order by from_row)
          from holes where series_id = s.id) end as holes,
        case when h.edits > 0 then (
          select json_agg(json_build_array(generation, start_ns::text, end_ns::text, before_row) order by generation)
          from erasures where series_id = s.id) end as erasures
      from series s join heads h on h.series_id = s.id join projects p on p.id = s.project_id
      ${BEGIN[by]}
      ${until ?? ''}
      ${heldChunks(chosen, { mostBytes: '($5::bigint[])[3]' })}
      where s.deleted_at is null and `;
}

/**
 * Reads the row of a series, its segments and chunks in one statement, hence as of one instant: rows and chunks always
 * agree.
 * @throws not-found
 */
export async function readSampleSnapshot(
  db: Database,
  ref: SeriesRef,
  selection: ChunkSelection,
): Promise<SampleSnapshot> {
  const { mostChunks, atMost, mostHeldBytes } = selection;
  const limits = [mostChunks ?? null, atMost === undefined ? null : atMost + 1, mostHeldBytes ?? null];
  const range =
    selection.by === 'rows'
      ? [selection.from, selection.to, limits, selection.most ?? Number.MAX_SAFE_INTEGER]
      : [selection.startNs, selection.endNs, limits, ...(selection.most === undefined ? [] : [selection.most])];
  const text = TEXTS[selection.by === 'time' && selection.most !== undefined ? 'first' : selection.by];
  const [where, named] =
    'id' in ref
      ? ['s.id = $1 and $2::text is null', [ref.id, null]]
      : ['varve_nfc(p.name) = $1 and varve_nfc(s.name) = $2', [nameKey(ref.project), nameKey(ref.name)]];
  const { rows } = await db.executeQuery<SnapshotRow>(CompiledQuery.raw(text + where, [...named, ...range]));
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
    chunks: inRowOrder([...row.chunks.map(toLocation), ...toHeldChunks(row)]),
    completeTo: completeTo(row, selection),
    hasMoreHeld: row.held_cut_row !== null,
    isCut:
      row.kind === 'irregular' && (row.held_cut_row !== null || (atMost !== undefined && row.chunks.length > atMost)),
    edits: row.edits,
    holes: (row.holes ?? []).map(([from, to]) => ({ from, to })),
    erasures,
    expiredNs: row.expired_ns,
  };
}

export type SegmentArray = [firstRow: number, startNs: string, rows: number, skip: number];

export function toSegment([firstRow, startNs, rows, skip]: SegmentArray): Segment {
  return { firstRow, startNs: BigInt(startNs), rows, skip };
}

function completeTo(
  { kind, chunks, until_ns: untilNs, held_cut_row: cutRow }: SnapshotRow,
  { mostChunks }: ChunkSelection,
): SampleSnapshot['completeTo'] {
  if (untilNs !== null) return { ns: untilNs + 1n };
  if (kind === 'irregular') return null;
  const last = chunks.length === mostChunks ? chunks.at(-1) : undefined;
  if (!last) return cutRow === null ? null : { row: Number(cutRow) };
  const [, , , firstRow] = last;
  return { row: cutRow === null ? firstRow : Math.min(firstRow, Number(cutRow)) };
}

export function inRowOrder<C extends ChunkLocation>(chunks: C[]): C[] {
  return chunks.sort((a, b) => a.firstRow - b.firstRow);
}
