/**
 * Reads InfluxDB's line protocol in one pass, from bytes to columns of values and times, series by series. No line and no point becomes an object or a
 * text. What is wrong with one line is told of it, and keeps no other out.
 * @see https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/
 */
import { randomInt } from 'node:crypto';
import { isUtf8 } from 'node:buffer';
import { VarveError } from '../../core/errors.ts';
import { NS_PER_S } from '../../core/time.ts';
import { ByteTable, grown } from './byte-table.ts';
import { isPlainField, isPlainKey, NameFault, readField, readKey } from './line-names.ts';
import { LinePoints, TEXT_CODE, VALUE_KINDS } from './line-points.ts';

/** Digits of a whole second's part, or what one of them is in seconds. */
export const LINE_PRECISIONS = {
  ns: { digits: 9, seconds: 1 },
  us: { digits: 6, seconds: 1 },
  ms: { digits: 3, seconds: 1 },
  s: { digits: 0, seconds: 1 },
  m: { digits: 0, seconds: 60 },
  h: { digits: 0, seconds: 3600 },
} as const;
export type Precision = keyof typeof LINE_PRECISIONS;

/** Bytes of a body, decompressed: it is in memory as a whole. */
export const MAX_LINES_BYTES = 32 * 1024 * 1024;
/** Series of one body, each field of a measurement and its tags; also of lines that are refused. */
export const MAX_LINE_SERIES = 50_000;
/** Values of one body: each takes some fifty bytes while they are put in order. */
export const MAX_LINE_POINTS = 1_000_000;
/** Those of them that are texts. */
export const MAX_LINE_TEXTS = 100_000;
const MAX_LINE_BYTES = 1024 * 1024;
const MAX_TEXT_BYTES = 64 * 1024;
/** Lines that are told of when they are refused; the others are counted. */
export const MAX_TOLD_LINES = 10;
/** What is told of one. */
const MAX_TOLD_BYTES = 100;

/** A line that was refused. */
export interface LineFault {
  readonly line: number;
  /** How it begins. */
  readonly text: string;
  readonly reason: string;
}

/** What the lines of a body say, by series. */
export interface ParsedLines {
  readonly refused: { readonly count: number; readonly first: readonly LineFault[] };
  /** Names of the series as they were sent: measurement and tags, then the field, one behind the other … */
  readonly names: Uint8Array;
  /** … and where each of these two parts ends. */
  readonly nameEnds: Int32Array;
  /** By series: the code of its kind of value, and how many points it has. */
  readonly kinds: Uint8Array;
  readonly rows: Int32Array;
  /** Times of all points, int64 ns, and the numbers of their lines. They are in the order of the series, then of the lines. */
  readonly times: BigInt64Array;
  readonly lines: Int32Array;
  /** Little-endian values of the series that are no texts; each begins at a multiple of eight. */
  readonly values: Uint8Array;
  readonly valuesAt: Int32Array;
  /** Values of the series that are texts. */
  readonly texts: readonly string[];
}

export interface LineRules {
  readonly precision: Precision;
  /** For lines that have no time. */
  readonly nowNs: bigint;
}

/** @throws limit-exceeded for more series or texts than are read at once */
export function parseLines(body: Uint8Array, rules: LineRules): ParsedLines {
  return new LineParser(body, rules).run();
}

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const HASH = 0x23;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const DIGIT_0 = 0x30;
const EQUALS = 0x3d;
const BACKSLASH = 0x5c;
const LOWER = 0x20;
const E = 0x65;
const F = 0x66;
const I = 0x69;
const T = 0x74;
const U = 0x75;

/** A float64 has every integer of so many digits, and the powers of ten below. Their product and quotient are rounded once, as they should be. */
const EXACT_DIGITS = 15;
const POWERS = Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));
/** Longer numbers are no int64. */
const MAX_INTEGER_DIGITS = 20;
/** Seconds of more digits are outside of what a time may be. */
const MAX_SECOND_DIGITS = 12;
const PRIME = 0x01000193;
const KINDS = VALUE_KINDS.length;
const [FLOAT, INTEGER, UNSIGNED, BOOLEAN] = VALUE_KINDS.keys();
const BOOLEANS: Readonly<Record<string, number>> = { true: 1, True: 1, TRUE: 1, false: 0, False: 0, FALSE: 0 };

class LineParser {
  /** With a line end behind it, so that every line has one. */
  readonly #bytes: Buffer;
  readonly #end: number;
  readonly #isUtf8: boolean;
  readonly #digits: number;
  readonly #unitSeconds: number;
  readonly #nowSeconds: number;
  readonly #nowNs: number;
  /** Nobody knows it, so nobody can write names that all fall into one place of a table. */
  readonly #seed = randomInt(2 ** 32) | 0;
  readonly #points = new LinePoints();
  readonly #keys: ByteTable;
  readonly #fields: ByteTable;
  /** Why names that are no names are none, by their number. */
  readonly #keyFaults = new Map<number, string>();
  readonly #fieldFaults = new Map<number, string>();
  /** By field: the last line that had it; and its series and one, a kind of value behind the other. */
  #fieldLines = new Int32Array(512);
  #fieldSeries = new Int32Array(512 * KINDS);
  readonly #seriesField: number[] = [];
  readonly #seriesKind: number[] = [];
  #texts = 0;
  #refused = 0;
  readonly #faults: LineFault[] = [];
  /** The number of the line that is being read, its first point, the line ends within it, and the texts before it. */
  #line = 0;
  #first = 0;
  #moreLines = 0;
  #firstText = 0;
  /** What is wrong with it, and whether its text is not closed. It ends at its first line end then, so that its neighbours are read. */
  #reason = '';
  #isOpen = false;
  /** The kind of the value that was read last. */
  #kind = 0;

  constructor(body: Uint8Array, { precision, nowNs }: LineRules) {
    this.#bytes = Buffer.allocUnsafe(body.length + 1);
    this.#bytes.set(body);
    this.#bytes[body.length] = LF;
    this.#end = body.length;
    this.#isUtf8 = isUtf8(body);
    ({ digits: this.#digits, seconds: this.#unitSeconds } = LINE_PRECISIONS[precision]);
    this.#nowSeconds = Number(nowNs / NS_PER_S);
    this.#nowNs = Number(nowNs % NS_PER_S);
    this.#keys = new ByteTable(this.#bytes);
    this.#fields = new ByteTable(this.#bytes);
  }

  run(): ParsedLines {
    const bytes = this.#bytes;
    // A byte order mark is no part of the first name.
    let at = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
    while (at < this.#end) {
      this.#line++;
      this.#first = this.#points.count;
      this.#firstText = this.#texts;
      this.#moreLines = 0;
      this.#isOpen = false;
      const end = this.#readLine(at);
      at = end >= 0 ? end : this.#refuse(at, -end);
      this.#line += this.#moreLines;
    }
    return this.#result();
  }

  /** @returns where the next one begins; negative: where it went wrong */
  #readLine(start: number): number {
    const bytes = this.#bytes;
    let at = this.#skipSpace(start);
    if (bytes[at] === LF) return at + 1;
    if (bytes[at] === CR && bytes[at + 1] === LF) return at + 2;
    if (bytes[at] === HASH) return this.#bytes.indexOf(LF, at) + 1;
    const keyFrom = at;
    let hash = this.#seed;
    for (let byte = bytes[at]; byte !== SPACE; byte = bytes[at]) {
      if (byte === LF) return this.#fault('missing fields', at);
      hash = Math.imul(hash ^ byte, PRIME);
      at++;
      if (byte === BACKSLASH && isSeparator(bytes[at])) hash = Math.imul(hash ^ bytes[at++], PRIME);
    }
    const key = this.#keyAt(keyFrom, at, hash);
    if (this.#keyFaults.size > 0) {
      const fault = this.#keyFaults.get(key);
      if (fault !== undefined) return this.#fault(fault, at);
    }
    at = this.#skipSpace(at);
    if (this.#isLineEnd(at)) return this.#fault('missing fields', at);
    for (;;) {
      at = this.#readField(at, key);
      if (at < 0) return at;
      if (bytes[at] !== COMMA) break;
      at++;
    }
    at = this.#readTime(this.#skipSpace(at));
    if (at < 0) return at;
    at += bytes[at] === CR ? 2 : 1;
    if (at - start > MAX_LINE_BYTES) return this.#fault(`longer than ${MAX_LINE_BYTES} bytes`, at - 1);
    if (!this.#isUtf8 && !isUtf8(bytes.subarray(start, at))) return this.#fault('is no UTF-8 text', at - 1);
    return at;
  }

  /** @returns the place behind its value; negative: where it went wrong */
  #readField(from: number, key: number): number {
    const bytes = this.#bytes;
    let at = from;
    let hash = Math.imul(this.#seed ^ key, PRIME);
    for (let byte = bytes[at]; byte !== EQUALS; byte = bytes[at]) {
      if (byte === COMMA || byte === SPACE || byte === LF)
        return this.#fault(at === from ? 'missing field key' : 'missing field value', at);
      hash = Math.imul(hash ^ byte, PRIME);
      at++;
      if (byte === BACKSLASH && isSeparator(bytes[at])) hash = Math.imul(hash ^ bytes[at++], PRIME);
    }
    const field = this.#fieldAt(from, at, key, hash);
    if (this.#fieldFaults.size > 0) {
      const fault = this.#fieldFaults.get(field);
      if (fault !== undefined) return this.#fault(fault, at);
    }
    if (this.#fieldLines[field] === this.#line) return this.#fault('duplicate fields', at);
    this.#fieldLines[field] = this.#line;
    const point = this.#points.count;
    if (point === MAX_LINE_POINTS) throw tooMany(MAX_LINE_POINTS, 'values');
    const end = this.#readValue(at + 1);
    if (end < 0) return end;
    this.#points.series[point] = this.#seriesOf(field, this.#kind);
    this.#points.lines[point] = this.#line;
    return end;
  }

  /** Adds a point with its value. @returns the place behind it; negative: where it went wrong */
  #readValue(at: number): number {
    const byte = this.#bytes[at];
    if (byte === QUOTE) return this.#readText(at);
    if ((byte >= DIGIT_0 && byte <= DIGIT_0 + 9) || byte === MINUS || byte === DOT || byte === PLUS)
      return this.#readNumber(at);
    if ((byte | LOWER) === T || (byte | LOWER) === F) return this.#readBoolean(at);
    return this.#fault(this.#isValueEnd(at) ? 'missing field value' : 'invalid field value', at);
  }

  #readNumber(from: number): number {
    const bytes = this.#bytes;
    let at = from;
    const isNegative = bytes[at] === MINUS;
    if (isNegative || bytes[at] === PLUS) at++;
    let mantissa = 0;
    let digits = 0;
    let exponent = 0;
    const firstDigit = at;
    for (let digit = bytes[at] - DIGIT_0; digit >= 0 && digit <= 9; digit = bytes[++at] - DIGIT_0) {
      if (mantissa > 0 || digit > 0) digits++;
      if (digits <= EXACT_DIGITS) mantissa = mantissa * 10 + digit;
    }
    let count = at - firstDigit;
    if (count > 0 && (bytes[at] === I || bytes[at] === U)) {
      if (!this.#isValueEnd(at + 1)) return this.#fault('invalid number', at);
      return this.#addInteger(from, at, mantissa, digits, isNegative);
    }
    if (bytes[at] === DOT) {
      at++;
      for (let digit = bytes[at] - DIGIT_0; digit >= 0 && digit <= 9; digit = bytes[++at] - DIGIT_0) {
        count++;
        if (mantissa > 0 || digit > 0) digits++;
        if (digits > EXACT_DIGITS) continue;
        mantissa = mantissa * 10 + digit;
        exponent--;
      }
    }
    if (count === 0) return this.#fault('invalid number', at);
    if ((bytes[at] | LOWER) === E) {
      at++;
      const isBelow = bytes[at] === MINUS;
      if (isBelow || bytes[at] === PLUS) at++;
      const firstOfExponent = at;
      let power = 0;
      for (let digit = bytes[at] - DIGIT_0; digit >= 0 && digit <= 9; digit = bytes[++at] - DIGIT_0) {
        power = Math.min(power * 10 + digit, 1e6);
      }
      if (at === firstOfExponent) return this.#fault('invalid number', at);
      exponent += isBelow ? -power : power;
    }
    if (!this.#isValueEnd(at)) return this.#fault('invalid number', at);
    let value: number;
    if (digits <= EXACT_DIGITS && exponent >= -22 && exponent <= 22) {
      value = exponent < 0 ? mantissa / POWERS[-exponent] : mantissa * POWERS[exponent];
      if (isNegative) value = -value;
    } else {
      value = Number(bytes.toString('latin1', from, at));
      if (!Number.isFinite(value)) return this.#fault('a number that no float64 holds', at);
    }
    this.#kind = FLOAT;
    this.#points.addFloat(value);
    return at;
  }

  /** @param end where its letter is */
  #addInteger(from: number, end: number, mantissa: number, digits: number, isNegative: boolean): number {
    const isUnsigned = this.#bytes[end] === U;
    if (isUnsigned && isNegative) return this.#fault('an unsigned integer below zero', end);
    this.#kind = isUnsigned ? UNSIGNED : INTEGER;
    if (digits <= EXACT_DIGITS) {
      this.#points.addInteger(mantissa, isNegative);
      return end + 1;
    }
    const value =
      digits > MAX_INTEGER_DIGITS ? null : BigInt(this.#bytes.toString('latin1', from, end).replace('+', ''));
    if (value === null || (isUnsigned ? BigInt.asUintN(64, value) : BigInt.asIntN(64, value)) !== value) {
      return this.#fault(`an integer that no ${isUnsigned ? 'uint64' : 'int64'} holds`, end);
    }
    this.#points.addBigInteger(value);
    return end + 1;
  }

  #readBoolean(at: number): number {
    this.#kind = BOOLEAN;
    if (this.#isValueEnd(at + 1)) {
      this.#points.addWords((this.#bytes[at] | LOWER) === T ? 1 : 0, 0);
      return at + 1;
    }
    for (const end of [at + 4, at + 5]) {
      const value = this.#isValueEnd(end) ? BOOLEANS[this.#bytes.toString('latin1', at, end)] : undefined;
      if (value === undefined) continue;
      this.#points.addWords(value, 0);
      return end;
    }
    return this.#fault('invalid boolean', at);
  }

  #readText(open: number): number {
    const close = this.#closingQuote(open);
    if (close < 0) {
      this.#isOpen = true;
      return this.#fault('unbalanced quotes', open);
    }
    const lines = this.#linesWithin(open, close);
    if (!this.#isValueEnd(close + 1)) {
      this.#isOpen = lines > 0;
      return this.#fault('unbalanced quotes', lines > 0 ? open : close);
    }
    this.#moreLines += lines;
    if (close - open - 1 > MAX_TEXT_BYTES) return this.#fault(`a text of more than ${MAX_TEXT_BYTES} bytes`, close);
    if (this.#bytes.subarray(open, close).includes(0)) return this.#fault('a NUL character in a text', close);
    this.#kind = TEXT_CODE;
    if (this.#texts++ === MAX_LINE_TEXTS) throw tooMany(MAX_LINE_TEXTS, 'texts');
    this.#points.addWords(open + 1, close);
    return close + 1;
  }

  /** Where the quote is that closes a text; -1: nowhere. */
  #closingQuote(open: number): number {
    const bytes = this.#bytes;
    for (let at = open + 1; at < this.#end; at++) {
      const byte = bytes[at];
      if (byte === QUOTE) return at;
      if (byte === BACKSLASH && (bytes[at + 1] === QUOTE || bytes[at + 1] === BACKSLASH)) at++;
    }
    return -1;
  }

  #linesWithin(from: number, to: number): number {
    let lines = 0;
    for (let at = this.#bytes.indexOf(LF, from); at >= 0 && at < to; at = this.#bytes.indexOf(LF, at + 1)) lines++;
    return lines;
  }

  /** Gives the points of the line their time. @returns where it ends; negative: where it went wrong */
  #readTime(from: number): number {
    const points = this.#points;
    if (this.#isLineEnd(from)) {
      points.setTime(this.#first, this.#nowSeconds, this.#nowNs, false);
      return from;
    }
    const bytes = this.#bytes;
    let at = from;
    const isNegative = bytes[at] === MINUS;
    if (isNegative) at++;
    const firstDigit = at;
    while (bytes[at] >= DIGIT_0 && bytes[at] <= DIGIT_0 + 9) at++;
    const end = this.#skipSpace(at);
    if (at === firstDigit || !this.#isLineEnd(end)) return this.#fault('bad timestamp', at);
    let leading = firstDigit;
    while (leading < at - 1 && bytes[leading] === DIGIT_0) leading++;
    const point = Math.max(leading, at - this.#digits);
    if (point - leading > MAX_SECOND_DIGITS) return this.#fault(OUTSIDE, at);
    const seconds = numberOf(bytes, leading, point) * this.#unitSeconds;
    const ns = numberOf(bytes, point, at) * POWERS[9 - this.#digits];
    return points.setTime(this.#first, seconds, ns, isNegative) ? end : this.#fault(OUTSIDE, at);
  }

  #skipSpace(from: number): number {
    let at = from;
    while (this.#bytes[at] === SPACE || this.#bytes[at] === TAB) at++;
    return at;
  }

  #isLineEnd(at: number): boolean {
    const byte = this.#bytes[at];
    return byte === LF || (byte === CR && this.#bytes[at + 1] === LF);
  }

  #isValueEnd(at: number): boolean {
    const byte = this.#bytes[at];
    return byte === COMMA || byte === SPACE || byte === LF || (byte === CR && this.#bytes[at + 1] === LF);
  }

  #keyAt(from: number, to: number, hash: number): number {
    const before = this.#keys.count;
    const key = this.#keys.place(from, to, 0, hash);
    if (key === MAX_LINE_SERIES) throw tooMany(MAX_LINE_SERIES, 'series');
    if (key === before && !isPlainKey(this.#bytes, from, to)) this.#checkName(this.#keyFaults, key, from, to, readKey);
    return key;
  }

  #fieldAt(from: number, to: number, key: number, hash: number): number {
    const before = this.#fields.count;
    const field = this.#fields.place(from, to, key, hash);
    if (field < before) return field;
    if (field === MAX_LINE_SERIES) throw tooMany(MAX_LINE_SERIES, 'series');
    if (field === this.#fieldLines.length) {
      this.#fieldLines = grown(this.#fieldLines);
      this.#fieldSeries = grown(this.#fieldSeries);
    }
    if (!isPlainField(this.#bytes, from, to)) this.#checkName(this.#fieldFaults, field, from, to, readField);
    return field;
  }

  #checkName(faults: Map<number, string>, at: number, from: number, to: number, read: (text: string) => unknown): void {
    try {
      read(this.#bytes.toString('utf8', from, to));
    } catch (error) {
      if (!(error instanceof NameFault)) throw error;
      faults.set(at, error.message);
    }
  }

  #seriesOf(field: number, kind: number): number {
    const place = field * KINDS + kind;
    const known = this.#fieldSeries[place];
    if (known > 0) return known - 1;
    const series = this.#seriesField.length;
    if (series === MAX_LINE_SERIES) throw tooMany(MAX_LINE_SERIES, 'series');
    this.#seriesField.push(field);
    this.#seriesKind.push(kind);
    this.#fieldSeries[place] = series + 1;
    return series;
  }

  #fault(reason: string, at: number): number {
    this.#reason = reason;
    return -at;
  }

  /** Takes the line back. @returns where the next one begins */
  #refuse(start: number, at: number): number {
    this.#points.count = this.#first;
    this.#texts = this.#firstText;
    const end = this.#isOpen ? this.#bytes.indexOf(LF, at) + 1 : this.#behindLine(at);
    this.#refused++;
    if (this.#faults.length < MAX_TOLD_LINES) {
      const text = tellable(this.#bytes.subarray(start, end - 1));
      this.#faults.push({ line: this.#line, text, reason: this.#reason });
    }
    return end;
  }

  /** The line end behind what went wrong, but for those within texts. */
  #behindLine(from: number): number {
    const bytes = this.#bytes;
    for (let at = from; ; at++) {
      const byte = bytes[at];
      if (byte === LF) return at + 1;
      if (byte === BACKSLASH && bytes[at + 1] !== LF) at++;
      else if (byte === EQUALS && bytes[at + 1] === QUOTE) {
        const close = this.#closingQuote(at + 1);
        if (close < 0 || !this.#isValueEnd(close + 1)) return bytes.indexOf(LF, at) + 1;
        this.#moreLines += this.#linesWithin(at, close);
        at = close;
      }
    }
  }

  /** Points by series: counted, then put where they belong. */
  #result(): ParsedLines {
    const points = this.#points;
    const { count } = points;
    const counts = new Int32Array(this.#seriesField.length);
    for (let at = 0; at < count; at++) counts[points.series[at]]++;
    // Those of refused lines have none.
    const found = [...counts.keys()].filter((series) => counts[series] > 0);
    const rows = Int32Array.from(found, (series) => counts[series]);
    const kinds = Uint8Array.from(found, (series) => this.#seriesKind[series]);
    const begins = new Int32Array(counts.length);
    const valuesAt = new Int32Array(found.length);
    let row = 0;
    let valueBytes = 0;
    found.forEach((series, at) => {
      begins[series] = row;
      valuesAt[at] = valueBytes;
      row += rows[at];
      valueBytes += Math.ceil((rows[at] * BYTES_OF[kinds[at]]) / 8) * 8;
    });
    const order = new Int32Array(count);
    const next = begins.slice();
    for (let at = 0; at < count; at++) order[next[points.series[at]]++] = at;
    const { names, nameEnds } = this.#names(found);
    const { values, texts } = this.#values(kinds, rows, valuesAt, valueBytes, order);
    const times = new BigInt64Array(count);
    copyWords(points.times, times.buffer, order);
    const lines = order.map((at) => points.lines[at]);
    const refused = { count: this.#refused, first: this.#faults };
    return { refused, names, nameEnds, kinds, rows, times, lines, values, valuesAt, texts };
  }

  #names(found: readonly number[]): Pick<ParsedLines, 'names' | 'nameEnds'> {
    const pieces: Uint8Array[] = [];
    const nameEnds = new Int32Array(found.length * 2);
    let end = 0;
    found.forEach((series, at) => {
      const field = this.#seriesField[series];
      const key = this.#fields.owner[field];
      const parts = [
        this.#bytes.subarray(this.#keys.from[key], this.#keys.to[key]),
        this.#bytes.subarray(this.#fields.from[field], this.#fields.to[field]),
      ];
      parts.forEach((part, place) => {
        pieces.push(part);
        nameEnds[at * 2 + place] = end += part.length;
      });
    });
    return { names: Buffer.concat(pieces), nameEnds };
  }

  #values(
    kinds: Uint8Array,
    rows: Int32Array,
    valuesAt: Int32Array,
    valueBytes: number,
    order: Int32Array,
  ): Pick<ParsedLines, 'values' | 'texts'> {
    const values = new Uint8Array(valueBytes);
    const words = new Int32Array(values.buffer);
    const from = new Int32Array(this.#points.values);
    const texts: string[] = [];
    let row = 0;
    for (let at = 0; at < rows.length; at++) {
      const end = row + rows[at];
      if (kinds[at] === TEXT_CODE) {
        for (; row < end; row++) texts.push(this.#text(from[order[row] * 2], from[order[row] * 2 + 1]));
      } else if (kinds[at] === BOOLEAN) {
        for (let place = valuesAt[at]; row < end; row++) values[place++] = from[order[row] * 2];
      } else {
        for (let place = valuesAt[at] / 4; row < end; row++) {
          words[place++] = from[order[row] * 2];
          words[place++] = from[order[row] * 2 + 1];
        }
      }
    }
    return { values, texts };
  }

  #text(from: number, to: number): string {
    const text = this.#bytes.toString('utf8', from, to);
    return text.includes('\\') ? text.replaceAll(/\\(["\\])/g, '$1') : text;
  }
}

const OUTSIDE = 'time outside range: it must lie in the years 1678 to 2261';
/** By code of the kind. */
const BYTES_OF = [8, 8, 8, 1, 0];

/** What digits say; none say 0. */
function numberOf(bytes: Uint8Array, from: number, to: number): number {
  let number = 0;
  for (let at = from; at < to; at++) number = number * 10 + bytes[at] - DIGIT_0;
  return number;
}

function isSeparator(byte: number): boolean {
  return byte === SPACE || byte === COMMA || byte === EQUALS;
}

function copyWords(from: ArrayBufferLike, to: ArrayBufferLike, order: Int32Array): void {
  const source = new Int32Array(from);
  const target = new Int32Array(to);
  for (let row = 0; row < order.length; row++) {
    target[row * 2] = source[order[row] * 2];
    target[row * 2 + 1] = source[order[row] * 2 + 1];
  }
}

/** The beginning of a line, without what disturbs a log or a header. */
function tellable(line: Uint8Array): string {
  const text = new TextDecoder()
    .decode(line.subarray(0, MAX_TOLD_BYTES))
    .replaceAll(/[\p{Cc}\uFFFD]+/gu, ' ')
    .trim();
  return line.length > MAX_TOLD_BYTES ? `${text}...` : text;
}

function tooMany(most: number, what: string): VarveError {
  const message = `has more than ${most} ${what}; send it in several requests`;
  return new VarveError('limit-exceeded', `body: ${message}`, { errors: [{ field: 'body', message }] });
}
