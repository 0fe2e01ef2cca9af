/**
 * The implicit time axis of a regular series: runs of evenly spaced rows. A gap is the space between two segments,
 * never a fill value.
 */
import { halfPeriodNs, nsOfRow, rowAtOrAfter, type Rate } from './rate.ts';

export interface Segment {
  /** Row of the series at which the segment begins. Segments of a series follow each other without holes in rows. */
  readonly firstRow: number;
  /** UTC ns of that row. */
  readonly startNs: bigint;
  readonly rows: number;
}

/** Half-open range of rows `[from, to)`. */
export interface RowRange {
  readonly from: number;
  readonly to: number;
}

/** UTC ns of the row after the segment's last: where data that continue it would begin. */
export function segmentEndNs(segment: Segment, rate: Rate): bigint {
  return segment.startNs + nsOfRow(rate, segment.rows);
}

/** True if data that begin at `startNs` continue a segment that ends at `endNs`: within half a period either way. */
export function continues(endNs: bigint, startNs: bigint, rate: Rate): boolean {
  const distance = startNs > endNs ? startNs - endNs : endNs - startNs;
  return distance <= halfPeriodNs(rate);
}

/** The rows of one segment whose times lie in `[startNs, endNs)`, in rows of the series; empty if none do. */
export function rowsInTime(segment: Segment, rate: Rate, startNs: bigint, endNs: bigint): RowRange {
  const clamp = (ns: bigint): number => {
    const row = rowAtOrAfter(rate, ns - segment.startNs);
    return segment.firstRow + (row > BigInt(segment.rows) ? segment.rows : Number(row));
  };
  const from = clamp(startNs);
  return { from, to: Math.max(from, clamp(endNs)) };
}

/** The row ranges, one a segment and in order of rows, that a time range selects. Adjacent ranges are joined. */
export function selectRows(segments: readonly Segment[], rate: Rate, startNs: bigint, endNs: bigint): RowRange[] {
  const ranges: RowRange[] = [];
  for (const segment of segments) {
    const range = rowsInTime(segment, rate, startNs, endNs);
    if (range.from === range.to) continue;
    const last = ranges.at(-1);
    if (last && last.to === range.from) ranges[ranges.length - 1] = { from: last.from, to: range.to };
    else ranges.push(range);
  }
  return ranges;
}

/**
 * Times of the rows `[from, to)`.
 * @param segments in order of rows, covering the range
 * @returns int64 ns, one a row
 */
export function timesOfRows(segments: readonly Segment[], rate: Rate, range: RowRange): BigInt64Array {
  const times = new BigInt64Array(Math.max(0, range.to - range.from));
  for (const segment of segments) {
    const from = Math.max(range.from, segment.firstRow);
    const to = Math.min(range.to, segment.firstRow + segment.rows);
    for (let row = from; row < to; row++) {
      times[row - range.from] = segment.startNs + nsOfRow(rate, row - segment.firstRow);
    }
  }
  return times;
}

/**
 * Where an append to a regular series begins.
 * @param newest the newest acknowledged segment, null if there is no data
 * @param requestedNs what the client asked for, null if it just goes on
 * @param defaultNs where the series begins if nobody says
 * @returns the time of the first row, and whether it goes on from `newest`; undefined if it would overlap data
 */
export function placeAppend(
  newest: { startNs: bigint; rows: number } | null,
  rate: Rate,
  requestedNs: bigint | null,
  defaultNs: bigint,
): { startNs: bigint; continues: boolean } | undefined {
  if (!newest) return { startNs: requestedNs ?? defaultNs, continues: false };
  const endNs = segmentEndNs({ firstRow: 0, ...newest }, rate);
  if (requestedNs === null || continues(endNs, requestedNs, rate)) return { startNs: endNs, continues: true };
  return requestedNs < endNs ? undefined : { startNs: requestedNs, continues: false };
}

/**
 * The segments that change when runs of rows are added, in order: the newest one, if a run goes on from it, and new ones.
 * @param newest the newest segment so far
 * @param firstRow row of the series that the first run begins with
 * @param runs each with the time of its first row, as {@link placeAppend} decided it
 */
export function extendSegments(
  newest: Segment | null,
  rate: Rate,
  firstRow: number,
  runs: readonly { readonly startNs: bigint; readonly rows: number }[],
): Segment[] {
  const changed: Segment[] = [];
  let open = newest;
  let row = firstRow;
  for (const { startNs, rows } of runs) {
    if (open && segmentEndNs(open, rate) === startNs) {
      open = { ...open, rows: open.rows + rows };
      if (changed.length > 0) changed.pop();
    } else {
      open = { firstRow: row, startNs, rows };
    }
    changed.push(open);
    row += rows;
  }
  return changed;
}
