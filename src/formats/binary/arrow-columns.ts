/** Columns of Arrow record batches: their types, and their bytes where they lie. */
import { TIME_COLUMN } from '../../core/signal/column-names.ts';
import { DTYPES, viewAs, type Dtype, type SampleArray } from '../../core/numbers/dtype.ts';
import { unprocessableField } from '../../core/errors.ts';
import { UNIT_NS } from '../../core/time.ts';
import { damaged } from './arrow-messages.ts';
import type { FlatTable } from './flatbuffer.ts';

/** Fields of the tables, by place. */
export const SCHEMA = { endianness: 0, fields: 1 } as const;
export const FIELD = { name: 0, typeType: 2, type: 3, dictionary: 4 } as const;
export const INT = { bitWidth: 0, isSigned: 1 } as const;
export const RECORD_BATCH = { length: 0, nodes: 1, buffers: 2, compression: 3 } as const;
/** The types a column may have here; `precision` and `unit` are the first field of theirs. */
export const TYPE = { int: 2, float: 3, utf8: 5, timestamp: 10, duration: 18, largeUtf8: 20 } as const;
const PRECISIONS = ['float16', 'float32', 'float64'];
/** Nanoseconds of the units: seconds, milliseconds … */
const ARROW_UNITS_NS = [UNIT_NS.s, UNIT_NS.ms, UNIT_NS.us, UNIT_NS.ns];
const DURATION_UNIT_BY_DEFAULT = 1;

/** The dtype of a column of numbers; for a type that is not one of the ten, what it would be called. */
export function dtypeOfColumn(field: FlatTable): string | null {
  const type = field.table(FIELD.type);
  switch (type && field.uint8(FIELD.typeType)) {
    case TYPE.int:
      return `${type?.uint8(INT.isSigned) ? 'int' : 'uint'}${type?.int32(INT.bitWidth)}`;
    case TYPE.float:
      return PRECISIONS[type?.int16(0) ?? 0] ?? null;
    default:
      return null;
  }
}

/** Nanoseconds of one tick of a column of times. @throws unprocessable if it has none */
export function unitOf(field: FlatTable): bigint {
  const kind = field.uint8(FIELD.typeType);
  if (kind === TYPE.timestamp || kind === TYPE.duration) {
    const unit = field.table(FIELD.type)?.int16(0, kind === TYPE.duration ? DURATION_UNIT_BY_DEFAULT : 0);
    const unitNs = ARROW_UNITS_NS[unit ?? -1];
    if (unitNs === undefined) throw damaged();
    return unitNs;
  }
  if (dtypeOfColumn(field) === 'int64') return 1n;
  throw unprocessableField(
    `column ${TIME_COLUMN}`,
    'has no times; timestamps, durations and int64 nanoseconds are read',
  );
}

/** @throws unprocessable */
export function refuseBigEndian(schema: FlatTable): void {
  if (schema.int16(SCHEMA.endianness) !== 0) throw unprocessableField('body', 'is big-endian Arrow');
}

/** @throws unprocessable */
export function refuseCompressed(header: FlatTable): void {
  if (!header.table(RECORD_BATCH.compression)) return;
  throw unprocessableField('body', 'has compressed record batches; send them plain, and the body with gzip');
}

/** One column of a record batch, as bytes. */
export interface ColumnBytes {
  /** A bit a row, set where there is a value; null: there is one everywhere. */
  readonly valid: Uint8Array | null;
  /** The first bytes of the n-th buffer behind that of validity. @throws invalid-input if there are fewer */
  readonly bytes: (buffer: number, count: number) => Uint8Array;
}

/**
 * @param buffersOf how many buffers each column has: validity and values, and between these the offsets of texts
 * @returns a column by its place
 */
export function columnsOfBatch(
  header: FlatTable,
  body: Uint8Array,
  rows: number,
  buffersOf: readonly number[],
): (place: number) => ColumnBytes {
  const nodes = header.pairs(RECORD_BATCH.nodes);
  const buffers = header.pairs(RECORD_BATCH.buffers);
  const firstOf: number[] = [];
  let count = 0;
  for (const each of buffersOf) {
    firstOf.push(count);
    count += each;
  }
  if (nodes.length !== buffersOf.length || buffers.length !== count) throw damaged();
  const bytesOf = (buffer: number, least: number): Uint8Array => {
    const [offset, length] = buffers[buffer];
    if (length < least || offset + length > body.length) throw damaged();
    return body.subarray(offset, offset + least);
  };
  return (place) => {
    const [length, nulls] = nodes[place];
    if (length !== rows) throw damaged();
    const first = firstOf[place];
    const isPlain = nulls === 0 || buffers[first][1] === 0;
    return {
      valid: isPlain ? null : bytesOf(first, Math.ceil(rows / 8)),
      bytes: (buffer, least) => bytesOf(first + 1 + buffer, least),
    };
  };
}

/** Rows of one column of numbers. */
export interface ColumnCells {
  readonly values: SampleArray;
  readonly valid: Uint8Array | null;
}

export function columnCells({ valid, bytes }: ColumnBytes, dtype: Dtype, rows: number): ColumnCells {
  return { values: viewAs(dtype, bytes(0, rows * DTYPES[dtype].bytes)), valid };
}

export function isValid(valid: Uint8Array | null, row: number): boolean {
  return valid === null || (valid[row >> 3] & (1 << (row & 7))) !== 0;
}
