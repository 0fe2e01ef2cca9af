/** What an edit does to a series: to its head, its rows and its masks. Pure; the head is locked. */
import type { Erasure } from './erasure.ts';
import { invalidField, unprocessableField, VarveError } from '../errors.ts';
import { refuseExpired, type Head } from './place-append.ts';
import type { Clock } from '../signal/place-run.ts';
import { nsOfRow } from '../signal/rate.ts';
import { clipRows, countRows, uniteRows, withoutRows } from '../signal/row-ranges.ts';
import { endsOf, selectRows, timeOfRow, toleranceNs, type RowRange, type Segment } from '../signal/segment.ts';
import type { HeardTime, Stamp } from '../signal/stamps.ts';
import type { TimeRange } from '../signal/time-span.ts';
import { formatTime, INT64_MAX, INT64_MIN } from '../time.ts';

/** Times of a replacement may be off by this part of the time that has passed, as a clock drifts. */
const DRIFT_PART = 100n;

/** Rows that come in the place of a range. */
export interface Replacement {
  readonly rows: number;
  /** Regular series: the time of the first row that the body states. */
  readonly startNs: bigint | null;
  /** Regular series: times of its rows where runs begin, and of the last one. */
  readonly stamps: readonly Stamp[];
  readonly heard: HeardTime | null;
  /** Irregular series: smallest and largest time. */
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
}

export interface RegularEdit {
  /** As it is afterwards. */
  readonly head: Head;
  /** The rows that the range selects, in order of time. */
  readonly ranges: readonly RowRange[];
  /** How many rows are gone; 0 for a replacement. */
  readonly removed: number;
  /** Holes that are gone or have changed, and those that are new. */
  readonly holesGone: readonly RowRange[];
  readonly holesNew: readonly RowRange[];
}

/** What there is of a regular series before an edit. */
export interface RegularRows {
  readonly clock: Clock;
  /** All segments, in order of rows. */
  readonly segments: readonly Segment[];
  /** Rows that were removed, in order. */
  readonly holes: readonly RowRange[];
}

/**
 * @param replacement null: the rows are removed
 * @throws unprocessable `range-empty` naming `start` and `end`, `rows-differ` naming `values`, `time-contradicts` naming a time of the body; invalid-input
 *   naming `start` if the body begins elsewhere
 */
export function planRegularEdit(
  head: Head,
  { clock, segments, holes }: RegularRows,
  { startNs, endNs }: TimeRange,
  replacement: Replacement | null,
): RegularEdit {
  const { rate } = clock;
  const visible = (from: bigint, to: bigint): RowRange[] =>
    selectRows(segments, rate, head.expiredNs !== null && head.expiredNs > from ? head.expiredNs : from, to);
  const ranges = visible(startNs, endNs);
  if (ranges.length === 0) {
    const message = 'the range has no rows of the series';
    const errors = ['start', 'end'].map((field) => ({ field, message }));
    throw new VarveError('unprocessable', message, { slug: 'range-empty', errors });
  }
  const count = countRows(ranges);
  if (replacement && replacement.rows !== count) {
    throw unprocessableField('values', `has ${replacement.rows} rows, the range has ${count}`, 'rows-differ');
  }
  if (replacement && replacement.startNs !== null && replacement.startNs !== startNs) {
    const firstNs = timeOfRow(segments, rate, ranges[0].from);
    if (replacement.startNs !== firstNs) {
      const message = `the query and the body name different starts; the first row is at ${formatTime(firstNs)}`;
      throw invalidField('start', message);
    }
  }
  if (replacement) compareTimes(replacement, ranges, segments, clock);
  const removed = replacement ? 0 : countRows(withoutRows(ranges, holes));
  const filled = replacement ? ranges.reduce((sum, range) => sum + countRows(clipRows(holes, range)), 0) : 0;
  const after = replacement ? withoutRows(holes, uniteRows(ranges, [])) : uniteRows(holes, ranges);
  const ends = endsOf(withoutRows(visible(INT64_MIN, INT64_MAX), after), segments, rate);
  return {
    head: { ...head, ...ends, edits: head.edits + 1, removed: head.removed + removed - filled },
    ranges,
    removed,
    holesGone: holes.filter((hole) => !isAmong(hole, after)),
    holesNew: after.filter((hole) => !isAmong(hole, holes)),
  };
}

function isAmong({ from, to }: RowRange, holes: readonly RowRange[]): boolean {
  return holes.some((hole) => hole.from === from && hole.to === to);
}

/** Times that come with rows say where these lie. @throws unprocessable `time-contradicts` */
function compareTimes(
  { stamps, heard }: Replacement,
  ranges: readonly RowRange[],
  segments: readonly Segment[],
  { rate, startTolerance }: Clock,
): void {
  const said = stamps.filter(({ begins, row }) => begins && row > 0).map(({ row, ns, field }) => ({ row, ns, field }));
  if (heard && heard.row > 0) said.push({ ...heard, field: 'times' });
  for (const { row, ns, field } of said) {
    const isNs = timeOfRow(segments, rate, rowAt(ranges, row));
    const off = isNs < ns ? ns - isNs : isNs - ns;
    // A clock that drifts is not counted as a mark here.
    if (off <= toleranceNs(rate, startTolerance) + nsOfRow(rate, row) / DRIFT_PART) continue;
    const message = `row ${row} of the range is at ${formatTime(isNs)}, the body says ${formatTime(ns)}`;
    throw unprocessableField(field, message, 'time-contradicts');
  }
}

/** The n-th row of ranges. */
function rowAt(ranges: readonly RowRange[], n: number): number {
  let left = n;
  for (const { from, to } of ranges) {
    if (left < to - from) return from + left;
    left -= to - from;
  }
  throw new Error(`there is no row ${n}`);
}

/** What a reader saw in the range of an irregular series, and what is left outside of it. */
export interface MeasuredRange {
  /** The series as it was when that was so. */
  readonly rows: number;
  readonly edits: number;
  readonly expiredNs: bigint | null;
  /** Rows in the range. */
  readonly removed: number;
  /** Smallest and largest time outside of the range; null if there are none. */
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
}

/** A chunk that came after the range was measured. */
export interface LaterChunk {
  readonly rows: number;
  readonly firstNs: bigint;
  readonly lastNs: bigint;
}

export interface IrregularEdit {
  readonly head: Head;
  readonly erasure: Erasure;
  readonly removed: number;
}

/**
 * Plans an edit of an irregular series.
 * @param later the fresh chunks that came since the range was measured: if they are not all that came, it is to be
 * measured again
 * @returns null if what was measured does not hold any more
 * @throws unprocessable `expired`
 */
export function planIrregularEdit(
  head: Head,
  measured: MeasuredRange,
  later: readonly LaterChunk[],
  { startNs, endNs }: TimeRange,
  replacement: Replacement | null,
): IrregularEdit | null {
  const isTouched = later.some(({ firstNs, lastNs }) => firstNs < endNs && lastNs >= startNs);
  const isAll = later.reduce((sum, { rows }) => sum + rows, 0) === head.rows - measured.rows;
  if (head.edits !== measured.edits || head.expiredNs !== measured.expiredNs || isTouched || !isAll) return null;
  if (replacement) refuseExpired(head.expiredNs, replacement.lastNs!, 'times');
  const times = [measured, ...later, ...(replacement ? [replacement] : [])];
  const firsts = times.flatMap(({ firstNs }) => firstNs ?? []);
  const lasts = times.flatMap(({ lastNs }) => lastNs ?? []);
  return {
    head: {
      ...head,
      rows: head.rows + (replacement?.rows ?? 0),
      firstNs: firsts.length === 0 ? null : firsts.reduce((a, b) => (b < a ? b : a)),
      lastNs: lasts.length === 0 ? null : lasts.reduce((a, b) => (b > a ? b : a)),
      edits: head.edits + 1,
      removed: head.removed + measured.removed,
    },
    erasure: { generation: head.edits + 1, startNs, endNs, beforeRow: head.rows },
    removed: measured.removed,
  };
}
