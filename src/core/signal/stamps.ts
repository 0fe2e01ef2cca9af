/**
 * Times that come with the rows of a regular series. They are heard, not stored. Within tolerance rows go on, and a
 * later time begins a run. What contradicts the rate or the order is refused.
 */
import { unprocessableField } from '../errors.ts';
import type { Clock, GapRule, Run } from './place-run.ts';
import { formatRate, halfPeriodNs, hasWholePeriod, nsOfRow, rateHz, type Rate } from './rate.ts';
import { toleranceNs } from './segment.ts';
import { distance, formatTime, isTime } from '../time.ts';

/** A time on a row of a body that says something new. */
export interface Stamp {
  /** Counted from the first row of the body. */
  readonly row: number;
  readonly ns: bigint;
  /** The row is the first of a run: after a gap, or the first that has a time. Else it is where a clock drifts to. */
  readonly begins: boolean;
  /** What it is called in the body. */
  readonly field: string;
}

/** A time that a row of a body has, counted from its first. */
export interface HeardTime {
  readonly row: number;
  readonly ns: bigint;
  /** It is so far from what the last stamp lets expect that it should be known to what comes next. */
  readonly isNews: boolean;
}

/** Rows at one distance, each for itself, that tell another rate: so few if they are near … */
const FEW_APART = 3;
/** … by periods of the series … */
const NEAR_PERIODS = 16n;
/** … else so many. */
const MANY_APART = 9;
/** Within a body, a clock is not faster or slower than by a hundredth: that would be another rate. */
const MOST_DRIFT_PART = 100n;
/** A time that differs from what is expected by a quarter of the tolerance says something new … */
const NEWS_PART = 4n;
/**
 * … and is a mark if so many rows have come since the last one, or if it is off by three quarters. So jitter does not
 * make a mark of every row.
 */
const ROWS_A_MARK = 64;
/** Runs of one body: each gap is a row of the catalog. */
export const MOST_RUNS = 10_000;

/** Follows the times of a body, row by row. */
export class StampFollower {
  readonly #rate: Rate;
  readonly #gaps: GapRule;
  readonly #tolerance: bigint;
  /** How much too early a time may be. */
  readonly #early: bigint;
  #stamps: Stamp[] = [];
  #last: HeardTime | null = null;
  #begin: HeardTime | null = null;
  /** The row before that has a time, and how far apart rows have been that stood each for itself. */
  #before: HeardTime | null = null;
  #apart = 0n;
  #alone = 0;
  #runs = 0;

  /** @param samples the start tolerance of the series */
  constructor(rate: Rate, samples?: number | null, gaps: GapRule = 'likely') {
    this.#rate = rate;
    this.#gaps = gaps;
    this.#tolerance = rowTolerance({ rate, startTolerance: samples }, gaps);
    // Rows that were stored may be nearer to each other by half a sample, where a segment ends.
    this.#early = gaps === 'exact' ? halfPeriodNs(rate) : this.#tolerance;
  }

  /**
   * @param row counted from the first of the body; rows come in order, some may have no time
   * @throws unprocessable `time-contradicts`, `too-many-gaps` naming the field
   */
  add(row: number, ns: bigint, field: () => string): void {
    const last = this.#last;
    const before = this.#before;
    this.#before = { row, ns, isNews: false };
    if (!last || !before) return this.#start(row, ns, field);
    const off = ns - last.ns - nsOfRow(this.#rate, row - last.row);
    if (off < -this.#early || ns < before.ns) {
      const what = ns <= before.ns ? 'does not come after' : 'comes too soon after';
      const message = `${formatTime(ns)} ${what} ${formatTime(before.ns)}, the time before it: the series has ${this.#hz()}`;
      throw unprocessableField(field(), message, 'time-contradicts');
    }
    if (distance(off, 0n) > this.#tolerance) {
      if (this.#gaps === 'likely') this.#checkApart(row - before.row, ns - before.ns, field);
      return this.#start(row, ns, field);
    }
    this.#alone = 0;
    this.#checkDrift(row, ns, field);
    const away = distance(off, 0n);
    if (away * NEWS_PART <= this.#tolerance || away <= 1n) return;
    if (row - last.row < ROWS_A_MARK && away * NEWS_PART <= this.#tolerance * 3n) {
      this.#before = { row, ns, isNews: true };
      return;
    }
    this.#last = this.#before;
    this.#stamps.push({ row, ns, begins: false, field: field() });
  }

  /** The last time. */
  get heard(): HeardTime | null {
    return this.#before;
  }

  /** Stamps since this was asked last. */
  take(): Stamp[] {
    const stamps = this.#stamps;
    this.#stamps = [];
    return stamps;
  }

  #start(row: number, ns: bigint, field: () => string): void {
    if (++this.#runs > MOST_RUNS) {
      const message = `is behind the gap number ${MOST_RUNS} of the body; send fewer in one append`;
      throw unprocessableField(field(), message, 'too-many-gaps');
    }
    this.#last = this.#begin = { row, ns, isNews: false };
    this.#stamps.push({ row, ns, begins: true, field: field() });
  }

  /** Rows that are all as far apart are no gaps. */
  #checkApart(rows: number, apart: bigint, field: () => string): void {
    const isSame = this.#alone > 0 && rows === 1 && distance(apart, this.#apart) <= this.#tolerance + 1n;
    this.#alone = isSame ? this.#alone + 1 : 1;
    this.#apart = apart;
    const isNear = apart < NEAR_PERIODS * nsOfRow(this.#rate, 1);
    if (this.#alone + 1 < (isNear ? FEW_APART : MANY_APART)) return;
    const message = `rows are ${formatSeconds(apart)} s apart, one like the other; the series has ${this.#hz()}; if these are gaps, gaps=exact says so`;
    throw unprocessableField(field(), message, 'time-contradicts');
  }

  #checkDrift(row: number, ns: bigint, field: () => string): void {
    const passed = nsOfRow(this.#rate, row - this.#begin!.row);
    const off = distance(ns - this.#begin!.ns, passed);
    if (off <= this.#tolerance + passed / MOST_DRIFT_PART) return;
    const message = `rows take ${formatSeconds(ns - this.#begin!.ns)} s that take ${formatSeconds(passed)} s at the ${this.#hz()} of the series`;
    throw unprocessableField(field(), message, 'time-contradicts');
  }

  #hz(): string {
    const { den } = this.#rate;
    return `${den === 1n ? rateHz(this.#rate) : formatRate(this.#rate)} Hz`;
  }
}

function formatSeconds(ns: bigint): string {
  return String(Number(ns) / 1e9);
}

/** How far the time of a row may be from where the row before it lets expect it. */
function rowTolerance({ rate, startTolerance }: Pick<Clock, 'rate' | 'startTolerance'>, gaps: GapRule): bigint {
  const tolerance = gaps === 'exact' ? 0n : toleranceNs(rate, startTolerance);
  // Times are rounded down one by one: where a row takes less than 2 ns, that is more than half of it.
  return tolerance === 0n && !hasWholePeriod(rate) ? 1n : tolerance;
}

type OpenStampedRun = { -readonly [K in keyof Run]: Run[K] } & { readonly marks: { row: number; ns: bigint }[] };

/**
 * The runs of a body. Rows before the first that has a time are counted back from it, unless the request says when they begin.
 * @param startNs of its first row, as the request says; null: the body says it, or nobody
 * @throws unprocessable `time-contradicts` naming the first time, if it comes too soon after the start
 */
export function runsOfStamps(
  rows: number,
  startNs: bigint | null,
  stamps: readonly Stamp[],
  clock: Pick<Clock, 'rate' | 'startTolerance'>,
  gaps: GapRule = 'likely',
): Run[] {
  const runs: OpenStampedRun[] = [];
  const firsts: number[] = [];
  const begin = (row: number, ns: bigint | null, field: string, isCounted = false): void => {
    firsts.push(row);
    runs.push({ rows: 0, startNs: ns, marks: [], field, isCounted, gaps });
  };
  const [first] = stamps;
  const isLate = first !== undefined && first.row > 0;
  if (isLate && startNs === null) begin(0, countedBack(first, clock.rate), first.field, true);
  else if (!first?.begins || isLate) begin(0, startNs, 'start');
  const goesOn = isLate && (startNs === null || isExpected(first, startNs, clock, gaps));
  for (const stamp of stamps) {
    const { row, ns, begins, field } = stamp;
    if (begins && !(stamp === first && goesOn))
      begin(row, row === 0 ? (startNs ?? ns) : ns, row === 0 ? 'start' : field);
    else if (stamp !== first || !goesOn || isNewsFrom(stamp, startNs, clock, gaps))
      runs[runs.length - 1].marks.push({ row: row - firsts[firsts.length - 1], ns });
  }
  runs.forEach((run, i) => (run.rows = (firsts[i + 1] ?? rows) - firsts[i]));
  return runs;
}

/** Whether the first time of a body says more than its start does. */
function isNewsFrom(
  { row, ns }: Stamp,
  startNs: bigint | null,
  clock: Pick<Clock, 'rate' | 'startTolerance'>,
  gaps: GapRule,
): boolean {
  if (startNs === null) return true;
  const away = distance(ns, startNs + nsOfRow(clock.rate, row));
  return away > 1n && away * NEWS_PART > rowTolerance(clock, gaps);
}

/** The time of the first row of a body, from that of a later one. @throws unprocessable naming that */
function countedBack({ row, ns, field }: Stamp, rate: Rate): bigint {
  const startNs = ns - nsOfRow(rate, row);
  if (isTime(startNs)) return startNs;
  throw unprocessableField(field, 'the rows before it would begin before the year 1678, the first that has times');
}

/** Whether the first time of a body is where its start lets expect it; else there is a gap before it. */
function isExpected(
  { row, ns, field }: Stamp,
  startNs: bigint,
  clock: Pick<Clock, 'rate' | 'startTolerance'>,
  gaps: GapRule,
): boolean {
  const expectedNs = startNs + nsOfRow(clock.rate, row);
  const tolerance = rowTolerance(clock, gaps);
  if (ns >= expectedNs - tolerance && ns >= startNs) return ns <= expectedNs + tolerance;
  const message = `${formatTime(ns)} comes too soon after the start, ${formatTime(startNs)}: ${row} rows are between them`;
  throw unprocessableField(field, message, 'time-contradicts');
}
