/** `application/json`: samples as one JSON object, for small bodies and people. */
import type { Batch, OutBatch, OutShape, SampleShape } from '../core/batch.ts';
import type { SampleArray } from '../core/dtype.ts';
import { invalidField, unprocessableField, VarveError } from '../core/errors.ts';
import { BatchBuilder } from './batch-builder.ts';
import { jsonObject, jsonTime, parseExactJson } from './exact-json.ts';
import { jsonValueReader, jsonValueWriter } from './number-text.ts';
import { inPieces, jsonListText, TEXT_PIECE_CHARS } from './text-rows.ts';
import { utf8Text } from './utf8.ts';
import { wholeBody } from './whole-body.ts';

/** A JSON body is parsed whole, so it is small; larger ones have formats that stream. */
const MAX_JSON_BODY_BYTES = 32 * 1024 * 1024;

/**
 * `{"values": [1, 2]}` for one channel or `{"values": [[1, 2], [3, 4]]}` as rows × channels; regular series may add `start`,
 * irregular ones must add `times`.
 * @throws `limit-exceeded` beyond 32 MiB; `invalid-input` and `unprocessable` naming the field, such as `values[12][1]`
 */
export async function* decodeJson(source: AsyncIterable<Uint8Array>, shape: SampleShape): AsyncGenerator<Batch> {
  const bytes = await wholeBody(source, MAX_JSON_BODY_BYTES, tooLarge);
  const body = jsonObject(parseExactJson(utf8Text(bytes, 'body'), 'body'), ['values', 'start', 'times'], 'body');
  const { values } = body;
  if (!Array.isArray(values)) throw invalidField('values', 'is missing or no list');
  const times = timesOf(body, shape, values.length);
  let startNs = body.start === undefined || body.start === null ? undefined : jsonTime(body.start, 'start');
  const channels = shape.channelLabels.length;
  let nested = true;
  const read = jsonValueReader(shape.dtype, (row, channel) =>
    nested ? `values[${row}][${channel}]` : `values[${row}]`,
  );
  const batch = new BatchBuilder(shape);
  for (let row = 0; row < values.length; row++) {
    const item: unknown = values[row];
    nested = Array.isArray(item);
    if (!nested && channels > 1) {
      throw unprocessableField(
        `values[${row}]`,
        `is no list; the series has ${channels} channels: send rows × channels`,
      );
    }
    const cells = nested ? (item as unknown[]) : [item];
    if (cells.length !== channels) {
      throw unprocessableField(`values[${row}]`, `has ${cells.length} values; the series has ${channels} channels`);
    }
    batch.push((c) => read(cells[c], row, c), times ? jsonTime(times[row], `times[${row}]`) : 0n);
    if (batch.full) {
      yield batch.take(startNs);
      startNs = undefined;
    }
  }
  if (batch.rows > 0) yield batch.take(startNs);
}

function timesOf(body: Readonly<Record<string, unknown>>, shape: SampleShape, rows: number): unknown[] | null {
  const { times = null, start = null } = body;
  if (shape.kind === 'regular') {
    if (times !== null) throw unprocessableField('times', 'are not for a regular series; send `start`');
    return null;
  }
  if (start !== null) throw unprocessableField('start', 'is not for an irregular series; send `times`');
  if (!Array.isArray(times))
    throw invalidField('times', 'is missing or no list; an irregular series needs one time a row');
  if (times.length !== rows) throw invalidField('times', `has ${times.length} times for ${rows} rows`);
  return times;
}

function tooLarge(): Error {
  const mib = MAX_JSON_BODY_BYTES / 1024 / 1024;
  return new VarveError(
    'limit-exceeded',
    `a JSON body may have ${mib} MiB; send application/x-ndjson or a binary format`,
  );
}

export interface JsonOptions {
  /** `values` as one list a channel (the default) or one a row, as a body has them. */
  readonly orient?: 'columns' | 'rows';
}

/**
 * `{"series": …, "first_row": …, "times": ["ns", …], "values": [[…] per channel or row], "next": …}`.
 * Values follow the times, so their text is held until the last row has come: the caller bounds the rows of one answer and links to
 * the rest in `shape.next`.
 */
export async function* encodeJson(
  batches: AsyncIterable<OutBatch>,
  shape: OutShape,
  { orient = 'columns' }: JsonOptions = {},
): AsyncGenerator<Uint8Array> {
  const channels = shape.channelLabels.length;
  const write = jsonValueWriter(shape.dtype);
  /** Parts of the text of each list; with rows all of them are one. */
  const lists: string[][] = Array.from({ length: orient === 'rows' ? 1 : channels }, () => []);
  let text = `{"series":${JSON.stringify(shape.seriesId)},"first_row":${shape.firstRow},"times":[`;
  let comma = '';
  for await (const { rows, values, times } of batches) {
    if (rows === 0) continue;
    for (const ns of times as BigInt64Array) {
      text += `${comma}"${ns}"`;
      comma = ',';
      if (text.length >= TEXT_PIECE_CHARS) {
        yield Buffer.from(text);
        text = '';
      }
    }
    if (orient === 'rows') lists[0].push(rowsText(values, channels, write));
    else for (let c = 0; c < channels; c++) lists[c].push(cellsText(values, c, channels, write));
  }
  yield* inPieces(restOf(text, lists, orient, shape.next));
}

function* restOf(
  text: string,
  lists: readonly string[][],
  orient: 'columns' | 'rows',
  next: string | null,
): Generator<string> {
  yield text;
  yield orient === 'rows' ? '],"values":' : '],"values":[';
  for (const [l, parts] of lists.entries()) {
    if (l > 0) yield ',';
    yield* jsonListText(parts);
  }
  yield `${orient === 'rows' ? '' : ']'},"next":${JSON.stringify(next)}}`;
}

type Write = (value: number | bigint) => string;

/** Every `step`th value from one on: a column of rows × channels. */
function cellsText(values: SampleArray, from: number, step: number, write: Write): string {
  const cells: string[] = [];
  for (let i = from; i < values.length; i += step) cells.push(write(values[i]));
  return cells.join(',');
}

function rowsText(values: SampleArray, channels: number, write: Write): string {
  const rows: string[] = [];
  for (let at = 0; at < values.length; at += channels) {
    rows.push(`[${cellsText(values.subarray(at, at + channels), 0, 1, write)}]`);
  }
  return rows.join(',');
}
