/**
 * Borders of buckets by the clock of a place.
 *
 * A day begins at the first instant at which the clock shows its midnight or anything later. That is the first of two
 * midnights, or where a clock that skips midnight goes on. So a day ends where the next one begins, and every instant
 * is in exactly one day. A date that a place skips has no bucket.
 */
import { fixedBorders, type Every } from './aggregate-span.ts';
import { changeWithin, type OffsetAt } from '../place-clock.ts';
import { INT64_MAX, INT64_MIN } from '../time.ts';

type CalendarEvery = Extract<Every, { kind: 'calendar' }>;

const NS_PER_MS = 1_000_000n;
const MS_PER_DAY = 86_400_000;
const NS_PER_DAY = 86_400_000_000_000n;
/** The Monday before 1970-01-01, in days from there. */
const FIRST_MONDAY = -3;
/** No clock is further from UTC: that of Manila was 15:56 behind until 1844. Within twice this no clock changes more than once. */
const MAX_OFFSET_MS = 16 * 3_600_000;
/** Beyond these local times no instant is one of int64 nanoseconds. */
const MAX_LOCAL_MS = Number(INT64_MAX / NS_PER_MS) + 2 * MAX_OFFSET_MS;

export interface BorderTask {
  readonly every: Every;
  readonly startNs: bigint;
  readonly endNs: bigint;
}

/**
 * Borders of buckets that cover `[startNs, endNs)`, rising; those beyond int64 are placed at its ends.
 *
 * Weeks begin on Monday. Buckets of several days, weeks, months or years are counted from 1970. A length that divides a
 * day begins anew with each day. It goes on in elapsed time, so the last bucket of a day may be shorter. Other lengths
 * are counted from the midnight of 1970-01-01, in elapsed time.
 */
export function bordersByClock({ every, startNs, endNs }: BorderTask, offsetAt: OffsetAt): BigInt64Array {
  if (every.kind === 'calendar') return calendarBorders(every, startNs, endNs, offsetAt);
  if (NS_PER_DAY % every.ns === 0n) return bordersWithinDays(every.ns, startNs, endNs, offsetAt);
  return fixedBorders(every.ns, startNs, endNs, BigInt(firstInstantAt(0, offsetAt)) * NS_PER_MS);
}

function calendarBorders(every: CalendarEvery, startNs: bigint, endNs: bigint, offsetAt: OffsetAt): BigInt64Array {
  const borders: bigint[] = [];
  for (let number = numberAt(every, startNs, offsetAt); ; number++) {
    const ns = clamp(beginOf(every, number, offsetAt));
    if (borders.length === 0 || ns > borders[borders.length - 1]) borders.push(ns);
    if (ns >= endNs || ns === INT64_MAX) return BigInt64Array.from(borders);
  }
}

const DAY: CalendarEvery = { kind: 'calendar', unit: 'day', count: 1 };

function bordersWithinDays(ns: bigint, startNs: bigint, endNs: bigint, offsetAt: OffsetAt): BigInt64Array {
  const borders: bigint[] = [];
  let day = numberAt(DAY, startNs, offsetAt);
  let begin = beginOf(DAY, day, offsetAt);
  let at = begin + ((startNs - begin) / ns) * ns;
  while (begin < endNs) {
    const end = beginOf(DAY, ++day, offsetAt);
    for (; at < end && at < endNs; at += ns) borders.push(clamp(at));
    if (at < end) break;
    begin = at = end;
  }
  borders.push(clamp(at));
  return BigInt64Array.from(borders);
}

/** Number of the bucket that an instant is in. */
function numberAt(every: CalendarEvery, ns: bigint, offsetAt: OffsetAt): number {
  const ms = Number((ns - (((ns % NS_PER_MS) + NS_PER_MS) % NS_PER_MS)) / NS_PER_MS);
  let number = numberOfDate(every, new Date(ms + offsetAt(ms)));
  // Where a clock was set back past midnight, the date that it shows is the one before.
  while (beginOf(every, number, offsetAt) > ns) number--;
  while (beginOf(every, number + 1, offsetAt) <= ns) number++;
  return number;
}

/** @param date with the local time as its UTC */
function numberOfDate({ unit, count }: CalendarEvery, date: Date): number {
  const day = Math.floor(date.getTime() / MS_PER_DAY);
  const units = {
    day,
    week: Math.floor((day - FIRST_MONDAY) / 7),
    month: (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth(),
    year: date.getUTCFullYear() - 1970,
  };
  return Math.floor(units[unit] / count);
}

/** Where a day, week, month or year begins, in ns UTC; not clamped. */
function beginOf({ unit, count }: CalendarEvery, number: number, offsetAt: OffsetAt): bigint {
  const n = number * count;
  const localMs = {
    day: n * MS_PER_DAY,
    week: (FIRST_MONDAY + n * 7) * MS_PER_DAY,
    month: Date.UTC(1970, n, 1),
    year: Date.UTC(1970, n * 12, 1),
  }[unit];
  if (Math.abs(localMs) > MAX_LOCAL_MS) return BigInt(localMs) * NS_PER_MS;
  return BigInt(firstInstantAt(localMs, offsetAt)) * NS_PER_MS;
}

/** The first instant at which the clock shows this or later, in ms UTC. */
function firstInstantAt(localMs: number, offsetAt: OffsetAt): number {
  const from = localMs - MAX_OFFSET_MS;
  const to = localMs + MAX_OFFSET_MS;
  const [before, after] = [offsetAt(from), offsetAt(to)];
  if (before === after) return localMs - before;
  const change = changeWithin(from, to, offsetAt);
  return localMs - before < change ? localMs - before : Math.max(change, localMs - after);
}

function clamp(ns: bigint): bigint {
  return ns < INT64_MIN ? INT64_MIN : ns > INT64_MAX ? INT64_MAX : ns;
}
