/** Writes rows into datasets, a chunk at a time, and learns where each chunk lies: what the catalog is told of them. Runs in the writer thread. */
import { crc32 } from 'node:zlib';
import type { Dataset } from 'h5wasm/node';
import type { ByteRange, Chunk } from '../core/chunk.ts';
import { emptyStats, extendStats } from '../core/chunk-stats.ts';
import { DTYPES, viewAs, type Dtype } from '../core/dtype.ts';
import type { RowShape } from '../core/missing-value.ts';
import { extendSpan, type TimeSpan } from '../core/time-span.ts';
import type { WriteObserver } from './hdf5-session.ts';
import type { RowSource } from './payload-rows.ts';

/** Where rows go. */
export interface RowPlace extends RowShape {
  readonly seriesId: string;
  readonly shardId: string;
  readonly generation: number;
  /** Row of the series that the first of them is. */
  readonly firstRow: number;
  /** Row of the dataset that the first of them is, and how many they are. */
  readonly begin: number;
  readonly total: number;
  /** The chunk that they go on in, if it has rows already. */
  readonly tail: Chunk | null;
}

/** @returns new and grown chunks */
export function writeChunks(
  values: BlockWriter,
  times: BlockWriter | null,
  source: RowSource,
  place: RowPlace,
): Chunk[] {
  const { begin, total, tail } = place;
  const chunks: Chunk[] = [];
  for (let row = begin; row < begin + total;) {
    const inChunk = row % values.chunkRows;
    const rows = Math.min(values.chunkRows - inChunk, begin + total - row);
    const before = inChunk > 0 ? tail : null; // only the first chunk can have rows already
    const block = source.next(rows);
    const chunkFirstRow = place.firstRow + (row - begin) - inChunk;
    const span = block.times && extendSpan(before && spanOf(before), block.times);
    chunks.push({
      seriesId: place.seriesId,
      shardId: place.shardId,
      firstRow: chunkFirstRow,
      rows: inChunk + rows,
      datasetRow: row - inChunk,
      skip: 0,
      generation: place.generation,
      firstNs: span && span.firstNs,
      lastNs: span && span.lastNs,
      sorted: span?.sorted ?? true,
      values: values.write(row, rows, block.values, before?.values ?? null),
      times: times && times.write(row, rows, block.timeBytes!, before?.times ?? null),
      codec: 'none',
      timesCodec: times && 'none',
      valuesCrc: crc32(block.values, before?.valuesCrc ?? 0),
      timesCrc: block.timeBytes && crc32(block.timeBytes, before?.timesCrc ?? 0),
      stats: extendStats(before?.stats ?? emptyStats(place.channels), place, viewAs(place.dtype, block.values)),
    });
    row += rows;
  }
  return chunks;
}

function spanOf({ firstNs, lastNs, sorted }: Chunk): TimeSpan {
  return { firstNs: firstNs!, lastNs: lastNs!, sorted };
}

/** Writes rows into one dataset, a chunk at a time, and learns from HDF5's own writes where each chunk lies. */
export class BlockWriter {
  readonly chunkRows: number;
  readonly #dataset: Dataset;
  readonly #observe: (observer: WriteObserver | null) => void;
  readonly #dtype: Dtype;
  /** Null: a vector. */
  readonly #channels: number | null;
  readonly #rowBytes: number;

  constructor(dataset: Dataset, observe: (o: WriteObserver | null) => void, dtype: Dtype, channels: number | null) {
    this.#dataset = dataset;
    this.#observe = observe;
    this.#dtype = dtype;
    this.#channels = channels;
    this.#rowBytes = (channels ?? 1) * DTYPES[dtype].bytes;
    this.chunkRows = dataset.metadata.chunks![0];
  }

  /**
   * @param committed rows the catalog knows
   * @returns true if there were more: left by a commit that Postgres did not publish, and cut here
   */
  setRows(committed: number, rows: number): boolean {
    const row = this.#channels === null ? [] : [this.#channels];
    const leftover = this.#dataset.shape![0] > committed;
    if (leftover) this.#dataset.resize([committed, ...row]);
    this.#dataset.resize([rows, ...row]);
    return leftover;
  }

  /**
   * @param known where the chunk lies if it has rows already
   * @returns the whole block of the chunk
   * @throws if HDF5 did not write the chunk as one block: then its place is unknown and the commit must not go on
   */
  write(row: number, rows: number, bytes: Uint8Array, known: ByteRange | null): ByteRange {
    const length = this.chunkRows * this.#rowBytes;
    const at = (row % this.chunkRows) * this.#rowBytes;
    const found: number[] = [];
    this.#observe((offset, block) => {
      if (block.length === length && Buffer.compare(block.subarray(at, at + bytes.length), bytes) === 0)
        found.push(offset);
    });
    const ranges =
      this.#channels === null
        ? [[row, row + rows]]
        : [
            [row, row + rows],
            [0, this.#channels],
          ];
    this.#dataset.write_slice(ranges as [number, number][], viewAs(this.#dtype, bytes));
    this.#observe(null);
    if (found.length !== 1 || (known && known.offset !== found[0])) {
      throw new Error(
        `chunk of ${length} bytes of ${this.#dataset.path} found at [${found.join(', ')}], expected ${known?.offset ?? 'one place'}`,
      );
    }
    return { offset: found[0], length };
  }
}
