/** A chunk: one block of rows of one series, at a known place in a shard. */

/** Per channel, over the values that are neither NaN nor the missing value; raw values as float64. */
export interface ChunkStats {
  readonly counts: number[];
  /** NaN where the count is 0. */
  readonly mins: number[];
  readonly maxs: number[];
  readonly sums: number[];
}

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
  /** Rows of the block that come before the first of this chunk: only in sealed shards, where one block may hold several chunks. */
  readonly skip: number;
  /** The newest edit of the series that this chunk has taken in. Of two chunks with the same row the higher generation is true. */
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
  /** CRC-32: of an uncompressed block, of this chunk's rows; of a compressed one, of the stored bytes. */
  readonly valuesCrc: number;
  readonly timesCrc: number | null;
  readonly stats: ChunkStats;
}

/** Smallest and largest HDF5 chunk of a hot shard, in bytes of values. */
export const MIN_HOT_CHUNK_BYTES = 16 * 1024;
export const MAX_HOT_CHUNK_BYTES = 1024 * 1024;
/** A hot chunk should hold about this many seconds of a regular series. */
const HOT_CHUNK_SECONDS = 10;

/**
 * Rows of a hot chunk: a power of two, so that what a series sends at once, or in ten seconds, fits one chunk, inside the limits.
 * Small for a slow sensor (a growing tail chunk is rewritten by every commit), large for a recording (one row in the catalog a chunk).
 * @param rowBytes bytes of one row of values
 * @param firstBatchRows rows that are about to be appended
 */
export function hotChunkRows(rowBytes: number, firstBatchRows: number, rateHz: number | null): number {
  const wanted = Math.max(firstBatchRows, (rateHz ?? 0) * HOT_CHUNK_SECONDS);
  const most = Math.max(1, Math.floor(MAX_HOT_CHUNK_BYTES / rowBytes));
  const least = Math.max(1, Math.floor(MIN_HOT_CHUNK_BYTES / rowBytes));
  const rows = 2 ** Math.ceil(Math.log2(Math.max(1, Math.min(Math.max(wanted, least), most))));
  return rows > most ? rows / 2 : rows;
}
