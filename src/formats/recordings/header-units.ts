/** Units that headers of tables have: `Temp (°C)`, `temp [degC]`, `Voltage / mV`. */
import { MAX_CHANNEL_UNIT_CHARS } from './channel-labels.ts';

/** What people write, and the code that UCUM has for it. */
const SPELLINGS: Readonly<Record<string, string>> = {
  '°c': 'Cel',
  ºc: 'Cel',
  '℃': 'Cel',
  degc: 'Cel',
  deg_c: 'Cel',
  'deg c': 'Cel',
  'deg.c': 'Cel',
  celsius: 'Cel',
  cel: 'Cel',
  '˚c': 'Cel',
  '°f': '[degF]',
  ºf: '[degF]',
  '℉': '[degF]',
  degf: '[degF]',
  'deg f': '[degF]',
  fahrenheit: '[degF]',
  kelvin: 'K',
  '%': '%',
  percent: '%',
  '%rh': '%',
  'rh%': '%',
  '% rh': '%',
  '%rel': '%',
  '% sat': '%',
  '‰': '[ppth]',
  ppm: '[ppm]',
  ppb: '[ppb]',
  sec: 's',
  secs: 's',
  second: 's',
  seconds: 's',
  s: 's',
  sek: 's',
  sekunden: 's',
  min: 'min',
  mins: 'min',
  minute: 'min',
  minutes: 'min',
  minuten: 'min',
  h: 'h',
  hr: 'h',
  hrs: 'h',
  hour: 'h',
  hours: 'h',
  std: 'h',
  stunden: 'h',
  d: 'd',
  day: 'd',
  days: 'd',
  tage: 'd',
  ms: 'ms',
  msec: 'ms',
  millisecond: 'ms',
  milliseconds: 'ms',
  us: 'us',
  usec: 'us',
  microseconds: 'us',
  ns: 'ns',
  mmhg: 'mm[Hg]',
  psi: '[psi]',
  atm: 'atm',
  mbar: 'mbar',
  bar: 'bar',
  pa: 'Pa',
  hpa: 'hPa',
  kpa: 'kPa',
  torr: 'Torr',
  cmh2o: 'cm[H2O]',
  volt: 'V',
  volts: 'V',
  ohm: 'Ohm',
  ohms: 'Ohm',
  ω: 'Ohm',
  kω: 'kOhm',
  mω: 'MOhm',
  amp: 'A',
  amps: 'A',
  deg: 'deg',
  degree: 'deg',
  degrees: 'deg',
  '°': 'deg',
  rad: 'rad',
  lux: 'lx',
  lx: 'lx',
  bpm: '/min',
  rpm: '{rpm}',
  'm/s²': 'm/s2',
  'm/s^2': 'm/s2',
  g: 'g',
};
/** Symbols that are units as they are, with a prefix or without. */
const SYMBOLS = [
  'V',
  'A',
  'Hz',
  'W',
  'Pa',
  'bar',
  'Ohm',
  'Ω',
  'F',
  'S',
  'T',
  'N',
  'J',
  'C',
  'M',
  'mol',
  'm',
  'g',
  's',
  'L',
  'l',
  'lx',
  'lm',
  'eV',
  'G',
  'K',
  'dB',
  'Bq',
  'Gy',
  'Sv',
  'cd',
  'rad',
  'deg',
  'h',
  'min',
  'd',
  'Da',
  'px',
  'Cel',
];
const PREFIXES = ['', 'n', 'u', 'm', 'c', 'd', 'k', 'M', 'G', 'p', 'f', 'h'];
const KNOWN: ReadonlySet<string> = new Set(SYMBOLS.flatMap((symbol) => PREFIXES.map((prefix) => prefix + symbol)));
const BRACKETED = /^(.*?)\s*(?:\[([^[\]]{1,40})\]|\(([^()]{1,40})\))\s*$/s;
const SLASHED = /^(.+?)\s+(?:\/|in)\s+(\S{1,20})$/;

/** The UCUM code of what people write; undefined if it is no unit that is known here. */
export function unitCode(text: string): string | undefined {
  const trimmed = text.trim().replace(/[µμ]/g, 'u').normalize('NFC');
  // Case tells some units from others: mS is no ms.
  if (KNOWN.has(trimmed)) return trimmed.replace('Ω', 'Ohm');
  const spelled = SPELLINGS[trimmed.toLowerCase()];
  if (spelled !== undefined && (trimmed.length > 1 || trimmed === trimmed.toLowerCase() || trimmed === 'H'))
    return spelled;
  if (!isCompound(trimmed)) return undefined;
  return trimmed.replaceAll('Ω', 'Ohm').replaceAll('²', '2').replaceAll('³', '3').replaceAll('^', '');
}

/** True of units with a prefix, a power, and one below the line. */
function isCompound(text: string): boolean {
  const parts = text.split(/[/·.*]/);
  if (parts.length > 4) return false;
  return (
    parts.every((part) => {
      const symbol = part.replace(/(?:\^?-?[1-4]|[²³])$/, '');
      return KNOWN.has(symbol) || (symbol === '' && part === '');
    }) && parts[parts.length - 1] !== ''
  );
}

export interface HeaderName {
  readonly label: string;
  readonly unit: string | null;
}

/**
 * The name of a column without its unit. What stands in square brackets is a unit, if UCUM has it or not; in round ones
 * it must be one that is known.
 */
export function headerName(text: string): HeaderName {
  const name = text.trim();
  const match = BRACKETED.exec(name);
  if (match && match[1] !== '') {
    const [, label, square, round] = match;
    const said = (square ?? round).trim();
    const unit = /^c$/i.test(said) && /temp|^t$/i.test(label) ? 'Cel' : unitCode(said);
    if (unit !== undefined) return { label, unit };
    if (square !== undefined && !/^\d+$/.test(said) && said !== '' && said.length <= MAX_CHANNEL_UNIT_CHARS) {
      return { label, unit: /^[-–]+$/.test(said) ? null : said };
    }
  }
  const slashed = SLASHED.exec(name);
  const unit = slashed ? unitCode(slashed[2]) : undefined;
  return slashed && unit !== undefined ? { label: slashed[1], unit } : { label: name, unit: null };
}
