/** What an edit does to a series: to its head, its rows and its masks. Pure; the head is locked. */
import { rowsOfRange } from './edited-rows.ts';
import type { Erasure } from './erasure.ts';
import { invalidField, unprocessableField, VarveError } from './errors.ts';
import { refuseExpired, type Head } from './place-append.ts';
import type { Rate } from './rate.ts';
import { clipRows, countRows, uniteRows, withoutRows } from './row-ranges.ts';
import { timesOfRows, type RowRange, type Segment } from './segment.ts';
import { formatTime, INT64_MAX, INT64_MIN } from './time.ts';

/** `[startNs, endNs)`, not empty. */
export interface TimeRange {
  readonly startNs: bigint;
  readonly endNs: bigint;
}

/** Rows that come in the place of a range. */
export interface Replacement {
  readonly rows: number;
  /** Regular series: the time of the first row that the body states. */
  readonly startNs: bigint | null;
  /** Irregular series: smallest and largest time. */
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
}

export interface RegularEdit {
  /** As it is afterwards. */
  readonly head: Head;
  /** The rows that the range selects. */
  readonly rows: RowRange;
  /** Rows that are there no more; 0 of a replacement. */
  readonly removed: number;
  /** Holes that are no more, or not as they were, and those that are new. */
  readonly holesGone: readonly RowRange[];
  readonly holesNew: readonly RowRange[];
}

/**
 * @param segments all, in order of rows
 * @param holes rows that were removed, in order
 * @param replacement null: the rows are removed
 * @throws unprocessable `range-empty` naming `start` and `end`, `rows-differ` naming `values`; invalid-input naming `start` if the body begins elsewhere
 */
export function planRegularEdit(
  head: Head,
  {
    rate,
    segments,
    holes,
  }: { readonly rate: Rate; readonly segments: readonly Segment[]; readonly holes: readonly RowRange[] },
  { startNs, endNs }: TimeRange,
  replacement: Replacement | null,
): RegularEdit {
  const range = rowsOfRange(segments, rate, startNs, endNs, head.expiredNs);
  if (!range) {
    const message = 'the range has no rows of the series';
    const errors = ['start', 'end'].map((field) => ({ field, message }));
    throw new VarveError('unprocessable', message, { slug: 'range-empty', errors });
  }
  const count = range.to - range.from;
  if (replacement && replacement.rows !== count) {
    throw unprocessableField('values', `has ${replacement.rows} rows, the range has ${count}`, 'rows-differ');
  }
  if (replacement && replacement.startNs !== null && replacement.startNs !== startNs) {
    const [firstNs] = timesOfRows(segments, rate, { from: range.from, to: range.from + 1 });
    if (replacement.startNs !== firstNs) {
      const message = `the query and the body name different starts; the first row is at ${formatTime(firstNs)}`;
      throw invalidField('start', message);
    }
  }
  const removed = replacement ? 0 : countRows(withoutRows([range], holes));
  const filled = replacement ? countRows(clipRows(holes, range)) : 0;
  const after = replacement ? withoutRows(holes, [range]) : uniteRows(holes, [range]);
  const inTime = rowsOfRange(segments, rate, INT64_MIN, INT64_MAX, head.expiredNs);
  const ends = endsOf(inTime ? withoutRows([inTime], after) : [], segments, rate);
  return {
    head: { ...head, ...ends, edits: head.edits + 1, removed: head.removed + removed - filled },
    rows: range,
    removed,
    holesGone: holes.filter((hole) => !isAmong(hole, after)),
    holesNew: after.filter((hole) => !isAmong(hole, holes)),
  };
}

function isAmong({ from, to }: RowRange, holes: readonly RowRange[]): boolean {
  return holes.some((hole) => hole.from === from && hole.to === to);
}

function endsOf(
  ranges: readonly RowRange[],
  segments: readonly Segment[],
  rate: Rate,
): { firstNs: bigint | null; lastNs: bigint | null } {
  if (ranges.length === 0) return { firstNs: null, lastNs: null };
  const timeOf = (row: number): bigint => timesOfRows(segments, rate, { from: row, to: row + 1 })[0];
  return { firstNs: timeOf(ranges[0].from), lastNs: timeOf(ranges.at(-1)!.to - 1) };
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
 * @param later the fresh chunks that came since the range was measured: if they are not all that came, it is to be measured again
 * @returns null if what was measured is true no more
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
