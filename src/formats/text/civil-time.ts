/**
 * Dates and times of day as people and instruments write them. What they leave open is told and not guessed: the order
 * of day and month, and the zone.
 */
import { isTime, NS_PER_S } from '../../core/time.ts';

/** The order in which a date has its parts. `named` has the month as a word. */
export type DateOrder = 'DMY' | 'MDY' | 'YMD' | 'named';
export const NUMERIC_ORDERS = ['DMY', 'MDY', 'YMD'] as const;

export interface CivilTime {
  /** What the clock shows, as if it were UTC; the instant itself where a zone is stated. */
  readonly ns: bigint;
  readonly zoned: boolean;
}

/** The pieces of a text that might be a moment. */
export interface MomentText {
  readonly date: string | null;
  /** Nanoseconds since midnight; more than a day where the text is no time of day. */
  readonly clockNs: bigint | null;
  /** The clock has AM or PM, which only a time of day has. */
  readonly half: boolean;
  readonly offsetMs: number | null;
}

const COMPACT = /^(\d{4})(\d{2})(\d{2})[T ]?(\d{2})(\d{2})(\d{2})((?:[.,]\d{1,9})?)(Z?)$/i;
const ZONE = /\s*(?:(z|utc|gmt)|(?:utc|gmt)?([+-]\d{2}):?(\d{2})?)$/i;
const CLOCK =
  /(?:^|[T\s,;_]+|\s-\s)(\d{1,6}):(\d{2})(?::(\d{2})(?:[.,](\d{1,12})|:(\d{3}))?)?\s*(?:([ap])\.?\s?m\.?)?$/i;
const WEEKDAY = /^(?:mon|tue|wed|thu|fri|sat|sun|mo|di|mi|do|fr|sa|so)[a-z]*\.?,?\s+/i;
const NUMERIC_DATE = /^(\d{1,4})\s*([./-])\s*(\d{1,2})\s*\2\s*(\d{1,4})\.?$/;
const DAY_FIRST = /^(\d{1,2})[-.\s/]+([\p{L}]{3,9})\.?,?[-.\s/]+(\d{2}|\d{4})$/u;
const MONTH_FIRST = /^([\p{L}]{3,9})\.?[-\s/]+(\d{1,2}),?[-\s/]+(\d{4})$/u;
const YEAR_FIRST = /^(\d{4})[-.\s/]+([\p{L}]{3,9})\.?[-.\s/]+(\d{1,2})$/u;
const MONTHS: readonly RegExp[] = [
  /^(?:jan(?:uary|uar)?|jän(?:ner)?)$/i,
  /^(?:feb(?:ruary|ruar)?)$/i,
  /^(?:mar(?:ch)?|mär(?:z)?|mrz)$/i,
  /^(?:apr(?:il)?)$/i,
  /^(?:may|mai)$/i,
  /^(?:june?|juni)$/i,
  /^(?:july?|juli)$/i,
  /^(?:aug(?:ust)?)$/i,
  /^(?:sept?(?:ember)?)$/i,
  /^(?:o[ck]t(?:ober)?)$/i,
  /^(?:nov(?:ember)?)$/i,
  /^(?:de[cz](?:ember)?)$/i,
];
/** Years of two digits are those from 1970 to 2069. */
const PIVOT = 70;
const HOUR_NS = 3_600n * NS_PER_S;
const NS_PER_MS = 1_000_000n;
export const DAY_NS = 24n * HOUR_NS;

/** The form that most files have, which is read at once. */
const USUAL = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(?: ?(Z|UTC))?$/;
const NS_PER_NUMBER_S = 1_000_000_000;

/** Takes a text apart; undefined if it has neither a date nor a clock. */
export function splitMoment(text: string): MomentText | undefined {
  const usual = USUAL.exec(text);
  if (usual) {
    const [, date, hours, minutes, seconds, fraction = '', zone] = usual;
    const [hour, minute, second] = [Number(hours), Number(minutes), Number(seconds)];
    if (minute > 59 || second > 59) return undefined;
    const ns = (hour * 3600 + minute * 60 + second) * NS_PER_NUMBER_S + Number(fraction.padEnd(9, '0'));
    return { date, clockNs: BigInt(ns), half: false, offsetMs: zone === undefined ? null : 0 };
  }
  let rest = text.trim();
  if (rest.length < 4 || rest.length > 80 || !/\d/.test(rest)) return undefined;
  const compact = COMPACT.exec(rest);
  if (compact) {
    const [, y, mo, d, h, mi, s, fraction, z] = compact;
    rest = `${y}-${mo}-${d}T${h}:${mi}:${s}${fraction}${z}`;
  }
  const colon = rest.lastIndexOf(':');
  let offsetMs: number | null = null;
  if (colon > 0) {
    const zone = ZONE.exec(rest);
    // A clock stands before a zone, so that the day of 2026-05-01 is none.
    if (zone && rest.slice(0, zone.index).includes(':')) {
      const sign = zone[2]?.startsWith('-') ? -1 : 1;
      const [hours, minutes] = [Math.abs(Number(zone[2] ?? 0)), Number(zone[3] ?? 0)];
      if (hours > 23 || minutes > 59) return undefined;
      offsetMs = sign * (hours * 60 + minutes) * 60_000;
      rest = rest.slice(0, zone.index);
    }
  }
  const clock = colon > 0 ? CLOCK.exec(rest) : null;
  let clockNs: bigint | null = null;
  let half = false;
  if (clock) {
    const [, hours, minutes, seconds = '0', fraction = '', millis = '', mark] = clock;
    half = mark !== undefined;
    let hour = Number(hours);
    if (half) {
      if (hour < 1 || hour > 12) return undefined;
      hour = (hour % 12) + (mark.toLowerCase() === 'p' ? 12 : 0);
    }
    if (Number(minutes) > 59 || Number(seconds) > 59) return undefined;
    const digits = (fraction || millis).padEnd(9, '0');
    if (/[1-9]/.test(digits.slice(9))) return undefined;
    clockNs =
      BigInt(hour) * HOUR_NS + BigInt(Number(minutes) * 60 + Number(seconds)) * NS_PER_S + BigInt(digits.slice(0, 9));
    rest = rest.slice(0, clock.index);
  }
  const date = rest
    .trim()
    .replace(/[,;T]$/, '')
    .replace(WEEKDAY, '')
    .trim();
  if (date === '' ? !clock : !looksLikeDate(date)) return undefined;
  return { date: date === '' ? null : date, clockNs, half, offsetMs };
}

function looksLikeDate(date: string): boolean {
  return NUMERIC_DATE.test(date) || DAY_FIRST.test(date) || MONTH_FIRST.test(date) || YEAR_FIRST.test(date);
}

/** The orders in which a date is one, with its days since 1970 in each. */
export function datesOf(date: string): Partial<Record<DateOrder, number>> {
  const numeric = NUMERIC_DATE.exec(date);
  if (!numeric) {
    const named = namedDate(date);
    return named === undefined ? {} : { named };
  }
  const [, a, separator, b, c] = numeric;
  const found: Partial<Record<DateOrder, number>> = {};
  const put = (order: DateOrder, y: string, m: string, d: string): void => {
    const days = daysOf(y, Number(m), d);
    if (days !== undefined) found[order] = days;
  };
  if (a.length >= 3 || c.length >= 3) {
    if (a.length === 4) put('YMD', a, b, c);
    else if (c.length === 4) {
      put('DMY', c, b, a);
      // A date with points has the day first, wherever it was written.
      if (separator !== '.') put('MDY', c, a, b);
    }
    return found;
  }
  put('DMY', c, b, a);
  if (separator === '.') return found;
  put('MDY', c, a, b);
  put('YMD', a, b, c);
  return found;
}

function namedDate(date: string): number | undefined {
  let match = DAY_FIRST.exec(date);
  if (match) return daysOf(match[3], monthOf(match[2]), match[1]);
  match = MONTH_FIRST.exec(date);
  if (match) return daysOf(match[3], monthOf(match[1]), match[2]);
  match = YEAR_FIRST.exec(date);
  return match ? daysOf(match[1], monthOf(match[2]), match[3]) : undefined;
}

function monthOf(name: string): number {
  return MONTHS.findIndex((month) => month.test(name)) + 1;
}

/** Days since 1970 of a date; undefined if there is none. @param month from 1 */
export function daysOf(yearText: string, month: number, dayText: string): number | undefined {
  const short = Number(yearText);
  const year = yearText.length > 2 ? short : short + (short < PIVOT ? 2000 : 1900);
  const day = Number(dayText);
  if (yearText.length === 3 || month < 1 || month > 12 || dayText.length > 2 || day < 1) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  return date.getTime() / 86_400_000;
}

/** The moment of a text whose date has this order; undefined if it is none. A date alone is its midnight. */
export function readCivil(text: string, order: DateOrder): CivilTime | undefined {
  const parts = splitMoment(text);
  if (!parts || parts.date === null) return undefined;
  const { clockNs } = parts;
  if (clockNs !== null && clockNs >= DAY_NS) return undefined;
  const days = dayOf(parts.date, order);
  if (days === undefined) return undefined;
  return civilTime(BigInt(days) * DAY_NS + (clockNs ?? 0n), parts.offsetMs);
}

/** Rows mostly share their date with the one before. */
let lastDay: { readonly date: string; readonly order: DateOrder; readonly days: number | undefined } | null = null;

function dayOf(date: string, order: DateOrder): number | undefined {
  if (lastDay?.date !== date || lastDay.order !== order) lastDay = { date, order, days: datesOf(date)[order] };
  return lastDay.days;
}

/** @returns undefined outside the years that a time may have */
export function civilTime(ns: bigint, offsetMs: number | null): CivilTime | undefined {
  const utc = ns - BigInt(offsetMs ?? 0) * NS_PER_MS;
  return isTime(utc) ? { ns: utc, zoned: offsetMs !== null } : undefined;
}

const ELAPSED = /^([+-]?)(?:(\d{1,6})\s*(?:d|days?|\.)[\s,:]*)?(\d{1,7}):(\d{1,2}):(\d{2})(?:[.,](\d{1,9})\d*)?$/i;

/** Nanoseconds of `h:mm:ss`, with as many hours as there are, or `1 days 02:03:04`. */
export function elapsedNs(text: string): bigint | undefined {
  const match = ELAPSED.exec(text.trim());
  if (!match) return undefined;
  const [, sign, days = '0', hours, minutes, seconds, fraction = ''] = match;
  if (Number(minutes) > 59 || Number(seconds) > 59) return undefined;
  const ns =
    BigInt(days) * DAY_NS +
    BigInt(hours) * HOUR_NS +
    BigInt(Number(minutes) * 60 + Number(seconds)) * NS_PER_S +
    BigInt(fraction.padEnd(9, '0'));
  return sign === '-' ? -ns : ns;
}
