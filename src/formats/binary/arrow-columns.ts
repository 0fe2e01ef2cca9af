/** Columns of Arrow record batches: their types, and their bytes where they lie. */
import { TIME_COLUMN } from '../../core/signal/column-names.ts';
import { DTYPES, viewAs, type Dtype, type SampleArray } from '../../core/numbers/dtype.ts';
import { unprocessableField } from '../../core/errors.ts';
import { UNIT_NS } from '../../core/time.ts';
import { decompress } from 'fzstd';
import { damaged, MAX_ARROW_BODY_BYTES } from './arrow-messages.ts';
import type { FlatTable } from './flatbuffer.ts';
import { unpackLz4Frame } from './lz4-frame.ts';

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

/** Codecs of the table `BodyCompression`, whose first field says which. */
const LZ4 = 0;
const ZSTD = 1;
const LENGTH_BYTES = 8;

/** The bytes of a packed buffer. Before them stands their length, or -1 where they are not packed. @throws RangeError */
function unpacked(packed: Uint8Array, codec: number): Uint8Array {
  if (packed.length === 0) return packed;
  const length = new DataView(packed.buffer, packed.byteOffset, packed.byteLength).getBigInt64(0, true);
  const content = packed.subarray(LENGTH_BYTES);
  if (length === -1n) return content;
  if (length < 0n || length > BigInt(MAX_ARROW_BODY_BYTES)) throw new RangeError('a packed buffer is too long');
  if (codec === LZ4) return unpackLz4Frame(content, Number(length));
  if (codec !== ZSTD) throw unprocessableField('body', 'is packed by a codec that is neither LZ4 nor ZSTD');
  return unpackZstd(content, Number(length));
}

function unpackZstd(content: Uint8Array, length: number): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = decompress(content, new Uint8Array(length));
  } catch {
    throw damaged();
  }
  if (bytes.length !== length) throw damaged();
  return bytes;
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
 * @param nodesOf how many nodes each column has, with those of its children; by default one
 * @returns a column by its place
 */
export function columnsOfBatch(
  header: FlatTable,
  body: Uint8Array,
  rows: number,
  buffersOf: readonly number[],
  nodesOf: readonly number[] = buffersOf.map(() => 1),
): (place: number) => ColumnBytes {
  const nodes = header.pairs(RECORD_BATCH.nodes);
  const buffers = header.pairs(RECORD_BATCH.buffers);
  const firstOf: number[] = [];
  let count = 0;
  for (const each of buffersOf) {
    firstOf.push(count);
    count += each;
  }
  const firstNodeOf: number[] = [];
  let nodeCount = 0;
  for (const each of nodesOf) {
    firstNodeOf.push(nodeCount);
    nodeCount += each;
  }
  if (nodes.length !== nodeCount || buffers.length !== count) throw damaged();
  const packing = header.table(RECORD_BATCH.compression);
  const codec = packing?.uint8(0) ?? 0;
  const open = new Map<number, Uint8Array>();
  let unpackedBytes = 0;
  /** A packed buffer is unpacked once, and all of a batch together to no more than a plain one may have. */
  const openBuffer = (buffer: number): Uint8Array => {
    const [offset, length] = buffers[buffer];
    if (offset + length > body.length) throw damaged();
    const stored = body.subarray(offset, offset + length);
    if (!packing) return stored;
    const known = open.get(buffer);
    if (known) return known;
    const bytes = unpacked(stored, codec);
    unpackedBytes += bytes.length;
    if (unpackedBytes > MAX_ARROW_BODY_BYTES) throw damaged();
    open.set(buffer, bytes);
    return bytes;
  };
  const bytesOf = (buffer: number, least: number): Uint8Array => {
    const bytes = openBuffer(buffer);
    if (bytes.length < least) throw damaged();
    return bytes.subarray(0, least);
  };
  return (place) => {
    const [length, nulls] = nodes[firstNodeOf[place]];
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
