/** Aggregates in exact rational arithmetic: the judge of those in doubles. */
import { nearestNumber } from '../../src/core/numbers/fraction.ts';

/** A double is a whole number of 2^-1074. */
const UNIT = 1n << 1074n;

function whole(value: number | bigint): bigint {
  if (typeof value === 'bigint') return value * UNIT;
  if (Number.isInteger(value)) return BigInt(value) * UNIT;
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const exponent = (bits >> 52n) & 2047n;
  const fraction = bits & ((1n << 52n) - 1n);
  const size = exponent === 0n ? fraction : (fraction | (1n << 52n)) << (exponent - 1n);
  return value < 0 ? -size : size;
}

export interface Exact {
  /** The sum, in units of 2^-1074. */
  readonly sum: bigint;
  readonly mean: number;
  /** Deviation of a sample, squared. */
  readonly std: number;
}

/** @param values finite, one at least */
export function exactly(values: readonly (number | bigint)[]): Exact {
  const wholes = values.map(whole);
  const count = BigInt(wholes.length);
  const sum = wholes.reduce((a, b) => a + b);
  const squares = wholes.reduce((a, b) => a + (count * b - sum) ** 2n, 0n);
  // (Σ(n·x − S)²) / n² / (n − 1), of 2^-2148.
  const [num, den] = [squares, count * count * (count - 1n || 1n)];
  // The root of a whole number with enough digits.
  const root = squares === 0n ? 0n : rootOf((num << 256n) / den);
  return { sum, mean: nearestNumber(sum, UNIT * count), std: nearestNumber(root, UNIT << 128n) };
}

export function sumOf({ sum }: Exact): number {
  return nearestNumber(sum, UNIT);
}

export function wholeSumOf({ sum }: Exact): bigint {
  return sum / UNIT;
}

function rootOf(value: bigint): bigint {
  let root = 1n << BigInt(Math.ceil(value.toString(2).length / 2));
  for (let next = (root + value / root) >> 1n; next < root; next = (root + value / root) >> 1n) root = next;
  return root;
}
