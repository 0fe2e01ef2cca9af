/** Columns of numbers in an HDF5 file: a dataset, or a member of its records, whichever way round it lies. */
import type { Batch } from '../../core/signal/batch.ts';
import { castTo, DTYPES, viewAs, type Dtype, type SampleArray } from '../../core/numbers/dtype.ts';
import { fullBatchRows } from '../samples/batch-builder.ts';
import type { Hdf5File, Hdf5Node, StoredNumber, ValueType } from './hdf5-file.ts';

/** Values are read in blocks of about this size, or of whole chunks as long as they are no larger than the next. */
const BLOCK_BYTES = 8 * 1024 * 1024;
const MAX_BLOCK_BYTES = 64 * 1024 * 1024;

export interface ColumnPart {
  readonly path: string;
  readonly dtype: Dtype;
  readonly stored: StoredNumber;
  readonly swapped: boolean;
  readonly rows: number;
  readonly columns: number;
  /** The axis along which rows follow each other; null: there is none, the dataset has one axis. */
  readonly timeAxis: 0 | 1 | null;
  /** Where the columns lie in each record, if there are records. */
  readonly member?: { readonly offset: number; readonly recordBytes: number };
  /** Rows of a chunk along the time axis. */
  readonly chunkRows: number | null;
}

/** Several parts side by side make the channels of a series. */
export interface ColumnSource {
  readonly parts: readonly ColumnPart[];
  readonly dtype: Dtype;
  readonly rows: number;
}

/**
 * The dataset as columns. @param timeAxis along which rows follow each other, if it has two axes
 * @returns undefined if it has no numbers, or more than two axes
 */
export function datasetColumns({ path, shape, type, chunks }: Hdf5Node, timeAxis: 0 | 1 = 0): ColumnPart | undefined {
  if (type?.kind !== 'number' || shape.length === 0 || shape.length > 2) return undefined;
  const axis = shape.length === 1 ? null : timeAxis;
  return {
    path,
    ...numberPart(type),
    rows: shape[axis ?? 0],
    columns: axis === null ? 1 : shape[1 - axis],
    timeAxis: axis,
    chunkRows: chunks?.[axis ?? 0] ?? null,
  };
}

/** A member of the records of a dataset with one axis. @returns undefined if it has no numbers */
export function memberColumns({ path, shape, type, chunks }: Hdf5Node, name: string): ColumnPart | undefined {
  if (type?.kind !== 'record' || shape.length !== 1) return undefined;
  const member = type.members.find((each) => each.name === name);
  const item = member?.type.kind === 'list' ? member.type.item : member?.type;
  if (!member || item?.kind !== 'number') return undefined;
  const columns = member.type.kind === 'list' ? member.type.shape.reduce((product, each) => product * each, 1) : 1;
  return {
    path,
    ...numberPart(item),
    rows: shape[0],
    columns,
    timeAxis: null,
    member: { offset: member.offset, recordBytes: type.size },
    chunkRows: chunks?.[0] ?? null,
  };
}

type NumberValue = Extract<ValueType, { kind: 'number' }>;

function numberPart({ dtype, stored, swapped }: NumberValue): Pick<ColumnPart, 'dtype' | 'stored' | 'swapped'> {
  return { dtype, stored, swapped };
}

/** Rows `[from, to)` × columns, row-major. */
export async function readColumns(file: Hdf5File, part: ColumnPart, from: number, to: number): Promise<SampleArray> {
  const { path, columns, timeAxis, member } = part;
  const rows = to - from;
  if (member) {
    const records = await file.readBlock(path, [from], [rows]);
    const bytes = columns * storedBytes(part);
    const picked = new Uint8Array(rows * bytes);
    for (let row = 0; row < rows; row++) {
      const at = row * member.recordBytes + member.offset;
      picked.set(records.subarray(at, at + bytes), row * bytes);
    }
    return decode(part, picked);
  }
  if (timeAxis === null) return decode(part, await file.readBlock(path, [from], [rows]));
  if (timeAxis === 0) return decode(part, await file.readBlock(path, [from, 0], [rows, columns]));
  const turned = decode(part, await file.readBlock(path, [0, from], [columns, rows]));
  const values = new DTYPES[part.dtype].array(turned.length);
  for (let c = 0; c < columns; c++) {
    for (let row = 0; row < rows; row++) values[row * columns + c] = turned[c * rows + row];
  }
  return values;
}

function storedBytes({ dtype, stored }: ColumnPart): number {
  return stored === 'half' ? 2 : DTYPES[dtype].bytes;
}

function decode(part: ColumnPart, bytes: Uint8Array): SampleArray {
  const size = storedBytes(part);
  if (part.swapped) {
    for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
  }
  if (part.stored === 'half') return fromHalves(viewAs('uint16', bytes) as Uint16Array);
  if (part.stored === 'seconds-and-microseconds')
    return fromSecondsAndMicroseconds(viewAs('int32', bytes) as Int32Array);
  return viewAs(part.dtype, bytes);
}

/** IEEE 754 half floats; each is a float32. */
function fromHalves(halves: Uint16Array): Float32Array {
  return Float32Array.from(halves, (bits) => {
    const [exponent, fraction] = [(bits >> 10) & 0x1f, bits & 0x3ff];
    const sign = bits & 0x8000 ? -1 : 1;
    if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
    return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
  });
}

/** PyTables' Time64: microseconds, then seconds. */
function fromSecondsAndMicroseconds(parts: Int32Array): Float64Array {
  return Float64Array.from({ length: parts.length / 2 }, (_, i) => parts[2 * i + 1] + parts[2 * i] / 1e6);
}

/** Rows of a block that is read at once: whole chunks, so that none is inflated twice. */
export function rowsAtOnce(parts: readonly ColumnPart[]): number {
  const rowBytes = parts.reduce((sum, part) => sum + (part.member?.recordBytes ?? part.columns * storedBytes(part)), 0);
  const chunk = Math.max(1, ...parts.map(({ chunkRows }) => chunkRows ?? 1));
  const rows = Math.max(1, Math.floor(BLOCK_BYTES / Math.max(1, rowBytes)));
  if (chunk * rowBytes > MAX_BLOCK_BYTES) return rows;
  return Math.max(1, Math.floor(rows / chunk)) * chunk;
}

/** Rows `[from, to)` of all parts side by side. */
export async function readSideBySide(
  file: Hdf5File,
  { parts, dtype }: ColumnSource,
  from: number,
  to: number,
): Promise<SampleArray> {
  const read: SampleArray[] = [];
  for (const part of parts) read.push(castTo(dtype, await readColumns(file, part, from, to)));
  if (read.length === 1) return read[0];
  const channels = parts.reduce((sum, { columns }) => sum + columns, 0);
  const values = new DTYPES[dtype].array((to - from) * channels);
  let column = 0;
  parts.forEach(({ columns }, at) => {
    for (let row = 0; row < to - from; row++) {
      for (let c = 0; c < columns; c++) values[row * channels + column + c] = read[at][row * columns + c];
    }
    column += columns;
  });
  return values;
}

/** A row at which time goes on elsewhere. */
export interface RunBegin {
  readonly row: number;
  readonly startNs: bigint;
}

/**
 * All rows in batches of bounded size. @param timesOf rows `[from, to)`; null for a row that is left out; by
 * itself null for regular series. @param runs where a regular series begins anew after a gap; the first is its start
 */
export async function* columnBatches(
  file: Hdf5File,
  source: ColumnSource,
  timesOf: ((from: number, to: number) => Promise<readonly (bigint | null)[]>) | null,
  runs: readonly RunBegin[] = [],
): AsyncGenerator<Batch> {
  const channels = source.parts.reduce((sum, { columns }) => sum + columns, 0);
  const full = fullBatchRows(channels * DTYPES[source.dtype].bytes + (timesOf ? 8 : 0));
  const step = rowsAtOnce(source.parts);
  for (let from = 0; from < source.rows; from += step) {
    const to = Math.min(source.rows, from + step);
    const values = await readSideBySide(file, source, from, to);
    const times = timesOf && (await timesOf(from, to));
    for (let row = 0; row < to - from;) {
      const run = runs.findLast((each) => each.row <= from + row);
      const next = runs.find((each) => each.row > from + row)?.row ?? Infinity;
      const end = Math.min(to - from, row + full, next - from);
      const batch = batchOf(values.subarray(row * channels, end * channels), channels, times?.slice(row, end) ?? null);
      const isGap = run !== undefined && run.row === from + row && run.row > 0;
      if (batch.rows > 0) yield isGap ? { ...batch, startNs: run.startNs } : batch;
      row = end;
    }
  }
}

function batchOf(values: SampleArray, channels: number, times: readonly (bigint | null)[] | null): Batch {
  if (!times) return { rows: values.length / channels, values, times: null };
  if (!times.includes(null)) return { rows: times.length, values, times: BigInt64Array.from(times as bigint[]) };
  const kept = times.flatMap((ns, row) => (ns === null ? [] : [row]));
  const picked = values.slice(0, kept.length * channels) as { [index: number]: number | bigint } & SampleArray;
  kept.forEach((row, at) => {
    for (let c = 0; c < channels; c++) picked[at * channels + c] = values[row * channels + c];
  });
  return { rows: kept.length, values: picked, times: BigInt64Array.from(kept, (row) => times[row] as bigint) };
}
