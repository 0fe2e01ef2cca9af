/** The thread that writes one HDF5 file, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import h5wasm, { type Dataset, type Group } from 'h5wasm/node';
import { blockRows } from '../../core/rows/chunk.ts';
import { DTYPES, viewAs, type Dtype, type SampleArray } from '../../core/numbers/dtype.ts';
import type { Hdf5Attributes, Hdf5ExportJob, Hdf5Layout } from './hdf5-export.ts';
import { outcome } from '../threads/outcome.ts';
import { receiveStream } from '../threads/port-stream.ts';
import { createDataset, describeMissing } from '../codec/shard-layout.ts';

/** Version that is written into the file, so that nobody takes it for a shard. */
const EXPORT_VERSION = 2;
/** What the file keeps to: its dimension scales and attributes are those of netCDF-4, so that xarray opens it. */
const CONVENTIONS = 'CF-1.8';
const TIME_BYTES = 8;
/** WASI errno 29: an I/O error. */
const EIO = 29;

interface WritingFileSystem {
  write(...args: unknown[]): number;
  ErrnoError: new (errno: number) => Error;
}

/** Why HDF5 could not write: HDF5 itself only says that it could not. */
let failure: unknown;

async function write({ path, layout, port }: Hdf5ExportJob): Promise<null> {
  const blocks = receiveStream(port);
  try {
    const module = (await h5wasm.ready) as unknown as {
      FS: WritingFileSystem;
      activate_throwing_error_handler(): void;
    };
    module.activate_throwing_error_handler();
    keepFailures(module.FS);
    // HDF5 stamps what it makes with the time, and cannot be told here not to. The same rows are to be the same bytes,
    // so that parts of a file that were asked for at different times fit together. Nobody else's clock runs in this
    // thread.
    Date.now = () => 0;
    const file = new h5wasm.File(path, 'w', { libver: ['v108', 'v108'] });
    file.create_attribute('varve_export', Int32Array.of(EXPORT_VERSION), [], '<i');
    file.create_attribute('Conventions', CONVENTIONS);
    file.create_attribute('group', `/${layout.groups.join('/')}`);
    let group: Group = file;
    for (const name of layout.groups) group = group.create_group(name);
    describe(group, layout.attributes);
    describeMissing(group, layout);
    await writeRows(group, layout, blocks);
    if (layout.regular) {
      for (const write of [writeSegments, writeMarks]) {
        const { value } = await blocks.next();
        write(group, viewAs('int64', (value as Uint8Array | undefined) ?? new Uint8Array(0)));
      }
    }
    file.close();
    return null;
  } catch (error) {
    throw failure ?? error;
  } finally {
    await blocks.return(undefined);
  }
}

function describe(object: Group | Dataset, attributes: Hdf5Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'string') object.create_attribute(name, value);
    else object.create_attribute(name, Float64Array.of(value), [], '<d');
  }
}

/**
 * Makes datasets of a group the scales of another one's dimensions, in their order: coordinates, for h5py and xarray.
 * @see https://docs.unidata.ucar.edu/netcdf-c/current/interoperability_hdf5.html
 */
function attachScales(group: Group, name: string, scales: readonly string[]): void {
  const target = group.get(name) as Dataset;
  for (const [dimension, scale] of scales.entries()) {
    const dataset = group.get(scale) as Dataset;
    dataset.make_scale(scale);
    target.attach_scale(dimension, dataset.path);
  }
}

function createLabels(group: Group, name: string, labels: readonly string[]): void {
  group.create_dataset({ name, data: [...labels], dtype: 'S', shape: [labels.length] });
}

/** Writes where rows begin, or begin anew after a gap. @param flat pairs of the row and its time */
function writeSegments(group: Group, flat: SampleArray): void {
  const count = flat.length / 2;
  group.create_dataset({ name: 'segments', data: flat, dtype: '<q', shape: [count, 2] });
  const numbers = BigInt64Array.from({ length: count }, (_, i) => BigInt(i));
  group.create_dataset({ name: 'segment', data: numbers, dtype: '<q', shape: [count] });
  createLabels(group, 'segment_field', ['row', 'time']);
  attachScales(group, 'segments', ['segment', 'segment_field']);
}

/** Writes what a clock said of rows. @param flat pairs of the row and its time */
function writeMarks(group: Group, flat: SampleArray): void {
  const count = flat.length / 2;
  if (count > 0) group.create_dataset({ name: 'clock_marks', data: flat, dtype: '<q', shape: [count, 2] });
}

function keepFailures(fs: WritingFileSystem): void {
  const original = fs.write;
  fs.write = (...args) => {
    try {
      return original(...args);
    } catch (error) {
      failure ??= error;
      throw new fs.ErrnoError(EIO); // any other exception would unwind through the library
    }
  };
}

/** Writes chunk by chunk, whatever the size of the blocks, so that the same rows always make the same file. */
async function writeRows(group: Group, layout: Hdf5Layout, blocks: AsyncGenerator<Uint8Array>): Promise<void> {
  const { dtype, channels, rows } = layout;
  const chunkRows = blockRows(channels * DTYPES[dtype].bytes + TIME_BYTES, channels, rows);
  const values = new ChunkedColumn(group, 'values', dtype, [channels], rows, chunkRows);
  const times = new ChunkedColumn(group, 'time', 'int64', [], rows, chunkRows);
  createLabels(group, 'channel', layout.channelLabels);
  attachScales(group, 'values', ['time', 'channel']);
  describe(group.get('values') as Dataset, layout.valueAttributes);
  describe(group.get('time') as Dataset, layout.timeAttributes);
  describeMissing(group.get('values') as Dataset, { dtype, missingValue: layout.fillValue }, '_FillValue');
  while (times.taken < rows) {
    const { value: timeBlock } = await blocks.next();
    const { value: valueBlock } = await blocks.next();
    if (!timeBlock || !valueBlock) throw new Error(`only ${times.taken} of ${rows} rows came to be exported`);
    const inBlock = timeBlock.length / TIME_BYTES;
    for (let row = 0; row < inBlock;) {
      const count = Math.min(times.room, inBlock - row);
      values.add(valueBlock, row, count);
      times.add(timeBlock, row, count);
      row += count;
    }
  }
}

/** One dataset, filled a chunk at a time. */
class ChunkedColumn {
  /** Rows that were written so far. */
  taken = 0;
  readonly #dataset: Dataset;
  readonly #dtype: Dtype;
  readonly #rowShape: readonly number[];
  readonly #rowBytes: number;
  readonly #rows: number;
  readonly #chunkRows: number;
  readonly #chunk: Uint8Array;

  constructor(group: Group, name: string, dtype: Dtype, rowShape: number[], rows: number, chunkRows: number) {
    createDataset(group, name, dtype, rowShape, chunkRows);
    this.#dataset = group.get(name) as Dataset;
    if (rows > 0) this.#dataset.resize([rows, ...rowShape]);
    this.#dtype = dtype;
    this.#rowShape = rowShape;
    this.#rowBytes = (rowShape[0] ?? 1) * DTYPES[dtype].bytes;
    this.#rows = rows;
    this.#chunkRows = chunkRows;
    this.#chunk = new Uint8Array(chunkRows * this.#rowBytes);
  }

  /** Rows until the chunk is full. */
  get room(): number {
    return this.#chunkRows - (this.taken % this.#chunkRows);
  }

  /** Adds rows of a block, no more than there is {@link room} for. */
  add(block: Uint8Array, row: number, count: number): void {
    const at = this.taken % this.#chunkRows;
    this.#chunk.set(block.subarray(row * this.#rowBytes, (row + count) * this.#rowBytes), at * this.#rowBytes);
    this.taken += count;
    if (at + count < this.#chunkRows && this.taken < this.#rows) return;
    const range: [number, number] = [this.taken - at - count, this.taken];
    const bytes = this.#chunk.subarray(0, (at + count) * this.#rowBytes);
    const rest = this.#rowShape.map((size): [number, number] => [0, size]);
    this.#dataset.write_slice([range, ...rest], viewAs(this.#dtype, bytes));
  }
}

parentPort!.postMessage(await outcome(write(workerData as Hdf5ExportJob)));
