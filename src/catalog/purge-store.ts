/** Deleted series whose deadline has passed: what is left of them is dead, and when it is off the disk, they go. */
import { sql, type RawBuilder } from 'kysely';
import { RESTORE_DAYS } from '../core/retention.ts';
import type { Database } from './database.ts';

/** A restore that began before the deadline has ended by then. */
const GRACE_HOURS = 1;

/** Never null. @param series alias of the table */
export function isPurgeable(series: string): RawBuilder<boolean> {
  return sql<boolean>`coalesce(${sql.ref(`${series}.deleted_at`)}
    < now() - make_interval(days => ${RESTORE_DAYS}, hours => ${GRACE_HOURS}), false)`;
}

/** Lets compaction look at them. */
export async function maskPurgeable(db: Database): Promise<void> {
  await sql`
    update series s set masked = true where ${isPurgeable('s')} and deleted_at is not null and not masked`.execute(db);
}

/**
 * Removes series of which no chunk, summary or pending write is left. What was told of them in the change feed stays.
 * @returns how many, at most `limit`
 */
export async function purgeSeries(db: Database, limit: number): Promise<number> {
  return db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ id: string; lane_id: string }>`
      select id, lane_id from series s
      where ${isPurgeable('s')} and deleted_at is not null
        and not exists (select from chunks c where c.series_id = s.id)
        and not exists (select from summaries y where y.series_id = s.id)
        and not exists (select from writes w where w.lane_id = s.lane_id and w.series_id = s.id and w.state = 'pending')
      order by id limit ${limit} for update skip locked`.execute(trx);
    if (rows.length === 0) return 0;
    const ids = sql<string>`any(${rows.map(({ id }) => id)}::uuid[])`;
    for (const table of ['annotations', 'segments', 'holes', 'erasures', 'writes'] as const) {
      await trx.deleteFrom(table).where('series_id', '=', ids).execute();
    }
    await trx.deleteFrom('series').where('id', '=', ids).execute();
    await sql`
      update lanes l set series_count = series_count - g.n
      from (select id, count(*)::int as n from unnest(${rows.map((row) => row.lane_id)}::uuid[]) as id group by id) g
      where l.id = g.id`.execute(trx);
    return rows.length;
  });
}
