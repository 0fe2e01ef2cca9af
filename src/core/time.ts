/**
 * Times are int64 nanoseconds since 1970-01-01T00:00:00Z (UTC, no leap seconds), as bigint.
 * On the wire: RFC 3339, or integer nanoseconds as a decimal string. Ranges are half-open `[start, end)`.
 */

export const NS_PER_S = 1_000_000_000n;
/** Units that always have the same length. */
export const UNIT_NS = {
  ns: 1n,
  us: 1_000n,
  ms: 1_000_000n,
  s: NS_PER_S,
  m: 60n * NS_PER_S,
  h: 3_600n * NS_PER_S,
} as const;
export const INT64_MIN = -(2n ** 63n);
export const INT64_MAX = 2n ** 63n - 1n;

/**
 * The first and the last time that anything may have: 1678-01-01T00:00:00Z, and the last nanosecond of 2261. These are
 * the whole years of int64 nanoseconds. A hundred days are left at either end. So the time after a last one, the bounds
 * of Postgres' int8range and the borders around a time are int64 as well. NaT, which NumPy and pandas spell as -2^63,
 * lies outside.
 */
export const TIME_MIN = -9_214_560_000n * NS_PER_S;
export const TIME_MAX = 9_214_646_400n * NS_PER_S - 1n;

/** What is said of a time that {@link parseTime} refuses. */
export const TIME_FORMS =
  'an RFC 3339 time or integer nanoseconds since 1970-01-01T00:00:00Z, in the years 1678 to 2261; seconds end at 59';

const RFC3339 =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*([Zz]|[+-]\d{2}:?\d{2})?)?$/;
/** Longer numbers are no times, nor bounds that anyone means. */
const INTEGER = /^[+-]?\d{1,40}$/;

/** True in the years 1678 to 2261. */
export function isTime(ns: bigint): boolean {
  return ns >= TIME_MIN && ns <= TIME_MAX;
}

/**
 * Nanoseconds of an RFC 3339 time, or of integer nanoseconds written in decimal.
 * A date alone is its midnight; a time without an offset is UTC. Fractions down to 1 ns are kept exactly. A leap second, `:60`, is no time:
 * the scale has no place for it.
 * @returns undefined if the text is not a time or lies outside {@link TIME_MIN} to {@link TIME_MAX}
 * @see https://www.rfc-editor.org/rfc/rfc3339#section-5.6
 */
export function parseTime(text: string): bigint | undefined {
  const ns = parseInstant(text);
  return ns !== undefined && isTime(ns) ? ns : undefined;
}

/**
 * A bound of a question: any time that can be written. What int64 cannot hold is placed at its ends, where no time is, so that
 * 0001-01-01 and 9999-12-31 leave a side open.
 * @param value a text, or integer nanoseconds
 * @returns undefined if it is not a time; else int64
 */
export function parseBound(value: string | number): bigint | undefined {
  // A number past 2^53 has lost digits, but past int64 it leaves a side open whichever they were.
  if (typeof value === 'number' && !Number.isSafeInteger(value) && !(Math.abs(value) >= 2 ** 63)) return undefined;
  const ns = typeof value === 'string' ? parseInstant(value) : Number.isFinite(value) ? BigInt(value) : undefined;
  return ns === undefined ? undefined : clampBound(ns);
}

/** The nearest int64. */
export function clampBound(ns: bigint): bigint {
  return ns < INT64_MIN ? INT64_MIN : ns > INT64_MAX ? INT64_MAX : ns;
}

/** A range whose bounds are told where they leave something out. */
export function openRange({ start, end }: { readonly start?: bigint; readonly end?: bigint }): {
  readonly startNs?: bigint;
  readonly endNs?: bigint;
} {
  return {
    ...(start !== undefined && start > TIME_MIN && { startNs: start }),
    ...(end !== undefined && end <= TIME_MAX && { endNs: end }),
  };
}

/** Nanoseconds from the year 0 to 9999, or of any integer. */
function parseInstant(text: string): bigint | undefined {
  const trimmed = text.trim();
  if (INTEGER.test(trimmed)) return BigInt(trimmed.replace('+', ''));
  const match = RFC3339.exec(trimmed);
  if (!match) return undefined;
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', zone = 'Z'] = match;
  const monthIndex = Number(month) - 1;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  // Not Date.UTC, which takes the years 0 to 99 for those of the 20th century.
  const date = new Date(0);
  date.setUTCFullYear(Number(year), monthIndex, Number(day));
  // A day that its month does not have is carried over by Date.
  if (date.getUTCMonth() !== monthIndex || date.getUTCDate() !== Number(day)) return undefined;
  const ms = date.setUTCHours(Number(hour), Number(minute), Number(second));
  let offsetMinutes = 0;
  if (zone !== 'Z' && zone !== 'z') {
    const sign = zone.startsWith('-') ? -1 : 1;
    const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(-2))];
    if (hours > 23 || minutes > 59) return undefined;
    offsetMinutes = sign * (hours * 60 + minutes);
  }
  return BigInt(ms - offsetMinutes * 60_000) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}

/** RFC 3339 in UTC with as many fraction digits as needed: none, or 9 without trailing zeros. */
export function formatTime(ns: bigint): string {
  let seconds = ns / NS_PER_S;
  let fraction = ns % NS_PER_S;
  if (fraction < 0n) {
    fraction += NS_PER_S;
    seconds -= 1n;
  }
  const base = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  if (fraction === 0n) return `${base}Z`;
  return `${base}.${fraction.toString().padStart(9, '0').replace(/0+$/, '')}Z`;
}

/** The larger of two times, or of two spans of time, in ns. */
export function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

export function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

/** How far apart they are, in ns: never negative. */
export function distance(a: bigint, b: bigint): bigint {
  return a < b ? b - a : a - b;
}
