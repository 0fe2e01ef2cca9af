/** `application/json`: samples as one JSON object, for small bodies and people. */
import type { Batch, OutBatch, OutShape, SampleShape } from '../../core/signal/batch.ts';
import type { SampleArray } from '../../core/numbers/dtype.ts';
import { invalidField, unprocessableField, VarveError } from '../../core/errors.ts';
import { BatchBuilder } from './batch-builder.ts';
import { jsonObject, jsonTime, parseExactJson } from '../text/exact-json.ts';
import { jsonValueReader, jsonValueWriter, type PlaceOf } from '../text/number-text.ts';
import { inPieces, TEXT_PIECE_CHARS } from '../text/text-rows.ts';
import { utf8Text } from '../binary/utf8.ts';
import { wholeBody } from '../text/whole-body.ts';

/** A JSON body is parsed whole, so it is small; larger ones have formats that stream. */
export const MAX_JSON_BODY_BYTES = 32 * 1024 * 1024;

/**
 * How `values` lie: one list for each row, or one list for each channel. A body or an answer that does not say has one
 * list for each row.
 */
export const ORIENTS = ['rows', 'channels'] as const;
export type Orient = (typeof ORIENTS)[number];

/** What only an answer says; it is let pass, so that an answer may be sent as it came. */
const ANSWER_KEYS = ['series', 'first_row', 'next'] as const;
const BODY_KEYS = ['values', 'orient', 'start', 'times', ...ANSWER_KEYS];

/** Values of one channel that are made a text at once. */
const CELLS_AT_ONCE = 256;

/**
 * `{"values": [[1, 2], [3, 4]]}` as rows × channels, or with `"orient": "channels"` as channels × rows; `[1, 2]` are two rows of one
 * channel. Regular series may add `start`, or `times`, of which some may be null; irregular ones must add `times`. What {@link encodeJson} writes is read, too.
 * @throws `limit-exceeded` beyond 32 MiB; `invalid-input` and `unprocessable` naming the field, such as `values[12][1]`
 */
export async function* decodeJson(source: AsyncIterable<Uint8Array>, shape: SampleShape): AsyncGenerator<Batch> {
  const bytes = await wholeBody(source, MAX_JSON_BODY_BYTES, tooLarge);
  const body = jsonObject(parseExactJson(utf8Text(bytes, 'body'), 'body'), BODY_KEYS, 'body');
  yield* jsonBatches(body, shape);
}

/**
 * The rows of an object that {@link parseExactJson} has parsed.
 * @throws as {@link decodeJson}
 */
export function* jsonBatches(body: JsonObject, shape: SampleShape): Generator<Batch> {
  const { rows, cell, placeOf } = bodyValues(body, shape);
  const times = timesOf(body, shape, rows);
  const startNs = startOf(body, times);
  const mayLack = shape.kind === 'regular';
  const timeOf = (row: number): bigint | null => {
    if (row === 0 && startNs !== null) return startNs;
    if (!times || (mayLack && times[row] === null)) return null;
    return jsonTime(times[row], `times[${row}]`);
  };
  const read = jsonValueReader(shape.dtype, placeOf);
  const batch = new BatchBuilder(shape, rows);
  for (let row = 0; row < rows; row++) {
    batch.push(
      (c) => read(cell(row, c), row, c),
      timeOf(row),
      () => `times[${row}]`,
    );
    if (batch.full) yield batch.take();
  }
  if (batch.rows > 0) yield batch.take();
}

type JsonObject = Readonly<Record<string, unknown>>;

/** The values of a body, whichever way they lie. */
interface BodyValues {
  readonly rows: number;
  readonly cell: (row: number, channel: number) => unknown;
  readonly placeOf: PlaceOf;
}

function bodyValues(body: JsonObject, shape: SampleShape): BodyValues {
  const { values } = body;
  const orient = body.orient ?? 'rows';
  if (orient !== 'rows' && orient !== 'channels') throw invalidField('orient', 'is neither "rows" nor "channels"');
  if (!Array.isArray(values)) throw invalidField('values', 'is missing or no list');
  return orient === 'rows' ? cellsByRow(values, body, shape) : cellsByChannel(values, shape);
}

function cellsByRow(values: readonly unknown[], body: JsonObject, { channelLabels }: SampleShape): BodyValues {
  const channels = channelLabels.length;
  for (const [row, item] of values.entries()) {
    if (!Array.isArray(item)) {
      if (channels === 1) continue;
      const message = `is no list; the series has ${channels} channels: send rows × channels`;
      throw unprocessableField(`values[${row}]`, message);
    }
    if (item.length === channels) continue;
    const hint = isByChannel(values, channels, body.times)
      ? '; if each list is a channel, add "orient": "channels"'
      : '';
    throw unprocessableField(`values[${row}]`, `has ${item.length} values; the series has ${counted(channels)}${hint}`);
  }
  const isFlat = (row: number): boolean => !Array.isArray(values[row]);
  return {
    rows: values.length,
    cell: (row, c) => (isFlat(row) ? values[row] : (values[row] as unknown[])[c]),
    placeOf: (row, c) => (isFlat(row) ? `values[${row}]` : `values[${row}][${c}]`),
  };
}

/**
 * True if the lists can be channels: there are as many, all of one length. If there are times, there are as many of
 * them.
 */
function isByChannel(values: readonly unknown[], channels: number, times: unknown): boolean {
  const [first] = values;
  if (values.length !== channels || !Array.isArray(first)) return false;
  if (Array.isArray(times) && times.length !== first.length) return false;
  return values.every((item) => Array.isArray(item) && item.length === first.length);
}

function cellsByChannel(values: readonly unknown[], { channelLabels }: SampleShape): BodyValues {
  const channels = channelLabels.length;
  const notList = values.findIndex((item) => !Array.isArray(item));
  if (notList >= 0) {
    throw unprocessableField(`values[${notList}]`, 'is no list; with "orient": "channels", each channel has one');
  }
  const lists = values as readonly (readonly unknown[])[];
  if (lists.length !== channels) {
    const isByRow = lists.every((list) => list.length === channels);
    const hint = isByRow ? '; if each list is a row, leave "orient" out' : '';
    throw unprocessableField('values', `has ${lists.length} lists; the series has ${counted(channels)}${hint}`);
  }
  const rows = lists[0].length;
  const uneven = lists.findIndex((list) => list.length !== rows);
  if (uneven >= 0) {
    throw unprocessableField(`values[${uneven}]`, `has ${lists[uneven].length} values, values[0] has ${rows}`);
  }
  return { rows, cell: (row, c) => lists[c][row], placeOf: (row, c) => `values[${c}][${row}]` };
}

function counted(channels: number): string {
  return channels === 1 ? '1 channel' : `${channels} channels`;
}

/** Times, one a row; null where a regular series has none. */
function timesOf({ times = null, start = null }: JsonObject, { kind }: SampleShape, rows: number): unknown[] | null {
  if (kind === 'regular' && times === null) return null;
  if (kind === 'irregular' && start !== null) {
    throw unprocessableField('start', 'is not for an irregular series; send `times`');
  }
  if (!Array.isArray(times)) {
    const why = kind === 'regular' ? 'is no list' : 'is missing or no list; an irregular series needs one time a row';
    throw invalidField('times', why);
  }
  if (times.length !== rows) throw invalidField('times', `has ${times.length} times for ${rows} rows`);
  return times;
}

/** Where the first row goes, if the body says it. @throws invalid-input naming `start` if its times say something else */
function startOf({ start = null }: JsonObject, times: readonly unknown[] | null): bigint | null {
  if (start === null) return null;
  const startNs = jsonTime(start, 'start');
  const first = times?.[0] ?? null;
  if (first !== null && jsonTime(first, 'times[0]') !== startNs) {
    throw invalidField('start', 'is not the first of the times');
  }
  return startNs;
}

function tooLarge(): Error {
  const mib = MAX_JSON_BODY_BYTES / 1024 / 1024;
  return new VarveError(
    'limit-exceeded',
    `a JSON body may have ${mib} MiB; send application/x-ndjson or a binary format`,
  );
}

export interface JsonOptions {
  readonly orient?: Orient;
}

/**
 * `{"series": …, "first_row": …, "times": ["ns", …], "orient": "rows", "values": [[…], …], "next": …}`. With one
 * channel, a row is its value alone. By channels, `values` has one list for each channel.
 *
 * Values follow the times, so they are held until the last row has come. The caller bounds the rows of one answer, and
 * links to the rest in `shape.next`.
 * @param batches whose memory is not used again
 */
export async function* encodeJson(
  batches: AsyncIterable<OutBatch>,
  shape: OutShape,
  { orient = 'rows' }: JsonOptions = {},
): AsyncGenerator<Uint8Array> {
  const held: SampleArray[] = [];
  let text = `{"series":${JSON.stringify(shape.seriesId)},"first_row":${shape.firstRow},"times":[`;
  let comma = '';
  for await (const { values, times } of batches) {
    for (const ns of times as BigInt64Array) {
      text += `${comma}"${ns}"`;
      comma = ',';
      if (text.length >= TEXT_PIECE_CHARS) {
        yield Buffer.from(text);
        text = '';
      }
    }
    if (values.length > 0) held.push(values);
  }
  yield* inPieces(restOf(text, held, shape, orient));
}

function* restOf(text: string, held: readonly SampleArray[], shape: OutShape, orient: Orient): Generator<string> {
  const channels = shape.channelLabels.length;
  const write = jsonValueWriter(shape.dtype);
  yield `${text}],"orient":"${orient}","values":[`;
  if (orient === 'rows') yield* rowsText(held, channels, write);
  else {
    for (let c = 0; c < channels; c++) {
      yield c === 0 ? '[' : ',[';
      yield* channelText(held, c, channels, write);
      yield ']';
    }
  }
  yield `],"next":${JSON.stringify(shape.next)}}`;
}

type Write = (value: number | bigint) => string;

function* rowsText(held: readonly SampleArray[], channels: number, write: Write): Generator<string> {
  if (channels === 1) return yield* channelText(held, 0, 1, write);
  let comma = '';
  for (const values of held) {
    for (let at = 0; at < values.length; at += channels) {
      yield `${comma}[${cellsText(values, at, at + channels, 1, write)}]`;
      comma = ',';
    }
  }
}

/** The values of one channel of rows × channels. */
function* channelText(
  held: readonly SampleArray[],
  channel: number,
  channels: number,
  write: Write,
): Generator<string> {
  const step = CELLS_AT_ONCE * channels;
  let comma = '';
  for (const values of held) {
    for (let at = channel; at < values.length; at += step) {
      yield comma + cellsText(values, at, Math.min(at + step, values.length), channels, write);
      comma = ',';
    }
  }
}

function cellsText(values: SampleArray, from: number, to: number, step: number, write: Write): string {
  let text = write(values[from]);
  for (let i = from + step; i < to; i += step) text += `,${write(values[i])}`;
  return text;
}
