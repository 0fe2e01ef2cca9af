/** Between a row of `chunks` and a Chunk. */
import type { Insertable, Selectable } from 'kysely';
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

export function fromChunk(chunk: Chunk): Insertable<ChunksTable> {
  const { values, times, stats } = chunk;
  return {
    series_id: chunk.seriesId,
    shard_id: chunk.shardId,
    first_row: chunk.firstRow,
    rows: chunk.rows,
    dataset_row: chunk.datasetRow,
    first_ns: chunk.firstNs,
    last_ns: chunk.lastNs,
    sorted: chunk.sorted,
    values_offset: values.offset,
    values_length: values.length,
    times_offset: times && times.offset,
    times_length: times && times.length,
    codec: chunk.codec,
    values_crc: chunk.valuesCrc,
    times_crc: chunk.timesCrc,
    counts: stats.counts.map(BigInt),
    mins: [...stats.mins],
    maxs: [...stats.maxs],
    sums: [...stats.sums],
  };
}
