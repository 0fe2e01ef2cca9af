/** Ticks and names of times: as instants, by the clock of a place, or since the start of a recording. Pure. */
import type { ViewWindow } from './view-window.ts';

/** How times are told. */
export type TimeStyle =
  | { readonly kind: 'utc' }
  | { readonly kind: 'local'; readonly zone: string }
  | { readonly kind: 'since'; readonly originNs: bigint };

export interface TimeTick {
  readonly ns: bigint;
  readonly label: string;
  /** A day begins here, which is drawn as a grid of its own. */
  readonly isDay: boolean;
}

const US = 1_000n;
const MS = 1_000_000n;
const SECOND = 1_000_000_000n;
const MINUTE = 60n * SECOND;
const HOUR = 60n * MINUTE;
const DAY = 24n * HOUR;
/** A step of ticks is one of these, or a decimal of a second, or whole years of days. */
const CLOCK_STEPS = [
  ...[1n, 2n, 5n, 10n, 15n, 30n].map((n) => n * SECOND),
  ...[1n, 2n, 5n, 10n, 15n, 30n].map((n) => n * MINUTE),
  ...[1n, 2n, 3n, 6n, 12n].map((n) => n * HOUR),
  ...[1n, 2n, 7n, 14n, 30n, 90n, 180n, 365n, 730n, 1825n, 3650n, 18250n, 36500n].map((n) => n * DAY),
];
/** More ticks would be no axis any more, whatever was asked for. */
const MAX_TICKS = 200;

/** The shortest step, of those that read well, of which a view has at most so many. */
export function stepFor(lengthNs: bigint, most: number): bigint {
  const least = (lengthNs - 1n) / BigInt(Math.max(1, Math.floor(most))) + 1n;
  for (let unit = 1n; unit < SECOND; unit *= 10n) {
    for (const times of [1n, 2n, 5n]) if (unit * times >= least && unit * times < SECOND) return unit * times;
  }
  return CLOCK_STEPS.find((step) => step >= least) ?? CLOCK_STEPS[CLOCK_STEPS.length - 1];
}

/** Ticks within a view, in order. @param most of them, about */
export function timeTicks(view: ViewWindow, most: number, style: TimeStyle): TimeTick[] {
  const step = stepFor(view.endNs - view.startNs, most);
  const ticks: TimeTick[] = [];
  // A clock that is moved between two ticks moves the later one.
  for (let at = view.startNs - step; ticks.length < MAX_TICKS;) {
    const ns = tickAfter(at, step, style);
    if (ns >= view.endNs) break;
    at = ns > at ? ns : at + step;
    if (ns < view.startNs) continue;
    ticks.push({ ns, label: tickLabel(ns, step, style), isDay: isDayBorder(ns, style) });
  }
  return ticks;
}

/** Midnights in a view; none if there are more than `most`. */
export function dayBorders(view: ViewWindow, most: number, style: TimeStyle): bigint[] {
  if (style.kind === 'since' || (view.endNs - view.startNs) / DAY > BigInt(most)) return [];
  const days: bigint[] = [];
  for (let at = view.startNs - 1n; days.length <= most;) {
    const ns = tickAfter(at, DAY, style);
    if (ns >= view.endNs) break;
    if (ns >= view.startNs) days.push(ns);
    at = ns > at ? ns : at + DAY;
  }
  return days;
}

/** The first time after another at which the clock shows a multiple of the step. */
function tickAfter(ns: bigint, step: bigint, style: TimeStyle): bigint {
  const shown = clockOf(ns, style);
  const next = (floorDiv(shown, step) + 1n) * step;
  const guess = ns + (next - shown);
  // If the clock was put forward or back in between, it does not show the multiple there.
  const off = next - clockOf(guess, style);
  return off === 0n ? guess : guess + off;
}

/** What the clock shows, in ns since its own 1970. */
function clockOf(ns: bigint, style: TimeStyle): bigint {
  if (style.kind === 'since') return ns - style.originNs;
  return style.kind === 'utc' ? ns : ns + zoneOffsetNs(ns, style.zone);
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** How far the clock of a place is ahead of UTC. An unknown zone is UTC. */
function zoneOffsetNs(ns: bigint, zone: string): bigint {
  let format = formats.get(zone);
  if (!format) {
    const options = {
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
      hourCycle: 'h23',
      era: 'short',
    } as const;
    format = new Intl.DateTimeFormat('en-US', { ...options, timeZone: isZone(zone) ? zone : 'UTC' });
    formats.set(zone, format);
  }
  const seconds = Number(floorDiv(ns, SECOND));
  const part: Record<string, number> = {};
  for (const { type, value } of format.formatToParts(seconds * 1000)) part[type] = Number(value);
  const shown = Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second);
  return BigInt(Math.round(shown / 1000) - seconds) * SECOND;
}

export function isZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: zone }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

function isDayBorder(ns: bigint, style: TimeStyle): boolean {
  return style.kind !== 'since' && floorMod(clockOf(ns, style), DAY) === 0n;
}

/** As much of a time as tells it from its neighbours a step away. */
export function tickLabel(ns: bigint, step: bigint, style: TimeStyle): string {
  const shown = clockOf(ns, style);
  if (style.kind === 'since') return sinceText(shown, fractionDigits(step));
  if (step >= DAY || floorMod(shown, DAY) === 0n) return dateText(shown);
  return clockText(shown, step >= MINUTE ? -1 : fractionDigits(step));
}

/** A time with all of its digits. */
export function fullTime(ns: bigint, style: TimeStyle): string {
  const shown = clockOf(ns, style);
  if (style.kind === 'since') return sinceText(shown, 9);
  return `${dateText(shown)} ${clockText(shown, 9)}${style.kind === 'utc' ? ' UTC' : ` ${style.zone}`}`;
}

/** RFC 3339 with nanoseconds, which the service reads as exactly this time. */
export function instantText(ns: bigint): string {
  return `${dateText(ns)}T${clockText(ns, 9)}Z`;
}

/** A length of time in the unit that suits it. */
export function spanText(ns: bigint): string {
  const units: [bigint, string][] = [
    [DAY, 'd'],
    [HOUR, 'h'],
    [MINUTE, 'min'],
    [SECOND, 's'],
    [MS, 'ms'],
    [US, 'µs'],
  ];
  for (const [unit, name] of units) {
    if (ns >= unit) return `${trimmed(Number(ns) / Number(unit))} ${name}`;
  }
  return `${ns} ns`;
}

/** Nanoseconds of an instant as the service writes it, in RFC 3339. @returns null: it is none */
export function nsOfInstant(text: string): bigint | null {
  const match = /^([+-]?\d{4,6}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z$/.exec(text);
  if (!match) return null;
  const ms = Date.parse(`${match[1]}Z`);
  return Number.isNaN(ms) ? null : BigInt(ms) * MS + BigInt((match[2] ?? '').padEnd(9, '0'));
}

function dateText(shown: bigint): string {
  return new Date(Number(floorDiv(shown, MS))).toISOString().split('T')[0];
}

/** @param digits of the second; less than 0: no seconds */
function clockText(shown: bigint, digits: number): string {
  const inDay = floorMod(shown, DAY);
  const time = `${two(inDay / HOUR)}:${two((inDay % HOUR) / MINUTE)}`;
  return digits < 0 ? time : `${time}:${two((inDay % MINUTE) / SECOND)}${fraction(inDay % SECOND, digits)}`;
}

function sinceText(shown: bigint, digits: number): string {
  const ns = shown < 0n ? -shown : shown;
  const time = `${two(ns / HOUR)}:${two((ns % HOUR) / MINUTE)}:${two((ns % MINUTE) / SECOND)}`;
  return `${shown < 0n ? '−' : '+'}${time}${fraction(ns % SECOND, digits)}`;
}

function fractionDigits(step: bigint): number {
  let digits = 0;
  for (let unit = SECOND; digits < 9 && step % unit !== 0n; unit /= 10n) digits++;
  return digits;
}

function fraction(ns: bigint, digits: number): string {
  return digits === 0 ? '' : `.${String(ns).padStart(9, '0').slice(0, digits)}`;
}

function two(value: bigint): string {
  return String(value).padStart(2, '0');
}

function trimmed(value: number): string {
  return String(Number(value.toPrecision(4)));
}

function floorDiv(a: bigint, b: bigint): bigint {
  const quotient = a / b;
  return a % b < 0n ? quotient - 1n : quotient;
}

function floorMod(a: bigint, b: bigint): bigint {
  return a - floorDiv(a, b) * b;
}
