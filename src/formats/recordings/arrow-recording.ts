/** Arrow streams and files (Feather) as recordings, with dictionaries, and packed with LZ4 or ZSTD. */
import { invalidField, unprocessableField } from '../../core/errors.ts';
import { DTYPES, type Dtype } from '../../core/numbers/dtype.ts';
import type { Recording } from '../../core/signal/recording.ts';
import { UNIT_NS } from '../../core/time.ts';
import {
  columnCells,
  columnsOfBatch,
  dtypeOfColumn,
  FIELD,
  INT,
  isValid,
  RECORD_BATCH,
  refuseBigEndian,
  SCHEMA,
  TYPE,
  unitOf,
  type ColumnBytes,
} from '../binary/arrow-columns.ts';
import { arrowMessages, damaged, orDamaged } from '../binary/arrow-messages.ts';
import { joinBytes } from '../binary/block-cutter.ts';
import { FlatTable } from '../binary/flatbuffer.ts';
import type { ReadBytes } from './npy-array.ts';
import { halfToFloat } from '../binary/half-float.ts';
import {
  readTypedRecording,
  type TypedBatch,
  type TypedCell,
  type TypedCells,
  type TypedColumn,
  type TypedKind,
  type TypedOptions,
} from './typed-recording.ts';

/** Numbers of the types beside {@link TYPE}. */
const OTHERS = {
  null: 1,
  binary: 4,
  bool: 6,
  date: 8,
  list: 12,
  struct: 13,
  union: 14,
  fixedList: 16,
  map: 17,
  largeBinary: 19,
  largeList: 21,
} as const;
/** Types whose columns are of fixed width or of bits: validity and values. */
const FIXED: readonly number[] = [
  TYPE.int,
  TYPE.float,
  OTHERS.bool,
  7,
  OTHERS.date,
  9,
  TYPE.timestamp,
  11,
  15,
  TYPE.duration,
];
const CHILDREN = 5;
const DICTIONARY = { id: 0, indexType: 1 } as const;
const DICTIONARY_BATCH = { id: 0, data: 1, isDelta: 2 } as const;
const TIMEZONE = 1;
const MAX_DEPTH = 16;
/** Texts of dictionaries are held for the whole file. */
const MAX_WORDS = 1_000_000;

interface ArrowField {
  readonly column: TypedColumn;
  /** First node and buffer of its own among those of a batch, and how many the field has with its children. */
  readonly buffers: number;
  readonly nodes: number;
  readonly field: FlatTable;
  readonly typeNumber: number;
  readonly dictionary: { readonly id: number; readonly index: Dtype } | null;
}

/** Field of the table `Footer`. */
const FOOTER_SCHEMA = 1;
const FOOTER_END_BYTES = 10;
const MAX_FOOTER_BYTES = 16 * 1024 * 1024;

/** @param open reads the file, from its start by default @param size of the file @throws as {@link readTypedRecording}, and on `body` if it is no Arrow */
export async function readArrowRecording(open: ReadBytes, size: number, options: TypedOptions): Promise<Recording> {
  const fields = (await schemaOf(open())) ?? (await footerSchema(open, size));
  if (!fields) throw invalidField('body', 'is no Arrow IPC stream or file: it has no schema');
  const columns = fields.map(({ column }) => column);
  const batches = (places: readonly number[]): AsyncGenerator<TypedBatch> => batchesOf(open(), fields, places);
  return readTypedRecording({ format: 'Arrow', columns, batches, notes: [] }, options);
}

function fieldsOf(schema: FlatTable): ArrowField[] {
  refuseBigEndian(schema);
  return schema.tables(SCHEMA.fields).map(fieldOf);
}

/** Some writers have the schema of a file at its end alone. */
async function footerSchema(open: ReadBytes, size: number): Promise<ArrowField[] | null> {
  if (size < FOOTER_END_BYTES) return null;
  const end = await allBytes(open(size - FOOTER_END_BYTES, size));
  const length = new DataView(end.buffer, end.byteOffset).getInt32(0, true);
  const from = size - FOOTER_END_BYTES - length;
  if (
    Buffer.from(end.subarray(4)).toString('latin1') !== 'ARROW1' ||
    length <= 0 ||
    length > MAX_FOOTER_BYTES ||
    from < 0
  )
    return null;
  const footer = await allBytes(open(from, from + length));
  return orDamaged(() => {
    const schema = FlatTable.root(footer).table(FOOTER_SCHEMA);
    return schema && fieldsOf(schema);
  });
}

async function allBytes(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece);
  return joinBytes(pieces);
}

async function schemaOf(source: AsyncIterable<Uint8Array>): Promise<ArrowField[] | null> {
  for await (const { kind, header } of arrowMessages(source)) {
    if (kind !== 'schema') break;
    return orDamaged(() => fieldsOf(header));
  }
  return null;
}

function fieldOf(field: FlatTable): ArrowField {
  const name = field.text(FIELD.name);
  const typeNumber = field.uint8(FIELD.typeType);
  const encoding = field.table(FIELD.dictionary);
  const { buffers, nodes } = encoding ? { buffers: 2, nodes: 1 } : sizesOf(field, 0);
  const indexType = encoding?.table(DICTIONARY.indexType);
  const index = indexType
    ? (`${indexType.uint8(INT.isSigned) ? '' : 'u'}int${indexType.int32(INT.bitWidth)}` as Dtype)
    : 'int32';
  if (!Object.hasOwn(DTYPES, index)) throw damaged();
  const isText = typeNumber === TYPE.utf8 || typeNumber === TYPE.largeUtf8;
  const type = encoding && !isText ? ({ kind: 'other' } as const) : kindOf(field, typeNumber);
  return {
    column: { name, type },
    buffers,
    nodes,
    field,
    typeNumber,
    dictionary: encoding ? { id: encoding.length(DICTIONARY.id), index } : null,
  };
}

function kindOf(field: FlatTable, type: number): TypedKind {
  if (type === TYPE.int || type === TYPE.float) {
    const found = dtypeOfColumn(field);
    const dtype = found === 'float16' ? 'float32' : found;
    return dtype !== null && Object.hasOwn(DTYPES, dtype)
      ? { kind: 'number', dtype: dtype as Dtype }
      : { kind: 'other' };
  }
  if (type === TYPE.utf8 || type === TYPE.largeUtf8) return { kind: 'text' };
  if (type === OTHERS.bool) return { kind: 'bool' };
  if (type === TYPE.timestamp) {
    const zone = field.table(FIELD.type)?.text(TIMEZONE) ?? '';
    return { kind: 'time', zoned: zone !== '', relative: false };
  }
  if (type === OTHERS.date) return { kind: 'time', zoned: false, relative: false };
  return type === TYPE.duration ? { kind: 'time', zoned: true, relative: true } : { kind: 'other' };
}

/** Buffers and nodes of a field with its children, so that it can be passed over. */
function sizesOf(field: FlatTable, depth: number): { buffers: number; nodes: number } {
  const type = field.uint8(FIELD.typeType);
  if (depth > MAX_DEPTH) throw damaged();
  const own = FIXED.includes(type)
    ? 2
    : type === TYPE.utf8 || type === TYPE.largeUtf8 || type === OTHERS.binary || type === OTHERS.largeBinary
      ? 3
      : type === OTHERS.null
        ? 0
        : type === OTHERS.struct || type === OTHERS.fixedList
          ? 1
          : type === OTHERS.list || type === OTHERS.largeList || type === OTHERS.map
            ? 2
            : null;
  if (own === null)
    throw unprocessableField(
      `column ${field.text(FIELD.name).slice(0, 60)}`,
      `has a type of Arrow (${type}) that is not read`,
    );
  let [buffers, nodes] = [own, 1];
  for (const child of field.tables(CHILDREN)) {
    const sizes = child.table(FIELD.dictionary) ? { buffers: 2, nodes: 1 } : sizesOf(child, depth + 1);
    buffers += sizes.buffers;
    nodes += sizes.nodes;
  }
  return { buffers, nodes };
}

async function* batchesOf(
  source: AsyncIterable<Uint8Array>,
  fields: readonly ArrowField[],
  places: readonly number[],
): AsyncGenerator<TypedBatch> {
  const dictionaries = new Map<number, (string | null)[]>();
  const wanted = new Map(
    places.flatMap((place) => (fields[place].dictionary ? [[fields[place].dictionary.id, fields[place]]] : [])),
  );
  for await (const { kind, header, body } of arrowMessages(source)) {
    if (kind === 'dictionary') {
      orDamaged(() => {
        const id = header.length(DICTIONARY_BATCH.id);
        const field = wanted.get(id);
        const data = header.table(DICTIONARY_BATCH.data);
        if (!data) throw damaged();
        if (!field) return;
        const rows = data.length(RECORD_BATCH.length);
        const before = header.uint8(DICTIONARY_BATCH.isDelta) ? (dictionaries.get(id) ?? []) : [];
        if (rows + before.length > MAX_WORDS)
          throw unprocessableField('body', `has a dictionary of over ${MAX_WORDS} words`);
        const words = textsOf(columnsOfBatch(data, body, rows, [3])(0), rows, field.typeNumber === TYPE.utf8 ? 4 : 8);
        dictionaries.set(id, [...before, ...Array.from(words, (word) => (word ?? null) as string | null)]);
      });
    }
    if (kind !== 'batch') continue;
    yield orDamaged(() => {
      const rows = header.length(RECORD_BATCH.length);
      const column = columnsOfBatch(
        header,
        body,
        rows,
        fields.map(({ buffers }) => buffers),
        fields.map(({ nodes }) => nodes),
      );
      const columns: (TypedCells | undefined)[] = fields.map(() => undefined);
      for (const place of places) columns[place] = cellsOf(fields[place], column(place), rows, dictionaries);
      return { rows, columns };
    });
  }
}

function cellsOf(
  { field, typeNumber, dictionary, column: { type } }: ArrowField,
  column: ColumnBytes,
  rows: number,
  dictionaries: ReadonlyMap<number, readonly (string | null)[]>,
): TypedCells {
  if (dictionary) {
    const words = dictionaries.get(dictionary.id) ?? [];
    const { values, valid } = columnCells(column, dictionary.index, rows);
    return Array.from({ length: rows }, (_, row): TypedCell => {
      if (!isValid(valid, row)) return null;
      const word = words[Number(values[row])];
      if (word === undefined) throw damaged();
      return word;
    });
  }
  if (type.kind === 'text') return textsOf(column, rows, typeNumber === TYPE.utf8 ? 4 : 8);
  if (type.kind === 'bool') {
    const bits = column.bytes(0, Math.ceil(rows / 8));
    return Array.from({ length: rows }, (_, row): TypedCell =>
      isValid(column.valid, row) ? isValid(bits, row) : null,
    );
  }
  if (type.kind === 'time') {
    const isDays = typeNumber === OTHERS.date && field.table(FIELD.type)?.int16(0, 1) === 0;
    const unitNs = typeNumber === OTHERS.date ? (isDays ? 24n * UNIT_NS.h : UNIT_NS.ms) : unitOf(field);
    const { values, valid } = columnCells(column, isDays ? 'int32' : 'int64', rows);
    return Array.from({ length: rows }, (_, row): TypedCell =>
      isValid(valid, row) ? BigInt(values[row]) * unitNs : null,
    );
  }
  if (type.kind !== 'number') return [];
  const isHalf = dtypeOfColumn(field) === 'float16';
  const { values, valid } = columnCells(column, isHalf ? 'uint16' : type.dtype, rows);
  if (valid === null && !isHalf) return values;
  return Array.from({ length: rows }, (_, row): TypedCell => {
    if (!isValid(valid, row)) return null;
    return isHalf ? halfToFloat(values[row] as number) : values[row];
  });
}

function textsOf(column: ColumnBytes, rows: number, offsetBytes: 4 | 8): TypedCells {
  if (rows === 0) return [];
  const places = columnCells(column, offsetBytes === 4 ? 'int32' : 'int64', rows + 1).values;
  const end = Number(places[rows]);
  if (!(end >= 0)) throw damaged();
  const bytes = Buffer.from(column.bytes(1, end));
  return Array.from({ length: rows }, (_, row): TypedCell => {
    if (!isValid(column.valid, row)) return null;
    const [from, to] = [Number(places[row]), Number(places[row + 1])];
    if (!(from >= 0 && from <= to && to <= end)) throw damaged();
    return bytes.toString('utf8', from, to);
  });
}
