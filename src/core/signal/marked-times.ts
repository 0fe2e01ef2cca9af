/**
 * Times of rows as their clock told them. Between two marks of a segment they are even; before the first and after the
 * last they follow the rate of the series.
 */
import type { ClockMark } from './place-run.ts';
import { nsOfRow, type Rate } from './rate.ts';
import { segmentAt, timeWithin, type RowRange, type Segment } from './segment.ts';

/**
 * @param segments in order of rows, covering the range
 * @param marks in order of rows: those around the range, too
 * @returns int64 ns, one a row
 */
export function markedTimes(
  segments: readonly Segment[],
  rate: Rate,
  marks: readonly ClockMark[],
  range: RowRange,
): BigInt64Array {
  const times = new BigInt64Array(Math.max(0, range.to - range.from));
  for (let at = Math.max(0, segmentAt(segments, range.from)); at < segments.length; at++) {
    const segment = segments[at];
    const end = segment.firstRow + segment.rows;
    if (segment.firstRow >= range.to) break;
    let next = firstMarkFrom(marks, Math.max(range.from, segment.firstRow) + 1);
    const within = (mark: ClockMark | undefined): ClockMark | null =>
      mark && mark.row >= segment.firstRow && mark.row < end ? mark : null;
    for (let row = Math.max(range.from, segment.firstRow); row < Math.min(range.to, end); row++) {
      while (next < marks.length && marks[next].row <= row) next++;
      times[row - range.from] = timeBetween(segment, rate, row, within(marks[next - 1]), within(marks[next]));
    }
  }
  return times;
}

function timeBetween(
  segment: Segment,
  rate: Rate,
  row: number,
  before: ClockMark | null,
  behind: ClockMark | null,
): bigint {
  if (before && behind) {
    const passed = (behind.ns - before.ns) * BigInt(row - before.row);
    return before.ns + passed / BigInt(behind.row - before.row);
  }
  if (before) return before.ns + nsOfRow(rate, row - before.row);
  if (behind) return behind.ns - nsOfRow(rate, behind.row - row);
  return timeWithin(segment, rate, row);
}

/** Place of the first mark at or after a row. */
function firstMarkFrom(marks: readonly ClockMark[], row: number): number {
  let low = 0;
  let high = marks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (marks[middle].row < row) low = middle + 1;
    else high = middle;
  }
  return low;
}
