/**
 * One chunked dataset of a shard, written block by block, each written once. It learns from HDF5's own writes where a
 * block lies, and proves it.
 */
import { crc32 } from 'node:zlib';
import type { Dataset, Group } from 'h5wasm/node';
import type { ByteRange } from '../../core/rows/chunk.ts';
import type { Codec } from '../../core/signal/codec.ts';
import { DTYPES, viewAs, type Dtype } from '../../core/numbers/dtype.ts';
import { decodeBlockNow, FILTERS } from '../codec/block-codec.ts';
import type { OpenHdf5 } from '../hdf5/hdf5-session.ts';
import { createDataset } from '../codec/shard-layout.ts';

export interface StoredBlock extends ByteRange {
  /** CRC-32 of the stored bytes. */
  readonly crc: number;
}

export class ShardDataset {
  readonly #hdf5: OpenHdf5;
  readonly #dataset: Dataset;
  readonly #dtype: Dtype;
  /** Null: a vector. */
  readonly #width: number | null;
  readonly #rowsOfBlock: number;
  readonly #blockBytes: number;
  readonly #codec: Codec;

  constructor(
    hdf5: OpenHdf5,
    group: Group,
    shape: { readonly name: string; readonly dtype: Dtype; readonly width: number | null },
    rowsOfBlock: number,
    codec: Codec,
  ) {
    this.#hdf5 = hdf5;
    this.#dtype = shape.dtype;
    this.#width = shape.width;
    this.#rowsOfBlock = rowsOfBlock;
    this.#blockBytes = rowsOfBlock * (shape.width ?? 1) * DTYPES[shape.dtype].bytes;
    this.#codec = codec;
    const rowShape = shape.width === null ? [] : [shape.width];
    createDataset(group, shape.name, shape.dtype, rowShape, rowsOfBlock, FILTERS[codec] ?? undefined);
    this.#dataset = group.get(shape.name) as Dataset;
  }

  /**
   * Writes one block, and with it the dataset's length: its last row is the block's. Blocks before it that were left out stay unwritten.
   * @param number of the block in the dataset, larger than that of the one before
   * @param bytes whole rows, as many as the block has or, for the last one, fewer
   * @throws if not exactly one write of HDF5 holds what readers will decode to these rows
   */
  write(number: number, bytes: Uint8Array): StoredBlock {
    const width = this.#width ?? 1;
    const values = viewAs(this.#dtype, bytes);
    const from = number * this.#rowsOfBlock;
    const to = from + values.length / width;
    this.#dataset.resize(this.#width === null ? [to] : [to, width]);
    const writes: { readonly offset: number; readonly bytes: Uint8Array }[] = [];
    this.#hdf5.observe((offset, written) => writes.push({ offset, bytes: written.slice() }));
    const rows: [number, number] = [from, to];
    // The dataset is opened and closed for each slice, so its cache has let go of the block when this returns.
    this.#dataset.write_slice(this.#width === null ? [rows] : [rows, [0, width]], values);
    this.#hdf5.observe(null);
    const found = writes.filter((write) => this.#holds(write.bytes, bytes));
    if (found.length !== 1) {
      throw new Error(`block ${number} of ${this.#dataset.path} was found at ${found.length} places, not one`);
    }
    return { offset: found[0].offset, length: found[0].bytes.length, crc: crc32(found[0].bytes) };
  }

  #holds(stored: Uint8Array, bytes: Uint8Array): boolean {
    let decoded: Uint8Array;
    try {
      decoded = decodeBlockNow(this.#codec, stored);
    } catch {
      return false; // something else that HDF5 wrote
    }
    return (
      decoded.length === this.#blockBytes &&
      Buffer.compare(decoded.subarray(0, bytes.length), bytes) === 0 &&
      decoded.subarray(bytes.length).every((byte) => byte === 0)
    );
  }
}
