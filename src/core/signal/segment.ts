/**
 * The implicit time axis of a regular series: runs of evenly spaced rows. A gap is the space between two segments,
 * never a fill value.
 *
 * Rows are numbered by arrival, so segments lie in any order of time; in time they never overlap. Rows that were removed, and whose time others
 * have taken since, are in no segment.
 */
import { halfPeriodNs, nsOfRow, rowAtOrAfter, type Rate } from './rate.ts';
import { uniteRows, withoutRows } from './row-ranges.ts';

export interface Segment {
  /** Row of the series at which the segment begins. */
  readonly firstRow: number;
  /** UTC ns of that row. */
  readonly startNs: bigint;
  readonly rows: number;
  /** Rows of the same grid before the first: times are counted from there, so that a grid that goes on is not rounded anew. None: 0. */
  readonly skip?: number;
}

/** Half-open range of rows `[from, to)`. */
export interface RowRange {
  readonly from: number;
  readonly to: number;
}

/** Where the grid of a segment begins: row `skip` of it is the first of the segment. */
function originNs({ startNs, skip = 0 }: Segment, rate: Rate): bigint {
  return skip === 0 ? startNs : startNs - nsOfRow(rate, skip);
}

/** UTC ns of a row on the grid of a segment, whether the segment has it or not. */
export function timeWithin(segment: Segment, rate: Rate, row: number): bigint {
  const { firstRow, skip = 0 } = segment;
  return originNs(segment, rate) + nsOfRow(rate, skip + row - firstRow);
}

/** UTC ns of the row after the segment's last: where data that continue it would begin. */
export function segmentEndNs(segment: Segment, rate: Rate): bigint {
  return timeWithin(segment, rate, segment.firstRow + segment.rows);
}

/** Some rows of a segment, at the times that they have. @param from row of the series, not before the first; `to` not after the last */
export function partOfSegment(segment: Segment, rate: Rate, { from, to }: RowRange): Segment {
  const { firstRow, rows, skip = 0 } = segment;
  if (from === firstRow && to === firstRow + rows) return segment;
  return { firstRow: from, startNs: timeWithin(segment, rate, from), rows: to - from, skip: skip + from - firstRow };
}

/**
 * How far a start may be from where it is expected, and still goes on. @param samples of the series' rate; by default
 * half a sample
 */
export function toleranceNs(rate: Rate, samples: number | null | undefined): bigint {
  if (samples === null || samples === undefined) return halfPeriodNs(rate);
  return (BigInt(Math.round(samples * 1e9)) * rate.den) / rate.num;
}

/** The rows of one segment whose times lie in `[startNs, endNs)`, in rows of the series; empty if none do. */
export function rowsInTime(segment: Segment, rate: Rate, startNs: bigint, endNs: bigint): RowRange {
  const { firstRow, rows, skip = 0 } = segment;
  const begin = originNs(segment, rate);
  const clamp = (ns: bigint): number => {
    const row = rowAtOrAfter(rate, ns - begin) - BigInt(skip);
    return firstRow + (row < 0n ? 0 : row > BigInt(rows) ? rows : Number(row));
  };
  const from = clamp(startNs);
  return { from, to: Math.max(from, clamp(endNs)) };
}

/** @returns the segments in order of time; the same list if they are */
export function byTime(segments: readonly Segment[]): readonly Segment[] {
  if (segments.every((segment, i) => i === 0 || segments[i - 1].startNs < segment.startNs)) return segments;
  return [...segments].sort((a, b) => (a.startNs < b.startNs ? -1 : 1));
}

/**
 * The row ranges that a time range selects, in order of time. Two ranges are joined if one follows the other in time
 * and in rows.
 * @param segments in any order
 */
export function selectRows(segments: readonly Segment[], rate: Rate, startNs: bigint, endNs: bigint): RowRange[] {
  const ranges: RowRange[] = [];
  for (const segment of byTime(segments)) {
    if (segment.startNs >= endNs) break;
    const range = rowsInTime(segment, rate, startNs, endNs);
    if (range.from === range.to) continue;
    const last = ranges.at(-1);
    if (last && last.to === range.from) ranges[ranges.length - 1] = { from: last.from, to: range.to };
    else ranges.push(range);
  }
  return ranges;
}

/** The row numbers that were given out and are before `ns` or have no time, in order of rows. */
export function rowsBefore(segments: readonly Segment[], rate: Rate, rows: number, ns: bigint): RowRange[] {
  const later = segments.flatMap((segment) => {
    const { from } = rowsInTime(segment, rate, ns, ns);
    const to = segment.firstRow + segment.rows;
    return from < to ? [{ from, to }] : [];
  });
  return withoutRows(uniteRows([{ from: 0, to: rows }], []), uniteRows(later, []));
}

/** Place of the last segment that begins at or before a row; −1: none does. @param segments in order of rows */
export function segmentAt(segments: readonly Segment[], row: number): number {
  let low = -1;
  let high = segments.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (segments[middle].firstRow <= row) low = middle;
    else high = middle - 1;
  }
  return low;
}

/**
 * UTC ns of a row. A row in no segment lies on the grid of the segment before it. @param segments in order of rows, at
 * least one
 */
export function timeOfRow(segments: readonly Segment[], rate: Rate, row: number): bigint {
  return timeWithin(segments[Math.max(0, segmentAt(segments, row))], rate, row);
}

/**
 * Times of the rows `[from, to)`.
 * @param segments in order of rows, covering the range
 * @returns int64 ns, one a row
 */
export function timesOfRows(segments: readonly Segment[], rate: Rate, range: RowRange): BigInt64Array {
  const times = new BigInt64Array(Math.max(0, range.to - range.from));
  for (let at = Math.max(0, segmentAt(segments, range.from)); at < segments.length; at++) {
    const segment = segments[at];
    if (segment.firstRow >= range.to) break;
    const { firstRow, skip = 0 } = segment;
    const begin = originNs(segment, rate);
    const from = Math.max(range.from, firstRow);
    const to = Math.min(range.to, firstRow + segment.rows);
    for (let row = from; row < to; row++) times[row - range.from] = begin + nsOfRow(rate, skip + row - firstRow);
  }
  return times;
}

/** The first and the last time of rows. @param ranges in order of time; @param segments in order of rows */
export function endsOf(
  ranges: readonly RowRange[],
  segments: readonly Segment[],
  rate: Rate,
): { readonly firstNs: bigint | null; readonly lastNs: bigint | null } {
  if (ranges.length === 0) return { firstNs: null, lastNs: null };
  const last = ranges[ranges.length - 1].to - 1;
  return { firstNs: timeOfRow(segments, rate, ranges[0].from), lastNs: timeOfRow(segments, rate, last) };
}
