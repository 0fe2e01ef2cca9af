/** Series that were deleted and can still be restored. */
import { sql } from 'kysely';
import type { Series } from '../../core/signal/series.ts';
import { RESTORE_DAYS } from '../../core/upkeep/retention.ts';
import type { Database } from '../database.ts';
import { SERIES_COLUMNS, toSeries } from './series-row.ts';

export interface DeletedSeries {
  readonly series: Series;
  readonly deletedAt: Date;
  readonly restorableUntil: Date;
}

/** Where a page ended: the deletion of its last series, as Postgres writes it, and its id. */
export interface TrashPosition {
  readonly deletedAt: string;
  readonly id: string;
}

/** Lists them, those that were deleted last first. @param page with ids of projects; null: all */
export async function listDeleted(
  db: Database,
  page: {
    readonly projectIds: readonly string[] | null;
    readonly limit: number;
    readonly after: TrashPosition | null;
  },
): Promise<{ items: DeletedSeries[]; after: TrashPosition | null }> {
  const { projectIds, limit, after } = page;
  let query = db
    .selectFrom('series as s')
    .innerJoin('heads as h', 'h.series_id', 's.id')
    .innerJoin('projects as p', 'p.id', 's.project_id')
    .select(SERIES_COLUMNS)
    .select(sql<Date>`s.deleted_at`.as('deleted_at'))
    .select(sql<string>`s.deleted_at::text`.as('deleted_text'))
    .select(sql<Date>`s.deleted_at + make_interval(days => ${RESTORE_DAYS})`.as('restorable_until'))
    .where(sql<boolean>`s.deleted_at > now() - make_interval(days => ${RESTORE_DAYS})`)
    .where('h.purged_at', 'is', null)
    .orderBy('s.deleted_at', 'desc')
    .orderBy('s.id', 'desc')
    .limit(limit + 1);
  if (projectIds) query = query.where('s.project_id', '=', sql<string>`any(${[...projectIds]}::uuid[])`);
  if (after)
    query = query.where(sql<boolean>`(s.deleted_at, s.id) < (${after.deletedAt}::timestamptz, ${after.id}::uuid)`);
  const rows = await query.execute();
  const shown = rows.slice(0, limit);
  const last = rows.length > limit ? shown.at(-1) : undefined;
  return {
    items: shown.map((row) => ({
      series: toSeries(row),
      deletedAt: row.deleted_at,
      restorableUntil: row.restorable_until,
    })),
    after: last ? { deletedAt: last.deleted_text, id: last.id } : null,
  };
}
