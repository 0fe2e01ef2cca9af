/**
 * NumPy's `.npy` arrays, format versions 1 to 3.
 * @see https://numpy.org/neps/nep-0001-npy-format.html
 */
import type { Batch, OutBatch, OutShape, SampleShape } from '../../core/signal/batch.ts';
import { DTYPE_NAMES, DTYPES, viewAs, type Dtype, type SampleArray } from '../../core/numbers/dtype.ts';
import { invalidField, unprocessableField } from '../../core/errors.ts';
import { INT64_MIN } from '../../core/time.ts';
import { fullBatchRows } from './batch-builder.ts';
import { BlockCutter, joinBytes } from '../binary/block-cutter.ts';
import { encodeOctets } from './octets.ts';
import { unpackRecords, type RecordLayout } from '../binary/packed-records.ts';
import { parsePythonLiteral, type PythonLiteral } from '../text/python-literal.ts';

/** Longest header text read; NumPy's own for the arrays we accept are under 200 bytes. */
const MAX_NPY_HEADER_BYTES = 64 * 1024;
/** Data begin at a multiple of this, so that a mapped file is aligned for every dtype. */
const DATA_ALIGNMENT = 64;
const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY

/** What the head of an `.npy` file says, for the arrays that can be samples. */
export interface NpyHeader {
  readonly dtype: Dtype;
  readonly bigEndian: boolean;
  readonly rows: number;
  readonly channels: number;
  /** Bytes of one row, its time included. */
  readonly rowBytes: number;
  /** The `time` field of a structured array; null for plain arrays of values. */
  readonly time: (RecordLayout & { readonly bigEndian: boolean; readonly datetime: boolean }) | null;
  /** Where the first row begins. */
  readonly dataOffset: number;
}

/**
 * Reads the head of an `.npy` file.
 * @param prefix the first bytes of the file, as many as there are yet
 * @returns undefined if more bytes are needed; never after 64 KiB
 * @throws `invalid-input` on `body` if this is no `.npy` head
 * @throws `unprocessable` if the array cannot be samples: another dtype than the ten, another field than `time` and
 * `values`, more than two dimensions, or Fortran order
 */
export function readNpyHeader(prefix: Uint8Array): NpyHeader | undefined {
  const head = readNpyHead(prefix);
  return head && interpret(head);
}

/** What the head of any array says, before anybody asks what it means. */
export interface NpyHead {
  readonly descr: PythonLiteral;
  readonly fortranOrder: boolean;
  readonly shape: readonly number[];
  readonly dataOffset: number;
}

/** As {@link readNpyHeader}, of an array of any dtype, shape and order. @throws `invalid-input` on `body` */
export function readNpyHead(prefix: Uint8Array): NpyHead | undefined {
  if (MAGIC.some((byte, i) => i < prefix.length && prefix[i] !== byte)) {
    throw invalidField('body', 'is not an .npy array: it does not begin with \\x93NUMPY');
  }
  if (prefix.length < 10) return undefined;
  const version = prefix[6];
  if (version < 1 || version > 3) throw invalidField('body', `is .npy format version ${version}; 1, 2 and 3 are read`);
  const textOffset = version === 1 ? 10 : 12;
  if (prefix.length < textOffset) return undefined;
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  const textBytes = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (textBytes > MAX_NPY_HEADER_BYTES) {
    throw invalidField('body', `has an .npy header of ${textBytes} bytes; at most ${MAX_NPY_HEADER_BYTES} are read`);
  }
  const dataOffset = textOffset + textBytes;
  if (prefix.length < dataOffset) return undefined;
  const text = new TextDecoder(version === 3 ? 'utf-8' : 'latin1').decode(prefix.subarray(textOffset, dataOffset));
  const dict = parsePythonLiteral(text);
  if (!(dict instanceof Map) || dict.size !== 3) throw badHeader();
  const fortranOrder = dict.get('fortran_order');
  const shape = dict.get('shape');
  const descr = dict.get('descr');
  if (typeof fortranOrder !== 'boolean' || !isCounts(shape) || descr === undefined) throw badHeader();
  return { descr, fortranOrder, shape, dataOffset };
}

function interpret({ descr, fortranOrder, shape, dataOffset }: NpyHead): NpyHeader {
  const fields: Fields = typeof descr === 'string' ? { values: descr, subshape: null, time: null } : fieldsOf(descr);
  const { dtype, bigEndian } = numberType(fields.values);
  const channels = fields.time ? (fields.subshape?.[0] ?? 1) : (shape[1] ?? 1);
  const rowBytes = channels * DTYPES[dtype].bytes + (fields.time ? 8 : 0);
  if (shape.length < 1 || shape.length > (fields.time ? 1 : 2) || channels === 0) {
    throw unprocessableField('body', `has the shape (${shape.join(', ')}); rows, or rows × channels, are needed`);
  }
  if (!Number.isSafeInteger(shape[0] * rowBytes))
    throw invalidField('body', `has the shape (${shape.join(', ')}): too large`);
  if (fortranOrder && shape.length === 2 && shape[0] > 1 && shape[1] > 1) {
    throw unprocessableField('body', 'is in Fortran order; send np.ascontiguousarray(…), which is C order');
  }
  const time = fields.time && layoutOf(fields.time, channels * DTYPES[dtype].bytes);
  return { dtype, bigEndian, rows: shape[0], channels, rowBytes, time, dataOffset };
}

function badHeader(): Error {
  return invalidField('body', "has no .npy header of the form {'descr': …, 'fortran_order': …, 'shape': (…)}");
}

function isCounts(value: PythonLiteral | undefined): value is number[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'number' && item >= 0);
}

/** What a descr says: one dtype for the values and, in a structured array, the time's. */
interface Fields {
  readonly values: string;
  readonly subshape: readonly number[] | null;
  readonly time: { readonly descr: string; readonly isFirst: boolean } | null;
}

/** The two fields of a structured descr: `[('time', '<i8'), ('values', '<f8', (2,))]`, in either order. */
function fieldsOf(descr: PythonLiteral): Fields {
  const fields = Array.isArray(descr) ? descr : [];
  const named = (name: string) => fields.findIndex((field) => Array.isArray(field) && field[0] === name);
  const time = fields[named('time')];
  const values = fields[named('values')];
  if (fields.length !== 2 || !Array.isArray(time) || !Array.isArray(values) || time.length !== 2 || values.length > 3) {
    throw unprocessableField('body', 'is a structured array of other fields than `time` and `values`, packed');
  }
  const subshape = values[2] ?? null;
  if (
    typeof time[1] !== 'string' ||
    typeof values[1] !== 'string' ||
    (subshape !== null && (!isCounts(subshape) || subshape.length !== 1))
  ) {
    throw unprocessableField('body', 'has fields that are no numbers: `time` is one a row, `values` one a channel');
  }
  return { values: values[1], subshape, time: { descr: time[1], isFirst: named('time') === 0 } };
}

function layoutOf({ descr, isFirst }: NonNullable<Fields['time']>, valueBytes: number): NpyHeader['time'] {
  const match = /^([<>])(i8|M8\[ns\])$/.exec(descr);
  if (!match) throw unprocessableField('body', `has times of dtype ${descr}; int64 ns or datetime64[ns] are read`);
  const layout = isFirst ? { timeOffset: 0, valuesOffset: 8 } : { timeOffset: valueBytes, valuesOffset: 0 };
  return { ...layout, bigEndian: match[1] === '>', datetime: match[2] !== 'i8' };
}

function numberType(descr: string): { dtype: Dtype; bigEndian: boolean } {
  const bigEndian = descr.startsWith('>');
  const dtype = DTYPE_NAMES.find((name) => DTYPES[name].npy.slice(1) === descr.slice(1));
  if (!dtype || !/^[<>|]/.test(descr) || (descr.startsWith('|') && DTYPES[dtype].bytes > 1)) {
    throw unprocessableField('body', `has the dtype ${descr}; ${DTYPE_NAMES.join(', ')} are read`);
  }
  return { dtype, bigEndian: bigEndian && DTYPES[dtype].bytes > 1 };
}

/**
 * Rows (of one channel) or rows × channels in C order, in either byte order. An irregular series is a structured array
 * of `time` (int64 ns or datetime64[ns]) and `values` (a scalar for one channel, or a subarray of all).
 * @throws `invalid-input` on `body` if the head is malformed or the data are shorter or longer than it says
 * @throws `unprocessable` on `body` if dtype, channels or kind are not the series'
 */
export async function* decodeNpy(source: AsyncIterable<Uint8Array>, shape: SampleShape): AsyncGenerator<Batch> {
  let head: Uint8Array = new Uint8Array(0);
  let header: NpyHeader | undefined;
  let cutter: BlockCutter | undefined;
  let left = 0;
  for await (const piece of source) {
    let data = piece;
    if (!header || !cutter) {
      head = joinBytes([head, piece]);
      header = readNpyHeader(head);
      if (!header) continue;
      checkMatches(header, shape);
      cutter = new BlockCutter(fullBatchRows(header.rowBytes) * header.rowBytes);
      left = header.rows * header.rowBytes;
      data = head.subarray(header.dataOffset);
    }
    left -= data.length;
    if (left < 0) throw invalidField('body', `is longer than the ${header.rows} rows its header says`);
    for (const block of cutter.push(data)) yield batchOf(block, header);
  }
  if (!header || !cutter) throw invalidField('body', 'ends before its .npy header does');
  if (left > 0) throw invalidField('body', `is ${left} bytes shorter than the ${header.rows} rows its header says`);
  const rest = cutter.rest();
  if (rest.length > 0) yield batchOf(rest, header);
}

function checkMatches(header: NpyHeader, shape: SampleShape): void {
  const channels = shape.channelLabels.length;
  if (shape.kind === 'irregular' && !header.time) {
    throw unprocessableField(
      'body',
      'is a plain array; an irregular series needs a structured one of `time` and `values`',
    );
  }
  if (shape.kind === 'regular' && header.time) {
    throw unprocessableField('body', 'has times; a regular series takes values alone, and a start');
  }
  if (header.dtype !== shape.dtype) {
    throw unprocessableField('body', `has the dtype ${header.dtype}, the series ${shape.dtype}`);
  }
  if (header.channels !== channels) {
    throw unprocessableField('body', `has ${header.channels} channels, the series ${channels}`);
  }
}

function batchOf(block: Uint8Array, header: NpyHeader): Batch {
  const { dtype, bigEndian, channels, rowBytes, time } = header;
  const rows = block.length / rowBytes;
  if (!time) return { rows, values: inOurOrder(viewAs(dtype, block), bigEndian), times: null };
  const { times, values } = unpackRecords(block, dtype, channels, time);
  inOurOrder(times, time.bigEndian);
  if (time.datetime && times.includes(INT64_MIN)) throw invalidField('body', 'has a time that is NaT');
  return { rows, values: inOurOrder(values, bigEndian), times };
}

/** Swaps the bytes of big-endian values where they lie. */
function inOurOrder(values: SampleArray, bigEndian: boolean): SampleArray {
  if (bigEndian) {
    const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    if (values.BYTES_PER_ELEMENT === 2) bytes.swap16();
    else if (values.BYTES_PER_ELEMENT === 4) bytes.swap32();
    else bytes.swap64();
  }
  return values;
}

/**
 * The head of the array that {@link encodeNpy} writes; `encodeOctets`' bytes follow it.
 * Regular: (rows, channels). Irregular: (rows,) of `time` int64 and `values` (channels,).
 */
export function npyHeader(shape: Pick<OutShape, 'dtype' | 'channelLabels' | 'kind' | 'totalRows'>): Uint8Array {
  const { npy } = DTYPES[shape.dtype];
  const channels = shape.channelLabels.length;
  const descr = shape.kind === 'irregular' ? `[('time', '<i8'), ('values', '${npy}', (${channels},))]` : `'${npy}'`;
  const counts = shape.kind === 'irregular' ? `(${shape.totalRows},)` : `(${shape.totalRows}, ${channels})`;
  return npyHead(descr, counts);
}

/**
 * The head of any array in C order, format version 1.
 * @param descr of the dtype, as a Python literal
 * @param shape as a Python literal
 */
export function npyHead(descr: string, shape: string): Uint8Array {
  const dict = `{'descr': ${descr}, 'fortran_order': False, 'shape': ${shape}, }`;
  const total = Math.ceil((10 + dict.length + 1) / DATA_ALIGNMENT) * DATA_ALIGNMENT;
  const header = Buffer.alloc(total, ' ', 'latin1');
  header.set(MAGIC);
  header.set([1, 0], 6);
  header.writeUInt16LE(total - 10, 8);
  header.write(dict, 10, 'latin1');
  header.write('\n', total - 1, 'latin1');
  return header;
}

/** The whole array: {@link npyHeader}, then the rows. `shape.totalRows` must be what the batches hold. */
export async function* encodeNpy(batches: AsyncIterable<OutBatch>, shape: OutShape): AsyncGenerator<Uint8Array> {
  yield npyHeader(shape);
  yield* encodeOctets(batches, shape);
}
