/**
 * Reads and makes the names in a line: measurement, tags and field. A backslash before a comma or a space makes it a part of the name. So it does before
 * an equals sign, but for measurements. Before anything else a backslash is itself.
 * @see https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/
 */
import { createHash } from 'node:crypto';
import { nameKey, repeatedName } from '../../core/same-name.ts';
import { MAX_TAGS } from '../../core/tags/tag-edit.ts';

/** What every series of a line is found by, besides the tags of the line. */
export const MEASUREMENT_TAG = '_measurement';
export const FIELD_TAG = '_field';
/** The tag of a series that was opened because the one before takes values of another type. */
export const TYPE_TAG = '_type';
const RESERVED: ReadonlySet<string> = new Set([MEASUREMENT_TAG, FIELD_TAG, TYPE_TAG]);
const MOST_LINE_TAGS = MAX_TAGS - RESERVED.size;

/** As tags of series may have. */
const MAX_KEY_CHARS = 200;
const MOST_NAME_CHARS = 4096;
/** As names of series may have; longer ones end in a hash. */
const MAX_NAME_CHARS = 512;
const HASH_CHARS = 32;

/** `measurement,tag=value,…`, taken apart. */
export interface LineKey {
  readonly measurement: string;
  readonly tags: readonly (readonly [key: string, value: string])[];
}

/** What is wrong with a name, in a few words. */
export class NameFault extends Error {}

/** @param text as it was sent, of UTF-8 that is valid. @throws NameFault */
export function readKey(text: string): LineKey {
  const [first, ...rest] = cut(text, ',');
  const measurement = unescaped(first, MEASUREMENT_ESCAPE);
  if (measurement === '') throw new NameFault('missing measurement');
  checkText('measurement', measurement, MOST_NAME_CHARS);
  if (rest.length > MOST_LINE_TAGS) throw new NameFault(`more than ${MOST_LINE_TAGS} tags`);
  const tags = rest.map((tag): [string, string] => {
    const [key, value, ...more] = cut(tag, '=').map((part) => unescaped(part, ESCAPE));
    if (key === '') throw new NameFault('missing tag key');
    if (value === undefined || value === '') throw new NameFault('missing tag value');
    if (more.length > 0) throw new NameFault('invalid tag format: an equals sign in a tag needs a backslash');
    checkText('tag key', key, MAX_KEY_CHARS);
    checkText('tag value', value, MOST_NAME_CHARS);
    if (RESERVED.has(key)) throw new NameFault(`the tag key ${key} is reserved`);
    if (key === '__proto__') throw new NameFault(`the tag key ${key} is not possible`);
    return [key, value];
  });
  if (repeatedName(tags.map(([key]) => key)) >= 0) throw new NameFault('duplicate tags');
  return { measurement, tags };
}

/** @param text as it was sent. @throws NameFault */
export function readField(text: string): string {
  const field = unescaped(text, ESCAPE);
  if (field === '') throw new NameFault('missing field key');
  checkText('field key', field, MOST_NAME_CHARS);
  return field;
}

const COMMA = 0x2c;
const EQUALS = 0x3d;
const BACKSLASH = 0x5c;
const UNDERSCORE = 0x5f;

/**
 * Whether bytes are surely what {@link readKey} reads, without asking it: visible ASCII, no backslash, a few tags in alphabetical order, as most clients
 * send them. A body names a thousand series again and again.
 */
export function isPlainKey(bytes: Uint8Array, from: number, to: number): boolean {
  let at = from;
  while (at < to && bytes[at] !== COMMA) if (!isPlain(bytes[at++])) return false;
  if (at === from || to - from > MAX_KEY_CHARS) return false;
  let before = -1;
  while (at < to) {
    const key = ++at;
    if (bytes[key] === UNDERSCORE) return false;
    while (at < to && bytes[at] !== EQUALS) if (bytes[at] === COMMA || !isPlain(bytes[at++])) return false;
    if (at === key || at === to || (before >= 0 && !isBefore(bytes, before, key))) return false;
    before = key;
    const value = ++at;
    while (at < to && bytes[at] !== COMMA) if (bytes[at] === EQUALS || !isPlain(bytes[at++])) return false;
    if (at === value) return false;
  }
  return true;
}

/** As {@link isPlainKey}, for {@link readField}. */
export function isPlainField(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (!isPlain(bytes[at])) return false;
  return to > from && to - from <= MAX_KEY_CHARS;
}

function isPlain(byte: number): boolean {
  return byte > 0x20 && byte < 0x7f && byte !== BACKSLASH;
}

/** Compares two keys, each with an equals sign behind it. */
function isBefore(bytes: Uint8Array, a: number, b: number): boolean {
  for (let i = 0; ; i++) {
    const [x, y] = [bytes[a + i], bytes[b + i]];
    if (x === EQUALS || y === EQUALS) return x === EQUALS && y !== EQUALS;
    if (x !== y) return x < y;
  }
}

/**
 * Says what the series of a field is called: `measurement,tag=value:field`, tags in alphabetical order, escaped as in a line. Different series have
 * different names. So a colon of the field has a backslash, and a name that is too long ends in a hash of the whole.
 * @param type of a series that was opened for values of another type
 */
export function seriesNameOf({ measurement, tags }: LineKey, field: string, type: string | null = null): string {
  const all = type === null ? tags : [...tags, [TYPE_TAG, type] as const];
  const name = `${keyTextOf({ measurement, tags: all })}:${escaped(field).replaceAll(':', String.raw`\:`)}`;
  if (name.length <= MAX_NAME_CHARS) return name;
  const hash = createHash('sha256').update(nameKey(name)).digest('hex').slice(0, HASH_CHARS);
  return `${name.slice(0, MAX_NAME_CHARS - HASH_CHARS - 1).replace(HALF_CHARACTER, '')}~${hash}`;
}

/** `measurement,tag=value,…` as a line has it, tags in alphabetical order. */
export function keyTextOf({ measurement, tags }: LineKey): string {
  const sorted = tags.map((tag) => ({ tag, key: nameKey(tag[0]) })).sort((a, b) => (a.key < b.key ? -1 : 1));
  const texts = sorted.map(({ tag: [key, value] }) => `,${escaped(key)}=${escaped(value)}`);
  return `${measurement.replaceAll(/[, ]/g, String.raw`\$&`)}${texts.join('')}`;
}

/** The tags of the series of a field. */
export function seriesTagsOf({ measurement, tags }: LineKey, field: string, type: string | null = null) {
  return {
    ...Object.fromEntries(tags),
    [MEASUREMENT_TAG]: measurement,
    [FIELD_TAG]: field,
    ...(type !== null && { [TYPE_TAG]: type }),
  };
}

const MEASUREMENT_ESCAPE = /\\([, ])/g;
const ESCAPE = /\\([,= ])/g;
/** The first of the two parts of a character, at the end of a text. */
const HALF_CHARACTER = /[\uD800-\uDBFF]$/;

function unescaped(text: string, escape: RegExp): string {
  return text.includes('\\') ? text.replaceAll(escape, '$1') : text;
}

function escaped(text: string): string {
  return text.replaceAll(/[,= ]/g, String.raw`\$&`);
}

/** The parts between separators that no backslash stands before. */
function cut(text: string, separator: ',' | '='): string[] {
  const parts: string[] = [];
  let from = 0;
  for (let at = text.indexOf(separator); at >= 0; at = text.indexOf(separator, at + 1)) {
    if (text[at - 1] === '\\') continue;
    parts.push(text.slice(from, at));
    from = at + 1;
  }
  parts.push(text.slice(from));
  return parts;
}

/** @throws NameFault */
function checkText(what: string, text: string, most: number): void {
  if (text.length > most) throw new NameFault(`a ${what} of more than ${most} characters`);
  if (/\p{Cc}/u.test(text)) throw new NameFault(`control characters in a ${what}`);
}
