/**
 * An array of NumPy of any order, as columns of numbers and times: structured fields, bool and half floats too.
 * @see https://numpy.org/neps/nep-0001-npy-format.html
 */
import { invalidField, unprocessableField } from '../../core/errors.ts';
import { DTYPE_NAMES, DTYPES, viewAs, type Dtype, type SampleArray } from '../../core/numbers/dtype.ts';
import { INT64_MIN, isTime, UNIT_NS } from '../../core/time.ts';
import { joinBytes } from '../binary/block-cutter.ts';
import { halfToFloat } from '../binary/half-float.ts';
import { readNpyHead } from '../samples/npy.ts';
import type { PythonLiteral } from '../text/python-literal.ts';

/** Bytes of a file from one place to another; to its end by default. */
export type ReadBytes = (from?: number, to?: number) => AsyncIterable<Uint8Array>;

/** More columns than this are no channels. */
const MAX_COLUMNS = 65_536;
const DATETIME_NS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: UNIT_NS.us,
  ms: UNIT_NS.ms,
  s: UNIT_NS.s,
  m: UNIT_NS.m,
  h: UNIT_NS.h,
  D: 24n * UNIT_NS.h,
};

export interface NpyColumn {
  readonly name: string | null;
  /** What its values become: the dtype itself, or the next one that holds it exactly. */
  readonly dtype: Dtype;
  readonly kind: 'number' | 'bool' | 'half' | 'datetime';
  /** Nanoseconds of a step of a datetime64; 0: it is none. */
  readonly stepNs: bigint;
  readonly bytes: number;
  readonly bigEndian: boolean;
  /** Where it lies in a row. */
  readonly offset: number;
}

export interface NpyArray {
  readonly rows: number;
  readonly columns: readonly NpyColumn[];
  /** Bytes of a row where rows lie together. */
  readonly rowBytes: number;
  /** Each column lies together, instead of each row. */
  readonly byColumn: boolean;
  readonly isStructured: boolean;
  readonly dataOffset: number;
}

/** @param orient `channels`: the first axis of an array of two is that of the channels @throws what is no table of numbers */
export async function readNpyArray(open: ReadBytes, orient: 'rows' | 'channels' | undefined): Promise<NpyArray> {
  let prefix: Uint8Array = new Uint8Array(0);
  for await (const piece of open()) {
    prefix = joinBytes([prefix, piece]);
    const head = readNpyHead(prefix);
    if (!head) continue;
    const { descr, fortranOrder, shape, dataOffset } = head;
    if (shape.length < 1 || shape.length > 2 || shape.includes(0)) {
      throw unprocessableField('body', `has the shape (${shape.join(', ')}); rows, or rows × channels, are needed`);
    }
    if (typeof descr !== 'string') return structured(descr, shape, dataOffset);
    const isTurned = orient === 'channels' && shape.length === 2;
    const [rows, count] = isTurned ? [shape[1], shape[0]] : [shape[0], shape[1] ?? 1];
    if (count > MAX_COLUMNS)
      throw unprocessableField('body', `has ${count} columns; at most ${MAX_COLUMNS} are channels`);
    const field = fieldOf(null, descr, 0);
    const columns = Array.from({ length: count }, (_, i) => ({ ...field, offset: i * field.bytes }));
    return checked({
      rows,
      columns,
      rowBytes: count * field.bytes,
      byColumn: count > 1 && fortranOrder !== isTurned,
      isStructured: false,
      dataOffset,
    });
  }
  throw invalidField('body', 'ends before its .npy header does');
}

function checked(array: NpyArray): NpyArray {
  if (Number.isSafeInteger(array.rows * array.rowBytes)) return array;
  throw invalidField('body', 'has a shape that is too large');
}

function structured(descr: PythonLiteral, shape: readonly number[], dataOffset: number): NpyArray {
  if (!Array.isArray(descr) || shape.length !== 1)
    throw unprocessableField('body', 'is a structured array of more than one dimension');
  const columns: NpyColumn[] = [];
  let offset = 0;
  for (const item of descr) {
    const [named, type, subshape] = Array.isArray(item) ? item : [];
    const name = Array.isArray(named) ? named.at(-1) : named;
    const count = subshape === undefined ? 1 : Array.isArray(subshape) && subshape.length === 1 ? subshape[0] : NaN;
    if (
      typeof name !== 'string' ||
      typeof type !== 'string' ||
      typeof count !== 'number' ||
      !(count >= 1 && count <= MAX_COLUMNS)
    ) {
      throw unprocessableField('body', 'has fields of other fields, or of more than one dimension');
    }
    // Without a name it is a gap between fields.
    const padding = /^\|V(\d+)$/.exec(type);
    if (padding) {
      offset += Number(padding[1]) * count;
      continue;
    }
    for (let i = 0; i < count; i++) {
      const field = fieldOf(count > 1 ? `${name}_${i + 1}` : name, type, offset);
      columns.push(field);
      offset += field.bytes;
    }
    if (columns.length > MAX_COLUMNS) throw unprocessableField('body', `has over ${MAX_COLUMNS} columns`);
  }
  if (columns.length === 0) throw unprocessableField('body', 'has no fields');
  return checked({ rows: shape[0], columns, rowBytes: offset, byColumn: false, isStructured: true, dataOffset });
}

function fieldOf(name: string | null, descr: string, offset: number): NpyColumn {
  const bigEndian = descr.startsWith('>');
  const base = { name, bigEndian, offset, stepNs: 0n };
  const time = /^[<>]M8\[(\d*)(ns|us|ms|s|m|h|D)\]$/.exec(descr);
  if (time)
    return { ...base, dtype: 'int64', kind: 'datetime', bytes: 8, stepNs: DATETIME_NS[time[2]] * BigInt(time[1] || 1) };
  if (descr === '|b1') return { ...base, dtype: 'uint8', kind: 'bool', bytes: 1, bigEndian: false };
  if (/^[<>]f2$/.test(descr)) return { ...base, dtype: 'float32', kind: 'half', bytes: 2 };
  const dtype = DTYPE_NAMES.find((each) => DTYPES[each].npy.slice(1) === descr.slice(1));
  if (!dtype || !/^[<>|]/.test(descr)) {
    const where = name === null ? 'has' : `has the field ${name.slice(0, 60)} of`;
    throw unprocessableField(
      'body',
      `${where} the dtype ${descr.slice(0, 40)}; ${DTYPE_NAMES.join(', ')}, bool, float16 and datetime64 are read`,
    );
  }
  const { bytes } = DTYPES[dtype];
  return { ...base, dtype, kind: 'number', bytes, bigEndian: bigEndian && bytes > 1 };
}

/** Blocks of rows, each of whole rows with all columns as {@link NpyColumn.offset} says. */
export async function* npyRowBlocks(open: ReadBytes, array: NpyArray, rowsOfBlock: number): AsyncGenerator<Uint8Array> {
  const { rows, rowBytes, dataOffset, columns } = array;
  for (let row = 0; row < rows; row += rowsOfBlock) {
    const count = Math.min(rowsOfBlock, rows - row);
    if (!array.byColumn) {
      yield await bytesBetween(open, dataOffset + row * rowBytes, count * rowBytes);
      continue;
    }
    const block = new Uint8Array(count * rowBytes);
    const { bytes } = columns[0];
    for (const [c, { offset }] of columns.entries()) {
      const column = await bytesBetween(open, dataOffset + (c * rows + row) * bytes, count * bytes);
      for (let i = 0; i < count; i++) block.set(column.subarray(i * bytes, (i + 1) * bytes), i * rowBytes + offset);
    }
    yield block;
  }
}

async function bytesBetween(open: ReadBytes, from: number, length: number): Promise<Uint8Array> {
  const out = new Uint8Array(length);
  let at = 0;
  for await (const piece of open(from, from + length)) {
    const part = piece.subarray(0, length - at);
    out.set(part, at);
    at += part.length;
    if (at === length) break;
  }
  if (at < length) throw invalidField('body', `ends at byte ${from + at}, before all the rows that its header says`);
  return out;
}

/** The values of one column of a block, in its dtype. */
export function columnValues(block: Uint8Array, { rowBytes }: NpyArray, column: NpyColumn): SampleArray {
  const rows = block.length / rowBytes;
  const { bytes, offset, bigEndian } = column;
  const packed = new Uint8Array(rows * bytes);
  for (let row = 0; row < rows; row++) {
    const at = row * rowBytes + offset;
    if (!bigEndian) for (let i = 0; i < bytes; i++) packed[row * bytes + i] = block[at + i];
    else for (let i = 0; i < bytes; i++) packed[row * bytes + i] = block[at + bytes - 1 - i];
  }
  if (column.kind !== 'half') return viewAs(column.dtype, packed);
  return Float32Array.from(new Uint16Array(packed.buffer), halfToFloat);
}

/** Times of a column of datetime64. @throws `invalid-input` for NaT, and for times outside 1678 to 2261 */
export function datetimes(values: BigInt64Array, stepNs: bigint, firstRow: number): BigInt64Array {
  return values.map((value, i) => {
    const ns = value * stepNs;
    if (value !== INT64_MIN && isTime(ns)) return ns;
    throw invalidField(
      `row ${firstRow + i} column time`,
      value === INT64_MIN ? 'is NaT' : 'is outside the years 1678 to 2261',
    );
  });
}
