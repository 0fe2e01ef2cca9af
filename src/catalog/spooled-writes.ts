/** Writes whose payload is in the spool and must be there: pending ones, and failed ones that wait for somebody to look. */
import { sql } from 'kysely';
import { DTYPES, type Dtype } from '../core/dtype.ts';
import type { Database } from './database.ts';

export interface SpooledWrite {
  readonly id: string;
  readonly seriesId: string;
  readonly state: 'pending' | 'failed';
  readonly valueBytes: number;
  readonly valuesCrc: number;
  /** Null: a regular series. */
  readonly timeBytes: number | null;
  readonly timesCrc: number | null;
}

const NS_BYTES = 8;

/** @param only these writes; null: all */
export async function spooledWrites(db: Database, only: readonly string[] | null = null): Promise<SpooledWrite[]> {
  let query = db
    .selectFrom('writes as w')
    .innerJoin('series as s', 's.id', 'w.series_id')
    .select([
      'w.id',
      'w.series_id',
      'w.state',
      'w.rows',
      'w.values_crc',
      'w.times_crc',
      's.dtype',
      's.channel_count',
      's.kind',
    ])
    .where('w.state', '!=', 'applied')
    .where('w.spooled', '=', true)
    .orderBy('w.id');
  if (only) query = query.where('w.id', '=', sql<string>`any(${[...only]}::uuid[])`);
  return (await query.execute()).map((row) => ({
    id: row.id,
    seriesId: row.series_id,
    state: row.state === 'failed' ? 'failed' : 'pending',
    valueBytes: Number(row.rows) * row.channel_count * DTYPES[row.dtype as Dtype].bytes,
    valuesCrc: Number(row.values_crc),
    timeBytes: row.kind === 'irregular' ? Number(row.rows) * NS_BYTES : null,
    timesCrc: row.times_crc === null ? null : Number(row.times_crc),
  }));
}
