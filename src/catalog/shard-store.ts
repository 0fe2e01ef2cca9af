/** Shards and what lies in them, for those who look after files. */
import type { Chunk } from '../core/chunk.ts';
import { DTYPES, type Dtype } from '../core/dtype.ts';
import { toChunk } from './chunk-row.ts';
import type { Database } from './database.ts';

export interface ShardRecord {
  readonly id: string;
  readonly path: string;
  readonly state: 'hot' | 'retired';
  readonly bytes: number;
}

export async function listShards(db: Database): Promise<ShardRecord[]> {
  const rows = await db.selectFrom('shards').select(['id', 'path', 'state', 'bytes']).orderBy('id').execute();
  return rows.map((row) => ({ ...row, bytes: Number(row.bytes) }));
}

/** The chunks of one shard with the bytes of a row of their series. */
export async function shardChunks(db: Database, shardId: string): Promise<{ chunk: Chunk; rowBytes: number }[]> {
  const rows = await db
    .selectFrom('chunks as c')
    .innerJoin('series as s', 's.id', 'c.series_id')
    .selectAll('c')
    .select(['s.dtype', 's.channel_count'])
    .where('c.shard_id', '=', shardId)
    .orderBy('c.series_id')
    .orderBy('c.first_row')
    .execute();
  return rows.map((row) => ({
    chunk: toChunk(row),
    rowBytes: row.channel_count * DTYPES[row.dtype as Dtype].bytes,
  }));
}
