/** Borders of buckets by the calendar of a time zone. */
import { DateTime, IANAZone } from 'luxon';
import type { Every } from '../core/aggregate-span.ts';

type CalendarEvery = Extract<Every, { kind: 'calendar' }>;

const NS_PER_MS = 1_000_000n;
const MS_PER_DAY = 86_400_000;
/** Calendars and zones mean nothing beyond the times that int64 nanoseconds can tell. */
const MIN_MS = -9_223_372_036_854;
const MAX_MS = 9_223_372_036_854;
/** The Monday before 1970-01-01, in days from there. */
const FIRST_MONDAY = -3;

export interface CalendarTask {
  readonly every: CalendarEvery;
  readonly zone: string;
  readonly startNs: bigint;
  readonly endNs: bigint;
}

export function isTimeZone(name: string): boolean {
  return IANAZone.isValidZone(name);
}

/**
 * Borders of buckets that cover `[startNs, endNs)`. Days begin at midnight of the zone, or where the clock skips it right after; weeks on Monday; of several units the
 * buckets are counted from 1970.
 */
export function calendarBorders({ every, zone, startNs, endNs }: CalendarTask): BigInt64Array {
  const borders: bigint[] = [];
  const clamp = (ms: number): bigint => BigInt(Math.max(MIN_MS, Math.min(MAX_MS, ms))) * NS_PER_MS;
  for (let number = numberAt(every, zone, startNs); ; number++) {
    const ns = clamp(beginOf(every, zone, number));
    borders.push(ns);
    if (ns >= endNs || ns === clamp(MAX_MS)) return BigInt64Array.from(borders);
  }
}

/** Number of the bucket that a time is in. */
function numberAt({ unit, count }: CalendarEvery, zone: string, ns: bigint): number {
  const ms = Number((ns - (((ns % NS_PER_MS) + NS_PER_MS) % NS_PER_MS)) / NS_PER_MS);
  const local = DateTime.fromMillis(ms, { zone });
  const day = Math.floor(Date.UTC(local.year, local.month - 1, local.day) / MS_PER_DAY);
  const units = {
    day,
    week: Math.floor((day - FIRST_MONDAY) / 7),
    month: (local.year - 1970) * 12 + local.month - 1,
    year: local.year - 1970,
  };
  return Math.floor(units[unit] / count);
}

function beginOf({ unit, count }: CalendarEvery, zone: string, number: number): number {
  const n = number * count;
  const [year, month, day] = {
    day: [1970, 1, 1 + n],
    week: [1970, 1, 1 + FIRST_MONDAY + n * 7],
    month: [1970, 1 + n, 1],
    year: [1970 + n, 1, 1],
  }[unit];
  const date = new Date(Date.UTC(year, month - 1, day));
  return DateTime.fromObject(
    { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() },
    { zone },
  )
    .startOf('day')
    .toMillis();
}
