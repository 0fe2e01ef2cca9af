/**
 * Values as text: how JSON and CSV spell the numbers of each dtype. What goes out comes back bit-equal. A text that the
 * dtype cannot hold exactly is refused, never bent (float32 rounds: that is what the caller asked for).
 *
 * Negative zero is -0.0, which readers that tell integers from floats take for a float.
 *
 * JSON: 64-bit integers beyond ±(2^53 − 1) are decimal strings, NaN is null, infinities are "Infinity" and "-Infinity".
 * CSV: integers are plain digits, NaN is empty, infinities are inf and -inf, as pandas reads them.
 */
import { DTYPES, isBigDtype, type Dtype } from '../../core/numbers/dtype.ts';
import type { NumberType } from '../../core/signal/sample-table.ts';
import { invalidField, unprocessableField } from '../../core/errors.ts';
import { longInteger } from './exact-json.ts';

/** Names the place of a value in the words of the format, only when something is wrong with it. */
export type PlaceOf = (row: number, channel: number) => string;

/** The value of the dtype that a parsed JSON value or a CSV field means; `row` and `channel` are handed to the {@link PlaceOf}. */
export type ValueReader<T> = (value: T, row: number, channel: number) => number | bigint;

const JSON_SPECIALS: ReadonlyMap<string, number> = new Map([
  ['NaN', NaN],
  ['Infinity', Infinity],
  ['-Infinity', -Infinity],
  ['-0.0', -0],
]);

/**
 * Reads values that {@link parseExactJson} parsed.
 * @returns a reader that throws `invalid-input` for what is no number and `unprocessable` for a number the dtype cannot hold
 */
export function jsonValueReader(dtype: Dtype, placeOf: PlaceOf): ValueReader<unknown> {
  const fits = fitting(dtype);
  return (value, row, channel) => {
    const place = (): string => placeOf(row, channel);
    if (typeof value === 'number') return fits(value, place);
    const long = longInteger(value);
    if (long !== undefined) return fits(Number(long), place);
    if (value === null) return special(dtype, NaN, place);
    if (typeof value === 'string') {
      const word = JSON_SPECIALS.get(value);
      if (word !== undefined) return special(dtype, word, place);
      if (isBigDtype(dtype) && /^-?\d{1,20}$/.test(value)) return inRange(dtype, BigInt(value), place);
    }
    throw invalidField(place(), 'is not a number');
  };
}

const DECIMAL = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$/;
const CSV_SPECIALS: ReadonlyMap<string, number> = new Map([
  ['', NaN],
  ['nan', NaN],
  ['na', NaN],
  ['inf', Infinity],
  ['+inf', Infinity],
  ['-inf', -Infinity],
  ['infinity', Infinity],
  ['-infinity', -Infinity],
]);

/**
 * Reads CSV fields: decimal numbers, `inf`, `-inf`, and for NaN an empty field, `nan` or `NA`.
 * @returns a reader that throws `invalid-input` for what is no number and `unprocessable` for a number the dtype cannot hold
 */
export function csvValueReader(dtype: Dtype, placeOf: PlaceOf): ValueReader<string> {
  const fits = fitting(dtype);
  return (text, row, channel) => {
    const place = (): string => placeOf(row, channel);
    if (DECIMAL.test(text)) {
      if (isBigDtype(dtype) && /^\s*[+-]?\d{1,20}\s*$/.test(text)) {
        return inRange(dtype, BigInt(text.trim().replace('+', '')), place);
      }
      return fits(Number(text), place);
    }
    const word = CSV_SPECIALS.get(text.trim().toLowerCase());
    if (word !== undefined) return special(dtype, word, place);
    throw invalidField(place(), `"${text.slice(0, 40)}" is not a number`);
  };
}

/** The place of one value, made only when something is wrong with it. */
type Place = () => string;

/** A number as the dtype's value, or an error that says why the text is no number. */
function fitting(dtype: Dtype): (value: number, place: Place) => number | bigint {
  const { range } = DTYPES[dtype];
  if (!range) {
    const rounded = dtype === 'float32' ? Math.fround : (value: number): number => value;
    return (value, place) => {
      if (!Number.isFinite(rounded(value))) throw unprocessableField(place(), `${value} is beyond ${dtype}`);
      return value;
    };
  }
  const min = Number(range.min);
  const max = Number(range.max);
  const big = isBigDtype(dtype);
  return (value, place) => {
    if (!Number.isInteger(value)) throw unprocessableField(place(), `${value} is not a whole number`);
    if (value < min || value > max) throw outOfRange(dtype, place);
    if (!big) return value;
    if (!Number.isSafeInteger(value)) {
      throw unprocessableField(
        place(),
        `${value} is beyond ±(2^53 − 1), where numbers are rounded; send its digits as a string`,
      );
    }
    return BigInt(value);
  };
}

function inRange(dtype: Dtype, value: bigint, place: Place): bigint {
  const { range } = DTYPES[dtype];
  if (range && (value < range.min || value > range.max)) throw outOfRange(dtype, place);
  return value;
}

function outOfRange(dtype: Dtype, place: Place): Error {
  const { range } = DTYPES[dtype];
  return unprocessableField(place(), `is outside ${dtype}: ${range?.min} to ${range?.max}`);
}

function special(dtype: Dtype, value: number, place: Place): number {
  if (DTYPES[dtype].kind === 'float') return value;
  throw unprocessableField(
    place(),
    Number.isNaN(value) ? `is empty or NaN, which ${dtype} cannot hold` : `is infinite, which ${dtype} cannot hold`,
  );
}

/** The JSON text of a value of the dtype. */
export function jsonValueWriter(dtype: NumberType): (value: number | bigint) => string {
  return textWriter(dtype, { nan: 'null', inf: '"Infinity"', minusInf: '"-Infinity"' }, (value) =>
    value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER ? `"${value}"` : String(value),
  );
}

/** The CSV field of a value of the dtype. */
export function csvValueWriter(dtype: NumberType): (value: number | bigint) => string {
  return textWriter(dtype, { nan: '', inf: 'inf', minusInf: '-inf' }, String);
}

function textWriter(
  dtype: NumberType,
  words: { nan: string; inf: string; minusInf: string },
  bigText: (value: bigint) => string,
): (value: number | bigint) => string {
  if (dtype === 'number') {
    const float = textWriter('float64', words, bigText);
    return (value) => (typeof value === 'bigint' ? bigText(value) : float(value));
  }
  if (isBigDtype(dtype)) return (value) => bigText(value as bigint);
  if (DTYPES[dtype].kind === 'int') return String;
  const finite = dtype === 'float32' ? shortestFloat32 : String;
  return (number) => {
    const value = number as number;
    if (Number.isFinite(value)) return Object.is(value, -0) ? '-0.0' : finite(value);
    return Number.isNaN(value) ? words.nan : value > 0 ? words.inf : words.minusInf;
  };
}

/** The shortest of 6 to 9 significant digits that rounds to the same float32: 0.1, not 0.10000000149011612. */
export function shortestFloat32(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}
