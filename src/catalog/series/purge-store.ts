/** Deleted series: when their deletion becomes final what is left of them is dead, and when it is off the disk, they go. */
import { sql, type RawBuilder } from 'kysely';
import { RESTORE_DAYS } from '../../core/upkeep/retention.ts';
import { commitChanges, type Change } from '../commit-feed.ts';
import type { Database } from '../database.ts';
import { dropEmptyRecordings } from './recording-store.ts';

/** Never null. Once true it stays so, and the next rewriting drops all that the series has. @param head alias of `heads` */
export function isPurgeable(head: string): RawBuilder<boolean> {
  return sql<boolean>`(${sql.ref(`${head}.purged_at`)} is not null)`;
}

/**
 * Makes deletions final that could be undone until now. A restore takes the same locks, so that it comes before or after.
 * @returns how many, at most `limit`
 */
export async function finishDeletions(db: Database, limit: number): Promise<number> {
  return db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ id: string; project_id: string }>`
      select s.id, s.project_id from series s
      where s.deleted_at <= now() - make_interval(days => ${RESTORE_DAYS})
        and exists (select from heads h where h.series_id = s.id and h.purged_at is null)
      order by s.id limit ${limit} for no key update of s skip locked`.execute(trx);
    if (rows.length === 0) return 0;
    // Seen before its lock was waited for, a series may be final by now.
    const { rows: heads } = await sql<{ series_id: string }>`
      select series_id from heads where series_id = any(${rows.map(({ id }) => id)}::uuid[]) and purged_at is null
      order by series_id for no key update`.execute(trx);
    const open = new Set(heads.map((head) => head.series_id));
    const changes = rows
      .filter(({ id }) => open.has(id))
      .map(({ id, project_id }): Change => ({ seriesId: id, projectId: project_id, kind: 'purge', tokenId: null }));
    await commitChanges(trx, changes, {
      also: [sql`update heads set purged_at = now() from k where series_id = any(${[...open]}::uuid[])`],
    });
    return changes.length;
  });
}

/** Tables that have rows of a series, beside chunks and summaries. */
const DEPENDENT = [
  'annotations',
  'closed_segments',
  'clock_marks',
  'holes',
  'erasures',
  'append_keys',
  'fresh',
  'heads',
] as const;

/**
 * Removes series of which no chunk or summary is left, but for fresh chunks that cannot be read. What was told of them in the feed of changes stays.
 * @returns how many, at most `limit`
 */
export async function purgeSeries(db: Database, limit: number): Promise<number> {
  return db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ id: string; lane_id: string; recording_id: string | null }>`
      select s.id, h.lane_id, s.recording_id from series s join heads h on h.series_id = s.id
      where ${isPurgeable('h')}
        and not exists (select from chunks c where c.series_id = s.id)
        and not exists (select from summaries y where y.series_id = s.id)
        and not exists (select from fresh f where f.series_id = s.id and f.damaged_at is null)
      order by s.id limit ${limit} for update of s skip locked`.execute(trx);
    if (rows.length === 0) return 0;
    const ids = sql<string>`any(${rows.map(({ id }) => id)}::uuid[])`;
    await sql`select from heads where series_id = ${ids} order by series_id for update`.execute(trx);
    for (const table of DEPENDENT) await trx.deleteFrom(table).where('series_id', '=', ids).execute();
    await trx.deleteFrom('series').where('id', '=', ids).execute();
    await dropEmptyRecordings(
      trx,
      rows.flatMap((row) => row.recording_id ?? []),
    );
    await sql`
      update lanes l set series_count = series_count - g.n
      from (select id, count(*)::int as n from unnest(${rows.map((row) => row.lane_id)}::uuid[]) as id group by id) g
      where l.id = g.id`.execute(trx);
    return rows.length;
  });
}
