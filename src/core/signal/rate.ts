/**
 * An exact sampling rate and the arithmetic between rows and times.
 *
 * A float64 rate such as 20.03 means the rational that its shortest decimal form says (2003/100). So row times never
 * drift, however long the recording: `time(row) = start + floor(row × 10^9 × den / num)`.
 */

import { nearestNumber } from '../numbers/fraction.ts';
import { gcd } from '../numbers/ratio.ts';

export interface Rate {
  /** Samples … */
  readonly num: bigint;
  /** … per this many seconds. Both positive, in lowest terms. */
  readonly den: bigint;
}

const NS = 1_000_000_000n;
/**
 * From a sample a century to one a nanosecond. Wider makes no physical sense and would overflow int64 arithmetic
 * elsewhere.
 */
export const MIN_RATE_HZ = 3e-10;
export const MAX_RATE_HZ = 1e9;

/**
 * Most digits of a numerator or denominator. No decimal rate in bounds needs more, so what {@link formatRate} writes is
 * always read back.
 */
const FRACTION = /^(\d{1,150})\/(\d{1,150})$/;

/**
 * @param value Hz as a number (its shortest decimal form is taken as exact) or text: `360`, `20.03`, `30000/1001`
 * @returns undefined if it is not a finite rate between {@link MIN_RATE_HZ} and {@link MAX_RATE_HZ}
 */
export function parseRate(value: number | string): Rate | undefined {
  const text = String(value).trim();
  const fraction = FRACTION.exec(text);
  if (fraction) return reduced(BigInt(fraction[1]), BigInt(fraction[2]));
  const decimal = /^(\d{1,25})(?:\.(\d{1,25}))?(?:[eE]([+-]?\d{1,2}))?$/.exec(text);
  if (!decimal) return undefined;
  const digits = decimal[2] ?? '';
  const exponent = Number(decimal[3] ?? 0) - digits.length;
  const mantissa = BigInt(decimal[1] + digits);
  return exponent >= 0 ? reduced(mantissa * 10n ** BigInt(exponent), 1n) : reduced(mantissa, 10n ** BigInt(-exponent));
}

function reduced(num: bigint, den: bigint): Rate | undefined {
  if (num <= 0n || den <= 0n) return undefined;
  const hz = nearestNumber(num, den);
  if (hz < MIN_RATE_HZ || hz > MAX_RATE_HZ) return undefined;
  const divisor = gcd(num, den);
  return { num: num / divisor, den: den / divisor };
}

/** The nearest double. A rate that was sent as a number gives that number. */
export function rateHz(rate: Rate): number {
  return nearestNumber(rate.num, rate.den);
}

/** `num/den`, the form stored in the catalog and in the shards. {@link parseRate} reads it back. */
export function formatRate(rate: Rate): string {
  return `${rate.num}/${rate.den}`;
}

/** Nanoseconds from a segment's start to its sample `row` (0-based, may be one past the end). */
export function nsOfRow(rate: Rate, row: number | bigint): bigint {
  return (BigInt(row) * rate.den * NS) / rate.num;
}

/**
 * The first row whose offset is at or after `ns`: the smallest r ≥ 0 with nsOfRow(r) ≥ ns.
 * (floor(r·k) ≥ ns exactly when r·k ≥ ns, ns being whole.)
 */
export function rowAtOrAfter(rate: Rate, ns: bigint): bigint {
  if (ns <= 0n) return 0n;
  const divisor = rate.den * NS;
  return (ns * rate.num + divisor - 1n) / divisor;
}

/** Half a sample period in ns: the tolerance within which a start continues a segment, as in miniSEED readers. */
export function halfPeriodNs(rate: Rate): bigint {
  return (rate.den * NS) / (2n * rate.num);
}

/** Whether rows lie a whole number of nanoseconds apart, so that no time is rounded. */
export function hasWholePeriod(rate: Rate): boolean {
  return (rate.den * NS) % rate.num === 0n;
}
