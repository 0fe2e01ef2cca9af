/** Rows of many series as `application/x-ndjson`: one item on each line. */
import { setImmediate } from 'node:timers/promises';
import { invalidField, isVarveError } from '../../core/errors.ts';
import { jsonObject, longInteger, parseExactJson, parseJsonWithDigits } from '../text/exact-json.ts';
import { jsonBatches } from './json.ts';
import { MAX_BODY_ITEMS, tooManyItems, type ReadItem, type SampleItem } from './sample-items.ts';
import { textLines } from '../text/text-lines.ts';

const KEYS = ['series', 'start', 'times', 'values', 'orient', 'idempotency_key', 'sequence', 'create'] as const;
const KEY = /^[\x21-\x7e]{1,255}$/;
/** Others get their turn after so many characters: half a millisecond. */
const TURN_CHARS = 64 * 1024;

/**
 * `{"series": …, "values": …}` a line, with `start` or `times` as {@link decodeJson} has them. Empty lines are skipped, but count. What is wrong with one
 * line is its error, and keeps no other out.
 * @throws `invalid-input` on `body` if it is not UTF-8, or empty; `limit-exceeded` for too many items, or a line over 1 MiB
 */
export async function decodeItemLines(source: AsyncIterable<Uint8Array>): Promise<ReadItem[]> {
  const items: ReadItem[] = [];
  let line = 0;
  let chars = 0;
  for await (const lines of textLines(source)) {
    for (const text of lines) {
      line++;
      if (text.trim() === '') continue;
      if (items.length === MAX_BODY_ITEMS) throw tooManyItems();
      chars += text.length;
      if (chars > TURN_CHARS) {
        chars = text.length;
        await setImmediate();
      }
      items.push(readItemLine(line, text));
    }
  }
  if (items.length === 0) throw invalidField('body', 'must have a line for each item');
  return items;
}

/** One line, whatever is wrong with it. @param line its number */
export function readItemLine(line: number, text: string): ReadItem {
  try {
    return { line, item: itemOf(text) };
  } catch (error) {
    if (isVarveError(error)) return { line, error };
    throw error;
  }
}

/** @throws invalid-input naming the field; `line` for what is no object */
function itemOf(text: string): SampleItem {
  const body = jsonObject(parseExactJson(text, 'line'), KEYS, 'line');
  const { series, idempotency_key: key = null, create = null } = body;
  if (typeof series !== 'string') throw invalidField('series', 'is missing or no text: it is an id or a name');
  if (key !== null && !(typeof key === 'string' && KEY.test(key))) {
    throw invalidField('idempotency_key', 'must be 1 to 255 visible ASCII characters');
  }
  if (create !== null && (typeof create !== 'object' || Array.isArray(create))) {
    throw invalidField('create', 'is no JSON object');
  }
  return {
    series,
    key,
    sequence: sequenceOf(body.sequence),
    // Its numbers are read as those of all descriptions; most items are of series that are there.
    create: create === null ? null : () => (parseJsonWithDigits(text) as { create: unknown }).create,
    weight: text.length,
    read: (shape) => jsonBatches(body, shape),
  };
}

/** As a number, or as digits: counters, but also clocks in nanoseconds, are used. @throws invalid-input naming `sequence` */
function sequenceOf(value: unknown): bigint | null {
  if (value === undefined || value === null) return null;
  const text = longInteger(value) ?? (typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : value);
  const sequence = typeof text === 'string' && /^-?\d{1,19}$/.test(text) ? BigInt(text) : null;
  if (sequence === null || BigInt.asIntN(64, sequence) !== sequence) {
    throw invalidField('sequence', 'must be a whole number of at most 64 bits');
  }
  return sequence;
}
