/** What becomes of the rows of one cell: the inner loops of summaries, which run over every sample of a store. */
import { DTYPES, isBigDtype, type SampleArray } from './dtype.ts';
import type { RowShape } from './missing-value.ts';

/** By channel. */
export interface FoldedRows {
  /** Values that are neither NaN nor the missing value. */
  readonly counts: Uint32Array;
  readonly mins: SampleArray;
  readonly maxs: SampleArray;
  /** Irregular series: time of the first and of the last row. */
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
}

export class Fold implements FoldedRows {
  readonly counts: Uint32Array;
  readonly sums: Float64Array;
  /** float64, in which 32-bit numbers are exact; 64-bit integers as themselves. */
  readonly mins: Float64Array | BigInt64Array | BigUint64Array;
  readonly maxs: Float64Array | BigInt64Array | BigUint64Array;
  firstNs: bigint | null = null;
  lastNs: bigint | null = null;
  readonly #limits: { readonly low: number | bigint; readonly high: number | bigint };
  /** Of 64-bit integers, if there is a missing value: its halves. */
  readonly #missing: Int32Array | null;

  constructor({ dtype, channels, missingValue }: RowShape) {
    const array = isBigDtype(dtype) ? DTYPES[dtype].array : Float64Array;
    this.counts = new Uint32Array(channels);
    this.sums = new Float64Array(channels);
    this.mins = new array(channels) as Float64Array;
    this.maxs = new array(channels) as Float64Array;
    const { range } = DTYPES[dtype];
    this.#missing = typeof missingValue === 'bigint' ? new Int32Array(BigInt64Array.of(missingValue).buffer) : null;
    this.#limits = isBigDtype(dtype) ? { low: range!.min, high: range!.max } : { low: -Infinity, high: Infinity };
    this.clear();
  }

  clear(): void {
    this.counts.fill(0);
    this.sums.fill(0);
    (this.mins as Float64Array).fill(this.#limits.high as number);
    (this.maxs as Float64Array).fill(this.#limits.low as number);
    this.firstNs = this.lastNs = null;
  }

  /** Values `[from, to)`, whole rows; NaN in the place of the missing value. */
  addNumbers(values: Float64Array, from: number, to: number): void {
    const { counts, sums } = this;
    const mins = this.mins as Float64Array;
    const maxs = this.maxs as Float64Array;
    const channels = counts.length;
    for (let c = 0; c < channels; c++) {
      let count = 0;
      let sum = 0;
      let min = mins[c];
      let max = maxs[c];
      for (let i = from + c; i < to; i += channels) {
        const value = values[i];
        if (value !== value) continue; // NaN
        count++;
        sum += value;
        if (value < min) min = value;
        if (value > max) max = value;
      }
      counts[c] += count;
      sums[c] += sum;
      mins[c] = min;
      maxs[c] = max;
    }
  }

  /**
   * 64-bit integers `[from, to)`, whole rows, as pairs of 32-bit halves: making a bigint of each would take many times as long.
   * @param flip turned over in the upper half, so that it compares as a signed one: the sign bit for unsigned values, else 0
   */
  addHalves(halves: Int32Array, from: number, to: number, flip: number): void {
    const { counts, sums } = this;
    const mins = new Int32Array(this.mins.buffer);
    const maxs = new Int32Array(this.maxs.buffer);
    const channels = counts.length;
    const shift = flip === 0 ? 0 : 2 ** 31;
    const missing = this.#missing;
    for (let c = 0; c < channels; c++) {
      const end = to + c;
      // Run by run between missing values: a comparison more in the inner loop would be paid for every series.
      for (let begin = from + c, stop: number; begin < end; begin = stop + channels) {
        stop = missing ? nextOf(missing, halves, begin, end, channels) : end;
        let sum = 0;
        let minLow = mins[2 * c] >>> 0;
        let minHigh = mins[2 * c + 1] ^ flip;
        let maxLow = maxs[2 * c] >>> 0;
        let maxHigh = maxs[2 * c + 1] ^ flip;
        for (let i = begin; i < stop; i += channels) {
          const low = halves[2 * i] >>> 0;
          const high = halves[2 * i + 1] ^ flip;
          sum += (high + shift) * 2 ** 32 + low;
          if (high < minHigh || (high === minHigh && low < minLow)) {
            minHigh = high;
            minLow = low;
          }
          if (high > maxHigh || (high === maxHigh && low > maxLow)) {
            maxHigh = high;
            maxLow = low;
          }
        }
        counts[c] += (stop - begin) / channels;
        sums[c] += sum;
        mins[2 * c] = minLow;
        mins[2 * c + 1] = minHigh ^ flip;
        maxs[2 * c] = maxLow;
        maxs[2 * c + 1] = maxHigh ^ flip;
      }
    }
  }

  /** A finer cell. */
  addCell(cell: FoldedRows, sums: Float64Array): void {
    const [mins, maxs] = [this.mins as Float64Array, this.maxs as Float64Array];
    const [otherMins, otherMaxs] = [cell.mins as Float64Array, cell.maxs as Float64Array];
    for (let c = 0; c < this.counts.length; c++) {
      if (cell.counts[c] === 0) continue;
      this.counts[c] += cell.counts[c];
      this.sums[c] += sums[c];
      if (otherMins[c] < mins[c]) mins[c] = otherMins[c];
      if (otherMaxs[c] > maxs[c]) maxs[c] = otherMaxs[c];
    }
    this.firstNs ??= cell.firstNs;
    this.lastNs = cell.lastNs;
  }
}

/** The next place at which these halves are, or the first that is not before the end. */
function nextOf([low, high]: Int32Array, halves: Int32Array, begin: number, end: number, step: number): number {
  let i = begin;
  while (i < end && (halves[2 * i] !== low || halves[2 * i + 1] !== high)) i += step;
  return i;
}
