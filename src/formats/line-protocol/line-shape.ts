/** Where a line of line protocol ends, and where its time is. Whoever keeps lines to send them later has to know. */
import { LINE_PRECISIONS, type Precision } from './line-parser.ts';

/** The parts of a line as far as they can be told. Whether it is right is for the parser to say. */
export interface LineShape {
  /** Where its line end is, which may lie behind others within texts; -1: not in these bytes. */
  readonly end: number;
  /** True if a text is not closed where the bytes end. */
  readonly isOpen: boolean;
  /** True of an empty line and of a comment. */
  readonly isIdle: boolean;
  /** Where its time begins, or belongs if it has none; -1: it has no fields. */
  readonly timeFrom: number;
}

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const HASH = 0x23;
const COMMA = 0x2c;
const EQUALS = 0x3d;
const BACKSLASH = 0x5c;
/** Longer digits are no time. */
const MAX_TIME_DIGITS = 20;
const MAX_FRACTION_DIGITS = 12;

/** Reads the shape of the line that begins at a place. */
export function lineShape(bytes: Uint8Array, from: number): LineShape {
  let at = behindSpace(bytes, from);
  if (at === bytes.length || isLineEnd(bytes, at) || bytes[at] === HASH) {
    return { end: bytes.indexOf(LF, at), isOpen: false, isIdle: true, timeFrom: -1 };
  }
  const broken = (): LineShape => ({ end: bytes.indexOf(LF, at), isOpen: false, isIdle: false, timeFrom: -1 });
  at = behindName(bytes, at, SPACE);
  if (bytes[at] !== SPACE) return broken();
  at = behindSpace(bytes, at);
  for (;;) {
    at = behindName(bytes, at, EQUALS);
    if (bytes[at] !== EQUALS) return broken();
    at++;
    if (bytes[at] === QUOTE) {
      const close = closingQuote(bytes, at);
      if (close < 0) return { end: bytes.indexOf(LF, at), isOpen: true, isIdle: false, timeFrom: -1 };
      if (close + 1 < bytes.length && !isValueEnd(bytes, close + 1)) return broken();
      at = close + 1;
    } else while (at < bytes.length && !isValueEnd(bytes, at)) at++;
    if (bytes[at] !== COMMA) break;
    at++;
  }
  return { end: bytes.indexOf(LF, at), isOpen: false, isIdle: false, timeFrom: at };
}

/**
 * The line with its time in nanoseconds: the one that it has, or a given one. A line whose time cannot be read stays as it is.
 * @param line without its line end
 */
export function withTimeInNs(line: Uint8Array, precision: Precision, nowNs: () => bigint): Uint8Array {
  const { timeFrom } = lineShape(line, 0);
  if (timeFrom < 0) return line;
  const given = Buffer.from(line.buffer, line.byteOffset + timeFrom, line.length - timeFrom)
    .toString('latin1')
    .trim();
  if (given !== '' && precision === 'ns') return line;
  const ns = given === '' ? nowNs() : timeInNs(given, precision);
  return ns === null ? line : Buffer.concat([line.subarray(0, timeFrom), Buffer.from(` ${ns}`)]);
}

/**
 * A time as digits of some precision, which may have a fraction.
 * @returns null: it is no such number, or finer than a nanosecond
 */
export function timeInNs(text: string, precision: Precision): bigint | null {
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
  if (whole === undefined || whole.length > MAX_TIME_DIGITS || fraction.length > MAX_FRACTION_DIGITS) return null;
  const { digits, seconds } = LINE_PRECISIONS[precision];
  const scaled = BigInt(whole + fraction) * BigInt(seconds) * 10n ** BigInt(9 - digits);
  const divisor = 10n ** BigInt(fraction.length);
  if (scaled % divisor !== 0n) return null;
  const ns = scaled / divisor;
  return sign === '-' ? -ns : ns;
}

/** @param stop what the name ends before, if it is not escaped */
function behindName(bytes: Uint8Array, from: number, stop: number): number {
  let at = from;
  for (; at < bytes.length && bytes[at] !== stop && bytes[at] !== LF; at++) {
    if (stop === EQUALS && (bytes[at] === SPACE || bytes[at] === COMMA)) return at;
    if (bytes[at] === BACKSLASH && isSeparator(bytes[at + 1])) at++;
  }
  return at;
}

function closingQuote(bytes: Uint8Array, open: number): number {
  for (let at = open + 1; at < bytes.length; at++) {
    if (bytes[at] === QUOTE) return at;
    if (bytes[at] === BACKSLASH && (bytes[at + 1] === QUOTE || bytes[at + 1] === BACKSLASH)) at++;
  }
  return -1;
}

function behindSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  while (bytes[at] === SPACE || bytes[at] === TAB) at++;
  return at;
}

function isSeparator(byte: number | undefined): boolean {
  return byte === COMMA || byte === SPACE || byte === EQUALS;
}

function isLineEnd(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === LF || (bytes[at] === CR && (bytes[at + 1] === LF || at + 1 === bytes.length));
}

function isValueEnd(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === COMMA || bytes[at] === SPACE || isLineEnd(bytes, at);
}
