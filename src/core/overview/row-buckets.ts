/**
 * What answers each bucket of an overview of a regular series: summary cells, statistics of chunks, and rows. Pure;
 * tests compare plans as plain objects.
 *
 * A bucket is a range of rows. If cells are small beside buckets, borders are placed where cells begin. Then only the
 * two ends of the range, a few gaps and what was edited need rows. Cells lie in one grid of rows, so that borders
 * depend on no shard. They stay where they are whatever is flushed or compacted.
 *
 * An overview of N buckets takes at most 128 N cells. It takes 64 × 64 more for each shard that is too short for such
 * cells. Where there is no summary yet, it takes a chunk a border. It takes the rows of two cells for each end,
 * each edited range and each of {@link EXACT_GAPS} gaps.
 */
import type { Rate } from '../signal/rate.ts';
import { clipRows, uniteRows, withoutRows } from '../signal/row-ranges.ts';
import { byTime, rowsInTime, segmentAt, segmentEndNs, type RowRange, type Segment } from '../signal/segment.ts';
import { SUMMARY_FACTORS } from './summary.ts';
import { visibleSlices, type Layer, type Slice } from '../rows/visible-rows.ts';

/** Cells that a bucket should have at least. */
const CELLS_A_BUCKET = 2;
/**
 * Gaps at which a bucket ends exactly: the longest ones. At others a bucket may begin a little before the gap, which
 * then does not show.
 */
export const EXACT_GAPS = 16;

/** The coarsest level that has enough cells for buckets of so many rows; null: rows themselves. */
export function factorFor(rowsOfBucket: number): number | null {
  return SUMMARY_FACTORS.findLast((factor) => rowsOfBucket >= CELLS_A_BUCKET * factor) ?? null;
}

/** The `count + 1` borders of equal spans of `[startNs, endNs)`. */
export function equalBorders(startNs: bigint, endNs: bigint, count: number): BigInt64Array {
  const borders = new BigInt64Array(count + 1);
  for (let i = 0; i <= count; i++) borders[i] = startNs + ((endNs - startNs) * BigInt(i)) / BigInt(count);
  return borders;
}

/** The first row at or after each border; both in order. @param segments in order of rows and of time */
export function rowsAtBorders(segments: readonly Segment[], rate: Rate, borders: BigInt64Array): Float64Array {
  const rows = new Float64Array(borders.length);
  let at = 0;
  for (let i = 0; i < borders.length; i++) {
    while (at < segments.length && segmentEndNs(segments[at], rate) <= borders[i]) at++;
    const segment = segments[at] ?? segments.at(-1);
    if (segment) rows[i] = rowsInTime(segment, rate, borders[i], borders[i]).from;
  }
  return rows;
}

/** Rows whose numbers and times rise together. A series whose rows came in order of time is one strand. */
export interface Strand extends RowRange {
  /** At least one. */
  readonly segments: readonly Segment[];
}

/** @param segments in order of rows. @returns in order of rows */
export function strandsOf(segments: readonly Segment[]): Strand[] {
  const strands: { from: number; to: number; segments: Segment[] }[] = [];
  for (const segment of segments) {
    const last = strands.at(-1);
    const to = segment.firstRow + segment.rows;
    if (last && last.segments[last.segments.length - 1].startNs < segment.startNs) {
      last.segments.push(segment);
      last.to = to;
    } else strands.push({ from: segment.firstRow, to, segments: [segment] });
  }
  return strands;
}

/** Where the buckets of an overview lie in a strand. */
export interface StrandBorders {
  readonly strand: Strand;
  /** The bucket that begins with the first of the rows. */
  readonly bucket: number;
  /** The first row at or after each border, one more than buckets. */
  readonly rows: Float64Array;
  /** No border may be moved before these rows; null: there is but one strand. */
  readonly floors: Float64Array | null;
}

/** The buckets in which each of several strands has rows. @param borders at least two */
export function bordersIn(strands: readonly Strand[], rate: Rate, borders: BigInt64Array): StrandBorders[] {
  if (strands.length <= 1) {
    const strand = strands[0] ?? { from: 0, to: 0, segments: [] };
    return [{ strand, bucket: 0, rows: rowsAtBorders(strand.segments, rate, borders), floors: null }];
  }
  return strands.flatMap((strand) => {
    const { segments } = strand;
    const first = Math.max(0, firstAfter(borders, segments[0].startNs) - 1);
    const endNs = segmentEndNs(segments[segments.length - 1], rate);
    const last = Math.min(borders.length - 1, firstAfter(borders, endNs - 1n));
    const rows = rowsAtBorders(segments, rate, borders.subarray(first, last + 1));
    if (first >= last || rows[0] === rows[rows.length - 1]) return [];
    // A border between two segments of a strand is no row's: rows of another strand may lie there.
    const floors = rows.map((row) => {
      const { firstRow, rows: count } = segments[Math.max(0, segmentAt(segments, row))];
      return row < firstRow + count ? firstRow : row;
    });
    return [{ strand, bucket: first, rows, floors }];
  });
}

/** @returns the place of the first border past a time */
function firstAfter(borders: BigInt64Array, ns: bigint): number {
  let low = 0;
  let high = borders.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (borders[middle] <= ns) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The segments in order of time, as if rows had been numbered in that order. */
export function rankedSegments(segments: readonly Segment[]): Segment[] {
  let rank = 0;
  return byTime(segments).map((segment) => {
    const ranked = { ...segment, firstRow: rank };
    rank += segment.rows;
    return ranked;
  });
}

/** Where the rows of a segment are in order of time. */
export interface RankedRows {
  readonly firstRow: number;
  readonly rank: number;
}

/** @returns in order of rows */
export function ranksOf(segments: readonly Segment[]): RankedRows[] {
  const ranked = rankedSegments(segments);
  return byTime(segments)
    .map(({ firstRow }, i) => ({ firstRow, rank: ranked[i].firstRow }))
    .sort((a, b) => a.firstRow - b.firstRow);
}

/** A shard that has summaries of the series. */
export interface SummarizedShard {
  readonly id: string;
  /** Factors that are stored. */
  readonly factors: readonly number[];
  /** Rows that its cells stand for; others that lie between may belong to other shards. */
  readonly rows: RowRange;
  /** Rows that its cells count and that readers do not see any more. */
  readonly dirty: readonly RowRange[];
}

/** Cells `[from, to)` of one level of a shard. */
export interface CellRange {
  readonly shardId: string;
  readonly factor: number;
  readonly from: number;
  readonly to: number;
}

export interface SnapRules {
  readonly segments: readonly Segment[];
  /** Rows of a cell; null: rows are read. */
  readonly factor: number | null;
  /** Rows before this one have only their cells left. */
  readonly expiredRow: number;
  /** Rows at which borders stay where they are, besides the longest gaps. */
  readonly fixed?: ReadonlySet<number>;
  /** For each border, the first row that it may be moved to; null: any. */
  readonly floors?: Float64Array | null;
}

/**
 * Moves borders of buckets back to where cells begin: at or before `rows`, in order. The ends of the range stay where
 * they are, unless rows have expired there.
 * @param rows of the borders
 */
export function snapBorders(rows: Float64Array, rules: SnapRules): Float64Array {
  const { segments, factor, expiredRow, fixed, floors } = rules;
  const last = rows.length - 1;
  const exact = longestGaps(segments, rows[0], rows[last]);
  const finest = SUMMARY_FACTORS[0];
  const snapped = new Float64Array(rows.length);
  for (let i = 0; i <= last; i++) {
    let row = rows[i];
    const isFixed = i === 0 || i === last || exact.has(row) || fixed?.has(row) === true;
    if (row < expiredRow) row = floorTo(row, isFixed ? finest : Math.max(factor ?? 0, finest));
    else if (!isFixed && factor !== null) row = floorTo(row, factor);
    if (floors) row = Math.max(row, floors[i]);
    snapped[i] = i === 0 ? row : Math.max(row, snapped[i - 1]);
  }
  return snapped;
}

/** Rows behind the longest gaps between two rows. */
function longestGaps(segments: readonly Segment[], from: number, to: number): Set<number> {
  const gaps: { row: number; ns: bigint }[] = [];
  for (let i = 1; i < segments.length; i++) {
    const row = segments[i].firstRow;
    if (row > from && row < to) gaps.push({ row, ns: segments[i].startNs - segments[i - 1].startNs });
  }
  gaps.sort((a, b) => (a.ns > b.ns ? -1 : 1));
  return new Set(gaps.slice(0, EXACT_GAPS).map(({ row }) => row));
}

export interface CellRules {
  /** Largest factor; null: no cells. */
  readonly coarsest: number | null;
  /** So few rows are read sooner than a block of finer cells, if they have not expired. */
  readonly rowsRatherThanCells: number;
  readonly expiredRow: number;
}

/**
 * Finds the cells of a shard that lie in one bucket each and are true, coarse ones where possible.
 * @param borders of the buckets, in rows
 * @returns the cells, and the rows of the shard that they leave
 */
export function coverByCells(
  shard: SummarizedShard,
  borders: Float64Array,
  { coarsest, rowsRatherThanCells, expiredRow }: CellRules,
): { cells: CellRange[]; left: RowRange[] } {
  const { rows } = shard;
  const cells: CellRange[] = [];
  const factors = SUMMARY_FACTORS.toReversed().filter(
    (factor) => coarsest !== null && factor <= coarsest && shard.factors.includes(factor),
  );
  let left = clipRows([rows], { from: borders[0], to: borders[borders.length - 1] });
  for (const factor of factors) {
    const isWorth = ({ from, to }: RowRange): boolean =>
      factor === factors[0] || from < expiredRow || to - from > rowsRatherThanCells;
    const cut: RowRange[] = [];
    for (const row of borders) {
      if (row > rows.from && row < rows.to && row % factor !== 0) cut.push(cellRows(factor, row, row + 1));
    }
    const bad = uniteRows(
      cut,
      shard.dirty.map(({ from, to }) => cellRows(factor, from, to)),
    );
    const used: RowRange[] = [];
    for (const { from, to } of withoutRows(left.filter(isWorth), bad)) {
      // A cell at either end of the shard is whole, though some of its rows are in another shard.
      const first = from === rows.from ? Math.floor(from / factor) : Math.ceil(from / factor);
      const end = to === rows.to ? Math.ceil(to / factor) : Math.floor(to / factor);
      if (first >= end) continue;
      cells.push({ shardId: shard.id, factor, from: first, to: end });
      used.push({ from: Math.max(rows.from, first * factor), to: Math.min(rows.to, end * factor) });
    }
    left = withoutRows(left, used);
  }
  return { cells, left };
}

function cellRows(factor: number, from: number, to: number): RowRange {
  return { from: floorTo(from, factor), to: Math.ceil(to / factor) * factor };
}

function floorTo(row: number, factor: number): number {
  return Math.floor(row / factor) * factor;
}

/** A chunk as a plan needs it. */
export interface OverviewChunk extends Layer {
  readonly shardId: string;
  /** Statistics of the chunk. They are left out where cells answer, and null where they are not known. */
  readonly stats: Uint8Array | null;
}

/**
 * Rows of a shard that its cells count, and that are covered by others or were removed. Expiry is not regarded: cells
 * stay.
 */
export function dirtyRows(chunks: readonly Layer[], seen: readonly RowRange[]): RowRange[] {
  return withoutRows(
    uniteRows(
      chunks.map(({ firstRow, rows }) => ({ from: firstRow, to: firstRow + rows })),
      [],
    ),
    uniteRows(seen, []),
  );
}

export interface RowPlan<C extends OverviewChunk> {
  /** Chunks that lie in one bucket, whole. */
  readonly stats: ReadonlyArray<{ readonly bucket: number; readonly chunk: C }>;
  /** Rows to be read, in order; each range lies in one chunk. */
  readonly reads: readonly Slice<C>[];
}

/**
 * Plans how to answer what cells leave: by statistics of a chunk that is seen whole and lies in one bucket, else by
 * rows.
 * @param slices what is seen of chunks, in order, without what has expired
 * @param left rows to be answered, by shard; for other shards all
 * @param mayUse says whether a chunk's statistics tell what is asked for
 */
export function planBucketRows<C extends OverviewChunk>(
  slices: readonly Slice<C>[],
  borders: Float64Array,
  left: ReadonlyMap<string, readonly RowRange[]>,
  mayUse: (chunk: C) => boolean,
): RowPlan<C> {
  const range = { from: borders[0], to: borders[borders.length - 1] };
  const stats: { bucket: number; chunk: C }[] = [];
  const reads: Slice<C>[] = [];
  let bucket = 0;
  for (const { chunk, from, to } of slices) {
    const ofShard = left.get(chunk.shardId);
    const [clipped] = clipRows([{ from, to }], range);
    if (!clipped) continue;
    while (bucket + 1 < borders.length - 1 && borders[bucket + 1] <= clipped.from) bucket++;
    const parts = ofShard ? clipRows(ofShard, clipped) : [clipped];
    const isWhole =
      parts.length === 1 && parts[0].from === chunk.firstRow && parts[0].to === chunk.firstRow + chunk.rows;
    if (isWhole && clipped.to <= borders[bucket + 1] && mayUse(chunk)) stats.push({ bucket, chunk });
    else for (const part of parts) reads.push({ chunk, ...part });
  }
  return { stats, reads };
}

/** What is seen of chunks: the newest edit of each row, without holes. */
export function seenSlices<C extends Layer>(chunks: readonly C[], holes: readonly RowRange[]): Slice<C>[] {
  const slices = visibleSlices(chunks);
  if (holes.length === 0) return slices;
  return slices.flatMap(({ chunk, from, to }) =>
    withoutRows([{ from, to }], holes).map((range) => ({ chunk, ...range })),
  );
}
