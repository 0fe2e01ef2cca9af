/** Staging: what appends and edits of a series have in common until they are durable. */
import type { Selectable } from 'kysely';
import { notFound, unprocessableField, VarveError } from '../core/errors.ts';
import { fieldOfKey } from '../core/idempotency.ts';
import { formatTime } from '../core/time.ts';
import type { DatabaseTransaction } from './database.ts';
import type { SeriesTable, WriteKind } from './tables.ts';

/** A payload as it was received and checked: canonical little-endian bytes, inline or in the spool. */
export interface StagedPayload {
  readonly rows: number;
  /** Of values and times together. */
  readonly bytes: number;
  /** Null when the bytes are in the spool, under the write's id. */
  readonly inline: { readonly values: Uint8Array; readonly times: Uint8Array | null } | null;
  readonly valuesCrc: number;
  readonly timesCrc: number | null;
  /** Irregular: smallest and largest time. */
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
}

/** What makes a retry store once. */
export interface Idempotency {
  readonly key: string;
  readonly contentHash: Uint8Array;
}

/** The lane to ring, or the earlier write that said the same under the same key. */
export type Staged =
  { readonly kind: 'staged'; readonly laneId: string } | { readonly kind: 'replay'; readonly id: string };

/** The columns of a series that decide what may be acknowledged next. */
const STAGING_COLUMNS = [
  'id',
  'lane_id',
  'kind',
  'rate',
  'start_ns',
  'duplicates',
  'rows',
  'edits',
  'expired_ns',
  'sealed_at',
  'staged_rows',
  'staged_last_ns',
  'staged_segment_start_ns',
  'staged_segment_rows',
] as const;

export type StagingSeries = Pick<Selectable<SeriesTable>, (typeof STAGING_COLUMNS)[number]>;

/** Writes to one series follow each other; those to others go on. @throws not-found */
export async function lockForStaging(trx: DatabaseTransaction, seriesId: string): Promise<StagingSeries> {
  const series = await trx
    .selectFrom('series')
    .select(STAGING_COLUMNS)
    .where('id', '=', seriesId)
    .where('deleted_at', 'is', null)
    .forNoKeyUpdate()
    .executeTakeFirst();
  if (!series) throw notFound('series', seriesId);
  return series;
}

/** What was acknowledged before it was sealed is still answered to a retry. @throws conflict `series-sealed` */
export function refuseSealed({ id, sealed_at: sealedAt }: Pick<StagingSeries, 'id' | 'sealed_at'>): void {
  if (sealedAt === null) return;
  const message = `series ${id} is sealed since ${sealedAt.toISOString()}: its samples do not change any more`;
  throw new VarveError('conflict', message, { slug: 'series-sealed' });
}

/**
 * Nobody would ever see the rows.
 * @param lastNs of the rows that a write brings
 * @param field that says when they lie
 * @throws unprocessable `expired` if all of them are so old that they have expired
 */
export function refuseExpired(
  { expired_ns: expiredNs }: Pick<StagingSeries, 'expired_ns'>,
  lastNs: bigint,
  field: string,
): void {
  if (expiredNs === null || lastNs >= expiredNs) return;
  const message = `the rows would expire at once: samples of the series before ${formatTime(expiredNs)} have expired`;
  throw unprocessableField(field, message, 'expired');
}

/** @returns the write that said the same under the same key; null if there is none. @throws unprocessable `key-reused` */
export async function earlierWrite(
  trx: DatabaseTransaction,
  { seriesId, idempotency }: { readonly seriesId: string; readonly idempotency: Idempotency | null },
): Promise<string | null> {
  if (!idempotency) return null;
  const earlier = await trx
    .selectFrom('writes')
    .select(['id', 'content_hash'])
    .where('series_id', '=', seriesId)
    .where('idempotency_key', '=', idempotency.key)
    .executeTakeFirst();
  if (!earlier) return null;
  if (earlier.content_hash?.equals(idempotency.contentHash)) return earlier.id;
  throw unprocessableField(fieldOfKey(idempotency.key), 'was used for a write with other content', 'key-reused');
}

export interface WriteToInsert {
  readonly id: string;
  readonly seriesId: string;
  readonly kind: WriteKind;
  /** Null: a removal brings none. */
  readonly payload: StagedPayload | null;
  /** Appends to regular series: time of the first row. */
  readonly startNs: bigint | null;
  readonly idempotency: Idempotency | null;
  /** Of an edit. */
  readonly edit?: {
    readonly generation: number;
    readonly startNs: bigint;
    readonly endNs: bigint;
    /** Regular: the rows of the range, as they are acknowledged. */
    readonly rows: { readonly from: number; readonly to: number } | null;
  };
}

export async function insertWrite(trx: DatabaseTransaction, laneId: string, write: WriteToInsert): Promise<void> {
  const { payload, edit, idempotency } = write;
  await trx
    .insertInto('writes')
    .values({
      id: write.id,
      lane_id: laneId,
      series_id: write.seriesId,
      kind: write.kind,
      state: 'pending',
      rows: payload?.rows ?? 0,
      bytes: payload?.bytes ?? 0,
      start_ns: write.startNs,
      first_ns: payload && payload.firstNs,
      last_ns: payload && payload.lastNs,
      value_bytes: payload?.inline ? Buffer.from(payload.inline.values) : null,
      time_bytes: payload?.inline?.times ? Buffer.from(payload.inline.times) : null,
      spooled: payload !== null && payload.inline === null,
      values_crc: payload?.valuesCrc ?? 0,
      times_crc: payload && payload.timesCrc,
      idempotency_key: idempotency?.key ?? null,
      content_hash: idempotency && Buffer.from(idempotency.contentHash),
      generation: edit?.generation ?? null,
      range_start_ns: edit?.startNs ?? null,
      range_end_ns: edit?.endNs ?? null,
      from_row: edit?.rows?.from ?? null,
      to_row: edit?.rows?.to ?? null,
    })
    .execute();
}
