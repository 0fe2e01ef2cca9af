/** Rows of many series as an Arrow stream: a column that says the series of each row, one of times, and one a channel. */
import { setImmediate } from 'node:timers/promises';
import { isUtf8 } from 'node:buffer';
import type { Batch, SampleShape } from '../../core/signal/batch.ts';
import { placesOfColumns, TIME_COLUMN } from '../../core/signal/column-names.ts';
import { DTYPES, type Dtype, type SampleArray } from '../../core/numbers/dtype.ts';
import { invalidField, unprocessableField } from '../../core/errors.ts';
import { nameKey } from '../../core/same-name.ts';
import { isTime, TIME_FORMS } from '../../core/time.ts';
import {
  columnCells,
  columnsOfBatch,
  FIELD,
  INT,
  isValid,
  dtypeOfColumn,
  RECORD_BATCH,
  refuseBigEndian,
  SCHEMA,
  TYPE,
  unitOf,
  type ColumnCells,
  type ColumnBytes,
} from '../binary/arrow-columns.ts';
import { arrowMessages, damaged, orDamaged, type ArrowMessage } from '../binary/arrow-messages.ts';
import { followerOf, fullBatchRows, recordBytes, toldTimes } from './batch-builder.ts';
import type { FlatTable } from '../binary/flatbuffer.ts';
import { MAX_BODY_ITEMS, tooManyItems, type ReadItem, type SampleItem } from './sample-items.ts';

const SERIES_COLUMN = 'series';
/** The column of values for series of one channel, whatever the channel is called. */
const VALUE_COLUMN = 'value';
const DICTIONARY_ENCODING = { id: 0, indexType: 1 } as const;
const DICTIONARY_BATCH = { id: 0, data: 1, isDelta: 2 } as const;
const DEFAULT_INDEX: Dtype = 'int32';
/** Others get their turn after so many rows: a millisecond. */
const TURN_ROWS = 32_768;

/**
 * The columns `series` (texts, dictionary-encoded or not: ids or names), `time` as in {@link decodeArrow}, and `value`, or one a channel for series of
 * those labels. The rows of a series are one item, in their order; items are in the order in which their series come.
 * @throws `invalid-input` and `unprocessable` on `body` or a column where no item can be told from another; `limit-exceeded`
 */
export async function decodeArrowItems(source: AsyncIterable<Uint8Array>): Promise<ReadItem[]> {
  const groups = new Map<string, ItemRows>();
  const dictionaries = new Map<number, (string | null)[]>();
  let layout: Layout | undefined;
  let firstRow = 0;
  for await (const message of arrowMessages(source)) {
    if (!layout) {
      if (message.kind !== 'schema') throw invalidField('body', 'does not begin with its schema; send an Arrow stream');
      layout = orDamaged(() => layoutOf(message.header));
    } else if (message.kind === 'dictionary') {
      readDictionary(message, layout, dictionaries);
    } else if (message.kind === 'batch') {
      firstRow += await group(message, { layout, dictionaries, groups, firstRow });
    }
  }
  if (!layout) throw invalidField('body', 'is no Arrow IPC stream: it has no schema');
  if (groups.size === 0) throw invalidField('body', 'holds no rows');
  const columns = layout;
  return [...groups.values()].map((each, at) => ({ line: at + 1, item: itemOf(each, columns) }));
}

/** Texts, or places in a dictionary of texts. */
interface SeriesColumn {
  readonly place: number;
  readonly offsetBytes: 4 | 8;
  readonly dictionary: { readonly id: number; readonly index: Dtype } | null;
}

interface ValueColumn {
  readonly place: number;
  readonly name: string;
  readonly dtype: Dtype;
}

interface Layout {
  /** Buffers of each column. */
  readonly buffers: readonly number[];
  readonly series: SeriesColumn;
  readonly time: { readonly place: number; readonly unitNs: bigint } | null;
  readonly values: readonly ValueColumn[];
}

function layoutOf(schema: FlatTable): Layout {
  refuseBigEndian(schema);
  const fields = schema.tables(SCHEMA.fields);
  const names = fields.map((field) => field.text(FIELD.name));
  const seriesPlace = names.findIndex((name) => nameKey(name) === SERIES_COLUMN);
  const timePlace = names.findIndex((name) => nameKey(name) === TIME_COLUMN);
  if (seriesPlace < 0) throw invalidField(`column ${SERIES_COLUMN}`, 'is missing');
  const values: ValueColumn[] = [];
  for (const [place, field] of fields.entries()) {
    if (place === seriesPlace) continue;
    if (field.table(FIELD.dictionary)) {
      throw unprocessableField(`column ${names[place]}`, 'is dictionary-encoded; plain numbers are read');
    }
    if (place === timePlace) continue;
    const dtype = dtypeOfColumn(field);
    if (dtype === null || !Object.hasOwn(DTYPES, dtype)) {
      throw unprocessableField(`column ${names[place]}`, `has ${dtype ?? 'no numbers'}; numbers of a series are read`);
    }
    values.push({ place, name: names[place], dtype: dtype as Dtype });
  }
  const series = seriesColumn(fields[seriesPlace], seriesPlace);
  const time = timePlace < 0 ? null : { place: timePlace, unitNs: unitOf(fields[timePlace]) };
  const buffers = fields.map((_, place) => (place === seriesPlace && !series.dictionary ? 3 : 2));
  return { buffers, series, time, values };
}

function seriesColumn(field: FlatTable, place: number): SeriesColumn {
  const type = field.uint8(FIELD.typeType);
  if (type !== TYPE.utf8 && type !== TYPE.largeUtf8) {
    throw unprocessableField(`column ${SERIES_COLUMN}`, 'has no texts; ids and names are read');
  }
  const encoding = field.table(FIELD.dictionary);
  const indexType = encoding?.table(DICTIONARY_ENCODING.indexType);
  const index = indexType
    ? (`${indexType.uint8(INT.isSigned) ? '' : 'u'}int${indexType.int32(INT.bitWidth)}` as Dtype)
    : DEFAULT_INDEX;
  if (!Object.hasOwn(DTYPES, index)) throw damaged();
  return {
    place,
    offsetBytes: type === TYPE.utf8 ? 4 : 8,
    dictionary: encoding ? { id: encoding.length(DICTIONARY_ENCODING.id), index } : null,
  };
}

function readDictionary(
  { header, body }: ArrowMessage,
  { series }: Layout,
  dictionaries: Map<number, (string | null)[]>,
): void {
  orDamaged(() => {
    const id = header.length(DICTIONARY_BATCH.id);
    if (id !== series.dictionary?.id) return;
    const data = header.table(DICTIONARY_BATCH.data);
    if (!data) throw damaged();
    const rows = data.length(RECORD_BATCH.length);
    const column = columnsOfBatch(data, body, rows, [3])(0);
    const before = header.uint8(DICTIONARY_BATCH.isDelta) ? (dictionaries.get(id) ?? []) : [];
    const textOf = textReader(column, rows, series.offsetBytes);
    dictionaries.set(id, [...before, ...Array.from({ length: rows }, (_, row) => textOf(row))]);
  });
}

/**
 * @returns the text of a row; null: it has none. A text that is the same in rows that follow each other is decoded once
 */
function textReader(column: ColumnBytes, rows: number, offsetBytes: 4 | 8): (row: number) => string | null {
  if (rows === 0) return () => null;
  const places = columnCells(column, offsetBytes === 4 ? 'int32' : 'int64', rows + 1).values;
  const end = Number(places[rows]);
  if (!(end >= 0)) throw damaged();
  const bytes = Buffer.from(column.bytes(1, end));
  let before = bytes.subarray(0, 0);
  let text = '';
  return (row) => {
    if (!isValid(column.valid, row)) return null;
    const [from, to] = [Number(places[row]), Number(places[row + 1])];
    if (!(from >= 0 && from <= to && to <= end)) throw damaged();
    const now = bytes.subarray(from, to);
    if (now.equals(before)) return text;
    if (!isUtf8(now)) throw invalidField('body', `is not UTF-8 text in column ${SERIES_COLUMN}`);
    before = now;
    text = now.toString('utf8');
    return text;
  };
}

/** Rows of one series. */
interface ItemRows {
  readonly series: string;
  readonly parts: GroupPart[];
}

/** Those of one record batch, by their numbers there. */
interface GroupPart {
  readonly record: RecordColumns;
  readonly rows: Int32Array;
}

interface RecordColumns {
  /** Number of the first row in all record batches together. */
  readonly firstRow: number;
  readonly time: ColumnCells | null;
  /** By the place of the column. */
  readonly values: ReadonlyMap<number, ColumnCells>;
}

interface Grouping {
  readonly layout: Layout;
  readonly dictionaries: ReadonlyMap<number, readonly (string | null)[]>;
  readonly groups: Map<string, ItemRows>;
  readonly firstRow: number;
}

/** Gives each row of a record batch to its series. @returns how many it has */
async function group(
  { header, body }: ArrowMessage,
  { layout, dictionaries, groups, firstRow }: Grouping,
): Promise<number> {
  const { rows, record, textOf } = orDamaged(() => {
    const length = header.length(RECORD_BATCH.length);
    const column = columnsOfBatch(header, body, length, layout.buffers);
    const values = layout.values.map(({ place, dtype }): [number, ColumnCells] => [
      place,
      columnCells(column(place), dtype, length),
    ]);
    return {
      rows: length,
      record: {
        firstRow,
        time: layout.time && columnCells(column(layout.time.place), 'int64', length),
        values: new Map(values),
      },
      textOf: seriesReader(column(layout.series.place), length, layout.series, dictionaries),
    };
  });
  const found: { group: ItemRows; rows: number; next: number }[] = [];
  const places = new Map<string, number>();
  const placeOf = new Int32Array(rows);
  for (let row = 0; row < rows; row++) {
    if (row > 0 && row % TURN_ROWS === 0) await setImmediate();
    const series = textOf(row);
    if (series === null) throw invalidField(`row ${firstRow + row} column ${SERIES_COLUMN}`, 'is null');
    let place = places.get(series);
    if (place === undefined) {
      place = found.length;
      places.set(series, place);
      found.push({ group: groupOf(groups, series), rows: 0, next: 0 });
    }
    placeOf[row] = place;
    found[place].rows++;
  }
  // Of each series the rows lie together, in order.
  const inOrder = new Int32Array(rows);
  let next = 0;
  for (const each of found) {
    each.next = next;
    each.group.parts.push({ record, rows: inOrder.subarray(next, next + each.rows) });
    next += each.rows;
  }
  for (let row = 0; row < rows; row++) inOrder[found[placeOf[row]].next++] = row;
  return rows;
}

function groupOf(groups: Map<string, ItemRows>, series: string): ItemRows {
  const known = groups.get(series);
  if (known) return known;
  if (groups.size === MAX_BODY_ITEMS) throw tooManyItems();
  const added: ItemRows = { series, parts: [] };
  groups.set(series, added);
  return added;
}

function seriesReader(
  column: ColumnBytes,
  rows: number,
  { dictionary, offsetBytes }: SeriesColumn,
  dictionaries: Grouping['dictionaries'],
): (row: number) => string | null {
  if (!dictionary) return textReader(column, rows, offsetBytes);
  const words = dictionaries.get(dictionary.id) ?? [];
  const { values, valid } = columnCells(column, dictionary.index, rows);
  return (row) => {
    if (!isValid(valid, row)) return null;
    const word = words[Number(values[row])];
    if (word === undefined) throw damaged();
    return word;
  };
}

function itemOf({ series, parts }: ItemRows, layout: Layout): SampleItem {
  const rows = parts.reduce((sum, part) => sum + part.rows.length, 0);
  const rowBytes = layout.values.reduce((sum, { dtype }) => sum + DTYPES[dtype].bytes, 8);
  return {
    series,
    key: null,
    sequence: null,
    create: null,
    weight: rows * rowBytes,
    read: (shape) => batches(parts, rows, layout, shape),
  };
}

function* batches(parts: readonly GroupPart[], rows: number, layout: Layout, shape: SampleShape): Generator<Batch> {
  const places = placesOf(layout, shape);
  const timeOf = layout.time && timeReader(layout.time.unitNs);
  if (shape.kind === 'irregular' && !timeOf) throw invalidField(`column ${TIME_COLUMN}`, 'is missing');
  const most = fullBatchRows(recordBytes(shape));
  const follower = followerOf(shape);
  let startNs: bigint | undefined;
  let batch = new OpenBatch(shape, Math.min(rows, most));
  let done = 0;
  for (const part of parts) {
    const cells = places.map((place) => part.record.values.get(place)!);
    for (const row of part.rows) {
      batch.push(cells, row, part.record.firstRow);
      const ns = timeOf?.(part.record, row, shape.kind === 'regular') ?? null;
      if (batch.times) batch.times[batch.rows] = ns!;
      else if (ns !== null) {
        if (done === 0) startNs = ns;
        const number = part.record.firstRow + row;
        follower?.add(done, ns, () => `row ${number} column ${TIME_COLUMN}`);
      }
      batch.rows++;
      done++;
      if (batch.rows < most && done < rows) continue;
      yield { ...batch.take(), ...toldTimes(startNs, follower) };
      startNs = undefined;
      batch = new OpenBatch(shape, Math.min(rows - done, most));
    }
  }
}

class OpenBatch {
  rows = 0;
  readonly times: BigInt64Array | null;
  readonly #values: SampleArray;
  readonly #shape: SampleShape;

  constructor(shape: SampleShape, rows: number) {
    this.#shape = shape;
    this.#values = new DTYPES[shape.dtype].array(rows * shape.channelLabels.length);
    this.times = shape.kind === 'irregular' ? new BigInt64Array(rows) : null;
  }

  /** @throws unprocessable for a null that the dtype cannot hold */
  push(cells: readonly ColumnCells[], row: number, firstRow: number): void {
    const { dtype, channelLabels } = this.#shape;
    const at = this.rows * cells.length;
    for (let c = 0; c < cells.length; c++) {
      const { values, valid } = cells[c];
      if (isValid(valid, row)) this.#values[at + c] = values[row];
      else if (DTYPES[dtype].kind === 'float') this.#values[at + c] = NaN;
      else {
        const place = `row ${firstRow + row} column ${channelLabels[c]}`;
        throw unprocessableField(place, `is null, which ${dtype} cannot hold`);
      }
    }
  }

  take(): Batch {
    return { rows: this.rows, values: this.#values, times: this.times };
  }
}

/** The columns of the channels. @throws invalid-input and unprocessable naming the column */
function placesOf({ values }: Layout, { dtype, channelLabels }: SampleShape): number[] {
  const isValue = channelLabels.length === 1 && values.length === 1 && nameKey(values[0].name) === VALUE_COLUMN;
  const named = isValue
    ? { channels: [0], unknown: -1 }
    : placesOfColumns(
        values.map(({ name }) => name),
        channelLabels,
      );
  const missing = named.channels.findIndex((place) => place < 0);
  if (missing >= 0) throw invalidField(`column ${channelLabels[missing]}`, 'is missing');
  if (named.unknown >= 0) {
    throw invalidField(`column ${values[named.unknown].name}`, 'is no channel of the series, or is there twice');
  }
  for (const at of named.channels) {
    const { name, dtype: found } = values[at];
    if (found !== dtype) throw unprocessableField(`column ${name}`, `has ${found}, the series ${dtype}`);
  }
  return named.channels.map((at) => values[at].place);
}

/** @returns the time of a row; null where it may have none and has none */
function timeReader(unitNs: bigint): (record: RecordColumns, row: number, mayBeNull: boolean) => bigint | null {
  return ({ time, firstRow }, row, mayBeNull) => {
    const { values, valid } = time!;
    const place = `row ${firstRow + row} column ${TIME_COLUMN}`;
    if (!isValid(valid, row)) {
      if (mayBeNull) return null;
      throw invalidField(place, 'is null');
    }
    const ns = (values as BigInt64Array)[row] * unitNs;
    if (!isTime(ns)) throw invalidField(place, `is not ${TIME_FORMS}`);
    return ns;
  };
}
