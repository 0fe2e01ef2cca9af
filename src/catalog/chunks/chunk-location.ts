/** Where a chunk lies, fresh or in a shard: one mapping of rows of `located_chunks` for all readers. */
import type { PlannedChunk } from '../../core/rows/read-plan.ts';

/** A chunk as a reader needs it: no statistics, but the path of its shard. */
export interface ChunkLocation extends PlannedChunk {
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
  readonly sorted: boolean;
}

/** One row, as a JSON array of {@link LOCATION_COLUMNS}. */
export type ChunkArray = [
  key: string,
  shardId: string,
  path: string,
  firstRow: number,
  rows: number,
  generation: number,
  skip: number,
  firstNs: string | null,
  lastNs: string | null,
  sorted: boolean,
  codec: string,
  valuesOffset: number,
  valuesLength: number,
  valuesCrc: number,
  timesCodec: string | null,
  timesOffset: number | null,
  timesLength: number | null,
  timesCrc: number | null,
];

/** Columns of a {@link ChunkArray}, from a row `c` of `located_chunks`. */
export const LOCATION_COLUMNS = `c.key, c.shard_id, c.path, c.first_row, c.rows, c.generation, c.skip, c.first_ns::text, c.last_ns::text, c.sorted, c.codec,
  c.values_offset, c.values_length, c.values_crc, c.times_codec, c.times_offset, c.times_length, c.times_crc`;

/** The location of a chunk whose bytes lie in a file. */
export function toLocation([key, shardId, path, firstRow, rows, generation, skip, ...rest]: ChunkArray): ChunkLocation {
  const [firstNs, lastNs, sorted, codec, valuesOffset, valuesLength, valuesCrc, ...times] = rest;
  const [timesCodec, timesOffset, timesLength, timesCrc] = times;
  return {
    key,
    shardId,
    path,
    held: null,
    firstRow,
    rows,
    generation,
    skip,
    firstNs: firstNs === null ? null : BigInt(firstNs),
    lastNs: lastNs === null ? null : BigInt(lastNs),
    sorted,
    codec,
    values: { offset: valuesOffset, length: valuesLength },
    valuesCrc,
    timesCodec,
    times: timesOffset === null ? null : { offset: timesOffset, length: timesLength! },
    timesCrc,
  };
}
