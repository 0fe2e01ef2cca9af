/** What a cell of a summary knows of its rows, as columns: all that moments can be made of again. */
import { doublesOf } from '../rows/chunk-stats.ts';
import { DTYPES, isBigDtype, viewAs, type Dtype, type SampleArray } from '../numbers/dtype.ts';
import type { RowShape } from '../numbers/missing-value.ts';
import { exactProduct, scaleFor, type Moments, type KnownNumbers } from '../numbers/moments.ts';

/** One number for each channel; or cells × channels, row-major. */
export interface CellColumns {
  /** Values that are neither NaN nor the missing value. */
  readonly counts: Uint32Array;
  /**
   * Minima in the series' dtype, exact. Where the count is 0, they are NaN, or the missing value of integers. Other
   * integers have no cells without values.
   */
  readonly mins: SampleArray;
  readonly maxs: SampleArray;
  /** Means of floats: the nearest number, NaN where the count is 0. Null for integers … */
  readonly means: Float64Array | null;
  /** … which have sums, exact. Null for floats. */
  readonly sums: Float64Array | null;
  /** For 64-bit integers, what doubles leave of the sums. Null for others. */
  readonly rests: Float64Array | null;
  /**
   * Standard deviations of the population (n), as parts of (max − min) / 2. They are 0 to 1, whatever the values are,
   * so that few bits do. NaN where the count is 0.
   */
  readonly spreads: Float32Array;
}

/** @param size cells × channels */
export function emptyCells(dtype: Dtype, size: number): CellColumns {
  const isFloat = DTYPES[dtype].kind === 'float';
  return {
    counts: new Uint32Array(size),
    mins: new DTYPES[dtype].array(size),
    maxs: new DTYPES[dtype].array(size),
    means: isFloat ? new Float64Array(size) : null,
    sums: isFloat ? null : new Float64Array(size),
    rests: isBigDtype(dtype) ? new Float64Array(size) : null,
    spreads: new Float32Array(size),
  };
}

/** The cells from one to another, as views. */
export function partOfCells(columns: CellColumns, from: number, to: number): CellColumns {
  const { means, sums, rests } = columns;
  return {
    counts: columns.counts.subarray(from, to),
    mins: columns.mins.subarray(from, to),
    maxs: columns.maxs.subarray(from, to),
    means: means && means.subarray(from, to),
    sums: sums && sums.subarray(from, to),
    rests: rests && rests.subarray(from, to),
    spreads: columns.spreads.subarray(from, to),
  };
}

/** Copies cells. @param at place of the first among those of `to` */
export function setCells(to: CellColumns, at: number, cells: CellColumns): void {
  to.counts.set(cells.counts, at);
  (to.mins as Float64Array).set(cells.mins as Float64Array, at);
  (to.maxs as Float64Array).set(cells.maxs as Float64Array, at);
  to.means?.set(cells.means!, at);
  to.sums?.set(cells.sums!, at);
  to.rests?.set(cells.rests!, at);
  to.spreads.set(cells.spreads, at);
}

/** Writes what moments know of all their slots. @param at place of the first */
export function writeCells(
  to: CellColumns,
  at: number,
  moments: Moments,
  { dtype, channels, missingValue }: RowShape,
): void {
  // What stands where no value counts.
  const none = DTYPES[dtype].kind === 'float' ? NaN : (missingValue ?? 0);
  for (let c = 0; c < channels; c++) {
    const { count, min, max, sum, low, squares } = moments.tell(c);
    const isSome = count > 0;
    to.counts[at + c] = count;
    to.mins[at + c] = isSome ? min : none;
    to.maxs[at + c] = isSome ? max : none;
    if (to.means) to.means[at + c] = moments.mean(c);
    if (to.sums) to.sums[at + c] = isSome ? sum : 0;
    if (to.rests) to.rests[at + c] = isSome ? low : 0;
    const half = isSome ? halfRange(min, max) : NaN;
    // Rounding may leave a little less than nothing.
    to.spreads[at + c] = half === 0 ? 0 : Math.sqrt(Math.max(0, squares) / count) / half;
  }
}

/** Half of the distance, times the scale of the numbers. */
function halfRange(min: number | bigint, max: number | bigint): number {
  if (typeof min === 'bigint') return Number((max as bigint) - min) / 2;
  const scale = scaleFor(min, max as number);
  return ((max as number) * scale - min * scale) / 2;
}

/** @returns null where no value counts */
export function toldOfCell(
  { counts, mins, maxs, means, sums, rests, spreads }: CellColumns,
  at: number,
): KnownNumbers | null {
  const count = counts[at];
  if (count === 0) return null;
  const [min, max] = [mins[at], maxs[at]];
  const scale = typeof min === 'bigint' ? 1 : scaleFor(min, max as number);
  const deviation = spreads[at] * halfRange(min, max);
  const [sum, low] = means ? exactProduct(means[at] * scale, count) : [sums![at], rests ? rests[at] : 0];
  return { count, min, max, sum, low, squares: deviation * deviation * count };
}

/** Sums as they are stored, int64. For 64-bit integers they are the lower and the upper half of 128 bits. */
export function halvesOfSums({ sums, rests }: CellColumns): { low: BigInt64Array; high: BigInt64Array } {
  const [low, high] = [new BigInt64Array(sums!.length), new BigInt64Array(sums!.length)];
  for (let i = 0; i < low.length; i++) {
    const whole = BigInt(sums![i]) + BigInt(rests ? rests[i] : 0);
    low[i] = BigInt.asIntN(64, whole);
    high[i] = whole >> 64n;
  }
  return { low, high };
}

/** @param high upper halves of sums of 64-bit integers; null: `low` is the sum, of integers of at most 32 bits */
export function sumsOfHalves(low: BigInt64Array, high: BigInt64Array | null): Pick<CellColumns, 'sums' | 'rests'> {
  const sums = new Float64Array(low.length);
  if (!high) {
    // Less than 2^53: no bigint is made of each.
    const halves = viewAs('int32', new Uint8Array(low.buffer, low.byteOffset, low.byteLength)) as Int32Array;
    for (let i = 0; i < sums.length; i++) sums[i] = halves[2 * i + 1] * 2 ** 32 + (halves[2 * i] >>> 0);
    return { sums, rests: null };
  }
  const rests = new Float64Array(low.length);
  for (let i = 0; i < sums.length; i++) {
    const { sum, low: rest } = doublesOf((high[i] << 64n) | BigInt.asUintN(64, low[i]));
    sums[i] = sum;
    rests[i] = rest;
  }
  return { sums, rests };
}
