/** Between a row of `chunks` and a Chunk. */
import type { Selectable } from 'kysely';
import type { Chunk } from '../core/chunk.ts';
import type { ChunksTable } from './tables.ts';

export function toChunk(row: Selectable<ChunksTable>): Chunk {
  return {
    seriesId: row.series_id,
    shardId: row.shard_id,
    firstRow: Number(row.first_row),
    rows: Number(row.rows),
    datasetRow: Number(row.dataset_row),
    firstNs: row.first_ns,
    lastNs: row.last_ns,
    sorted: row.sorted,
    values: { offset: Number(row.values_offset), length: Number(row.values_length) },
    times: row.times_offset === null ? null : { offset: Number(row.times_offset), length: Number(row.times_length) },
    codec: row.codec,
    valuesCrc: Number(row.values_crc),
    timesCrc: row.times_crc === null ? null : Number(row.times_crc),
    stats: { counts: row.counts.map(Number), mins: row.mins, maxs: row.maxs, sums: row.sums },
  };
}
