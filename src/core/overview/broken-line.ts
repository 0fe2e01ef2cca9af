/** A line of few points that begins and ends where the rows do, and is broken where there are none. */
import { largestTriangles } from './downsample.ts';
import type { Rate } from '../signal/rate.ts';
import { withoutRows } from '../signal/row-ranges.ts';
import { rankedSegments, strandsOf } from './row-buckets.ts';
import { byTime, rowsInTime, timeOfRow, type RowRange, type Segment } from '../signal/segment.ts';

export interface LinePoint {
  readonly ns: bigint;
  readonly value: number | bigint;
  /** Number of the unbroken piece that it lies on; later pieces have larger numbers. */
  readonly piece: number;
}

/** A point of an answer: `at` is its number among those it was chosen from, null where the line is broken. */
export interface KeptPoint {
  readonly ns: bigint;
  readonly at: number | null;
}

/**
 * Chooses points of a line, piece by piece, with a break between two pieces. The first and last point of each piece are
 * kept, if so many are wanted. Those of the whole line are always kept.
 * @param points in order of time
 * @param ys their values as they are drawn
 * @param most points and breaks together; never less than both ends
 */
export function chooseLine(points: readonly LinePoint[], ys: Float64Array, most: number): KeptPoint[] {
  const pieces = piecesOf(points);
  // However many breaks there are, half of what is wanted is left for points.
  const room = Math.max(2, most - (pieces.length - 1), Math.floor((most + 1) / 2));
  const kept =
    2 * pieces.length <= room
      ? shares(pieces, room).flatMap((share, p) => thinned(points, ys, pieces[p], share))
      : thinned(points, ys, { from: 0, to: points.length }, room);
  const line: KeptPoint[] = [];
  for (const [i, at] of kept.entries()) {
    const { ns, piece } = points[at];
    const before = i > 0 ? points[kept[i - 1]] : null;
    if (before && before.piece !== piece) line.push({ ns: before.ns + (ns - before.ns) / 2n, at: null });
    line.push({ ns, at });
  }
  return line;
}

function piecesOf(points: readonly LinePoint[]): RowRange[] {
  const pieces: { from: number; to: number }[] = [];
  points.forEach(({ piece }, i) => {
    if (i === 0 || points[i - 1].piece !== piece) pieces.push({ from: i, to: i });
    pieces[pieces.length - 1].to = i + 1;
  });
  return pieces;
}

/** Keeps both ends of each piece. What is left goes to each piece by its number of points. */
function shares(pieces: readonly RowRange[], room: number): number[] {
  const sizes = pieces.map(({ from, to }) => to - from);
  const inner = sizes.reduce((sum, size) => sum + Math.max(0, size - 2), 0);
  const given = sizes.map((size) => Math.min(2, size));
  const left = room - given.reduce((sum, share) => sum + share, 0);
  const share = given.map((ends, p) => ends + Math.floor((left * Math.max(0, sizes[p] - 2)) / Math.max(inner, left)));
  let rest = Math.min(room, inner + room - left) - share.reduce((sum, each) => sum + each, 0);
  for (let p = 0; p < share.length && rest > 0; p++) {
    if (share[p] >= sizes[p]) continue;
    share[p]++;
    rest--;
  }
  return share;
}

function thinned(points: readonly LinePoint[], ys: Float64Array, { from, to }: RowRange, most: number): number[] {
  if (from === to) return [];
  const xs = Float64Array.from({ length: to - from }, (_, i) => Number(points[from + i].ns - points[from].ns));
  return largestTriangles(xs, ys.subarray(from, to), most).map((at) => from + at);
}

/**
 * Runs of rows of a regular series in a range of time, in order of time. Rows of a run follow each other without a gap.
 * The segments say when they are.
 */
export function gaplessRuns(
  segments: readonly Segment[],
  holes: readonly RowRange[],
  rate: Rate,
  startNs: bigint,
  endNs: bigint,
): { readonly axis: readonly Segment[]; readonly runs: readonly RowRange[] } {
  const isOrdered = strandsOf(segments).length <= 1;
  // For rows that came in another order, places in time count.
  const axis = isOrdered ? segments : rankedSegments(segments);
  const runs = byTime(segments).flatMap((segment, i) => {
    const moved = isOrdered ? 0 : axis[i].firstRow - segment.firstRow;
    const seen = withoutRows([rowsInTime(segment, rate, startNs, endNs)], holes);
    return seen.flatMap(({ from, to }) => (from < to ? [{ from: from + moved, to: to + moved }] : []));
  });
  return { axis, runs };
}

/** The number of the run that has a row, or comes after it. */
export function runAt(runs: readonly RowRange[], row: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (runs[middle].to <= row) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Borders around the first and the last row of each run. So these rows are buckets of their own, and no bucket lies on
 * both sides of a gap.
 * @param segments the axis of the runs
 * @param most runs; if there are more, only the ends of the whole count
 */
export function lineEnds(runs: readonly RowRange[], segments: readonly Segment[], rate: Rate, most: number): bigint[] {
  if (runs.length === 0) return [];
  const [first, last] = [runs[0], runs.at(-1)!];
  const rows =
    runs.length > most
      ? [first.from, first.from + 1, last.to - 1]
      : runs.flatMap(({ from, to }) => [from, from + 1, to - 1, to]);
  const end = last.to;
  return rows.filter((row) => row < end).map((row) => timeOfRow(segments, rate, row));
}

/** Borders with more between them. */
export function withBorders(borders: BigInt64Array, more: readonly bigint[]): BigInt64Array {
  const [start, end] = [borders[0], borders[borders.length - 1]];
  const inner = more.filter((ns) => ns > start && ns < end);
  return BigInt64Array.from(new Set([...borders, ...inner])).sort();
}
