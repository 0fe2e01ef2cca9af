/**
 * JSON whose long integers survive. JSON.parse rounds integers beyond 2^53, and every present-day time in nanoseconds is one:
 * Python's json.dumps writes them bare.
 */
import { isLongInteger } from '../../core/numbers/long-integer.ts';
import { parseTime, TIME_FORMS } from '../../core/time.ts';
import { invalidField, messageOf } from '../../core/errors.ts';
import { repeatedKey } from './json-keys.ts';

/** What a byte of JSON takes at most, as text and as what it says. A list of one number has four bytes, and takes 64. */
export const JSON_COPIES = 16;

/** Begins the string that stands for a bare integer of 16 digits or more. No text of a client needs to begin so. */
const MARK = '\u0000';
/** A cheap sign that a long bare integer may be there: digits after a bracket, colon, comma or space, not after a quote. */
const MAYBE_LONG = /(?:^|[[:,\s])-?\d{16}/;
const STRING_OR_LONG = /"(?:[^"\\]|\\.)*"|(?<![\d.eE+-])-?[1-9]\d{15,}(?![\d.eE])/g;

/**
 * JSON.parse, except that bare integers of 16 digits or more are kept as text: see {@link longInteger}.
 * @throws `invalid-input` on `field` if the text is no JSON, or an object has a key twice
 */
export function parseExactJson(text: string, field: string): unknown {
  const value = parse(text, field);
  refuseRepeatedKeys(text, value, field);
  return value;
}

function parse(text: string, field: string): unknown {
  try {
    if (!MAYBE_LONG.test(text)) return JSON.parse(text);
    return JSON.parse(text.replace(STRING_OR_LONG, (token) => (token.startsWith('"') ? token : `"\\u0000${token}"`)));
  } catch (error) {
    throw invalidField(field, `is not valid JSON: ${messageOf(error)}`);
  }
}

/** A flat object has as many keys as its text has colons behind quotes; only where there are more is the text gone through. */
function refuseRepeatedKeys(text: string, value: unknown, field: string): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
  let colons = 0;
  COLON_BEHIND_QUOTE.lastIndex = 0;
  while (COLON_BEHIND_QUOTE.test(text)) colons++;
  if (colons <= Object.keys(value).length) return;
  const key = repeatedKey(text)?.map(String).join('.');
  if (key !== undefined) throw invalidField(fieldIn(field, key), 'is given more than once');
}

/** What is read one by one, or has its number told beside, need not be named with each of its fields. */
function fieldIn(place: string, key: string): string {
  return place === 'body' || place === 'line' ? key : `${place} ${key}`;
}

const COLON_BEHIND_QUOTE = /"\s*:/g;

/**
 * JSON.parse, except that a bare integer past ±2^53 becomes a text, its digits: two serial numbers stay two. Other numbers are float64, as JSON says.
 * @throws SyntaxError
 */
export function parseJsonWithDigits(text: string): unknown {
  if (!MAYBE_LONG.test(text)) return JSON.parse(text);
  return JSON.parse(text.replace(STRING_OR_LONG, (token) => (isLongInteger(token) ? `"${token}"` : token)));
}

/** The digits of a long bare integer, or undefined for any other value. */
export function longInteger(value: unknown): string | undefined {
  return typeof value === 'string' && value.startsWith(MARK) ? value.slice(MARK.length) : undefined;
}

/**
 * A time of a JSON body: RFC 3339, or integer nanoseconds as a string or a bare integer.
 * @throws `invalid-input` on `field`
 */
export function jsonTime(value: unknown, field: string): bigint {
  const text = longInteger(value) ?? (Number.isSafeInteger(value) ? String(value) : value);
  const ns = typeof text === 'string' ? parseTime(text) : undefined;
  if (ns === undefined) throw invalidField(field, `is not ${TIME_FORMS}`);
  return ns;
}

/** The value as a JSON object with no other keys than these. @throws `invalid-input` */
export function jsonObject(value: unknown, keys: readonly string[], place: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidField(place, `is not a JSON object with ${keys.join(', ')}`);
  }
  for (const key of Object.keys(value)) {
    if (!keys.includes(key)) {
      throw invalidField(fieldIn(place, key), `is not known here; ${keys.join(', ')} are`);
    }
  }
  return value as Record<string, unknown>;
}
