/** The one transaction that makes samples exist. */
import { sql } from 'kysely';
import type { Chunk } from '../core/chunk.ts';
import { VarveError } from '../core/errors.ts';
import type { Segment } from '../core/segment.ts';
import { CHUNK_COLUMNS, CHUNK_RECORD, chunkRecord } from './chunk-row.ts';
import { nextCommit } from './commit-number.ts';
import type { Database } from './database.ts';

/** Postgres channel on which every publish is announced (to wake those who wait; the rows are the truth). */
export const COMMIT_CHANNEL = 'varve_commits';

export interface PublishedSeries {
  readonly seriesId: string;
  /** New chunks, and chunks that grew. */
  readonly chunks: readonly Chunk[];
  /** New segments, and the one that grew. */
  readonly segments: readonly Segment[];
  /** Rows before and after. */
  readonly fromRow: number;
  readonly toRow: number;
  /** Smallest and largest time of the series after this commit. */
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
}

export interface Publication {
  readonly laneId: string;
  readonly token: bigint;
  readonly shard: { readonly id: string; readonly path: string; readonly bytes: number };
  /** The shard is full: the next drain starts a new one. */
  readonly retire: boolean;
  readonly series: readonly PublishedSeries[];
  readonly writes: ReadonlyArray<{ readonly id: string; readonly firstRow: number }>;
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

    const commit = await nextCommit(trx);
    const advanced = series.map((s) => ({
      id: s.seriesId,
      from_row: s.fromRow,
      to_row: s.toRow,
      first_ns: s.firstNs?.toString() ?? null,
      last_ns: s.lastNs?.toString() ?? null,
    }));
    await sql`
      with advanced as (
        select * from jsonb_to_recordset(${JSON.stringify(advanced)}::jsonb)
          as a(id uuid, from_row bigint, to_row bigint, first_ns bigint, last_ns bigint)),
      moved as (
        update series s set rows = a.to_row, first_ns = a.first_ns, last_ns = a.last_ns, "commit" = ${commit}, updated_at = now()
        from advanced a where s.id = a.id returning s.id, s.project_id, a.from_row, a.to_row)
      insert into changes ("commit", ordinal, project_id, series_id, kind, first_row, rows)
      select ${commit}, row_number() over (order by id), project_id, id, 'append', from_row, to_row - from_row
      from moved`.execute(trx);
    await sql`
      update writes w set state = 'applied', first_row = a.first_row, "commit" = ${commit}, applied_at = now(),
        value_bytes = null, time_bytes = null
      from jsonb_to_recordset(${JSON.stringify(publication.writes.map((w) => ({ id: w.id, first_row: w.firstRow })))}::jsonb)
        as a(id uuid, first_row bigint)
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
