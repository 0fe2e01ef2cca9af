/** Turns a row of `chunks` into a Chunk, and back. */
import { sql, type Selectable } from 'kysely';
import type { Chunk } from '../../core/rows/chunk.ts';
import type { ChunksTable } from '../tables.ts';

export function toChunk(row: Selectable<ChunksTable>): Chunk {
  return {
    seriesId: row.series_id,
    shardId: row.shard_id,
    firstRow: Number(row.first_row),
    rows: Number(row.rows),
    datasetRow: Number(row.dataset_row),
    skip: row.skip,
    generation: row.generation,
    firstNs: row.first_ns,
    lastNs: row.last_ns,
    sorted: row.sorted,
    values: { offset: Number(row.values_offset), length: Number(row.values_length) },
    times: row.times_offset === null ? null : { offset: Number(row.times_offset), length: Number(row.times_length) },
    codec: row.codec,
    timesCodec: row.times_codec,
    valuesCrc: Number(row.values_crc),
    timesCrc: row.times_crc === null ? null : Number(row.times_crc),
    stats: row.stats,
  };
}

/** What {@link chunkRecord} gives, as a column list … */
export const CHUNK_COLUMNS =
  sql.raw(`series_id, generation, first_row, rows, shard_id, dataset_row, skip, first_ns, last_ns, sorted,
  values_offset, values_length, times_offset, times_length, codec, times_codec, values_crc, times_crc, stats`);
/** … and as the column definitions of `jsonb_to_recordset`. */
export const CHUNK_RECORD =
  sql.raw(`series_id uuid, generation integer, first_row bigint, rows bigint, shard_id uuid, dataset_row bigint,
  skip integer, first_ns bigint, last_ns bigint, sorted boolean, values_offset bigint, values_length bigint, times_offset bigint,
  times_length bigint, codec text, times_codec text, values_crc bigint, times_crc bigint, stats bytea`);

/** A chunk as one record of a JSON list, for {@link CHUNK_RECORD}. */
export function chunkRecord(chunk: Chunk): Record<string, unknown> {
  return {
    series_id: chunk.seriesId,
    generation: chunk.generation,
    first_row: chunk.firstRow,
    rows: chunk.rows,
    shard_id: chunk.shardId,
    dataset_row: chunk.datasetRow,
    skip: chunk.skip,
    first_ns: chunk.firstNs?.toString() ?? null,
    last_ns: chunk.lastNs?.toString() ?? null,
    sorted: chunk.sorted,
    values_offset: chunk.values.offset,
    values_length: chunk.values.length,
    times_offset: chunk.times?.offset ?? null,
    times_length: chunk.times?.length ?? null,
    codec: chunk.codec,
    times_codec: chunk.timesCodec,
    values_crc: chunk.valuesCrc,
    times_crc: chunk.timesCrc,
    stats: chunk.stats && `\\x${Buffer.from(chunk.stats).toString('hex')}`,
  };
}
