/**
 * Count, minimum, maximum, sum and spread of numbers, in slots that can be merged. They are right to the last digits,
 * however large the numbers are beside their spread:
 * - A sum is two doubles; the second is what rounding took from the first. It is exact for whole numbers up to 2^105,
 *   and for others as good as in twice the precision. See Neumaier, Rundungsfehleranalyse einiger Verfahren zur
 *   Summation endlicher Summen, 1974. The addition that tells its own error is Knuth's, The Art of Computer Programming
 *   2, section 4.2.2.
 * - Squares are of distances from a number near the mean, less what is left of their sum (the corrected two-pass
 *   algorithm). Two sets of squares are merged by their means. See Chan, Golub & LeVeque, Updating Formulae and a
 *   Pairwise Algorithm for Computing Sample Variances, 1979; Welford's method, 1962, is its case of one number. Means
 *   are kept as distances from a shift, so that large means lose no digits.
 * - 64-bit integers are never rounded to doubles before they are added or subtracted.
 */
import { DTYPES, isBigDtype, type SampleArray } from './dtype.ts';
import { nearestNumber } from './fraction.ts';
import { blankMissing, type RowShape } from './missing-value.ts';

export type Extremes = Float64Array | BigInt64Array | BigUint64Array;

/** Values that are widened to float64 at a time. */
const SLAB_VALUES = 16 * 1024;
/** The halves of this many 64-bit integers can be added as doubles. */
const MOST_HALVES = 2 ** 20;
/**
 * Beyond these the sums or the squares of float64 would leave its range. So they are computed from the numbers times a
 * power of two.
 */
const [HUGE, TINY] = [2 ** 480, 2 ** -450];
const [DOWN, UP] = [2 ** -600, 2 ** 900];

/** What is known of numbers: all that moments are made of. Sums and squares are of the numbers times {@link scaleFor}. */
export interface KnownNumbers {
  readonly count: number;
  readonly min: number | bigint;
  readonly max: number | bigint;
  /** Two doubles that make the sum. */
  readonly sum: number;
  readonly low: number;
  /** Sum of the squares of the distances from the mean. */
  readonly squares: number;
}

/** The power of two that numbers from `low` to `high` are multiplied with. */
export function scaleFor(low: number, high: number): number {
  const most = Math.max(-low, high);
  if (most < HUGE && (most > TINY || most === 0)) return 1;
  return most >= HUGE ? DOWN : UP;
}

export class Moments {
  /** Values that are neither NaN nor the missing value. */
  readonly counts: Float64Array;
  /**
   * Minima in float64, which holds all types exactly but 64-bit integers; these are kept as they are. Without meaning
   * where the count is 0.
   */
  readonly mins: Extremes;
  readonly maxs: Extremes;
  readonly #shape: RowShape;
  readonly #isWhole: boolean;
  readonly #isNarrow: boolean;
  readonly #sums: Float64Array;
  readonly #lows: Float64Array;
  readonly #spread: {
    readonly shifts: Extremes;
    readonly offsets: Float64Array;
    readonly squares: Float64Array;
  } | null;
  /** A 64-bit integer and its halves. */
  readonly #word: { readonly whole: BigInt64Array | BigUint64Array; readonly halves: Int32Array };
  /** Turned over in the upper half of unsigned 64-bit integers, so that it compares as a signed one. */
  readonly #flip: number;
  /** Halves of the missing value, if there is one and values are 64-bit integers. */
  readonly #missing: Int32Array | null;
  #slab: Float64Array | null = null;

  /**
   * @param shape what the rows are made of
   * @param slots for one channel each
   * @param withSpread whether {@link deviation} will be asked for: it takes a second look at every value
   */
  constructor(shape: RowShape, slots: number, withSpread: boolean) {
    const { dtype, missingValue } = shape;
    const isBig = isBigDtype(dtype);
    const extremes = (): Extremes => new (isBig ? DTYPES[dtype].array : Float64Array)(slots) as Extremes;
    this.#shape = shape;
    this.#isWhole = DTYPES[dtype].kind === 'int';
    this.#isNarrow = DTYPES[dtype].bytes <= 2;
    this.counts = new Float64Array(slots);
    this.mins = extremes();
    this.maxs = extremes();
    this.#sums = new Float64Array(slots);
    this.#lows = new Float64Array(slots);
    this.#spread = withSpread
      ? { shifts: extremes(), offsets: new Float64Array(slots), squares: new Float64Array(slots) }
      : null;
    const whole = dtype === 'uint64' ? new BigUint64Array(1) : new BigInt64Array(1);
    this.#word = { whole, halves: new Int32Array(whole.buffer) };
    this.#flip = dtype === 'uint64' ? 2 ** 31 : 0;
    this.#missing = typeof missingValue === 'bigint' ? new Int32Array(BigInt64Array.of(missingValue).buffer) : null;
  }

  clear(): void {
    this.counts.fill(0);
  }

  /** Adds rows × channels of the shape, raw, to the first slots. */
  addRows(values: SampleArray): void {
    const { dtype, channels, missingValue } = this.#shape;
    if (isBigDtype(dtype)) {
      this.addHalves(
        0,
        channels,
        new Int32Array(values.buffer, values.byteOffset, values.length * 2),
        0,
        values.length,
      );
      return;
    }
    // One type of array for the inner loop: over ten types it would be compiled for none.
    const most = Math.max(Math.min(SLAB_VALUES, values.length), channels); // a slow sensor has few, and a new slab for each chunk
    if (!this.#slab || this.#slab.length < most) this.#slab = new Float64Array(most);
    const slab = this.#slab;
    const step = Math.floor(slab.length / channels) * channels;
    for (let at = 0; at < values.length; at += step) {
      const count = Math.min(step, values.length - at);
      const part = slab.subarray(0, count);
      part.set((values as Float64Array).subarray(at, at + count));
      if (missingValue !== null) blankMissing(part, missingValue as number);
      this.addNumbers(0, channels, part, 0, count);
    }
  }

  /**
   * @param first slot of the first channel
   * @param values whole rows `[from, to)`, widened to float64, with NaN in the place of the missing value
   */
  addNumbers(first: number, channels: number, values: Float64Array, from: number, to: number): void {
    if (this.#isNarrow) {
      this.#addNarrow(first, channels, values, from, to);
      return;
    }
    for (let c = 0; c < channels; c++) {
      let [count, sum, low] = [0, 0, 0];
      let [min, max] = [Infinity, -Infinity];
      for (let i = from + c; i < to; i += channels) {
        const value = values[i];
        if (value !== value) continue; // NaN
        count++;
        const next = sum + value;
        const part = next - sum;
        low += sum - (next - part) + (value - part);
        sum = next;
        if (value < min) min = value;
        if (value > max) max = value;
      }
      if (count === 0) continue;
      const scale = scaleFor(min, max);
      if (scale !== 1) [sum, low] = scaledSum(values, from + c, to, channels, scale);
      if (!Number.isFinite(sum)) low = 0;
      let [shift, offset, squares] = [0, 0, 0];
      if (this.#spread) {
        shift = Math.min(max * scale, Math.max(min * scale, (sum + low) / count));
        let rest = 0;
        for (let i = from + c; i < to; i += channels) {
          const value = values[i];
          if (value !== value) continue;
          const distance = value * scale - shift;
          rest += distance;
          squares += distance * distance;
        }
        offset = rest / count;
        squares -= rest * offset;
      }
      this.#add(first + c, count, sum, low, min, max, scale, shift, offset, squares);
    }
  }

  /**
   * Adds integers of at most 16 bits. Their sums and squares are exact in doubles, so one look at each value is enough:
   * 2 instead of 10 ns.
   */
  #addNarrow(first: number, channels: number, values: Float64Array, from: number, to: number): void {
    for (let c = 0; c < channels; c++) {
      let [count, sum, squares] = [0, 0, 0];
      let [min, max] = [Infinity, -Infinity];
      for (let i = from + c; i < to; i += channels) {
        const value = values[i];
        if (value !== value) continue; // NaN
        count++;
        sum += value;
        squares += value * value;
        if (value < min) min = value;
        if (value > max) max = value;
      }
      if (count === 0) continue;
      if (!this.#spread) {
        this.#add(first + c, count, sum, 0, min, max, 1, 0, 0, 0);
        continue;
      }
      // Σ(x − mean)² = (n Σx² − (Σx)²) / n; its difference is taken with all digits.
      const [whole, wholeRest] = exactProduct(count, squares);
      const [square, squareRest] = exactProduct(sum, sum);
      const [shift, offset] = meanOf(count, sum, 0, false);
      const distances = (whole - square + (wholeRest - squareRest)) / count;
      this.#add(first + c, count, sum, 0, min, max, 1, shift, offset, distances);
    }
  }

  /**
   * 64-bit integers as pairs of 32-bit halves: making a bigint of each would take many times as long.
   * @param first slot of the first channel
   * @param halves whole rows; `[from, to)` counts whole values
   */
  addHalves(first: number, channels: number, halves: Int32Array, from: number, to: number): void {
    const step = MOST_HALVES * channels;
    for (let at = from; at < to; at += step) {
      const end = Math.min(to, at + step);
      for (let c = 0; c < channels; c++) this.#addHalves(first + c, halves, at + c, end, channels);
    }
  }

  #addHalves(slot: number, halves: Int32Array, from: number, to: number, step: number): void {
    const flip = this.#flip;
    const missing = this.#missing;
    const unsign = flip === 0 ? 0 : 2 ** 31;
    let [count, sumHigh, sumLow] = [0, 0, 0];
    let [minHigh, minLow, maxHigh, maxLow] = [2 ** 31 - 1, 2 ** 32 - 1, -(2 ** 31), 0];
    // Values are added run by run between missing values. A comparison more in the inner loop would be paid for every
    // series.
    for (let begin = from, stop: number; begin < to; begin = stop + step) {
      stop = missing ? nextOf(missing, halves, begin, to, step) : to;
      for (let i = begin; i < stop; i += step) {
        const low = halves[2 * i] >>> 0;
        const high = halves[2 * i + 1] ^ flip;
        count++;
        sumHigh += high + unsign;
        sumLow += low;
        if (high < minHigh || (high === minHigh && low < minLow)) {
          minHigh = high;
          minLow = low;
        }
        if (high > maxHigh || (high === maxHigh && low > maxLow)) {
          maxHigh = high;
          maxLow = low;
        }
      }
    }
    if (count === 0) return;
    let [shift, offset, squares] = [0n, 0, 0];
    if (this.#spread) {
      shift = ((BigInt(sumHigh) << 32n) + BigInt(sumLow)) / BigInt(count);
      const { whole, halves: word } = this.#word;
      whole[0] = shift;
      const [centreLow, centreHigh] = [word[0] >>> 0, word[1] ^ flip];
      let rest = 0;
      for (let begin = from, stop: number; begin < to; begin = stop + step) {
        stop = missing ? nextOf(missing, halves, begin, to, step) : to;
        for (let i = begin; i < stop; i += step) {
          const distance = ((halves[2 * i + 1] ^ flip) - centreHigh) * 2 ** 32 + ((halves[2 * i] >>> 0) - centreLow);
          rest += distance;
          squares += distance * distance;
        }
      }
      offset = rest / count;
      squares -= rest * offset;
    }
    const upper = sumHigh * 2 ** 32;
    const sum = upper + sumLow;
    const [min, max] = [this.#wordOf(minHigh, minLow), this.#wordOf(maxHigh, maxLow)];
    this.#add(slot, count, sum, sumLow - (sum - upper), min, max, 1, shift, offset, squares);
  }

  #wordOf(high: number, low: number): bigint {
    const { whole, halves } = this.#word;
    halves[0] = low;
    halves[1] = high ^ this.#flip;
    return whole[0];
  }

  /** Adds what another one has in a slot. */
  addMoments(slot: number, other: Moments, from: number): void {
    const count = other.counts[from];
    if (count === 0) return;
    const [min, max] = [other.mins[from], other.maxs[from]];
    const spread = other.#spread;
    const scale = other.#scaleOf(from);
    const [sum, low] = [other.#sums[from], other.#lows[from]];
    if (!spread) this.#add(slot, count, sum, low, min, max, scale, 0, 0, 0);
    else {
      const { shifts, offsets, squares } = spread;
      this.#add(slot, count, sum, low, min, max, scale, shifts[from], offsets[from], squares[from]);
    }
  }

  /** What is known of a slot. */
  tell(slot: number): KnownNumbers {
    return {
      count: this.counts[slot],
      min: this.mins[slot],
      max: this.maxs[slot],
      sum: this.#sums[slot],
      low: this.#lows[slot],
      squares: this.#spread ? this.#spread.squares[slot] : NaN,
    };
  }

  /** Adds what is known of rows that are not looked at. */
  addTold(slot: number, { count, min, max, sum, low, squares }: KnownNumbers): void {
    if (count === 0) return;
    const isBig = typeof min === 'bigint';
    const scale = isBig ? 1 : scaleFor(min, max as number);
    const [shift, offset] = this.#spread ? meanOf(count, sum, low, isBig) : [0, 0];
    this.#add(slot, count, sum, low, min, max, scale, shift, offset, squares);
  }

  #scaleOf(slot: number): number {
    const { mins, maxs } = this;
    return mins instanceof Float64Array ? scaleFor(mins[slot], (maxs as Float64Array)[slot]) : 1;
  }

  #add(
    slot: number,
    count: number,
    sum: number,
    low: number,
    min: number | bigint,
    max: number | bigint,
    scale: number,
    shift: number | bigint,
    offset: number,
    squares: number,
  ): void {
    const had = this.counts[slot];
    if (had === 0) {
      this.mins[slot] = min;
      this.maxs[slot] = max;
      this.#sums[slot] = sum;
      this.#lows[slot] = low;
      if (this.#spread) {
        this.#spread.shifts[slot] = shift;
        this.#spread.offsets[slot] = offset;
        this.#spread.squares[slot] = squares;
      }
    } else {
      const before = this.#scaleOf(slot);
      if (min < this.mins[slot]) this.mins[slot] = min;
      if (max > this.maxs[slot]) this.maxs[slot] = max;
      const after = this.#scaleOf(slot);
      if (before !== after) this.#rescale(slot, after / before);
      const ratio = after / scale;
      if (this.#spread) {
        const { shifts, offsets, squares: all } = this.#spread;
        const between =
          typeof shift === 'bigint'
            ? Number(shift - (shifts[slot] as bigint))
            : shift * ratio - (shifts[slot] as number);
        const distance = between + (offset * ratio - offsets[slot]);
        const total = had + count;
        all[slot] += squares * ratio * ratio + distance * distance * ((had / total) * count);
        offsets[slot] += distance * (count / total);
      }
      this.#addToSum(slot, sum * ratio);
      this.#addToSum(slot, low * ratio);
    }
    this.counts[slot] = had + count;
  }

  #rescale(slot: number, ratio: number): void {
    this.#sums[slot] *= ratio;
    this.#lows[slot] *= ratio;
    if (!this.#spread) return;
    const { shifts, offsets, squares } = this.#spread;
    (shifts as Float64Array)[slot] *= ratio;
    offsets[slot] *= ratio;
    squares[slot] = squares[slot] * ratio * ratio; // the square of the ratio itself may be infinite
  }

  #addToSum(slot: number, value: number): void {
    const sum = this.#sums[slot];
    const next = sum + value;
    const part = next - sum;
    const low = this.#lows[slot] + (sum - (next - part) + (value - part));
    const all = next + low;
    this.#sums[slot] = all;
    this.#lows[slot] = Number.isFinite(all) ? low - (all - next) : 0;
    if (!Number.isFinite(next)) this.#sums[slot] = next;
  }

  /** The sum. For integers it is exact, a bigint past 2^53; for floats it is the nearest double. */
  sum(slot: number): number | bigint {
    const sum = this.#sums[slot] + this.#lows[slot];
    if (!this.#isWhole) return sum / this.#scaleOf(slot);
    return Number.isSafeInteger(sum) ? sum : this.#wholeSum(slot);
  }

  #wholeSum(slot: number): bigint {
    return BigInt(this.#sums[slot]) + BigInt(this.#lows[slot]);
  }

  /**
   * The mean. For integers it is the nearest double, and never outside of minimum and maximum. NaN where nothing
   * counts.
   */
  mean(slot: number): number {
    const count = this.counts[slot];
    if (count === 0) return NaN;
    const sum = this.#sums[slot] + this.#lows[slot];
    const isExact = this.#lows[slot] === 0 || !this.#isWhole;
    const mean = isExact ? sum / count / this.#scaleOf(slot) : nearestNumber(this.#wholeSum(slot), BigInt(count));
    return Math.min(Number(this.maxs[slot]), Math.max(Number(this.mins[slot]), mean));
  }

  /** The standard deviation of a sample (n − 1); NaN of less than two values. */
  deviation(slot: number): number {
    const count = this.counts[slot];
    if (count < 2 || !this.#spread) return NaN;
    // Rounding may leave a little less than nothing.
    const squares = Math.max(0, this.#spread.squares[slot]);
    return Math.sqrt(squares / (count - 1)) / this.#scaleOf(slot);
  }
}

/** The mean as a number and what is left of it, as {@link Moments} keep it. */
function meanOf(count: number, sum: number, low: number, isBig: boolean): [number | bigint, number] {
  if (isBig) {
    const whole = BigInt(sum) + BigInt(low);
    const mean = whole / BigInt(count);
    return [mean, Number(whole - mean * BigInt(count)) / count];
  }
  const mean = (sum + low) / count;
  const [product, rest] = exactProduct(mean, count);
  return [mean, Number.isFinite(product) ? (sum - product + (low - rest)) / count : 0];
}

/** Takes a double apart into halves whose products are exact. */
const SPLITTER = 2 ** 27 + 1;

/**
 * A product, and what rounding took from it.
 * Dekker, A floating-point technique for extending the available precision, 1971. @param a at most 2^990
 */
export function exactProduct(a: number, b: number): [number, number] {
  const product = a * b;
  if (!Number.isFinite(product)) return [product, 0];
  const [bigA, bigB] = [a * SPLITTER, b * SPLITTER];
  const [highA, highB] = [bigA - (bigA - a), bigB - (bigB - b)];
  const [lowA, lowB] = [a - highA, b - highB];
  return [product, lowA * lowB - (product - highA * highB - lowA * highB - highA * lowB)];
}

/** The sum of numbers times a power of two, and what rounding took from it. */
function scaledSum(values: Float64Array, from: number, to: number, step: number, scale: number): [number, number] {
  let [sum, low] = [0, 0];
  for (let i = from; i < to; i += step) {
    const value = values[i] * scale;
    if (value !== value) continue;
    const next = sum + value;
    const part = next - sum;
    low += sum - (next - part) + (value - part);
    sum = next;
  }
  return [sum, low];
}

/** The next place at which these halves are, or the first that is not before the end. */
function nextOf([low, high]: Int32Array, halves: Int32Array, begin: number, end: number, step: number): number {
  let i = begin;
  while (i < end && (halves[2 * i] !== low || halves[2 * i + 1] !== high)) i += step;
  return i;
}
