/** Spans of time that buckets have: fixed ones, and those of the calendar of a place. */
import { INT64_MAX, INT64_MIN, UNIT_NS } from '../time.ts';

export type CalendarUnit = 'day' | 'week' | 'month' | 'year';

export type Every =
  | { readonly kind: 'fixed'; readonly ns: bigint }
  | { readonly kind: 'calendar'; readonly unit: CalendarUnit; readonly count: number };

const FIXED: Readonly<Record<string, bigint>> = UNIT_NS;
const CALENDAR: Readonly<Record<string, CalendarUnit>> = { d: 'day', w: 'week', mo: 'month', y: 'year' };
/** What a calendar unit takes at least: to tell how many there may be. */
const SHORTEST_NS: Readonly<Record<CalendarUnit, bigint>> = {
  day: 23n * UNIT_NS.h,
  week: 7n * 24n * UNIT_NS.h - UNIT_NS.h,
  month: 28n * 24n * UNIT_NS.h - UNIT_NS.h,
  year: 365n * 24n * UNIT_NS.h - UNIT_NS.h,
};

export const EVERY_FORMS = 'must be a whole number and a unit: ns, us, ms, s, m, h, d, w, mo or y, such as 10s or 1d';

/** @returns undefined if the text is no span: a whole number above zero, and ns, us, ms, s, m, h, d, w, mo or y */
export function parseEvery(text: string): Every | undefined {
  const match = /^(\d{1,15})(ns|us|ms|s|m|h|d|w|mo|y)$/.exec(text);
  if (!match || Number(match[1]) === 0) return undefined;
  const [, digits, unit] = match;
  if (unit in CALENDAR) {
    const count = Number(digits);
    return count <= MAX_CALENDAR_COUNT ? { kind: 'calendar', unit: CALENDAR[unit], count } : undefined;
  }
  const ns = BigInt(digits) * FIXED[unit];
  return ns <= INT64_MAX ? { kind: 'fixed', ns } : undefined;
}

/** More units than this are longer than all of time here. */
const MAX_CALENDAR_COUNT = 100_000;

/** How many buckets a range has, at most. */
export function mostBuckets(every: Every, startNs: bigint, endNs: bigint): bigint {
  const ns = every.kind === 'fixed' ? every.ns : SHORTEST_NS[every.unit] * BigInt(every.count);
  return (endNs - startNs) / ns + 2n;
}

/**
 * Borders of fixed buckets that cover `[startNs, endNs)`. Those beyond int64 are placed at its ends.
 * @param originNs where they are counted from
 */
export function fixedBorders(ns: bigint, startNs: bigint, endNs: bigint, originNs = 0n): BigInt64Array {
  const into = (startNs - originNs) % ns;
  const first = startNs - (into < 0n ? into + ns : into);
  const count = Number((endNs - first + ns - 1n) / ns);
  const clamp = (at: bigint): bigint => (at < INT64_MIN ? INT64_MIN : at > INT64_MAX ? INT64_MAX : at);
  return BigInt64Array.from({ length: count + 1 }, (_, i) => clamp(first + BigInt(i) * ns));
}

export const AGGREGATES = ['count', 'sum', 'mean', 'min', 'max', 'first', 'last', 'std'] as const;
export type Aggregate = (typeof AGGREGATES)[number];

export const FILLS = ['none', 'null', 'previous', 'linear'] as const;
export type Fill = (typeof FILLS)[number];

/**
 * Puts numbers in the place of nulls.
 * @param values one for each bucket
 * @param at where the buckets begin
 */
export function fillGaps<T extends number | bigint>(
  values: readonly (T | null)[],
  at: BigInt64Array,
  fill: 'previous' | 'linear',
): (T | number | null)[] {
  const filled: (T | number | null)[] = [...values];
  let before = -1;
  for (let i = 0; i < values.length; i++) {
    if (values[i] !== null) {
      if (fill === 'linear' && before >= 0) {
        const [a, b] = [Number(values[before]), Number(values[i])];
        for (let j = before + 1; j < i; j++) {
          filled[j] = a + (b - a) * (Number(at[j] - at[before]) / Number(at[i] - at[before]));
        }
      }
      before = i;
    } else if (fill === 'previous' && before >= 0) filled[i] = values[before];
  }
  return filled;
}
