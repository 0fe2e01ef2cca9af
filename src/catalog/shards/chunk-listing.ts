/** The chunks of a series, one by one: where each lies, and the checksum of its bytes. */
import { sql, type RawBuilder } from 'kysely';
import type { Database } from '../database.ts';

export interface ListedChunk {
  /** Row of the series; of an irregular one, in the order in which rows came. */
  readonly firstRow: number;
  readonly rows: number;
  /** An edit's chunks have a higher one than what they replace. */
  readonly generation: number;
  /** Null: it is fresh, in Postgres or a spool file. */
  readonly shardId: string | null;
  /** Smallest and largest time of irregular rows; null for a regular series, whose rows tell the time. */
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
  readonly codec: string;
  /** Bytes as they are stored; runs of one block count it each. */
  readonly bytes: number;
  /** CRC-32 of the stored bytes. */
  readonly valuesCrc: number;
  readonly timesCrc: number | null;
  readonly damagedAt: Date | null;
}

/** Where a page ended. */
export interface ChunkPosition {
  readonly row: string;
  readonly generation: number;
  readonly isFresh: boolean;
  readonly id: string;
}

/** Lists a page of them, in the order of rows. */
export async function listChunks(
  db: Database,
  seriesId: string,
  { limit, after }: { readonly limit: number; readonly after: ChunkPosition | null },
): Promise<{ items: ListedChunk[]; after: ChunkPosition | null }> {
  const page = (isFresh: boolean, from: RawBuilder<unknown>) => sql`(
    select ${isFresh}::boolean as is_fresh, c.* from (${from}) c
    where ${after ? sql`(first_row, generation, ${isFresh}::boolean, id) > (${after.row}::bigint, ${after.generation}::integer, ${after.isFresh}::boolean, ${after.id}::bigint)` : sql`true`}
    order by first_row, generation, id limit ${limit + 1})`;
  const { rows } = await sql<ChunkListRow>`
    select first_row::text, rows::float8, generation, is_fresh, id::text, shard_id, first_ns, last_ns, codec, bytes::float8,
      values_crc::float8, times_crc::float8, damaged_at from (
      ${page(
        false,
        sql`select id, first_row, rows, generation, shard_id, first_ns, last_ns, codec, values_length + coalesce(times_length, 0) as bytes,
          values_crc, times_crc, damaged_at from chunks where series_id = ${seriesId}::uuid`,
      )}
      union all
      ${page(
        true,
        sql`select id, first_row, rows, generation, null::uuid, first_ns, last_ns, 'none', bytes,
          values_crc, times_crc, damaged_at from fresh where series_id = ${seriesId}::uuid`,
      )}) c
    order by c.first_row, generation, is_fresh, c.id limit ${limit + 1}`.execute(db);
  const shown = rows.slice(0, limit);
  const last = rows.length > limit ? shown.at(-1) : undefined;
  return {
    items: shown.map(toListedChunk),
    after: last ? { row: last.first_row, generation: last.generation, isFresh: last.is_fresh, id: last.id } : null,
  };
}

interface ChunkListRow {
  readonly first_row: string;
  readonly rows: number;
  readonly generation: number;
  readonly is_fresh: boolean;
  readonly id: string;
  readonly shard_id: string | null;
  readonly first_ns: bigint | null;
  readonly last_ns: bigint | null;
  readonly codec: string;
  readonly bytes: number;
  readonly values_crc: number;
  readonly times_crc: number | null;
  readonly damaged_at: Date | null;
}

function toListedChunk(row: ChunkListRow): ListedChunk {
  return {
    firstRow: Number(row.first_row),
    rows: row.rows,
    generation: row.generation,
    shardId: row.shard_id,
    firstNs: row.first_ns,
    lastNs: row.last_ns,
    codec: row.codec,
    bytes: row.bytes,
    valuesCrc: row.values_crc,
    timesCrc: row.times_crc,
    damagedAt: row.damaged_at,
  };
}
