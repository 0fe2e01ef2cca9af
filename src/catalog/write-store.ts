/** Writes: what was acknowledged and is on its way into a shard (the outbox). */
import { sql } from 'kysely';
import { VarveError, unprocessableField } from '../core/errors.ts';
import { nsOfRow, parseRate } from '../core/rate.ts';
import { placeAppend } from '../core/segment.ts';
import { formatTime, TIME_MAX } from '../core/time.ts';
import type { Database } from './database.ts';
import type { Lease } from './lane-store.ts';
import {
  earlierWrite,
  insertWrite,
  lockForStaging,
  refuseExpired,
  refuseSealed,
  type Idempotency,
  type Staged,
  type StagedPayload,
} from './staging.ts';
import type { WriteKind } from './tables.ts';

export type { StagedPayload };

export interface NewWrite {
  readonly id: string;
  readonly seriesId: string;
  readonly payload: StagedPayload;
  /** Regular: the start the client asked for. */
  readonly startNs: bigint | null;
  readonly idempotency: Idempotency | null;
}

export interface WriteStatus {
  readonly id: string;
  readonly seriesId: string;
  readonly projectId: string;
  readonly kind: WriteKind;
  readonly state: 'pending' | 'applied' | 'failed';
  readonly rows: number;
  readonly firstRow: number | null;
  /** Rows that an applied removal has taken away; null for other writes. */
  readonly removed: number | null;
  readonly commit: bigint | null;
  readonly error: { code: string; message: string } | null;
  readonly createdAt: Date;
  readonly appliedAt: Date | null;
}

/** A pending write with what a drain needs of its series. */
export interface PendingWrite {
  readonly id: string;
  readonly seriesId: string;
  readonly kind: WriteKind;
  /** Of an edit: its number, and its range. */
  readonly generation: number | null;
  readonly rangeStartNs: bigint | null;
  readonly rangeEndNs: bigint | null;
  readonly rows: number;
  readonly startNs: bigint | null;
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
  readonly values: Uint8Array | null;
  readonly times: Uint8Array | null;
  readonly spooled: boolean;
  readonly valuesCrc: number;
  readonly timesCrc: number | null;
  readonly attempts: number;
}

/**
 * Makes a write durable: decides its place in time, and its order among the writes of its series.
 * @returns the lane to ring, or the earlier write if the idempotency key has been used for the same content
 * @throws not-found; conflict `series-sealed`; unprocessable `overlap` (regular, start before the end of the data); conflict `time-not-increasing` (irregular with
 *   rule `error`); unprocessable `expired`; unprocessable `key-reused` if the key was used for other content
 */
export async function stageWrite(db: Database, write: NewWrite): Promise<Staged> {
  return db.transaction().execute(async (trx) => {
    const series = await lockForStaging(trx, write.seriesId);
    const earlier = await earlierWrite(trx, write);
    if (earlier) return { kind: 'replay', id: earlier };
    refuseSealed(series);
    const { payload } = write;
    const rate = series.rate === null ? undefined : parseRate(series.rate);
    const staged: Record<string, bigint> = { staged_rows: series.staged_rows + BigInt(payload.rows) };
    let startNs: bigint | null = null;
    if (series.kind === 'regular' && rate) {
      const newest =
        series.staged_segment_start_ns === null
          ? null
          : { startNs: series.staged_segment_start_ns, rows: Number(series.staged_segment_rows) };
      const place = placeAppend(newest, rate, write.startNs, series.start_ns ?? 0n);
      if (!place) {
        const end = newest!.startNs + nsOfRow(rate, newest!.rows);
        throw unprocessableField('start', `lies before the end of the data, ${formatTime(end)}`, 'overlap');
      }
      startNs = place.startNs;
      if (startNs + nsOfRow(rate, payload.rows) > TIME_MAX + 1n) {
        throw unprocessableField('start', 'the rows would end after the year 2261, the last that has times');
      }
      refuseExpired(series, startNs + nsOfRow(rate, payload.rows - 1), 'start');
      staged.staged_segment_start_ns = place.continues ? newest!.startNs : startNs;
      staged.staged_segment_rows = BigInt(payload.rows) + (place.continues ? BigInt(newest!.rows) : 0n);
    } else if (payload.firstNs !== null && payload.lastNs !== null) {
      refuseExpired(series, payload.lastNs, 'times');
      if (series.duplicates === 'error' && series.staged_last_ns !== null && payload.firstNs <= series.staged_last_ns) {
        throw new VarveError(
          'conflict',
          `times[0]: is not after the newest stored time, ${formatTime(series.staged_last_ns)}`,
          {
            slug: 'time-not-increasing',
            errors: [{ field: 'times[0]', message: `must be after ${formatTime(series.staged_last_ns)}` }],
          },
        );
      }
      const last = series.staged_last_ns;
      staged.staged_last_ns = last !== null && last > payload.lastNs ? last : payload.lastNs;
    }
    await insertWrite(trx, series.lane_id, { ...write, kind: 'append', startNs });
    await trx.updateTable('series').set(staged).where('id', '=', write.seriesId).execute();
    return { kind: 'staged', laneId: series.lane_id };
  });
}

/** The states of several writes, in no order; unknown ids are left out. */
export async function getWrites(db: Database, ids: readonly string[]): Promise<WriteStatus[]> {
  const rows = await db
    .selectFrom('writes as w')
    .innerJoin('series as s', 's.id', 'w.series_id')
    .select([
      'w.id',
      'w.series_id',
      's.project_id',
      'w.kind',
      'w.state',
      'w.rows',
      'w.first_row',
      'w.removed',
      'w.commit',
      'w.error',
      'w.created_at',
      'w.applied_at',
    ])
    .where('w.id', '=', sql<string>`any(${[...ids]}::uuid[])`)
    .execute();
  return rows.map((row) => ({
    id: row.id,
    seriesId: row.series_id,
    projectId: row.project_id,
    kind: row.kind,
    state: row.state,
    rows: Number(row.rows),
    firstRow: row.first_row === null ? null : Number(row.first_row),
    removed: row.removed === null ? null : Number(row.removed),
    commit: row.commit,
    error: row.error as WriteStatus['error'],
    createdAt: row.created_at,
    appliedAt: row.applied_at,
  }));
}

/** The oldest pending writes of a lane, in their order. */
export async function pendingWrites(db: Database, laneId: string, limit: number): Promise<PendingWrite[]> {
  const rows = await db
    .selectFrom('writes')
    .select([
      'id',
      'series_id',
      'kind',
      'generation',
      'range_start_ns',
      'range_end_ns',
      'rows',
      'start_ns',
      'first_ns',
      'last_ns',
      'value_bytes',
      'time_bytes',
      'spooled',
      'values_crc',
      'times_crc',
      'attempts',
    ])
    .where('lane_id', '=', laneId)
    .where('state', '=', 'pending')
    .orderBy('seq')
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    id: row.id,
    seriesId: row.series_id,
    kind: row.kind,
    generation: row.generation,
    rangeStartNs: row.range_start_ns,
    rangeEndNs: row.range_end_ns,
    rows: Number(row.rows),
    startNs: row.start_ns,
    firstNs: row.first_ns,
    lastNs: row.last_ns,
    values: row.value_bytes,
    times: row.time_bytes,
    spooled: row.spooled,
    valuesCrc: Number(row.values_crc),
    timesCrc: row.times_crc === null ? null : Number(row.times_crc),
    attempts: row.attempts,
  }));
}

/** Ends a write that can never apply. Its payload stays for whoever looks into it. A holder that has been overtaken changes nothing. */
export async function failWrite(
  db: Database,
  lease: Pick<Lease, 'laneId' | 'token'>,
  id: string,
  error: { code: string; message: string },
): Promise<void> {
  await db
    .updateTable('writes')
    .set({ state: 'failed', error: JSON.stringify(error), applied_at: sql<Date>`now()` })
    .where('id', '=', id)
    .where('state', '=', 'pending')
    .where(({ exists, selectFrom }) =>
      exists(selectFrom('lanes').select('id').where('id', '=', lease.laneId).where('lease_token', '=', lease.token)),
    )
    .execute();
}

/** Counts a failed attempt. @returns attempts so far */
export async function countAttempt(db: Database, id: string): Promise<number> {
  const row = await db
    .updateTable('writes')
    .set({ attempts: sql<number>`attempts + 1` })
    .where('id', '=', id)
    .returning('attempts')
    .executeTakeFirst();
  return row?.attempts ?? 0;
}

/** What is pending, as one pass over the index says. @param most writes to count; beyond, it counts no further */
export async function countPending(db: Database, most: number): Promise<{ writes: number; bytes: number }> {
  const { rows } = await sql<{ writes: bigint; bytes: bigint }>`
    select count(*) as writes, coalesce(sum(bytes), 0)::bigint as bytes
    from (select bytes from writes where state = 'pending' limit ${most}) as pending`.execute(db);
  return { writes: Number(rows[0].writes), bytes: Number(rows[0].bytes) };
}

/** Replays of a write are answered for as long as its row is kept after it was applied: a day is promised, a week is given. */
const APPLIED_KEPT_DAYS = 7;

/**
 * Forgets writes that were applied long ago; what they wrote stays. Ids begin with the time at which they were made, so the primary
 * key leads to the oldest.
 * @returns how many, at most `limit`
 */
export async function purgeAppliedWrites(db: Database, limit: number): Promise<number> {
  const result = await sql`
    delete from writes where id in (
      select id from writes
      where id < (lpad(to_hex((extract(epoch from now() - make_interval(days => ${APPLIED_KEPT_DAYS})) * 1000)::bigint), 12, '0')
        || repeat('0', 20))::uuid
        and state = 'applied' and applied_at < now() - make_interval(days => ${APPLIED_KEPT_DAYS})
      order by id limit ${limit})`.execute(db);
  return Number(result.numAffectedRows);
}
