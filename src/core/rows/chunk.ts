/** A chunk: one block of rows of one series, at a known place in a shard. */

/** Bytes of a shard. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export interface Chunk {
  readonly seriesId: string;
  readonly shardId: string;
  /** First row of the series in this chunk. */
  readonly firstRow: number;
  readonly rows: number;
  /** First row of the HDF5 dataset in this chunk. */
  readonly datasetRow: number;
  /** Rows of the block that come before the first of this chunk: one block may hold several chunks. */
  readonly skip: number;
  /**
   * The newest edit of the series that this chunk has taken in. If two chunks have the same row, the higher generation
   * is true.
   */
  readonly generation: number;
  /** Irregular series: smallest and largest time. */
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
  /** Times strictly increase from row to row (always true for regular series). */
  readonly sorted: boolean;
  /** The whole block as it is stored. */
  readonly values: ByteRange;
  readonly times: ByteRange | null;
  readonly codec: string;
  readonly timesCodec: string | null;
  /** CRC-32 of this chunk's rows if its block is not compressed; else of the stored bytes. */
  readonly valuesCrc: number;
  readonly timesCrc: number | null;
  /** What is known of the rows as a whole, see `chunk-stats`; null: they have to be read for it. */
  readonly stats: Uint8Array | null;
}

/**
 * Most bytes of a chunk, fresh or in a shard, so that the chunk with a row begins at most so far before it. A batch of
 * appends has half of it.
 */
export const MAX_CHUNK_BYTES = 16 * 1024 * 1024;

/** Most raw bytes of a block of up to {@link NARROW_CHANNELS}: they inflate in half a millisecond … */
const NARROW_BLOCK_BYTES = 256 * 1024;
const NARROW_CHANNELS = 16;
/** … and least of a wider one: its rows come fast, and each block is a row of the catalog. */
const WIDE_BLOCK_BYTES = 1024 * 1024;

/**
 * The most rows of a block in a shard. It is a power of two, of 128 to 256 KiB; in wide series of 1 to 2 MiB.
 * @param rowBytes of the widest dataset that is cut alike
 */
export function mostBlockRows(rowBytes: number, channels: number): number {
  if (channels > NARROW_CHANNELS) return 2 ** Math.ceil(Math.log2(Math.max(1, WIDE_BLOCK_BYTES / rowBytes)));
  return 2 ** Math.floor(Math.log2(Math.max(1, NARROW_BLOCK_BYTES / rowBytes)));
}

/** Rows of a block: as many as {@link mostBlockRows} says, and no more than `rows` need. */
export function blockRows(rowBytes: number, channels: number, rows: number): number {
  return Math.min(mostBlockRows(rowBytes, channels), 2 ** Math.ceil(Math.log2(Math.max(1, rows))));
}
