/** Edits: replacements and removals of ranges, from their acknowledgement to what a drain must know to apply them. */
import { sql } from 'kysely';
import type { Chunk } from '../core/chunk.ts';
import { rowsOfRange, withRuns } from '../core/edited-rows.ts';
import { expiry, type Erasure } from '../core/erasure.ts';
import { invalidField, unprocessableField, VarveError } from '../core/errors.ts';
import { parseRate, type Rate } from '../core/rate.ts';
import { timesOfRows, type RowRange, type Segment } from '../core/segment.ts';
import { formatTime, INT64_MIN } from '../core/time.ts';
import { toChunk } from './chunk-row.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { segmentsOf } from './shard-store.ts';
import {
  earlierWrite,
  insertWrite,
  lockForStaging,
  refuseExpired,
  refuseSealed,
  type Idempotency,
  type Staged,
  type StagedPayload,
  type StagingSeries,
} from './staging.ts';

export interface NewEdit {
  readonly id: string;
  readonly seriesId: string;
  /** `[startNs, endNs)`, not empty. */
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** What comes in place of the range; null: nothing. */
  readonly payload: StagedPayload | null;
  /** Regular: the time of the first row that the body states. */
  readonly statedStartNs: bigint | null;
  readonly idempotency: Idempotency | null;
}

/**
 * Makes an edit durable: gives it its number, and its place among the writes of its series.
 * @throws not-found; conflict `series-sealed`; unprocessable `range-empty` (regular) naming `start` and `end`; unprocessable `rows-differ` naming `values`; invalid-input naming
 *   `start` if the body begins elsewhere; unprocessable `expired` (irregular); unprocessable `key-reused`
 */
export async function stageEdit(db: Database, edit: NewEdit): Promise<Staged> {
  return db.transaction().execute(async (trx) => {
    const series = await lockForStaging(trx, edit.seriesId);
    const earlier = await earlierWrite(trx, edit);
    if (earlier) return { kind: 'replay', id: earlier };
    refuseSealed(series);
    const rate = series.rate === null ? undefined : parseRate(series.rate);
    const rows = rate ? await rowsToEdit(trx, series, rate, edit) : null;
    const generation = series.edits + 1;
    const { id, seriesId, payload, startNs, endNs, idempotency } = edit;
    if (payload && payload.lastNs !== null) refuseExpired(series, payload.lastNs, 'times');
    await insertWrite(trx, series.lane_id, {
      id,
      seriesId,
      kind: payload ? 'replace' : 'remove',
      payload,
      startNs: null,
      idempotency,
      edit: { generation, startNs, endNs, rows },
    });
    await trx
      .updateTable('series')
      .set({ edits: generation, ...(!rate && stagedTimes(series, edit)) })
      .where('id', '=', seriesId)
      .execute();
    return { kind: 'staged', laneId: series.lane_id };
  });
}

/** The rows of a regular series that the range selects, of all that are acknowledged. */
async function rowsToEdit(
  trx: DatabaseTransaction,
  series: StagingSeries,
  rate: Rate,
  { startNs, endNs, payload, statedStartNs }: NewEdit,
): Promise<RowRange> {
  const segments = await acknowledgedSegments(trx, series, rate);
  const range = rowsOfRange(segments, rate, startNs, endNs, series.expired_ns);
  if (!range) {
    const message = 'the range has no rows of the series';
    throw new VarveError('unprocessable', message, {
      slug: 'range-empty',
      errors: ['start', 'end'].map((field) => ({ field, message })),
    });
  }
  const rows = range.to - range.from;
  if (payload && payload.rows !== rows) {
    throw unprocessableField('values', `has ${payload.rows} rows, the range has ${rows}`, 'rows-differ');
  }
  if (statedStartNs !== null && statedStartNs !== startNs) {
    const [firstNs] = timesOfRows(segments, rate, { from: range.from, to: range.from + 1 });
    if (statedStartNs !== firstNs) {
      throw invalidField(
        'start',
        `the query and the body name different starts; the first row is at ${formatTime(firstNs)}`,
      );
    }
  }
  return range;
}

async function acknowledgedSegments(trx: DatabaseTransaction, series: StagingSeries, rate: Rate): Promise<Segment[]> {
  const visible = await segmentsOf(trx, series.id);
  const pending = await trx
    .selectFrom('writes')
    .select(['start_ns', 'rows'])
    .where('lane_id', '=', series.lane_id)
    .where('series_id', '=', series.id)
    .where('state', '=', 'pending')
    .where('kind', '=', 'append')
    .orderBy('seq')
    .execute();
  const runs = pending.map((write) => ({ startNs: write.start_ns!, rows: Number(write.rows) }));
  return withRuns(visible, rate, Number(series.rows), runs);
}

/** Where the acknowledged times of an irregular series end: with its tail removed, an append may begin there again. */
function stagedTimes(
  series: StagingSeries,
  { startNs, endNs, payload }: NewEdit,
): { staged_rows: bigint; staged_last_ns: bigint | null } {
  const last = series.staged_last_ns;
  const isTail = last !== null && last >= startNs && last < endNs;
  const left = !isTail ? last : startNs === INT64_MIN ? null : startNs - 1n;
  const newest = payload?.lastNs ?? null;
  return {
    staged_rows: series.staged_rows + BigInt(payload?.rows ?? 0),
    staged_last_ns: left === null || (newest !== null && newest > left) ? newest : left,
  };
}

/** What a drain must know of a regular series to edit it. */
export interface EditedSeries {
  readonly segments: readonly Segment[];
  readonly holes: readonly RowRange[];
  readonly expiredNs: bigint | null;
}

export async function readEditedSeries(db: Database, seriesId: string): Promise<EditedSeries> {
  const { expired_ns: expiredNs } = await db
    .selectFrom('series')
    .select('expired_ns')
    .where('id', '=', seriesId)
    .executeTakeFirstOrThrow();
  return { segments: await segmentsOf(db, seriesId), holes: await holesOf(db, seriesId), expiredNs };
}

/** The rows of a regular series that were removed, in order. */
export async function holesOf(db: Database, seriesId: string): Promise<RowRange[]> {
  const rows = await db.selectFrom('holes').selectAll().where('series_id', '=', seriesId).orderBy('from_row').execute();
  return rows.map((row) => ({ from: Number(row.from_row), to: Number(row.to_row) }));
}

/** A chunk of an irregular series with the path of its shard. */
export type LocatedChunk = Chunk & { readonly path: string };

/** What takes part in an erasure, as of one instant. */
export interface ErasureView {
  /** Those with times in the range, and those that tell what the first and the last time before or after it are. */
  readonly chunks: readonly LocatedChunk[];
  readonly erasures: readonly Erasure[];
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
}

/** Deleted series too: what was acknowledged before is applied. */
export async function readErasureView(
  db: Database,
  seriesId: string,
  startNs: bigint,
  endNs: bigint,
): Promise<ErasureView> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (trx) => {
      const series = await trx
        .selectFrom('series')
        .select(['first_ns', 'last_ns', 'expired_ns'])
        .where('id', '=', seriesId)
        .executeTakeFirstOrThrow();
      const stored = await trx.selectFrom('erasures').selectAll().where('series_id', '=', seriesId).execute();
      const erasures = stored.map((row): Erasure => ({
        generation: row.generation,
        startNs: row.start_ns,
        endNs: row.end_ns,
        beforeRow: Number(row.before_row),
      }));
      if (series.expired_ns !== null) erasures.push(expiry(series.expired_ns));
      // A chunk that nothing was taken out of bounds the search for the first time after the range, and for the last one before.
      const sound = sql`(select * from chunks d where d.series_id = ${seriesId}
        and d.first_ns >= coalesce(${series.expired_ns}::bigint, d.first_ns) and not exists (
          select from erasures e where e.series_id = d.series_id and d.generation < e.generation and d.first_row < e.before_row
            and d.first_ns < e.end_ns and d.last_ns >= e.start_ns))`;
      const chunks = await trx
        .selectFrom('chunks as c')
        .innerJoin('shards as h', 'h.id', 'c.shard_id')
        .selectAll('c')
        .select('h.path')
        .where('c.series_id', '=', seriesId)
        .where(
          sql<boolean>`((c.first_ns < ${endNs} and c.last_ns >= ${startNs})
            or (c.last_ns >= ${endNs} and c.first_ns <= coalesce((select min(first_ns) from ${sound} s where first_ns >= ${endNs}), c.first_ns))
            or (c.first_ns < ${startNs} and c.last_ns >= coalesce((select max(last_ns) from ${sound} s where last_ns < ${startNs}), c.last_ns)))`,
        )
        .orderBy('c.first_row')
        .execute();
      return {
        chunks: chunks.map((row) => ({ ...toChunk(row), path: row.path })),
        erasures,
        firstNs: series.first_ns,
        lastNs: series.last_ns,
      };
    });
}
