/** `application/x-ndjson` with rows of many series: one JSON object an item and line. */
import { ArrayRoom } from './batch-builder.ts';
import { invalidField, isVarveError } from '../core/errors.ts';
import { isKey, KEY_FORM } from '../core/idempotency.ts';
import { refuseMoreItems, type BadItem, type BodyItem } from './body-item.ts';
import { jsonObject, longInteger, parseExactJson, parseJsonWithDigits } from './exact-json.ts';
import { jsonBatches } from './json.ts';
import { textLines } from './text-lines.ts';

const KEYS = ['series', 'start', 'times', 'values', 'orient', 'idempotency_key', 'create'];

/**
 * `{"series": "<id or name>", "start" | "times": …, "values": …, "idempotency_key"?, "create"?}` a line; rows are said as a JSON body of one series
 * says them. Empty lines are skipped, but count. A line that cannot be read is an item with its error.
 * @throws `invalid-input` on `body` if it is not UTF-8, or has no line; `limit-exceeded` for too many items, or a line over 1 MiB
 */
export async function readNdjsonItems(source: AsyncIterable<Uint8Array>): Promise<(BodyItem | BadItem)[]> {
  const items: (BodyItem | BadItem)[] = [];
  const room = new ArrayRoom();
  let line = 0;
  for await (const texts of textLines(source)) {
    for (const text of texts) {
      line++;
      if (text.trim() === '') continue;
      refuseMoreItems(items.length + 1);
      items.push(readItem(text, line, room));
    }
  }
  if (items.length === 0) throw invalidField('body', 'must have a line for each item', 'empty');
  return items;
}

function readItem(text: string, line: number, room: ArrayRoom): BodyItem | BadItem {
  try {
    const item = jsonObject(parseExactJson(text, 'line'), KEYS, 'line');
    return {
      line,
      series: seriesOf(item.series),
      key: keyOf(item.idempotency_key),
      create: createOf(item.create, text),
      batches: (shape) => jsonBatches(item, shape, room),
    };
  } catch (error) {
    if (isVarveError(error)) return { line, error };
    throw error;
  }
}

function seriesOf(series: unknown): string {
  if (series === undefined) throw invalidField('series', 'is missing: the id of a series, or its name');
  if (typeof series !== 'string' || longInteger(series) !== undefined) {
    throw invalidField('series', 'must be a text: the id of a series, or its name');
  }
  return series;
}

function keyOf(key: unknown): string | null {
  if (key === undefined || key === null) return null;
  if (typeof key !== 'string' || !isKey(key)) throw invalidField('idempotency_key', `must be ${KEY_FORM}`);
  return key;
}

/** Read as the body of a creation is, whose long integers are digits: samples and metadata spell them differently. */
function createOf(create: unknown, text: string): unknown {
  if (create === undefined || create === null) return undefined;
  return (parseJsonWithDigits(text) as { create: unknown }).create;
}
