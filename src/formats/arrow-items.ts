/**
 * An Arrow IPC stream with rows of many series: the column `series` (id or name, as text, plain or dictionary-encoded), `time`, and `value` or a column for each
 * channel. The rows of a series are one item, in their order; items come in the order in which their series do.
 */
import type { Batch, SampleShape } from '../core/batch.ts';
import { columnName, placesOfColumns, TIME_COLUMN } from '../core/column-names.ts';
import { DTYPES, viewAs, type Dtype } from '../core/dtype.ts';
import { invalidField, unprocessableField, type VarveError } from '../core/errors.ts';
import { nameKey } from '../core/same-name.ts';
import { isTime, TIME_FORMS } from '../core/time.ts';
import { FIELD, INT, isValid, numberType, RECORD_BATCH, refuseCompressed, SCHEMA, unitOf, type Cells } from './arrow-decode.ts';
import { arrowMessages, damaged, orDamaged, type ArrowMessage } from './arrow-messages.ts';
import { ArrayRoom, fullBatchRows, recordBytes } from './batch-builder.ts';
import { refuseMoreItems, type BodyItem } from './body-item.ts';
import type { FlatTable } from './flatbuffer.ts';
import { utf8Text } from './utf8.ts';

export const SERIES_COLUMN = 'series';
/** Of series of one channel, whatever its label. */
export const VALUE_COLUMN = 'value';

const ENCODING = { id: 0, indexType: 1 } as const;
const DICTIONARY_BATCH = { id: 0, data: 1, isDelta: 2 } as const;
const TEXT_TYPE = { utf8: 5, largeUtf8: 20 } as const;
/** Of a dictionary's indices, where the schema does not say it. */
const INDEX_BY_DEFAULT = 'int32';

/**
 * @throws `invalid-input` and `unprocessable` naming `body` or the column, for what no row can be read without; `limit-exceeded` for too many series, or a
 *   record batch over 256 MiB
 */
export async function readArrowItems(source: AsyncIterable<Uint8Array>): Promise<BodyItem[]> {
  let columns: Columns | undefined;
  const groups = new Groups();
  const batches: RecordBatch[] = [];
  let dictionary: string[] = [];
  let rows = 0;
  for await (const message of arrowMessages(source)) {
    if (!columns) {
      if (message.kind !== 'schema') throw invalidField('body', 'has its schema behind its record batches, if at all');
      columns = orDamaged(() => columnsOf(message.header));
    } else if (message.kind === 'dictionary') {
      const { series } = columns;
      dictionary = orDamaged(() => dictionaryAfter(dictionary, message, series));
    } else if (message.kind === 'batch') {
      const known = columns;
      const batch = orDamaged(() => batchOf(message, known, groups, dictionary, rows));
      if (batch.rows > 0) batches.push(batch);
      rows += batch.rows;
    }
  }
  if (!columns) throw invalidField('body', 'is no Arrow IPC stream: it has no schema');
  if (rows === 0) throw invalidField('body', 'holds no rows', 'empty');
  return itemsOf(new Table(columns, batches, groups));
}

interface SeriesColumn {
  readonly place: number;
  readonly isLarge: boolean;
  /** Null: it has its texts itself. */
  readonly dictionary: { readonly id: number; readonly indices: Dtype } | null;
}

interface Column {
  readonly name: string;
  /** Of numbers; times are int64. */
  readonly dtype: Dtype;
  readonly unitNs: bigint | null;
}

interface Columns {
  readonly count: number;
  readonly series: SeriesColumn;
  /** Place of the column of times, or -1. */
  readonly time: number;
  /** By place; null: that of series. */
  readonly numbers: readonly (Column | null)[];
}

function columnsOf(schema: FlatTable): Columns {
  if (schema.int16(SCHEMA.endianness) !== 0) throw unprocessableField('body', 'is big-endian Arrow');
  const fields = schema.tables(SCHEMA.fields);
  const names = fields.map((field) => field.text(FIELD.name));
  const placeOf = (name: string): number => names.findIndex((each) => nameKey(each) === name);
  const [place, time] = [placeOf(SERIES_COLUMN), placeOf(TIME_COLUMN)];
  if (place < 0) throw invalidField(`column ${SERIES_COLUMN}`, 'is missing');
  const numbers = fields.map((field, at): Column | null => {
    if (at === place) return null;
    const name = names[at];
    if (field.table(FIELD.dictionary)) {
      throw unprocessableField(`column ${name}`, 'is dictionary-encoded; plain numbers are read');
    }
    if (at === time) return { name, dtype: 'int64', unitNs: unitOf(field) };
    const dtype = numberType(field);
    if (dtype === null || !Object.hasOwn(DTYPES, dtype)) {
      throw unprocessableField(`column ${name}`, `has ${dtype ?? 'no numbers'}, which no series has`);
    }
    return { name, dtype: dtype as Dtype, unitNs: null };
  });
  return { count: fields.length, series: seriesColumnOf(fields[place], place), time, numbers };
}

function seriesColumnOf(field: FlatTable, place: number): SeriesColumn {
  const type = field.uint8(FIELD.typeType);
  if (type !== TEXT_TYPE.utf8 && type !== TEXT_TYPE.largeUtf8) {
    throw unprocessableField(`column ${SERIES_COLUMN}`, 'has no texts; utf8 and large_utf8 are read, plain or dictionary-encoded');
  }
  const encoding = field.table(FIELD.dictionary);
  return { place, isLarge: type === TEXT_TYPE.largeUtf8, dictionary: encoding && encodingOf(encoding) };
}

function encodingOf(encoding: FlatTable): { id: number; indices: Dtype } {
  const index = encoding.table(ENCODING.indexType);
  const indices = index ? `${index.uint8(INT.isSigned) ? 'int' : 'uint'}${index.int32(INT.bitWidth)}` : INDEX_BY_DEFAULT;
  if (!Object.hasOwn(DTYPES, indices)) throw damaged();
  return { id: encoding.length(ENCODING.id), indices: indices as Dtype };
}

/** Node and buffers of a column that begins with a buffer. */
interface Slot {
  readonly rows: number;
  /** Null: there is a value everywhere. */
  readonly valid: Uint8Array | null;
  /** @param at 1: what follows the validity. @param least bytes that there must be; more are let pass, and left out unless `all` */
  buffer(at: number, least: number, all?: 'all'): Uint8Array;
}

function slotOf(header: FlatTable, body: Uint8Array): (node: number, firstBuffer: number) => Slot {
  const nodes = header.pairs(RECORD_BATCH.nodes);
  const buffers = header.pairs(RECORD_BATCH.buffers);
  return (node, firstBuffer) => {
    if (node >= nodes.length) throw damaged();
    const [rows, nulls] = nodes[node];
    const buffer: Slot['buffer'] = (at, least, all) => {
      if (firstBuffer + at >= buffers.length) throw damaged();
      const [offset, length] = buffers[firstBuffer + at];
      if (length < least || offset + length > body.length) throw damaged();
      return body.subarray(offset, offset + (all ? length : least));
    };
    const isPlain = nulls === 0 || buffers[firstBuffer]?.[1] === 0;
    return { rows, buffer, valid: isPlain ? null : buffer(0, Math.ceil(rows / 8)) };
  };
}

/** Texts of a column, by row. */
function textsOf(slot: Slot, isLarge: boolean): (row: number) => Buffer {
  if (slot.rows === 0) return () => Buffer.alloc(0);
  const bytes = slot.buffer(2, 0, 'all');
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const dtype = isLarge ? 'int64' : 'int32';
  const ends = viewAs(dtype, slot.buffer(1, (slot.rows + 1) * DTYPES[dtype].bytes));
  return (row) => {
    const [from, to] = [Number(ends[row]), Number(ends[row + 1])];
    if (from < 0 || to < from || to > data.length) throw damaged();
    return data.subarray(from, to);
  };
}

function dictionaryAfter(before: string[], { header, body }: ArrowMessage, series: SeriesColumn): string[] {
  // No other column has one: those have been refused.
  if (!series.dictionary || header.length(DICTIONARY_BATCH.id) !== series.dictionary.id) throw damaged();
  const data = header.table(DICTIONARY_BATCH.data);
  if (!data) throw damaged();
  refuseCompressed(data);
  const slot = slotOf(data, body)(0, 0);
  const textOf = textsOf(slot, series.isLarge);
  const texts = Array.from({ length: slot.rows }, (_, row) => utf8Text(textOf(row), `column ${SERIES_COLUMN}`));
  return header.uint8(DICTIONARY_BATCH.isDelta) ? [...before, ...texts] : texts;
}

interface RecordBatch {
  readonly rows: number;
  /** Rows of the body before it. */
  readonly before: number;
  /** Which series each row belongs to. */
  readonly groups: Uint32Array;
  /** By place of the column. */
  readonly cells: readonly (Cells | null)[];
}

/** Series in the order in which they came, and how many rows each has. */
class Groups {
  readonly names: string[] = [];
  readonly rows: number[] = [];
  readonly #places = new Map<string, number>();

  /** @throws `limit-exceeded` */
  placeOf(name: string): number {
    const known = this.#places.get(name);
    if (known !== undefined) return known;
    refuseMoreItems(this.names.length + 1);
    this.#places.set(name, this.names.length);
    this.rows.push(0);
    return this.names.push(name) - 1;
  }
}

function batchOf(
  { header, body }: ArrowMessage,
  { count, series, numbers }: Columns,
  groups: Groups,
  dictionary: readonly string[],
  before: number,
): RecordBatch {
  refuseCompressed(header);
  const rows = header.length(RECORD_BATCH.length);
  const slot = slotOf(header, body);
  // A column of texts has three buffers, the others two.
  const isText = series.dictionary === null;
  const slots = Array.from({ length: count }, (_, at) => slot(at, 2 * at + (isText && at > series.place ? 1 : 0)));
  if (slots.some((each) => each.rows !== rows)) throw damaged();
  const cells = numbers.map((column, at): Cells | null => {
    if (!column) return null;
    const bytes = slots[at].buffer(1, rows * DTYPES[column.dtype].bytes);
    return { values: viewAs(column.dtype, bytes), valid: slots[at].valid };
  });
  const groupOf = isText
    ? groupsOfTexts(textsOf(slots[series.place], series.isLarge), groups)
    : groupsOfIndices(slots[series.place], series.dictionary!.indices, dictionary, groups);
  const { valid } = slots[series.place];
  const groupOfRows = new Uint32Array(rows);
  for (let row = 0; row < rows; row++) {
    if (!isValid(valid, row)) throw invalidField(placeOf(before + row, SERIES_COLUMN), 'is null');
    const group = groupOf(row);
    groupOfRows[row] = group;
    groups.rows[group]++;
  }
  return { rows, before, groups: groupOfRows, cells };
}

function groupsOfTexts(textOf: (row: number) => Buffer, groups: Groups): (row: number) => number {
  // By bytes: a text is made, and looked at, once.
  const known = new Map<string, number>();
  return (row) => {
    const text = textOf(row);
    const key = text.toString('latin1');
    let group = known.get(key);
    if (group === undefined) {
      group = groups.placeOf(utf8Text(text, `column ${SERIES_COLUMN}`));
      known.set(key, group);
    }
    return group;
  };
}

function groupsOfIndices(
  slot: Slot,
  dtype: Dtype,
  dictionary: readonly string[],
  groups: Groups,
): (row: number) => number {
  const indices = viewAs(dtype, slot.buffer(1, slot.rows * DTYPES[dtype].bytes));
  const known = new Map<number, number>();
  return (row) => {
    const index = Number(indices[row]);
    let group = known.get(index);
    if (group === undefined) {
      if (index < 0 || index >= dictionary.length) throw damaged();
      group = groups.placeOf(dictionary[index]);
      known.set(index, group);
    }
    return group;
  };
}

/** All of a body, its rows ordered by series. */
class Table {
  readonly columns: Columns;
  readonly room = new ArrayRoom();
  readonly #batches: readonly RecordBatch[];
  readonly names: readonly string[];
  /** Rows of the body, those of each series together, and where those of each begin. */
  readonly #rows: Uint32Array;
  readonly #begins: Uint32Array;

  constructor(columns: Columns, batches: readonly RecordBatch[], { names, rows }: Groups) {
    this.columns = columns;
    this.#batches = batches;
    this.names = names;
    this.#begins = new Uint32Array(names.length + 1);
    for (let i = 0; i < names.length; i++) this.#begins[i + 1] = this.#begins[i] + rows[i];
    this.#rows = new Uint32Array(this.#begins[names.length]);
    const next = this.#begins.slice();
    for (const { groups, before } of batches) {
      for (let row = 0; row < groups.length; row++) this.#rows[next[groups[row]]++] = before + row;
    }
  }

  /** Rows of the body that belong to a series. */
  rowsOf(group: number): Uint32Array {
    return this.#rows.subarray(this.#begins[group], this.#begins[group + 1]);
  }

  /** Rows that lie in one record batch each, in order. */
  *runs(rows: Uint32Array): Generator<{ batch: RecordBatch; rows: Uint32Array; at: number }> {
    let b = batchWith(this.#batches, rows[0]);
    for (let from = 0; from < rows.length;) {
      while (rows[from] >= this.#batches[b].before + this.#batches[b].rows) b++;
      const batch = this.#batches[b];
      const end = batch.before + batch.rows;
      let to = from + 1;
      while (to < rows.length && rows[to] < end) to++;
      yield { batch, rows: rows.subarray(from, to), at: from };
      from = to;
    }
  }
}

/** The place of the record batch that has a row. */
function batchWith(batches: readonly RecordBatch[], row: number): number {
  let [low, high] = [0, batches.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (batches[middle].before <= row) low = middle;
    else high = middle - 1;
  }
  return low;
}

function itemsOf(table: Table): BodyItem[] {
  return table.names.map((series, group) => ({
    line: group + 1,
    series,
    key: null,
    create: undefined,
    batches: (shape) => batchesOf(table, group, shape),
  }));
}

function* batchesOf(table: Table, group: number, shape: SampleShape): Generator<Batch> {
  const { dtype, kind } = shape;
  const { time, channels } = placesFor(table.columns, shape);
  const rows = table.rowsOf(group);
  const most = fullBatchRows(recordBytes(shape));
  const unitNs = time < 0 ? 1n : table.columns.numbers[time]!.unitNs!;
  for (let from = 0; from < rows.length; from += most) {
    const some = rows.subarray(from, from + most);
    const values = table.room.take(dtype, some.length * channels.length);
    const times = kind === 'irregular' ? (table.room.take('int64', some.length) as BigInt64Array) : null;
    let startNs: bigint | null = null;
    for (const run of table.runs(some)) {
      channels.forEach((place, c) => copyChannel(values, c, channels.length, run, { place, dtype, columns: table.columns }));
      if (time < 0) continue;
      const cells = run.batch.cells[time]!;
      for (let i = 0; i < run.rows.length; i++) {
        const row = run.rows[i] - run.batch.before;
        const isNull = !isValid(cells.valid, row);
        if (isNull && !times) continue;
        const ns = isNull ? null : (cells.values as BigInt64Array)[row] * unitNs;
        if (ns === null || !isTime(ns)) {
          throw invalidField(placeOf(run.rows[i], TIME_COLUMN), ns === null ? 'is null' : `is not ${TIME_FORMS}`);
        }
        if (times) times[run.at + i] = ns;
        else if (from + run.at + i === 0) startNs = ns;
      }
    }
    yield { rows: some.length, values, times, ...(startNs !== null && { startNs }) };
  }
}

function copyChannel(
  into: Batch['values'],
  channel: number,
  channels: number,
  { batch, rows, at }: { batch: RecordBatch; rows: Uint32Array; at: number },
  { place, dtype, columns }: { place: number; dtype: Dtype; columns: Columns },
): void {
  const { values, valid } = batch.cells[place]!;
  const isInteger = DTYPES[dtype].kind === 'int';
  const out = into as Float64Array;
  const from = values as Float64Array;
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] - batch.before;
    const to = (at + i) * channels + channel;
    if (isValid(valid, row)) out[to] = from[row];
    else if (isInteger) {
      throw unprocessableField(placeOf(rows[i], columns.numbers[place]!.name), `is null, which ${dtype} cannot hold`);
    } else out[to] = NaN;
  }
}

/** The columns that a series has, all of which are of its dtype. @throws naming the column */
function placesFor({ numbers, time }: Columns, { channelLabels, dtype, kind }: SampleShape): { time: number; channels: readonly number[] } {
  if (time < 0 && kind === 'irregular') throw missing(TIME_COLUMN);
  const places = numbers.flatMap((column, place) => (column && place !== time ? [place] : []));
  const names = places.map((place) => numbers[place]!.name);
  // Another column called `time` is a channel of that name.
  const labels = namesOne(names, channelLabels) ? [VALUE_COLUMN] : channelLabels;
  const found = placesOfColumns([TIME_COLUMN, ...names], labels);
  const known = found.channels.map((at) => (at < 0 ? -1 : places[at - 1]));
  known.forEach((place, c) => {
    if (place < 0) throw missing(channelLabels.length === 1 ? VALUE_COLUMN : columnName(labels[c]));
    const column = numbers[place]!;
    if (column.dtype !== dtype) {
      throw unprocessableField(`column ${column.name}`, `has ${column.dtype}, the series ${dtype}`);
    }
  });
  if (found.unknown >= 0) {
    const columns = [SERIES_COLUMN, TIME_COLUMN, ...(channelLabels.length === 1 ? [VALUE_COLUMN] : labels.map(columnName))];
    const message = `is no channel of the series, or is there twice; its columns are ${columns.join(', ')}`;
    throw invalidField(`column ${names[found.unknown - 1]}`, message);
  }
  return { time, channels: known };
}

/** Whether the only channel goes by `value`, and not by its label. */
function namesOne(names: readonly string[], labels: readonly string[]): boolean {
  if (labels.length !== 1) return false;
  const keys = new Set(names.map(nameKey));
  return keys.has(VALUE_COLUMN) && !keys.has(nameKey(columnName(labels[0])));
}

function missing(name: string): VarveError {
  return invalidField(`column ${name}`, 'is missing');
}

/** @param row of the body, from 0 */
function placeOf(row: number, column: string): string {
  return `row ${row} column ${column}`;
}
