/** The one transaction that makes samples exist. */
import { sql } from 'kysely';
import type { Chunk } from '../core/chunk.ts';
import type { Erasure } from '../core/erasure.ts';
import { VarveError } from '../core/errors.ts';
import type { RowRange, Segment } from '../core/segment.ts';
import { CHUNK_COLUMNS, CHUNK_RECORD, chunkRecord } from './chunk-row.ts';
import { nextCommit } from './commit-number.ts';
import type { Database, DatabaseTransaction } from './database.ts';

/** Postgres channel on which every publish is announced (to wake those who wait; the rows are the truth). */
export const COMMIT_CHANNEL = 'varve_commits';

export interface PublishedSeries {
  readonly seriesId: string;
  /** New chunks, and chunks that grew. */
  readonly chunks: readonly Chunk[];
  /** New segments, and the one that grew. */
  readonly segments: readonly Segment[];
  /** Rows after this commit. */
  readonly toRow: number;
  /** Smallest and largest time of the series after this commit. */
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
  /** What edits have changed besides chunks; null: there were none. */
  readonly masks: PublishedMasks | null;
  /** For the change feed, in their order. */
  readonly changes: readonly PublishedChange[];
}

export interface PublishedMasks {
  /** More rows that are removed; negative where more were replaced. */
  readonly removed: number;
  /** Regular: holes that are no more, or not as they were, and those that are new. */
  readonly holesGone: readonly RowRange[];
  readonly holesNew: readonly RowRange[];
  readonly erasures: readonly Erasure[];
}

export interface PublishedChange {
  readonly kind: 'append' | 'update' | 'delete';
  /** Null: an irregular series' rows of a time have no numbers of their own. */
  readonly firstRow: number | null;
  readonly rows: number | null;
}

export interface PublishedWrite {
  readonly id: string;
  readonly firstRow: number | null;
  readonly removed: number | null;
}

export interface Publication {
  readonly laneId: string;
  readonly token: bigint;
  readonly shard: { readonly id: string; readonly path: string; readonly bytes: number };
  /** To the disk, for this commit. */
  readonly writtenBytes: number;
  /** The shard is full: the next drain starts a new one. */
  readonly retire: boolean;
  readonly series: readonly PublishedSeries[];
  readonly writes: readonly PublishedWrite[];
}

/**
 * Inserts chunks, advances the series, marks the writes applied, appends to the change feed and releases the lease.
 * @returns the commit number
 * @throws conflict `lease-lost` if another worker has claimed the lane since; nothing is changed then
 */
export async function publish(db: Database, publication: Publication): Promise<bigint> {
  const { laneId, token, shard, series } = publication;
  return db.transaction().execute(async (trx) => {
    const lane = await trx
      .selectFrom('lanes')
      .select('id')
      .where('id', '=', laneId)
      .where('lease_token', '=', token)
      .forNoKeyUpdate()
      .executeTakeFirst();
    if (!lane) throw new VarveError('conflict', `lane ${laneId} was taken over`, { slug: 'lease-lost' });
    await trx
      .insertInto('shards')
      .values({ id: shard.id, lane_id: laneId, state: 'hot', path: shard.path, bytes: shard.bytes, lease_token: token })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ bytes: shard.bytes }))
      .execute();
    if (publication.retire)
      await trx.updateTable('shards').set({ state: 'retired' }).where('id', '=', shard.id).execute();

    // Locked before the commit counter: whoever changes metadata takes the two in the same order. "No key" locks throughout the
    // catalog: they let the foreign keys of rows that refer to a lane or series pass, where a full lock would make two transactions wait for each other.
    const ids = series.map((s) => s.seriesId);
    await sql`select id from series where id = any(${ids}::uuid[]) order by id for no key update`.execute(trx);
    const chunks = JSON.stringify(series.flatMap((s) => s.chunks.map(chunkRecord)));
    await sql`
      insert into chunks (${CHUNK_COLUMNS})
      select ${CHUNK_COLUMNS} from jsonb_to_recordset(${chunks}::jsonb) as c(${CHUNK_RECORD})
      on conflict (series_id, first_row, generation) do update set
        rows = excluded.rows, first_ns = excluded.first_ns, last_ns = excluded.last_ns, sorted = excluded.sorted,
        values_crc = excluded.values_crc, times_crc = excluded.times_crc,
        counts = excluded.counts, mins = excluded.mins, maxs = excluded.maxs, sums = excluded.sums`.execute(trx);
    const segments = series.flatMap((s) =>
      s.segments.map((segment) => ({
        series_id: s.seriesId,
        first_row: segment.firstRow,
        start_ns: segment.startNs.toString(),
        rows: segment.rows,
      })),
    );
    if (segments.length > 0) {
      await sql`
        insert into segments (series_id, first_row, start_ns, rows)
        select series_id, first_row, start_ns, rows from jsonb_to_recordset(${JSON.stringify(segments)}::jsonb)
          as s(series_id uuid, first_row bigint, start_ns bigint, rows bigint)
        on conflict (series_id, first_row) do update set rows = excluded.rows`.execute(trx);
    }

    await publishMasks(trx, series);
    const commit = await nextCommit(trx, {
      writeIds: publication.writes.map(({ id }) => id),
      writtenBytes: publication.writtenBytes,
    });
    const advanced = series.map((s) => ({
      id: s.seriesId,
      to_row: s.toRow,
      first_ns: s.firstNs?.toString() ?? null,
      last_ns: s.lastNs?.toString() ?? null,
      removed: s.masks?.removed ?? 0,
      masked: s.masks !== null,
    }));
    await sql`
      update series s set rows = a.to_row, first_ns = a.first_ns, last_ns = a.last_ns, removed = s.removed + a.removed,
        masked = s.masked or a.masked, "commit" = ${commit}, updated_at = now()
      from jsonb_to_recordset(${JSON.stringify(advanced)}::jsonb)
        as a(id uuid, to_row bigint, first_ns bigint, last_ns bigint, removed bigint, masked boolean)
      where s.id = a.id`.execute(trx);
    const changes = series.flatMap((s) =>
      s.changes.map((change, n) => ({
        id: s.seriesId,
        n,
        kind: change.kind,
        first_row: change.firstRow,
        rows: change.rows,
      })),
    );
    await sql`
      insert into changes ("commit", ordinal, project_id, series_id, kind, first_row, rows)
      select ${commit}, row_number() over (order by c.id, c.n), s.project_id, c.id, c.kind, c.first_row, c.rows
      from jsonb_to_recordset(${JSON.stringify(changes)}::jsonb) as c(id uuid, n integer, kind text, first_row bigint, rows bigint)
      join series s on s.id = c.id`.execute(trx);
    const writes = publication.writes.map((w) => ({ id: w.id, first_row: w.firstRow, removed: w.removed }));
    await sql`
      update writes w set state = 'applied', first_row = a.first_row, removed = a.removed, "commit" = ${commit}, applied_at = now(),
        value_bytes = null, time_bytes = null
      from jsonb_to_recordset(${JSON.stringify(writes)}::jsonb) as a(id uuid, first_row bigint, removed bigint)
      where w.id = a.id`.execute(trx);
    await trx
      .updateTable('lanes')
      .set({
        lease_holder: null,
        lease_expires_at: null,
        failures: 0,
        outages: 0,
        resting_until: null,
        hot_shard_id: publication.retire ? null : shard.id,
      })
      .where('id', '=', laneId)
      .execute();
    await sql`select pg_notify(${COMMIT_CHANNEL}, ${commit.toString()})`.execute(trx);
    return commit;
  });
}

/** What readers skip from now on, and no longer. */
async function publishMasks(trx: DatabaseTransaction, series: readonly PublishedSeries[]): Promise<void> {
  const edited = series.flatMap(({ seriesId, masks }) => (masks ? [{ seriesId, masks }] : []));
  if (edited.length === 0) return;
  const gone = edited.flatMap(({ seriesId, masks }) =>
    masks.holesGone.map(({ from }) => ({ series_id: seriesId, from_row: from })),
  );
  await sql`
    delete from holes h using jsonb_to_recordset(${JSON.stringify(gone)}::jsonb) as g(series_id uuid, from_row bigint)
    where h.series_id = g.series_id and h.from_row = g.from_row`.execute(trx);
  const holes = edited.flatMap(({ seriesId, masks }) =>
    masks.holesNew.map(({ from, to }) => ({ series_id: seriesId, from_row: from, to_row: to })),
  );
  await sql`
    insert into holes (series_id, from_row, to_row)
    select * from jsonb_to_recordset(${JSON.stringify(holes)}::jsonb) as h(series_id uuid, from_row bigint, to_row bigint)`.execute(
    trx,
  );
  const erasures = edited.flatMap(({ seriesId, masks }) =>
    masks.erasures.map((each) => ({
      series_id: seriesId,
      generation: each.generation,
      start_ns: each.startNs.toString(),
      end_ns: each.endNs.toString(),
      before_row: each.beforeRow,
    })),
  );
  await sql`
    insert into erasures (series_id, generation, start_ns, end_ns, before_row)
    select * from jsonb_to_recordset(${JSON.stringify(erasures)}::jsonb)
      as e(series_id uuid, generation integer, start_ns bigint, end_ns bigint, before_row bigint)`.execute(trx);
}
