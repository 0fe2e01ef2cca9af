/**
 * Where rows of a regular series go in time that come together, at one rate. Pure; the head is locked.
 *
 * The head alone decides about rows that go on from the newest segment, or lie in the room behind it. For others the
 * segments around their place must be known, with those rows of them that were removed. The time of a removed row is
 * free, and whoever takes it takes it for good.
 */
import { unprocessableField, type VarveError } from '../errors.ts';
import { halfPeriodNs, hasWholePeriod, nsOfRow, rowAtOrAfter, type Rate } from './rate.ts';
import { clipRows, withoutRows } from './row-ranges.ts';
import { partOfSegment, rowsInTime, segmentEndNs, timeWithin, toleranceNs } from './segment.ts';
import type { RowRange, Segment } from './segment.ts';
import { distance, formatTime, larger, smaller, TIME_MAX } from '../time.ts';

/** The time that a client says a row has. */
export interface ClockMark {
  readonly row: number;
  readonly ns: bigint;
}

/** What is locked of a regular series, as far as its times go. */
export interface TimeHead {
  /** Row numbers given out: where the newest segment ends. */
  readonly rows: number;
  /** Time of the last visible row. */
  readonly lastNs: bigint | null;
  /** The segment that came last. */
  readonly segment: Segment | null;
  /** Where in time the next segment behind that one begins; null: none does. */
  readonly limitNs: bigint | null;
  /** The last mark of that segment. */
  readonly mark: ClockMark | null;
  /** How many marks the series has. */
  readonly marks: number;
}

/** A segment near the place. */
export interface NearSegment {
  readonly segment: Segment;
  /** Rows of it that were removed, in order. */
  readonly holes: readonly RowRange[];
  /** The last one before each hole and before the end, in order of rows. */
  readonly marks: readonly ClockMark[];
}

export interface Clock {
  readonly rate: Rate;
  /** Where the series begins if nobody says. */
  readonly startNs: bigint | null;
  /**
   * Tolerance in samples; null or absent: {@link toleranceNs}, and a thousandth of the time since the last mark, up to
   * a sample.
   */
  readonly startTolerance?: number | null;
}

/**
 * What a time means that is not where rows go on. `likely`: nothing, within the tolerance of the series. `exact`: there
 * is a gap, however small. `any`: as `likely`, but rows as far from each other as one another are gaps, and no other rate.
 */
export type GapRule = 'likely' | 'exact' | 'any';

export interface Run {
  readonly rows: number;
  /** Time of the first row; null: it goes on from the last one in time. */
  readonly startNs: bigint | null;
  /** True if the client did not say it: it was counted back from a later row. */
  readonly isCounted?: boolean;
  /** Times of later rows, which are counted from the first one of the run. */
  readonly marks: readonly ClockMark[];
  /** What the first row's time is called. */
  readonly field: string;
  readonly gaps?: GapRule;
}

export interface PlacedRun {
  readonly firstNs: bigint;
  readonly head: TimeHead;
  /** Segments beside the newest that are new, or not as they were. */
  readonly closed: readonly Segment[];
  /** First rows of segments that are gone. */
  readonly gone: readonly number[];
  /** Marks that are kept. */
  readonly marks: readonly ClockMark[];
  /** The segments as they were given, after the run. */
  readonly near: readonly NearSegment[] | null;
}

/** The first marks of a series are all kept. */
export const MOST_DENSE_MARKS = 64;
/** Later marks are kept if so many rows have come since the last … */
const ROWS_A_MARK = 256;
/** … or if it would be this part of the tolerance away. */
const NEWS_PART = 4n;
/** Clocks drift by a thousandth at most … */
const DRIFT_PART = 1000n;
/** … and times are rounded down to nanoseconds, one by one. */
const ROUNDING_NS = 2n;

/**
 * @param near segments around the place and the last one in time, in order of time; null: not known
 * @returns null if they must be known
 * @throws unprocessable `overlap`, or naming the field
 */
export function placeRun(
  head: TimeHead,
  clock: Clock,
  run: Run,
  near: readonly NearSegment[] | null,
): PlacedRun | null {
  if (near) return placeNear(head, clock, run, near);
  const { rate } = clock;
  const { segment, lastNs, limitNs, rows } = head;
  if (!segment) return head.rows > 0 ? null : opened(head, clock, run, run.startNs ?? clock.startNs ?? 0n);
  const fits = (grown: Segment): boolean => limitNs === null || segmentEndNs(grown, rate) <= limitNs;
  const goesOn = { ...segment, rows: segment.rows + run.rows };
  if (run.startNs === null) {
    const isLatest = lastNs === timeWithin(segment, rate, rows - 1);
    return isLatest && fits(goesOn) ? extended(head, clock, run) : null;
  }
  const { expectedNs, allowedNs } = expectation(segment, head.mark, rows, clock, run.gaps);
  const off = run.startNs - expectedNs;
  if (off < -allowedNs) return null;
  if (off <= allowedNs) return fits(goesOn) ? extended(head, clock, run) : null;
  const endNs = segmentEndNs(segment, rate);
  const startNs = larger(run.startNs, endNs);
  return fits({ firstRow: 0, startNs, rows: run.rows }) ? opened(head, clock, run, startNs) : null;
}

/** The times within which a run may touch others. @param rows that come together with it */
export function reachOf(head: TimeHead, { rate, startNs, startTolerance }: Clock, at: bigint | null, rows: number) {
  const from = at ?? head.lastNs ?? startNs ?? 0n;
  const pad = nsOfRow(rate, 2) + toleranceNs(rate, startTolerance) + ROUNDING_NS;
  return { fromNs: from - pad, toNs: from + nsOfRow(rate, rows) + pad };
}

/** Where a row is expected, and how far from there its time may be. */
function expectation(
  segment: Segment,
  mark: ClockMark | null,
  row: number,
  { rate, startTolerance }: Clock,
  gaps: GapRule = 'likely',
): { expectedNs: bigint; allowedNs: bigint } {
  const roundedNs = smaller(ROUNDING_NS, halfPeriodNs(rate));
  // Times that are exact are those of the rows as they are stored, which marks know nothing of.
  if (gaps === 'exact')
    return { expectedNs: timeWithin(segment, rate, row), allowedNs: hasWholePeriod(rate) ? 0n : roundedNs };
  const known = mark && mark.row < row ? mark : null;
  const expectedNs = known ? known.ns + nsOfRow(rate, row - known.row) : timeWithin(segment, rate, row);
  const tolerance = toleranceNs(rate, startTolerance);
  if (startTolerance !== null && startTolerance !== undefined) {
    return { expectedNs, allowedNs: larger(tolerance, roundedNs) };
  }
  const periodNs = nsOfRow(rate, 1);
  const drift = nsOfRow(rate, row - (known?.row ?? segment.firstRow)) / DRIFT_PART;
  const slow = smaller(drift, periodNs) + ROUNDING_NS;
  return { expectedNs, allowedNs: slow > tolerance + ROUNDING_NS ? slow : tolerance };
}

function extended(head: TimeHead, clock: Clock, run: Run): PlacedRun {
  const segment = { ...head.segment!, rows: head.segment!.rows + run.rows };
  const firstNs = timeWithin(segment, clock.rate, head.rows);
  refuseBeyond(segment, clock.rate, run.field);
  const marks = marksOf(head, clock, run, head.segment);
  return { firstNs, head: after(head, clock.rate, segment, marks, true), closed: [], gone: [], marks, near: null };
}

function opened(head: TimeHead, clock: Clock, run: Run, startNs: bigint): PlacedRun {
  const segment = beginning({ firstRow: head.rows, startNs, rows: run.rows }, clock.rate, head.segment, run.gaps);
  refuseBeyond(segment, clock.rate, run.field);
  const marks = marksOf(head, clock, run, null);
  const closed = head.segment ? [head.segment] : [];
  return {
    firstNs: startNs,
    head: after(head, clock.rate, segment, marks, false),
    closed,
    gone: [],
    marks,
    near: null,
  };
}

/**
 * Rows that come back as they were read go on the grid of the newest segment, if they begin where it would have a row.
 * So their times are not rounded anew. All others are counted from the start that the client says.
 */
function beginning(segment: Segment, rate: Rate, newest: Segment | null, gaps?: GapRule): Segment {
  if (gaps !== 'exact' || hasWholePeriod(rate) || !newest) return segment;
  const passedNs = segment.startNs - timeWithin(newest, rate, newest.firstRow - (newest.skip ?? 0));
  const skip = rowAtOrAfter(rate, passedNs);
  // Where it follows at once, it is a segment of its own for its clock alone.
  const follows = skip === BigInt((newest.skip ?? 0) + newest.rows);
  const isOnGrid = !follows && skip > 0n && skip <= Number.MAX_SAFE_INTEGER && nsOfRow(rate, skip) === passedNs;
  return isOnGrid ? { ...segment, skip: Number(skip) } : segment;
}

function after(head: TimeHead, rate: Rate, segment: Segment, marks: readonly ClockMark[], isSame: boolean): TimeHead {
  const lastNs = timeWithin(segment, rate, segment.firstRow + segment.rows - 1);
  return {
    rows: segment.firstRow + segment.rows,
    lastNs: head.lastNs === null ? lastNs : larger(head.lastNs, lastNs),
    segment,
    limitNs: head.limitNs,
    mark: marks.at(-1) ?? (isSame ? head.mark : null),
    marks: head.marks + marks.length,
  };
}

/** Those stamps of a run that say something. @param goesOn the segment that it goes on in; null: it begins one */
function marksOf(head: TimeHead, clock: Clock, run: Run, goesOn: Segment | null): ClockMark[] {
  const marks = allMarksOf(head, clock, run, goesOn);
  let last = goesOn ? (head.mark?.ns ?? null) : null;
  // Within a wide tolerance a clock may say less than it did before. Times between marks do not go back.
  return marks.filter(({ ns }) => {
    if (last !== null && ns <= last) return false;
    last = ns;
    return true;
  });
}

function allMarksOf(head: TimeHead, clock: Clock, run: Run, goesOn: Segment | null): ClockMark[] {
  const { rows, mark } = head;
  const { startNs, isCounted } = run;
  const later = run.marks.map(({ row, ns }) => ({ row: rows + row, ns }));
  if (startNs === null || isCounted) return later;
  const first = { row: rows, ns: startNs };
  if (!goesOn || head.marks < MOST_DENSE_MARKS) return [first, ...later];
  const { expectedNs } = expectation(goesOn, mark, rows, clock, run.gaps);
  const off = distance(startNs, expectedNs);
  const isNews =
    off * NEWS_PART > toleranceNs(clock.rate, clock.startTolerance) ||
    rows - (mark?.row ?? goesOn.firstRow) >= ROWS_A_MARK;
  return isNews ? [first, ...later] : later;
}

/** Rows of a segment that are still there and follow each other. */
interface SegmentPart {
  readonly near: NearSegment;
  readonly from: number;
  readonly to: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
}

function placeNear(head: TimeHead, clock: Clock, run: Run, near: readonly NearSegment[]): PlacedRun {
  const { rate } = clock;
  const pieces = near.flatMap((each) => piecesOf(each, rate));
  const newest = head.segment;
  const start = startOf(head, clock, run, run.startNs === null ? pieces : [...pieces, ...endOf(near, newest, rate)]);
  const { grid } = start;
  const isSame =
    grid !== null && newest !== null && grid.near.segment.firstRow === newest.firstRow && grid.to === head.rows;
  const segment: Segment = isSame
    ? { ...newest, rows: newest.rows + run.rows }
    : grid
      ? onGrid(grid, rate, head.rows, run.rows)
      : beginning({ firstRow: head.rows, startNs: start.startNs, rows: run.rows }, rate, newest, run.gaps);
  refuseBeyond(segment, rate, run.field);
  const firstNs = timeWithin(segment, rate, head.rows);
  const endNs = segmentEndNs(segment, rate);
  refuseOverlap({ firstNs, endNs }, clock, run, pieces, head);

  const closed: Segment[] = [];
  const gone: number[] = [];
  const left = near.flatMap((each): NearSegment[] => {
    const isNewest = each.segment.firstRow === newest?.firstRow;
    if (isNewest && isSame) return [];
    // Rows to which these are nearest, so that what is left lies before or behind.
    const taken = rowsInTime(each.segment, rate, firstNs - halfPeriodNs(rate), endNs - halfPeriodNs(rate));
    const cut = clipRows(each.holes, taken);
    if (cut.length === 0 && !isNewest) return [each];
    const parts = partsOf(each, rate, cut);
    closed.push(...parts.map((part) => part.segment));
    if (!isNewest && parts[0]?.segment.firstRow !== each.segment.firstRow) gone.push(each.segment.firstRow);
    return parts;
  });
  const marks = marksNear(head, clock, run, { grid, isSame });
  const moved = after(head, rate, segment, marks, isSame);
  const limitNs = left.find((each) => each.segment.startNs > firstNs)?.segment.startNs ?? null;
  const own: NearSegment = {
    segment,
    holes: isSame ? near.find((each) => each.segment.firstRow === newest.firstRow)!.holes : [],
    marks: [
      ...(isSame ? near.find((each) => each.segment.firstRow === newest.firstRow)!.marks : []),
      ...(moved.mark ? [moved.mark] : []),
    ],
  };
  const all = [...left, own].sort((a, b) => (a.segment.startNs < b.segment.startNs ? -1 : 1));
  return { firstNs, head: { ...moved, limitNs }, closed, gone, marks, near: all };
}

function piecesOf(near: NearSegment, rate: Rate): SegmentPart[] {
  const { segment, holes } = near;
  return withoutRows([{ from: segment.firstRow, to: segment.firstRow + segment.rows }], holes).map(({ from, to }) => ({
    near,
    from,
    to,
    startNs: timeWithin(segment, rate, from),
    endNs: timeWithin(segment, rate, to),
  }));
}

/** The end of the newest segment, from which rows go on though its last ones were removed. */
function endOf(near: readonly NearSegment[], newest: Segment | null, rate: Rate): SegmentPart[] {
  const own = newest && near.find((each) => each.segment.firstRow === newest.firstRow);
  if (!own) return [];
  const to = newest.firstRow + newest.rows;
  const endNs = timeWithin(newest, rate, to);
  return [{ near: own, from: to, to, startNs: endNs, endNs }];
}

/** Where the first row goes. `grid`: the piece that it goes on from. */
function startOf(
  head: TimeHead,
  clock: Clock,
  { startNs, gaps, field }: Run,
  pieces: readonly SegmentPart[],
): { readonly startNs: bigint; readonly grid: SegmentPart | null } {
  if (startNs === null) {
    const last = pieces.at(-1) ?? null;
    return { startNs: last?.endNs ?? clock.startNs ?? 0n, grid: last };
  }
  let best: { readonly piece: SegmentPart; readonly off: bigint } | null = null;
  for (const piece of pieces) {
    const { expectedNs, allowedNs } = expectation(piece.near.segment, lastMark(piece), piece.to, clock, gaps);
    const off = distance(startNs, expectedNs);
    if (off <= allowedNs) {
      const isBetter = !best || off < best.off || (off === best.off && piece.to === head.rows);
      if (isBetter) best = { piece, off };
    } else if (startNs > expectedNs && startNs < piece.endNs && startNs > piece.startNs) {
      // The clock says later, but the rows before it have been counted beyond.
      return { startNs: piece.endNs, grid: null };
    }
  }
  if (best) return { startNs: best.piece.endNs, grid: best.piece };
  refuseBehind(clock, { startNs, gaps, field }, pieces);
  return { startNs, grid: null };
}

/** The last clock mark of the rows of a piece. */
function lastMark({ near, to }: SegmentPart): ClockMark | null {
  return near.marks.findLast(({ row }) => row < to) ?? null;
}

/**
 * There may be room on the grid behind rows whose clock says that it is later already.
 * @throws unprocessable `overlap`
 */
function refuseBehind(
  clock: Clock,
  { startNs, gaps, field }: { readonly startNs: bigint; readonly gaps?: GapRule; readonly field: string },
  pieces: readonly SegmentPart[],
): void {
  const before = pieces.findLast((piece) => piece.from < piece.to && piece.startNs < startNs);
  if (!before) return;
  const { expectedNs, allowedNs } = expectation(before.near.segment, lastMark(before), before.to, clock, gaps);
  if (startNs < before.endNs || startNs >= expectedNs - allowedNs) return;
  const message = `the rows before say by their own clock that the next one is at ${formatTime(expectedNs)}; leave the start out, or give the series a wider start_tolerance`;
  throw unprocessableField(field, message, 'overlap');
}

function onGrid({ near: { segment }, to }: SegmentPart, rate: Rate, firstRow: number, rows: number): Segment {
  const skip = (segment.skip ?? 0) + to - segment.firstRow;
  return { firstRow, startNs: timeWithin(segment, rate, to), rows, skip };
}

/** What is left of a segment. */
function partsOf({ segment, holes, marks }: NearSegment, rate: Rate, cut: readonly RowRange[]): NearSegment[] {
  return withoutRows([{ from: segment.firstRow, to: segment.firstRow + segment.rows }], cut).map((range) => ({
    segment: partOfSegment(segment, rate, range),
    holes: clipRows(holes, range),
    marks: marks.filter(({ row }) => row >= range.from && row < range.to),
  }));
}

function marksNear(
  head: TimeHead,
  clock: Clock,
  run: Run,
  { grid, isSame }: { readonly grid: SegmentPart | null; readonly isSame: boolean },
): ClockMark[] {
  if (isSame) return marksOf(head, clock, run, head.segment);
  const marks = marksOf(head, clock, run, null);
  const known = grid && lastMark(grid);
  if (!known || run.startNs !== null) return marks;
  // Rows that go on without a stamp lie where the last stamp lets expect them. The next stamp is compared with that.
  const { segment } = grid.near;
  return [{ row: head.rows, ns: expectation(segment, known, grid.to, clock, run.gaps).expectedNs }, ...marks];
}

/** @throws unprocessable `overlap` */
function refuseOverlap(
  { firstNs, endNs }: { readonly firstNs: bigint; readonly endNs: bigint },
  { rate, startTolerance }: Clock,
  run: Run,
  pieces: readonly SegmentPart[],
  head: TimeHead,
): void {
  // The tolerance is less than half a sample here, whatever it is elsewhere. So between rows there is room for no more
  // than were there.
  const tolerance = larger(toleranceNs(rate, startTolerance), ROUNDING_NS);
  const slack = smaller(tolerance, larger(halfPeriodNs(rate) - ROUNDING_NS, 0n));
  const touched = pieces.filter((piece) => piece.startNs + slack < endNs && piece.endNs - slack > firstNs);
  if (touched.length === 0) return;
  const from = larger(touched[0].startNs, firstNs);
  const to = smaller(touched[touched.length - 1].endNs, endNs);
  throw overlap(run, { from, to }, head.lastNs);
}

function overlap(
  { field, startNs }: Run,
  { from, to }: { from: bigint; to: bigint },
  lastNs: bigint | null,
): VarveError {
  const [start, end] = [from, to].map(formatTime);
  const isLate = startNs !== null && lastNs !== null && startNs <= lastNs;
  const hint = isLate
    ? '; to go on after the newest row, leave the start out, or give the series a wider start_tolerance'
    : '';
  const message = `the rows would lie over data from ${start} to ${end}: PUT …/samples?start=${start}&end=${end} replaces those, DELETE makes room${hint}`;
  return unprocessableField(field, message, 'overlap');
}

/** @throws unprocessable naming the field */
function refuseBeyond(segment: Segment, rate: Rate, field: string): void {
  if (segmentEndNs(segment, rate) <= TIME_MAX + 1n) return;
  throw unprocessableField(field, 'the rows would end after the year 2261, the last that has times');
}
