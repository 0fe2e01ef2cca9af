/** What the fields of one column of a table are, over the whole file. */
import { INT64_MIN } from '../../core/time.ts';
import { datesOf, DAY_NS, elapsedNs, NUMERIC_ORDERS, splitMoment, type DateOrder } from '../text/civil-time.ts';
import { isMissingText, isNoNumber, plainNumber, truthOf, type NumberStyle } from '../text/number-style.ts';
import type { FieldPlace } from './table-place.ts';

/** Texts of a column are told apart up to this many. */
const MAX_DISTINCT = 2000;
/** Fields that are no numbers are told with their lines up to this many. */
const MAX_TOLD = 20;
const WHOLE = /^[+-]?\d+$/;
const SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/** Counts of a column's fields, and the first of each kind that must be named if it is in the way. */
export class ColumnProfile {
  readonly #style: NumberStyle;
  readonly #otherStyle: NumberStyle;
  /** Fields that hold something. */
  cells = 0;
  empty = 0;
  numbers = 0;
  infinite = 0;
  /** Numbers without a fraction, by digits alone. */
  whole = 0;
  min: bigint | null = null;
  max: bigint | null = null;
  /** Digits before the point of all numbers: fewest and most. */
  leastDigits = Infinity;
  mostDigits = 0;
  truths = 0;
  zeroOrOne = 0;
  /** `>1000` and the like, and other texts. */
  noNumbers = 0;
  words = 0;
  moments = 0;
  dated = 0;
  clocked = 0;
  /** Clocks that show midnight, as spreadsheets add it to a date. */
  midnights = 0;
  zoned = 0;
  elapsed = 0;
  /** Elapsed times of a day or more, which no clock shows. */
  pastDay = 0;
  halves = 0;
  firstElapsedNs: bigint | null = null;
  /** Orders in which every date so far is one; null: there is none yet. */
  orders: ReadonlySet<DateOrder> | null = null;
  /** A date that means another day in another of the orders. */
  unclear: FieldPlace | null = null;
  /** The first date that fits none of the orders of those before it. */
  clash: FieldPlace | null = null;
  firstWord: FieldPlace | null = null;
  /** The first number in the style of other countries. */
  otherNumber: FieldPlace | null = null;
  readonly odd: FieldPlace[] = [];
  readonly distinct = new Set<string>();
  #lastDate = '';

  constructor(style: NumberStyle) {
    this.#style = style;
    this.#otherStyle = { decimal: style.decimal === '.' ? ',' : '.' };
  }

  add(text: string, line: number): void {
    if (isMissingText(text)) {
      this.empty++;
      return;
    }
    this.cells++;
    if (this.distinct.size <= MAX_DISTINCT && (this.words > 0 || this.cells < MAX_DISTINCT)) this.distinct.add(text);
    const number = plainNumber(text, this.#style);
    if (number !== undefined) return this.#addNumber(number);
    if (truthOf(text) !== undefined) {
      this.truths++;
      return;
    }
    const moment = splitMoment(text);
    if (moment) {
      this.moments++;
      const elapsed = moment.date === null ? elapsedNs(text) : undefined;
      if (elapsed !== undefined) {
        this.elapsed++;
        this.firstElapsedNs ??= elapsed;
        if (elapsed >= DAY_NS) this.pastDay++;
      }
      if (moment.clockNs !== null) this.clocked++;
      if (moment.clockNs === 0n) this.midnights++;
      if (moment.half) this.halves++;
      if (moment.offsetMs !== null) this.zoned++;
      if (moment.date !== null) {
        this.dated++;
        this.#addDate(moment.date, { line, text });
      }
      return;
    }
    const elapsed = elapsedNs(text);
    if (elapsed !== undefined) {
      this.moments++;
      this.elapsed++;
      this.firstElapsedNs ??= elapsed;
      if (elapsed >= DAY_NS) this.pastDay++;
      return;
    }
    if (isNoNumber(text)) this.noNumbers++;
    else {
      this.words++;
      this.firstWord ??= { line, text };
      if (plainNumber(text, this.#otherStyle) !== undefined) this.otherNumber ??= { line, text };
    }
    if (this.odd.length < MAX_TOLD) this.odd.push({ line, text });
  }

  /** True where numbers are what the column is about, whatever stands between them. */
  get isNumeric(): boolean {
    return this.numbers > 0 && this.moments + this.truths === 0 && this.words <= this.numbers;
  }

  get isTruth(): boolean {
    return this.cells > 0 && this.truths === this.cells;
  }

  get isMoment(): boolean {
    return this.cells > 0 && this.dated === this.cells;
  }

  get isClock(): boolean {
    return this.cells > 0 && this.clocked === this.cells && this.dated === 0 && this.pastDay === 0;
  }

  get isElapsed(): boolean {
    return this.cells > 0 && this.elapsed === this.cells;
  }

  /** Whole numbers all through. */
  get isWhole(): boolean {
    return this.numbers > 0 && this.whole === this.numbers;
  }

  /** True where a number is missing somewhere. */
  get hasHoles(): boolean {
    return this.empty + this.noNumbers + this.words > 0;
  }

  /** True where float64 holds each of the whole numbers. */
  get isSafe(): boolean {
    return this.min !== null && this.max !== null && this.min >= -SAFE && this.max <= SAFE;
  }

  /** True where int64 holds them, and has a value left for what is missing. */
  get fitsInt64(): boolean {
    const least = this.hasHoles ? INT64_MIN + 1n : INT64_MIN;
    return this.min !== null && this.max !== null && this.min >= least && this.max < 2n ** 63n;
  }

  get fitsUint64(): boolean {
    const most = this.hasHoles ? 2n ** 64n - 2n : 2n ** 64n - 1n;
    return this.min !== null && this.max !== null && this.min >= 0n && this.max <= most;
  }

  #addNumber(number: string): void {
    this.numbers++;
    if (number.endsWith('inf')) {
      this.infinite++;
      return;
    }
    const digits = number.replace(/^[+-]?0*/, '').search(/\D|$/);
    if (digits < this.leastDigits) this.leastDigits = digits;
    if (digits > this.mostDigits) this.mostDigits = digits;
    // Negative zero is a number of floats.
    if (!WHOLE.test(number) || /^-0+$/.test(number) || number.length > 40) return;
    this.whole++;
    const value = BigInt(number.replace('+', ''));
    if (this.min === null || value < this.min) this.min = value;
    if (this.max === null || value > this.max) this.max = value;
  }

  #addDate(date: string, place: FieldPlace): void {
    if (date === this.#lastDate) return;
    this.#lastDate = date;
    const found = datesOf(date);
    const orders = Object.keys(found) as DateOrder[];
    const before = this.orders;
    const left = before === null ? orders : orders.filter((order) => before.has(order));
    if (left.length === 0) {
      this.clash ??= place;
      return;
    }
    this.orders = new Set(left);
    const days = new Set(NUMERIC_ORDERS.flatMap((order) => found[order] ?? []));
    if (days.size > 1) this.unclear ??= place;
  }
}
