/** Clock marks: what clients said that the time of rows is. */
import { sql } from 'kysely';
import type { ClockMark } from '../../core/signal/place-run.ts';
import type { RowRange } from '../../core/signal/segment.ts';
import type { Database } from '../database.ts';

/** Lists clock marks, in order of rows. @param after the row that the page before ended with */
export async function listMarks(
  db: Database,
  seriesId: string,
  { limit, after }: { readonly limit: number; readonly after: number | null },
): Promise<ClockMark[]> {
  const rows = await db
    .selectFrom('clock_marks')
    .select(['row', 'ns'])
    .where('series_id', '=', seriesId)
    .where('row', '>', BigInt(after ?? -1))
    .orderBy('row')
    .limit(limit)
    .execute();
  return rows.map(({ row, ns }) => ({ row: Number(row), ns }));
}

/** The clock marks of a range of rows, and the next one on either side, in order of rows. */
export async function marksAround(db: Database, seriesId: string, { from, to }: RowRange): Promise<ClockMark[]> {
  const { rows } = await sql<{ row: bigint; ns: bigint }>`
    select row, ns from clock_marks k where series_id = ${seriesId}
      and row >= coalesce((select max(row) from clock_marks where series_id = ${seriesId} and row <= ${from}::bigint), ${from}::bigint)
      and row <= coalesce((select min(row) from clock_marks where series_id = ${seriesId} and row >= ${to}::bigint), ${to}::bigint)
    order by row`.execute(db);
  return rows.map(({ row, ns }) => ({ row: Number(row), ns }));
}
