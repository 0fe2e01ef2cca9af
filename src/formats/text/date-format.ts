/** Formats of dates that a person names: `DMY`, `%d/%m/%Y %H:%M:%S`, `dd.MM.yyyy HH:mm:ss`. */
import { NS_PER_S } from '../../core/time.ts';
import {
  civilTime,
  DAY_NS,
  daysOf,
  readCivil,
  splitMoment,
  datesOf,
  type CivilTime,
  type DateOrder,
} from './civil-time.ts';

export type DateReader = (text: string) => CivilTime | undefined;

type Part = 'Y' | 'y' | 'M' | 'N' | 'D' | 'j' | 'H' | 'I' | 'm' | 's' | 'f' | 'p' | 'z';

const DIGITS: Readonly<Record<Part, string>> = {
  Y: '(\\d{4})',
  y: '(\\d{2})',
  M: '(\\d{1,2})',
  N: '(\\p{L}{3,9})\\.?',
  D: '(\\d{1,2})',
  j: '(\\d{1,3})',
  H: '(\\d{1,2})',
  I: '(\\d{1,2})',
  m: '(\\d{1,2})',
  s: '(\\d{1,2})',
  f: '(\\d{1,9})',
  p: '([AaPp])\\.?[Mm]\\.?',
  z: '(Z|UTC|GMT|[+-]\\d{2}:?\\d{2})',
};
/** Parts that stand side by side without a separator have all their digits. */
const FULL: Readonly<Partial<Record<Part, string>>> = {
  M: '(\\d{2})',
  D: '(\\d{2})',
  H: '(\\d{2})',
  I: '(\\d{2})',
  m: '(\\d{2})',
  s: '(\\d{2})',
  j: '(\\d{3})',
};
const STRPTIME: Readonly<Record<string, Part>> = {
  Y: 'Y',
  y: 'y',
  m: 'M',
  b: 'N',
  B: 'N',
  h: 'N',
  d: 'D',
  e: 'D',
  j: 'j',
  H: 'H',
  k: 'H',
  I: 'I',
  l: 'I',
  M: 'm',
  S: 's',
  f: 'f',
  p: 'p',
  z: 'z',
};
const STRPTIME_GROUPS: Readonly<Record<string, string>> = { T: '%H:%M:%S', R: '%H:%M', F: '%Y-%m-%d', D: '%m/%d/%y' };
const LETTERS =
  /^(?:yyyy|YYYY|yy|YY|MMMM|MMM|MM|M|mmmm|mmm|DDD|dd|DD|d|D|HH|hh|H|h|mm|m|SS|ss|s|[Sf]{1,9}|tt|TT|[aA]|ZZ|XXX|Z|X|z)/;

/** @returns undefined if the text is no format of dates */
export function dateReader(format: string): DateReader | undefined {
  const order = orderOf(format);
  if (order) return (text) => readCivil(text, order);
  const parts = format.includes('%') ? strptimeParts(format) : letterParts(format);
  if (!parts) return undefined;
  const kinds = parts.flatMap((part) => (typeof part === 'string' ? [] : [part.part]));
  const has = (...wanted: Part[]): boolean => wanted.some((part) => kinds.includes(part));
  if (new Set(kinds).size !== kinds.length) return undefined;
  if (!has('Y', 'y') || !(has('j') || (has('M', 'N') && has('D')))) return undefined;
  const plain = parts
    .map((part, i) => {
      if (typeof part === 'string') return /^\s+$/.test(part) ? '\\s+' : part.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
      const beside = [parts[i - 1], parts[i + 1]].some((other) => other !== undefined && typeof other !== 'string');
      return (beside && FULL[part.part]) || DIGITS[part.part];
    })
    .join('');
  const pattern = new RegExp(`^\\s*${plain}\\s*$`, 'u');
  const clocked = has('H', 'I');
  return (text) => {
    const match = pattern.exec(text);
    if (match) return momentOf(kinds, match.slice(1));
    // A format of the date alone leaves the clock to be found behind it.
    const moment = clocked ? undefined : splitMoment(text);
    if (!moment || moment.date === null || moment.clockNs === null || moment.clockNs >= DAY_NS) return undefined;
    const date = pattern.exec(moment.date);
    const day = date && momentOf(kinds, date.slice(1));
    return day ? civilTime(day.ns + moment.clockNs, moment.offsetMs) : undefined;
  };
}

function orderOf(format: string): DateOrder | undefined {
  const upper = format.toUpperCase();
  return upper === 'DMY' || upper === 'MDY' || upper === 'YMD' ? upper : undefined;
}

type FormatPart = string | { readonly part: Part };

function strptimeParts(format: string): FormatPart[] | undefined {
  const parts: FormatPart[] = [];
  const expanded = format.replace(/%([TRFD])/g, (_, letter: string) => STRPTIME_GROUPS[letter]);
  for (let at = 0; at < expanded.length; at++) {
    if (expanded[at] !== '%') {
      parts.push(expanded[at]);
      continue;
    }
    const letter = expanded[++at];
    if (letter === '-') at++;
    const part = STRPTIME[letter === '-' ? expanded[at] : letter];
    if (letter === '%') parts.push('%');
    else if (part) parts.push({ part });
    else return undefined;
  }
  return joined(parts);
}

function letterParts(format: string): FormatPart[] | undefined {
  const parts: FormatPart[] = [];
  let hourSeen = false;
  for (let rest = format; rest !== '';) {
    if (rest[0] === "'") {
      const end = rest.indexOf("'", 1);
      if (end < 0) return undefined;
      parts.push(rest.slice(1, end));
      rest = rest.slice(end + 1);
      continue;
    }
    const found = rest.startsWith('T') && !rest.startsWith('TT') ? null : LETTERS.exec(rest)?.[0];
    if (!found) {
      if (/^\p{L}/u.test(rest) && !rest.startsWith('T')) return undefined;
      parts.push(rest[0]);
      rest = rest.slice(1);
      continue;
    }
    const part = letterPart(found, hourSeen);
    hourSeen ||= part === 'H' || part === 'I';
    parts.push({ part });
    rest = rest.slice(found.length);
  }
  // Hours up to 12 are meant only where AM or PM stands behind them.
  const half = parts.some((part) => typeof part !== 'string' && part.part === 'p');
  return joined(parts.map((part) => (typeof part !== 'string' && part.part === 'I' && !half ? { part: 'H' } : part)));
}

/** In `HH:MM` the minutes are meant, whatever their case. */
function letterPart(found: string, hourSeen: boolean): Part {
  if (/^y{4}$/i.test(found)) return 'Y';
  if (/^y{2}$/i.test(found)) return 'y';
  if (/^(?:M|m){3,4}$/.test(found)) return 'N';
  if (/^m/i.test(found)) return hourSeen ? 'm' : 'M';
  if (found === 'DDD') return 'j';
  if (/^d/i.test(found)) return 'D';
  if (found.startsWith('H')) return 'H';
  if (found.startsWith('h')) return 'I';
  if (/^s{1,2}$/.test(found) || found === 'SS') return 's';
  if (/^[Sf]/.test(found)) return 'f';
  return /^(?:tt|TT|a|A)$/.test(found) ? 'p' : 'z';
}

function joined(parts: readonly FormatPart[]): FormatPart[] {
  const out: FormatPart[] = [];
  for (const part of parts) {
    const last = out.at(-1);
    if (typeof part === 'string' && typeof last === 'string') out[out.length - 1] = last + part;
    else out.push(part);
  }
  return out;
}

function momentOf(kinds: readonly Part[], texts: readonly string[]): CivilTime | undefined {
  const said = (part: Part): string | undefined => {
    const at = kinds.indexOf(part);
    return at < 0 ? undefined : texts[at];
  };
  const year = said('Y') ?? said('y') ?? '';
  const dayOfYear = said('j');
  let days: number | undefined;
  if (dayOfYear !== undefined) {
    const first = daysOf(year, 1, '1');
    const number = Number(dayOfYear);
    days = first === undefined || number < 1 ? undefined : first + number - 1;
    if (
      days !== undefined &&
      new Date(days * 86_400_000).getUTCFullYear() !== new Date(first! * 86_400_000).getUTCFullYear()
    )
      days = undefined;
  } else {
    const month = said('M');
    const named = month === undefined ? datesOf(`1 ${said('N')} 2000`).named : undefined;
    const number =
      month === undefined ? (named === undefined ? 0 : new Date(named * 86_400_000).getUTCMonth() + 1) : Number(month);
    days = daysOf(year, number, said('D') ?? '');
  }
  if (days === undefined) return undefined;
  let hour = Number(said('H') ?? said('I') ?? 0);
  const half = said('p');
  if (half !== undefined) {
    if (hour < 1 || hour > 12) return undefined;
    hour = (hour % 12) + (half.toLowerCase() === 'p' ? 12 : 0);
  }
  const [minute, second] = [Number(said('m') ?? 0), Number(said('s') ?? 0)];
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  const clock = BigInt(hour * 3600 + minute * 60 + second) * NS_PER_S + BigInt((said('f') ?? '').padEnd(9, '0'));
  return civilTime(BigInt(days) * DAY_NS + clock, offsetOfText(said('z')));
}

function offsetOfText(zone: string | undefined): number | null {
  if (zone === undefined) return null;
  const match = /^([+-])(\d{2}):?(\d{2})$/.exec(zone);
  if (!match) return 0;
  return (match[1] === '-' ? -1 : 1) * (Number(match[2]) * 60 + Number(match[3])) * 60_000;
}
