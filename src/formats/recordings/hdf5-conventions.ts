/** What people call things in HDF5 files: times, their units, rates, labels, missing values. */
import { DTYPES, isBigDtype, type Dtype } from '../../core/numbers/dtype.ts';
import { parseTime } from '../../core/time.ts';
import {
  childrenOf,
  exactAttribute,
  attributeNumber,
  parentOf,
  readTexts,
  attributeText,
  type Hdf5File,
  type Hdf5Node,
} from './hdf5-file.ts';
import { meantRate, rateOfPeriod } from './hdf5-times.ts';

const S = 1_000_000_000n;
const WORDS: readonly (readonly [unit: bigint, words: string])[] = [
  [1n, 'ns nanosecond nanoseconds nsec'],
  [1_000n, 'us µs μs microsecond microseconds usec'],
  [1_000_000n, 'ms millisecond milliseconds msec msecs'],
  [S, 's sec secs second seconds'],
  [60n * S, 'min mins minute minutes'],
  [3_600n * S, 'h hr hrs hour hours'],
  [86_400n * S, 'd day days'],
];
const UNIT_OF_WORD = new Map(WORDS.flatMap(([unit, words]) => words.split(' ').map((word) => [word, unit] as const)));

/** @returns undefined for what is no unit of time, or has no fixed length */
export function timeUnitNs(word: string): bigint | undefined {
  return UNIT_OF_WORD.get(word.trim()) ?? UNIT_OF_WORD.get(word.trim().toLowerCase());
}

export type SinceFound =
  { readonly unitNs: bigint; readonly originNs: bigint; readonly hasZone: boolean } | { readonly problem: string };

/** Calendars whose days are those of our clocks, with the day from which on they are. */
const CALENDARS = new Set(['standard', 'gregorian', 'proleptic_gregorian']);
/** 1582-10-15: the first day of the Gregorian calendar, as days since 1970. */
const GREGORIAN_DAY = -141_427;

/**
 * Reads `hours since 1900-01-01 00:00:0.0`.
 * @returns undefined for a text that does not say since when
 * @see https://cfconventions.org/cf-conventions/cf-conventions.html#time-coordinate
 */
export function readSince(text: string, calendar = 'standard'): SinceFound | undefined {
  const match = /^\s*([a-zµμ]+)\s+(?:since|from|after|ref)\s+(.+?)\s*$/i.exec(text);
  if (!match) return undefined;
  const unitNs = timeUnitNs(match[1]);
  if (unitNs === undefined) return { problem: `counts ${match[1]}, which have no fixed length` };
  const name = calendar.trim().toLowerCase();
  if (!CALENDARS.has(name)) return { problem: `has the calendar ${calendar}, whose days are not those of a clock` };
  const date =
    /^([+-]?\d{1,4})-(\d{1,2})-(\d{1,2})(?:[T ]\s*(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:\.(\d*))?)?)?)?\s*(z|utc|gmt|[+-]\d{1,2}(?::?\d{2})?)?$/i.exec(
      match[2],
    );
  if (!date) return { problem: `counts since ${match[2]}, which is no date` };
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', zone] = date;
  let days = daysSince1970(Number(year), Number(month), Number(day));
  if (name !== 'proleptic_gregorian' && days < GREGORIAN_DAY)
    days = julianDaysSince1970(Number(year), Number(month), Number(day));
  const offset = zoneMinutes(zone);
  const seconds =
    BigInt(days) * 86_400n + BigInt(Number(hour) * 3600 + (Number(minute) - offset) * 60 + Number(second));
  return { unitNs, originNs: seconds * S + BigInt(fraction.slice(0, 9).padEnd(9, '0')), hasZone: zone !== undefined };
}

function zoneMinutes(zone: string | undefined): number {
  const match = /^([+-])(\d{1,2})(?::?(\d{2}))?$/.exec(zone ?? '');
  return match ? (match[1] === '-' ? -1 : 1) * (Number(match[2]) * 60 + Number(match[3] ?? 0)) : 0;
}

function daysSince1970(year: number, month: number, day: number): number {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return Math.floor(date.getTime() / 86_400_000);
}

/** A date of the Julian calendar. */
function julianDaysSince1970(year: number, month: number, day: number): number {
  const past = month <= 2 ? 1 : 0;
  const [y, m] = [year + 4800 - past, month + 12 * past - 3];
  return day + Math.floor((153 * m + 2) / 5) + 365 * y + Math.floor(y / 4) - 32_083 - 2_440_588;
}

const TIME_NAMES =
  /^(?:time|times|timestamp|timestamps|t|ts|datetime|date_time|time_?vector|tvec|time_?axis)(?:(?:[_ ]|[_ ]?[([])(s|sec|secs|seconds|ms|us|ns|min|h)[)\]]?)?$/i;

/** Whether something is called as times are. `time_ms` says the unit, too. */
export function readTimeName(name: string): { readonly unitNs?: bigint } | undefined {
  const match = TIME_NAMES.exec(name);
  if (!match) return undefined;
  const unitNs = match[1] === undefined ? undefined : timeUnitNs(match[1]);
  return unitNs === undefined ? {} : { unitNs };
}

/** Numbers of seconds, ms, µs and ns since 1970 that lie in the years 2000 to 2100. */
const EPOCH_S = { from: 9.4e8, to: 4.2e9 };

/** The unit in which a first time must be counted since 1970, if it is so at all. */
export function epochUnitNs(first: number): bigint | undefined {
  const units: readonly (readonly [number, bigint])[] = [
    [1, S],
    [1e3, 1_000_000n],
    [1e6, 1_000n],
    [1e9, 1n],
  ];
  return units.find(([factor]) => first >= EPOCH_S.from * factor && first <= EPOCH_S.to * factor)?.[1];
}

const RATE_NAMES = /^(?:rate|fs|sfreq|srate|fsample|fsamp|samp(?:le|ling)?(?:rate|freq|frequency))(hz|khz)?$/;
const PERIOD_NAMES = /^(?:dt|deltat|(?:sample|sampling)(?:interval|period))(s|sec|seconds|ms|us|ns)?$/;

export type RateFound = NonNullable<ReturnType<typeof meantRate>>;

/** The rate that a value of this name says, if it is called as rates or periods are. */
export function readNamedRate(name: string, value: unknown): RateFound | undefined {
  const plain = name.toLowerCase().replace(/[^a-z]/g, '');
  const number = attributeNumber(value) ?? Number(attributeText(value) ?? NaN);
  if (!Number.isFinite(number) || number <= 0) return undefined;
  const rate = RATE_NAMES.exec(plain);
  if (rate) return meantRate(rate[1] === 'khz' ? number * 1000 : number);
  const period = PERIOD_NAMES.exec(plain);
  if (!period) return undefined;
  const unit = period[1] === undefined ? S : (timeUnitNs(period[1]) ?? S);
  const found = rateOfPeriod(`${String(number).replace(/e.*/, '')}e${exponentOf(number) + String(unit).length - 10}`);
  return found && { rate: found };
}

function exponentOf(value: number): number {
  return Number(/e(.+)$/.exec(String(value))?.[1] ?? 0);
}

/** The first attribute that is called as rates are, and has one. */
export function rateAmong(
  attributes: Readonly<Record<string, unknown>>,
): (RateFound & { readonly name: string }) | undefined {
  for (const [name, value] of Object.entries(attributes)) {
    const found = readNamedRate(name, value);
    if (found) return { ...found, name };
  }
  return undefined;
}

const START_NAMES =
  /^(?:start|starttime|startdate|startdatetime|t0|begin|recordingstart|starttimestamp|firsttimestamp)$/;

/** A date and time among attributes that are called as starts are. */
export function startAmong(attributes: Readonly<Record<string, unknown>>): bigint | undefined {
  for (const [name, value] of Object.entries(attributes)) {
    const text = attributeText(value);
    if (!START_NAMES.test(name.toLowerCase().replace(/[^a-z0-9]/g, '')) || text === undefined) continue;
    const ns = /^\d{4}-\d\d-\d\d/.test(text) ? parseTime(text) : undefined;
    if (ns !== undefined) return ns;
  }
  return undefined;
}

export function unitAmong(attributes: Readonly<Record<string, unknown>>): string | undefined {
  const name = Object.keys(attributes).find((each) => /^units?$/i.test(each));
  const text = name === undefined ? undefined : attributeText(attributes[name]);
  return text === undefined || text.length > 200 || readSince(text) ? undefined : text;
}

const LABEL_NAMES =
  /^(?:channels?|channel_?names?|channel_?labels?|ch_?names?|labels?|columns?|column_?names?|names)$/i;

/** Labels of so many columns: an attribute, or a dataset of texts beside the data. */
export async function labelsFor(file: Hdf5File, node: Hdf5Node, columns: number): Promise<string[] | undefined> {
  for (const attributes of [node.attributes, file.at(parentOf(node.path))?.attributes ?? {}]) {
    for (const [name, value] of Object.entries(attributes)) {
      const list = Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
      if (LABEL_NAMES.test(name) && list.length === columns) return list;
    }
  }
  for (const each of childrenOf(file, parentOf(node.path))) {
    if (each.type?.kind !== 'text') continue;
    if (!LABEL_NAMES.test(each.path.slice(each.path.lastIndexOf('/') + 1)) || each.shape[0] !== columns) continue;
    const texts = await readTexts(file, each, columns);
    if (texts.length === columns) return texts;
  }
  return undefined;
}

export function groupsAbove(path: string): string[] {
  const groups: string[] = [];
  for (let group = parentOf(path); ; group = parentOf(group)) {
    groups.push(group);
    if (group === '/') return groups;
  }
}

export interface CfPacking {
  readonly dtype: Dtype;
  readonly scale?: number;
  readonly offset?: number;
  readonly missingValue?: number | bigint;
}

/** What unwritten floats of NetCDF have. */
const UNWRITTEN = 9.969209968386869e36;

/**
 * How CF packs values: scale_factor, add_offset, _FillValue or missing_value, _Unsigned.
 * @see https://cfconventions.org/cf-conventions/cf-conventions.html#packed-data
 */
export function cfPacking(dtype: Dtype, attributes: Readonly<Record<string, unknown>>, isNetcdf: boolean): CfPacking {
  const isUnsigned = attributeText(attributes._Unsigned)?.toLowerCase() === 'true' && dtype.startsWith('int');
  const meant = isUnsigned ? (`u${dtype}` as Dtype) : dtype;
  const scale = attributeNumber(attributes.scale_factor);
  const offset = attributeNumber(attributes.add_offset);
  const fill = exactAttribute(attributes._FillValue) ?? exactAttribute(attributes.missing_value);
  const missing = fill === undefined ? undefined : asStored(meant, fill);
  const isFloat = DTYPES[meant].kind === 'float';
  return {
    dtype: meant,
    ...(scale !== undefined && scale !== 0 && { scale }),
    ...(offset !== undefined && { offset }),
    ...(missing !== undefined && { missingValue: missing }),
    ...(missing === undefined && fill === undefined && isNetcdf && isFloat && { missingValue: UNWRITTEN }),
  };
}

/** The value as an array of the dtype holds it; undefined if it cannot, and for NaN, which is missing anyway. */
function asStored(dtype: Dtype, value: number | bigint): number | bigint | undefined {
  const { kind, range, bytes } = DTYPES[dtype];
  if (kind === 'float') {
    const number = dtype === 'float32' ? Math.fround(Number(value)) : Number(value);
    return Number.isFinite(number) ? number : undefined;
  }
  if (typeof value === 'number' && !Number.isInteger(value)) return undefined;
  const whole = BigInt(value);
  const wrapped = whole < 0n && range!.min === 0n ? whole + (1n << BigInt(8 * bytes)) : whole;
  if (wrapped < range!.min || wrapped > range!.max) return undefined;
  return isBigDtype(dtype) ? wrapped : Number(wrapped);
}
