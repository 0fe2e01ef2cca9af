/**
 * Statistics of a chunk as the catalog keeps them: what {@link Moments} know of its rows. So nothing is lost where they
 * stand for the rows. They are little-endian, column after column, with one number for each channel: FORMAT.md draws
 * them.
 */
import { DTYPES, isBigDtype, type Dtype, type SampleArray } from '../numbers/dtype.ts';
import type { RowShape } from '../numbers/missing-value.ts';
import { Moments, type KnownNumbers } from '../numbers/moments.ts';

/** Statistics do not pay where they take more than both of these: bytes, and a part of the rows' own. */
const FEW_BYTES = 1024;
const MOST_PART = 1 / 64;
const [COUNT_BYTES, SUM_BYTES] = [4, 8];

/** Where the columns begin, with `channels` numbers each. */
interface StatsColumns {
  readonly min: number;
  readonly max: number;
  readonly sum: number;
  /**
   * For floats, what a double leaves of the sum; for 64-bit integers, its upper half; null: there is no such column.
   */
  readonly rest: number | null;
  readonly squares: number;
  readonly bytes: number;
}

function columnsOf({ dtype, channels }: RowShape): StatsColumns {
  const { bytes, kind } = DTYPES[dtype];
  const hasRest = kind === 'float' || isBigDtype(dtype);
  const min = COUNT_BYTES * channels;
  const max = min + bytes * channels;
  const sum = max + bytes * channels;
  const squares = sum + SUM_BYTES * channels * (hasRest ? 2 : 1);
  return { min, max, sum, rest: hasRest ? sum + SUM_BYTES * channels : null, squares, bytes: squares + 8 * channels };
}

/**
 * Computes the statistics of rows. NaN and the missing value do not count.
 * @param values rows × channels, row-major, raw
 * @returns null where they do not pay, or where a value is infinite, so that they do not tell what the rows do
 */
export function statsOf(shape: RowShape, values: SampleArray): Uint8Array | null {
  const columns = columnsOf(shape);
  if (columns.bytes > Math.max(FEW_BYTES, values.byteLength * MOST_PART)) return null;
  const { dtype, channels } = shape;
  const moments = new Moments(shape, channels, true);
  moments.addRows(values);
  const stats = new DataView(new ArrayBuffer(columns.bytes));
  for (let c = 0; c < channels; c++) {
    const { count, min, max, sum, low, squares } = moments.tell(c);
    if (count === 0) continue;
    if (!Number.isFinite(sum)) return null;
    stats.setUint32(COUNT_BYTES * c, count, true);
    setValue(stats, columns.min, dtype, c, min);
    setValue(stats, columns.max, dtype, c, max);
    setSum(stats, columns, dtype, c, sum, low);
    stats.setFloat64(columns.squares + 8 * c, squares, true);
  }
  return new Uint8Array(stats.buffer);
}

/** Reads the statistics of chunks of one series. */
export class StatsReader {
  readonly #shape: RowShape;
  readonly #columns: StatsColumns;

  constructor(shape: RowShape) {
    this.#shape = shape;
    this.#columns = columnsOf(shape);
  }

  /** Bytes that the statistics of any one chunk take. */
  get bytes(): number {
    return this.#columns.bytes;
  }

  /** @returns null where no value counts */
  told(stats: Uint8Array, channel: number): KnownNumbers | null {
    const view = new DataView(stats.buffer, stats.byteOffset, stats.byteLength);
    const { min, max, squares } = this.#columns;
    const { dtype } = this.#shape;
    const count = view.getUint32(COUNT_BYTES * channel, true);
    if (count === 0) return null;
    return {
      count,
      min: getValue(view, min, dtype, channel),
      max: getValue(view, max, dtype, channel),
      ...getSum(view, this.#columns, dtype, channel),
      squares: view.getFloat64(squares + 8 * channel, true),
    };
  }
}

function setValue(to: DataView, column: number, dtype: Dtype, c: number, value: number | bigint): void {
  const at = column + DTYPES[dtype].bytes * c;
  switch (dtype) {
    case 'int8':
    case 'uint8':
      return to.setUint8(at, value as number);
    case 'int16':
    case 'uint16':
      return to.setUint16(at, value as number, true);
    case 'int32':
    case 'uint32':
      return to.setUint32(at, value as number, true);
    case 'int64':
    case 'uint64':
      return to.setBigUint64(at, value as bigint, true);
    case 'float32':
      return to.setFloat32(at, value as number, true);
    case 'float64':
      return to.setFloat64(at, value as number, true);
  }
}

function getValue(from: DataView, column: number, dtype: Dtype, c: number): number | bigint {
  const at = column + DTYPES[dtype].bytes * c;
  switch (dtype) {
    case 'int8':
      return from.getInt8(at);
    case 'uint8':
      return from.getUint8(at);
    case 'int16':
      return from.getInt16(at, true);
    case 'uint16':
      return from.getUint16(at, true);
    case 'int32':
      return from.getInt32(at, true);
    case 'uint32':
      return from.getUint32(at, true);
    case 'int64':
      return from.getBigInt64(at, true);
    case 'uint64':
      return from.getBigUint64(at, true);
    case 'float32':
      return from.getFloat32(at, true);
    case 'float64':
      return from.getFloat64(at, true);
  }
}

function setSum(
  to: DataView,
  { sum: column, rest }: StatsColumns,
  dtype: Dtype,
  c: number,
  sum: number,
  low: number,
): void {
  const at = SUM_BYTES * c;
  if (DTYPES[dtype].kind === 'float') {
    to.setFloat64(column + at, sum, true);
    to.setFloat64(rest! + at, low, true);
    return;
  }
  const whole = BigInt(sum) + BigInt(low);
  to.setBigUint64(column + at, BigInt.asUintN(64, whole), true);
  if (rest !== null) to.setBigInt64(rest + at, whole >> 64n, true);
}

function getSum(
  from: DataView,
  { sum: column, rest }: StatsColumns,
  dtype: Dtype,
  c: number,
): Pick<KnownNumbers, 'sum' | 'low'> {
  const at = SUM_BYTES * c;
  if (DTYPES[dtype].kind === 'float') {
    return { sum: from.getFloat64(column + at, true), low: from.getFloat64(rest! + at, true) };
  }
  if (rest === null) {
    // For 32-bit integers it is less than 2^53: no bigint is made of it.
    return { sum: from.getInt32(column + at + 4, true) * 2 ** 32 + from.getUint32(column + at, true), low: 0 };
  }
  return doublesOf((from.getBigInt64(rest + at, true) << 64n) | from.getBigUint64(column + at, true));
}

/** A whole number of at most 105 bits as two doubles, as {@link Moments} have sums. */
export function doublesOf(whole: bigint): Pick<KnownNumbers, 'sum' | 'low'> {
  const sum = Number(whole);
  return { sum, low: Number(whole - BigInt(sum)) };
}
