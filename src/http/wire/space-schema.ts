/** What series and shards take on the disk, on the wire. */
import { z } from 'zod';
import { DTYPES } from '../../core/numbers/dtype.ts';
import { SHARD_STATES } from '../../core/upkeep/shard-state.ts';
import type { ListedChunk, ShardSpace, SpaceService } from '../../flows/compact/space-service.ts';
import { instant, isUuid, queryInteger, timeOrNull, uuid } from './scalars.ts';

type SeriesSpace = Awaited<ReturnType<SpaceService['ofSeries']>>;

const MAX_SHARDS = 200;
const DEFAULT_SHARDS = 50;
const TIME_BYTES = 8;

const state = z.enum(SHARD_STATES).meta({
  description: `writing: is being made. live: its chunks are read. replaced: its rows are in another shard, and it is about to be removed.
lost: its file is missing. damaged: its file is shorter than it was.`,
});

export const storageAnswer = z
  .object({
    series: uuid.meta({ description: 'Id of the series' }),
    rows: z.int().meta({
      description: 'In chunks, fresh ones too: removed and expired ones among them, until compaction drops them',
    }),
    raw_bytes: z.int().meta({ description: 'Bytes of these rows, with the times of an irregular series' }),
    stored_bytes: z.int().meta({ description: 'Bytes of fresh chunks, and of the blocks in shards, with summaries' }),
    fresh_bytes: z.int().meta({ description: 'Bytes of fresh chunks: appended, and in no shard yet' }),
    ratio: z.number().nullable().meta({ description: 'raw_bytes / stored_bytes; null without samples' }),
    chunks: z.int().meta({ description: 'Blocks of samples' }),
    shards: z
      .array(
        z.object({
          id: uuid.meta({ description: 'Id of the shard' }),
          state,
          bytes: z.int().meta({ description: 'Bytes of this series in it' }),
        }),
      )
      .meta({ description: 'The files that hold them' }),
  })
  .meta({ id: 'SeriesStorage', description: 'What a series takes on the disk' });

export function toStorageAnswer({ series, storage }: SeriesSpace): z.input<typeof storageAnswer> {
  const irregular = series.sampling.kind === 'irregular';
  const rowBytes = series.channels.length * DTYPES[series.dtype].bytes + (irregular ? TIME_BYTES : 0);
  const { rows, chunks, storedBytes, freshBytes, shards } = storage;
  return {
    series: series.id,
    rows,
    raw_bytes: rows * rowBytes,
    stored_bytes: storedBytes,
    fresh_bytes: freshBytes,
    ratio: storedBytes === 0 ? null : (rows * rowBytes) / storedBytes,
    chunks,
    shards: shards.map((shard) => ({ ...shard })),
  };
}

export const shardQuery = z.strictObject({
  limit: queryInteger(1, MAX_SHARDS, `Items of a page; default ${DEFAULT_SHARDS}`).default(DEFAULT_SHARDS),
  cursor: z.string().optional().meta({ description: 'From the link to the next page' }),
});

export const shardPosition = z.string().refine(isUuid);

const shardAnswer = z
  .object({
    id: uuid.meta({ description: 'Id of the shard; its file is named after it' }),
    lane: uuid.meta({ description: 'Id of the lane whose series it holds' }),
    state,
    bytes: z.int().meta({ description: 'Size of the file' }),
    stored_bytes: z.int().meta({ description: 'Bytes of the blocks of chunks and summaries in it' }),
    live_bytes: z.int().meta({ description: 'How many of these are not removed, replaced or expired (estimate)' }),
    series: z.int().meta({ description: 'Series that have rows or summaries in it' }),
    created_at: instant.meta({ description: 'When it was made' }),
  })
  .meta({ id: 'Shard', description: 'An HDF5 file of samples' });

export const shardPage = z
  .object({
    items: z.array(shardAnswer).meta({ description: 'The shards of this page' }),
    next: z.string().nullable().meta({ description: 'Link to the next page; null on the last' }),
  })
  .meta({ id: 'ShardPage', description: 'A part of the shards' });

export function toShardAnswer(shard: ShardSpace): z.input<typeof shardAnswer> {
  return {
    id: shard.id,
    lane: shard.laneId,
    state: shard.state,
    bytes: shard.bytes,
    stored_bytes: shard.storedBytes,
    live_bytes: shard.liveBytes,
    series: shard.series,
    created_at: shard.madeAt.toISOString(),
  };
}

const MAX_CHUNKS = 1000;
const DEFAULT_CHUNKS = 100;

export const chunkQuery = z.strictObject({
  limit: queryInteger(1, MAX_CHUNKS, `Items of a page; default ${DEFAULT_CHUNKS}`).default(DEFAULT_CHUNKS),
  cursor: z.string().optional().meta({ description: 'From the link to the next page' }),
});

export const chunkPosition = z.strictObject({
  row: z.string().regex(/^-?\d{1,19}$/),
  generation: z.int(),
  isFresh: z.boolean(),
  id: z.string().regex(/^\d{1,19}$/),
});

const CRC = 'CRC-32 of its stored bytes, as eight hexadecimal digits';

const chunkAnswer = z
  .object({
    first_row: z.int().meta({ description: 'Its first row; of an irregular series, in the order in which rows came' }),
    rows: z.int().meta({ description: 'Its rows, removed and replaced ones among them' }),
    generation: z.int().meta({ description: 'Chunks of an edit have a higher one than those they replace' }),
    shard: uuid.nullable().meta({ description: 'The shard that it lies in; null: it is fresh, and in no shard yet' }),
    first_time: instant.nullable().meta({ description: 'Smallest time of irregular rows; null for a regular series' }),
    last_time: instant.nullable().meta({ description: 'Largest time of irregular rows; null for a regular series' }),
    codec: z.string().meta({ description: 'How its values are compressed' }),
    bytes: z.int().meta({ description: 'Bytes as they are stored' }),
    values_crc32: z.string().meta({ description: `${CRC}: values` }),
    times_crc32: z
      .string()
      .nullable()
      .meta({ description: `${CRC}: times; null for a regular series` }),
    damaged_at: instant.nullable().meta({ description: 'When it was found that it cannot be read; null: it was not' }),
  })
  .meta({ id: 'Chunk', description: 'A block of the samples of a series' });

export const chunkPage = z
  .object({
    items: z.array(chunkAnswer).meta({ description: 'The chunks of this page' }),
    next: z.string().nullable().meta({ description: 'Link to the next page; null on the last' }),
  })
  .meta({ id: 'ChunkPage', description: 'A part of the chunks of a series' });

export function toChunkAnswer(chunk: ListedChunk): z.input<typeof chunkAnswer> {
  return {
    first_row: chunk.firstRow,
    rows: chunk.rows,
    generation: chunk.generation,
    shard: chunk.shardId,
    first_time: timeOrNull(chunk.firstNs),
    last_time: timeOrNull(chunk.lastNs),
    codec: chunk.codec,
    bytes: chunk.bytes,
    values_crc32: hexadecimal(chunk.valuesCrc),
    times_crc32: chunk.timesCrc === null ? null : hexadecimal(chunk.timesCrc),
    damaged_at: chunk.damagedAt?.toISOString() ?? null,
  };
}

function hexadecimal(crc: number): string {
  return crc.toString(16).padStart(8, '0');
}
