/** Which columns of a table are its time, how they are written, and the instants that they mean. */
import { invalidField } from '../../core/errors.ts';
import { instantsOf, type OffsetAt } from '../../core/place-clock.ts';
import { isTime, UNIT_NS } from '../../core/time.ts';
import {
  civilTime,
  DAY_NS,
  elapsedNs,
  readCivil,
  splitMoment,
  datesOf,
  type CivilTime,
  type DateOrder,
} from '../text/civil-time.ts';
import { dateReader } from '../text/date-format.ts';
import { decimalNs, plainNumber, type NumberStyle } from '../text/number-style.ts';
import type { ColumnProfile } from './column-profile.ts';
import { shownField, wrongCell } from './table-place.ts';

/** Units of times that are numbers; `excel`: days since 1899-12-30, as a clock on the wall shows them. */
export const TABLE_EPOCHS = ['s', 'ms', 'us', 'ns', 'excel'] as const;
export type TableEpoch = (typeof TABLE_EPOCHS)[number];

export interface TimeOptions {
  readonly timeColumn?: string;
  readonly dateFormat?: string;
  readonly epoch?: TableEpoch;
  /** Unit of times since the start, or `clock` for h:mm:ss. */
  readonly elapsed?: string;
  /** Clock of the place where times have no zone, and its name. */
  readonly zone?: { readonly name: string; readonly offsetAt: OffsetAt };
  /** The instant from which elapsed times count. */
  readonly startNs?: bigint;
}

export interface NamedColumn {
  readonly name: string;
  readonly label: string;
  readonly unit: string | null;
  readonly profile: ColumnProfile;
}

export interface TablePlanTime {
  /** One, or a date and a clock. */
  readonly columns: readonly number[];
  readonly relative: boolean;
  /** What the texts say; undefined if they are no time. */
  readonly read: (text: string) => CivilTime | undefined;
  readonly facts: Readonly<Record<string, unknown>>;
  readonly notes: readonly string[];
}

const UNITS_NS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: UNIT_NS.us,
  ms: UNIT_NS.ms,
  s: UNIT_NS.s,
  min: UNIT_NS.m,
  m: UNIT_NS.m,
  h: UNIT_NS.h,
  d: DAY_NS,
};
export const ELAPSED_UNITS = ['ns', 'us', 'ms', 's', 'min', 'h', 'd', 'clock'] as const;
/** Digits before the point of the times of this century, by unit. */
const EPOCH_DIGITS: Readonly<Record<number, Exclude<TableEpoch, 'excel'>>> = { 10: 's', 13: 'ms', 16: 'us', 19: 'ns' };
const TIME_NAME =
  /^(?:#?\s*)(?:elapsed|run|rel(?:ative)?|test|kinetic|total|real|unix|sample|session|experiment|acquisition|rec(?:ord(?:ing)?)?)?[\s_.-]*(?:time(?:[\s_.-]*stamps?)?|zeit(?:stempel|punkt)?|uhrzeit|datum|date(?:[\s_/.-]*time)?|t|ts|temps|tiempo|tempo|elapsed|dauer|duration|runtime|epoch|unix|when|sec(?:ond)?s?|min(?:ute)?s?|hours?|hrs?|millis|ms|μs|us)(?=$|[\s_.(/[-])/i;
/** A unit that stands in the name itself: time_ms, seconds_elapsed. */
const NAMED_UNITS: readonly (readonly [RegExp, string])[] = [
  [/(?:^|[_\s.-])(?:ns|nanos(?:econds?)?)(?:$|[_\s.-])/i, 'ns'],
  [/(?:^|[_\s.-])(?:us|µs|μs|micros(?:econds?)?|usec)(?:$|[_\s.-])/i, 'us'],
  [/(?:^|[_\s.-])(?:ms|millis(?:econds?)?|msec)(?:$|[_\s.-])/i, 'ms'],
  [/(?:^|[_\s.-])(?:s|secs?|seconds?|sekunden)(?:$|[_\s.-])/i, 's'],
  [/(?:^|[_\s.-])(?:mins?|minutes?|minuten)(?:$|[_\s.-])/i, 'min'],
  [/(?:^|[_\s.-])(?:h|hrs?|hours?|stunden)(?:$|[_\s.-])/i, 'h'],
  [/(?:^|[_\s.-])(?:days?|tage)(?:$|[_\s.-])/i, 'd'],
];
const ELAPSED_NAME = /elapsed|run\s?time|duration|dauer|kinetic|relative|since|h+:m+/i;
const UTC_NAME = /(?:^|[\s_([/-])(?:utc|gmt)(?:$|[\s_)\]/-])/i;
const NS_PER_MS = 1_000_000n;
/** Days from Excel's zero to 1970. */
const EXCEL_1970 = 25_569n;

function isTimeName({ name, label }: NamedColumn): boolean {
  return TIME_NAME.test(name) || TIME_NAME.test(label);
}

/** The unit of a column of times that are numbers, from its header. */
function unitOfName({ unit, label, name }: NamedColumn): string | null {
  if (unit !== null) {
    const code = /^s$/i.test(unit) ? 's' : unit;
    if (UNITS_NS[code] !== undefined) return code;
  }
  return NAMED_UNITS.find(([pattern]) => pattern.test(label) || pattern.test(name))?.[1] ?? null;
}

/** Finds the column of a name, of a label without its unit, or of a number from 1. @throws invalid-input naming the option */
export function columnNamed(columns: readonly NamedColumn[], name: string, option: string): number {
  const wanted = name.trim();
  for (const key of ['name', 'label'] as const) {
    const found = columns.findIndex((column) => column[key] === wanted);
    if (found >= 0) return found;
  }
  const number = /^\d+$/.test(wanted) ? Number(wanted) : 0;
  if (number >= 1 && number <= columns.length) return number - 1;
  throw invalidField(option, `the file has no column ${name}; it has ${namesOf(columns)}`);
}

const MAX_NAMES = 20;

/** Names of columns for a sentence. */
export function namesOf(columns: readonly NamedColumn[]): string {
  const names = columns.slice(0, MAX_NAMES).map(({ name }) => (name.length > 60 ? `${name.slice(0, 60)}…` : name));
  return `${names.join(', ')}${columns.length > MAX_NAMES ? ` and ${columns.length - MAX_NAMES} more` : ''}`;
}

/**
 * Finds the time of a table, or takes what was told.
 * @throws `invalid-input` naming the option, or line and column where a time is ambiguous
 */
export function planTime(columns: readonly NamedColumn[], options: TimeOptions, style: NumberStyle): TablePlanTime {
  const told = options.timeColumn === undefined ? null : columnNamed(columns, options.timeColumn, 'timeColumn');
  const places = told === null ? findTime(columns, options) : withClock(columns, told);
  if (places.length === 2) return pairTime(columns, places, options, told !== null);
  return singleTime(columns, places[0], options, { style, told: told !== null });
}

function findTime(columns: readonly NamedColumn[], options: TimeOptions): number[] {
  const all = columns.map((_, i) => i);
  const first = (test: (column: NamedColumn) => boolean): number | undefined => all.find((i) => test(columns[i]));
  const readsFormat = options.dateFormat === undefined ? undefined : dateReader(options.dateFormat);
  const formatted =
    readsFormat &&
    first(({ profile }) => profile.cells > 0 && [...profile.distinct].slice(0, 50).every((text) => readsFormat(text)));
  if (options.epoch !== undefined || options.elapsed !== undefined) {
    const named = first((column) => isTimeName(column) && (column.profile.isNumeric || column.profile.isElapsed));
    const any = named ?? first(({ profile }) => profile.isNumeric || profile.isElapsed);
    if (any !== undefined) return [any];
  }
  const moments = all.filter((i) => columns[i].profile.isMoment);
  const full = (i: number): boolean => columns[i].profile.clocked > columns[i].profile.midnights;
  const zoned = moments.find((i) => full(i) && columns[i].profile.zoned === columns[i].profile.cells);
  if (zoned !== undefined) return [zoned];
  const dated = moments.find(full);
  if (dated !== undefined) return [dated];
  if (moments.length > 0) {
    return withClock(columns, moments[0]);
  }
  if (formatted !== undefined) return [formatted];
  const epoch = first((column) => isTimeName(column) && column.profile.isNumeric && epochOf(column.profile) !== null);
  if (epoch !== undefined) return [epoch];
  const counted = first((column) => isTimeName(column) && column.profile.isNumeric && unitOfName(column) !== null);
  if (counted !== undefined) return [counted];
  const elapsed = first(({ profile }) => profile.isElapsed) ?? first(({ profile }) => profile.isClock);
  if (elapsed !== undefined) return [elapsed];
  const named = first((column) => isTimeName(column) && column.profile.cells > 0);
  if (named !== undefined) return [named];
  if (columns[0].profile.isWhole && epochOf(columns[0].profile) !== null) return [0];
  throw invalidField(
    'timeColumn',
    `no column of ${namesOf(columns)} holds times; --time-column names the one that does, with --epoch or --elapsed if its times are numbers`,
  );
}

/** A column of dates, with that of the times of day that belong to them; the column alone if there are none. */
function withClock(columns: readonly NamedColumn[], date: number): number[] {
  const { profile } = columns[date];
  if (!profile.isMoment || profile.clocked > profile.midnights) return [date];
  const clocks = columns.flatMap((column, i) => (column.profile.isClock ? [i] : []));
  const clock = clocks.find((i) => i > date) ?? clocks[0];
  return clock === undefined ? [date] : [date, clock];
}

/** The unit in which all numbers of a column are times of this century; null: none is certain. */
function epochOf({ leastDigits, mostDigits }: ColumnProfile): Exclude<TableEpoch, 'excel'> | null {
  return leastDigits === mostDigits ? (EPOCH_DIGITS[mostDigits] ?? null) : null;
}

function pairTime(
  columns: readonly NamedColumn[],
  places: readonly number[],
  options: TimeOptions,
  told: boolean,
): TablePlanTime {
  const [date, clock] = places;
  const column = columns[date];
  const { reader, notes, facts } = civilReader(column, options);
  return {
    columns: [date, clock],
    relative: false,
    read: reader,
    facts: { time_column: [column.name, columns[clock].name], ...facts },
    notes: [
      ...(told ? [] : [`times were taken from the columns ${column.name} and ${columns[clock].name} together`]),
      ...notes,
    ],
  };
}

function singleTime(
  columns: readonly NamedColumn[],
  place: number,
  options: TimeOptions,
  { style, told }: { readonly style: NumberStyle; readonly told: boolean },
): TablePlanTime {
  const column = columns[place];
  const { profile, name } = column;
  const found = told ? [] : [`times were taken from the column ${name}`];
  const base = { columns: [place], facts: { time_column: name } };
  if (options.epoch !== undefined) return epochTime(base, options.epoch, found, style);
  if (options.elapsed !== undefined) return elapsedTime(base, options.elapsed, options, { found, style });
  if (options.dateFormat !== undefined || profile.dated > 0) {
    const { reader, notes, facts } = civilReader(column, options);
    return { ...base, relative: false, read: reader, facts: { ...base.facts, ...facts }, notes: [...found, ...notes] };
  }
  if (profile.isNumeric) return numberTime(column, base, options, { found, style });
  if (profile.isElapsed || profile.isClock) {
    const starts = profile.firstElapsedNs !== null && profile.firstElapsedNs < UNIT_NS.h && profile.halves === 0;
    const certain =
      profile.isElapsed && (profile.pastDay > 0 || starts || ELAPSED_NAME.test(name) || options.startNs !== undefined);
    if (certain) return elapsedTime(base, 'clock', options, { found, style });
    throw invalidField(
      'timeColumn',
      `${name} holds times of day such as ${shownField([...profile.distinct][0] ?? '')} without a date, or times since the start: --elapsed clock says the latter, --start gives the day`,
    );
  }
  const [bad] = profile.odd;
  if (bad)
    throw wrongCell(
      bad,
      name,
      `is not a time: --date-format says how it is written, --time-column names another column`,
    );
  throw invalidField('timeColumn', `${name} holds no times; --time-column names the column that does`);
}

type TimeBase = Pick<TablePlanTime, 'columns' | 'facts'>;
interface TimeReading {
  readonly found: readonly string[];
  readonly style: NumberStyle;
}

function numberTime(column: NamedColumn, base: TimeBase, options: TimeOptions, reading: TimeReading): TablePlanTime {
  const { profile, name } = column;
  const unit = unitOfName(column);
  const epoch = epochOf(profile);
  const first = [...profile.distinct][0] ?? '';
  if (epoch !== null && (unit === null || unit === epoch)) {
    const said = `whole numbers of ${profile.mostDigits} digits in ${name} were taken as ${EPOCH_WORDS[epoch]} since 1970; --epoch says otherwise`;
    return epochTime(base, epoch, [...reading.found, said], reading.style);
  }
  if (unit !== null && profile.mostDigits < 10) {
    return elapsedTime(base, unit, options, reading);
  }
  if (/excel|serial/i.test(name)) return epochTime(base, 'excel', reading.found, reading.style);
  throw invalidField(
    'epoch',
    `the numbers in ${name}, such as ${shownField(first)}, fit more than one unit: --epoch ${TABLE_EPOCHS.join('|')} says what they count since 1970, --elapsed ${ELAPSED_UNITS.join('|')} since the start`,
  );
}

const EPOCH_WORDS = { s: 'seconds', ms: 'milliseconds', us: 'microseconds', ns: 'nanoseconds' } as const;

function epochTime(base: TimeBase, epoch: TableEpoch, notes: readonly string[], style: NumberStyle): TablePlanTime {
  const facts = { ...base.facts, epoch };
  if (epoch === 'excel') {
    const read = (text: string): CivilTime | undefined => {
      const plain = plainNumber(text, style);
      const ns = plain === undefined ? undefined : decimalNs(plain, DAY_NS);
      if (ns === undefined) return undefined;
      // A serial has digits for milliseconds, and Excel shows no more.
      const rounded = ((ns + NS_PER_MS / 2n) / NS_PER_MS) * NS_PER_MS;
      return civilTime(rounded - EXCEL_1970 * DAY_NS, null);
    };
    return { ...base, relative: false, read, facts, notes: [...notes, 'days of Excel were rounded to milliseconds'] };
  }
  const read = (text: string): CivilTime | undefined => {
    const plain = plainNumber(text, style);
    const ns = plain === undefined ? undefined : decimalNs(plain, UNITS_NS[epoch]);
    return ns !== undefined && isTime(ns) ? { ns, zoned: true } : undefined;
  };
  return { ...base, relative: false, read, facts, notes };
}

function elapsedTime(
  base: TimeBase,
  unit: string,
  { startNs }: TimeOptions,
  { found, style }: TimeReading,
): TablePlanTime {
  const unitNs = UNITS_NS[unit];
  if (unitNs === undefined && unit !== 'clock') {
    throw invalidField('elapsed', `${unit} is none of ${ELAPSED_UNITS.join(', ')}`);
  }
  const read = (text: string): CivilTime | undefined => {
    let ns: bigint | undefined;
    if (unitNs === undefined) ns = elapsedNs(text) ?? splitMoment(text)?.clockNs ?? undefined;
    else {
      const plain = plainNumber(text, style);
      ns = plain === undefined ? undefined : decimalNs(plain, unitNs);
    }
    if (ns === undefined) return undefined;
    const at = ns + (startNs ?? 0n);
    return isTime(at) ? { ns: at, zoned: true } : undefined;
  };
  const since =
    startNs === undefined
      ? 'count from the start of the recording; --start makes them times of a day'
      : 'were counted from --start';
  const how = unit === 'clock' ? 'h:mm:ss' : unit;
  return {
    ...base,
    relative: startNs === undefined,
    read,
    facts: { ...base.facts, elapsed: how },
    notes: [...found, `times in ${how} ${since}`],
  };
}

/** @throws where the order of day and month is open */
function civilReader(
  { name, profile }: NamedColumn,
  options: TimeOptions,
): { reader: (text: string) => CivilTime | undefined; notes: string[]; facts: Record<string, unknown> } {
  const isUtc = UTC_NAME.test(name);
  const notes: string[] = [];
  const facts: Record<string, unknown> = {};
  let reader: (text: string) => CivilTime | undefined;
  if (options.dateFormat !== undefined) {
    const found = dateReader(options.dateFormat);
    if (!found) {
      throw invalidField(
        'dateFormat',
        `${shownField(options.dateFormat)} is no format: DMY, MDY and YMD are, and formats such as %d/%m/%Y %H:%M:%S or dd.MM.yyyy HH:mm`,
      );
    }
    reader = found;
    facts.date_format = options.dateFormat;
  } else {
    if (profile.clash) {
      throw wrongCell(
        profile.clash,
        name,
        'has day and month in another order than the dates above it: --date-format says how they are written',
      );
    }
    const order = orderOf(profile, name);
    reader = (text) => readCivil(text, order);
    if (order === 'DMY' || order === 'MDY') {
      notes.push(
        `dates in ${name} were read as ${order === 'DMY' ? 'day, month, year' : 'month, day, year'}, the one order that fits all`,
      );
    }
    facts.date_order = order;
  }
  if (isUtc && !options.zone) {
    const local = reader;
    reader = (text) => {
      const time = local(text);
      return time && { ns: time.ns, zoned: true };
    };
    facts.time_zone = 'UTC';
  } else if (profile.zoned < profile.cells) {
    if (options.zone) notes.push(`times without a zone were taken as those of ${options.zone.name}`);
    else notes.push('times without a zone were taken as UTC');
    facts.time_zone = options.zone?.name ?? 'UTC';
  }
  return { reader, notes, facts };
}

function orderOf(profile: ColumnProfile, name: string): DateOrder {
  const orders = [...(profile.orders ?? [])];
  if (orders.length === 1) return orders[0];
  if (orders.length === 0) {
    const [bad] = profile.odd;
    throw bad
      ? wrongCell(bad, name, 'is not a date: --date-format says how it is written')
      : invalidField('timeColumn', `${name} holds no dates`);
  }
  // Where every date is the same in all orders, there is nothing to decide.
  if (!profile.unclear) return orders[0];
  const readings = Object.entries(datesOf(splitMoment(profile.unclear.text)?.date ?? ''))
    .filter(([order]) => orders.includes(order as DateOrder))
    .map(([order, days]) => `${new Date(days * 86_400_000).toISOString().slice(0, 10)} (${order})`);
  throw wrongCell(
    profile.unclear,
    name,
    `may be ${readings.join(' or ')}, and no other date decides it: --date-format ${orders.join(' or ')}`,
  );
}

/** Turns what a clock showed into instants, row by row: a time that it showed twice is the first or the second by their order. */
export class LocalTimes {
  readonly #offsetAt: OffsetAt | null;
  #lastNs: bigint | null = null;
  #lastLocalNs: bigint | null = null;
  #stepNs = 0n;
  /** How many times the clock showed twice. */
  doubled = 0;

  /** @param offsetAt null: times without a zone are UTC */
  constructor(offsetAt: OffsetAt | null) {
    this.#offsetAt = offsetAt;
  }

  /** @returns ns UTC; undefined of a time that the clock skipped */
  instant({ ns, zoned }: CivilTime): bigint | undefined {
    if (zoned || !this.#offsetAt) return ns;
    const below = ((ns % NS_PER_MS) + NS_PER_MS) % NS_PER_MS;
    const found = instantsOf(Number((ns - below) / NS_PER_MS), this.#offsetAt).map(
      (ms) => BigInt(ms) * NS_PER_MS + below,
    );
    if (found.length === 0) return undefined;
    let instant = found[0];
    if (found.length > 1) {
      this.doubled++;
      const overlapNs = found[1] - found[0];
      const back = this.#lastNs !== null && instant < this.#lastNs && found[1] >= this.#lastNs;
      // Two equal times are one instant, unless rows come as seldom as the clock is set back.
      const again = this.#lastLocalNs === ns && this.#lastNs === instant && this.#stepNs >= overlapNs;
      if (back || again) instant = found[1];
    }
    if (this.#lastNs !== null && instant > this.#lastNs) this.#stepNs = instant - this.#lastNs;
    this.#lastNs = instant;
    this.#lastLocalNs = ns;
    return instant;
  }
}

/** @throws naming the field */
export function wrongTime(place: { line: number; text: string }, column: string, zone: string | null): Error {
  return zone === null
    ? wrongCell(
        place,
        column,
        `is not a time in the years 1678 to 2261 as the others are; --date-format says how it is written`,
      )
    : wrongCell(
        place,
        column,
        `is a time that the clock of ${zone} skipped; --tz with an offset such as +01:00 takes it as it is`,
      );
}
