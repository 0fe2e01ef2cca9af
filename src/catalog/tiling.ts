/** Whether the rows of series are covered: each exactly once by a chunk and, in a regular series, by a segment. */
import { sql, type RawBuilder } from 'kysely';
import type { Database } from './database.ts';

/** Where coverage breaks. `to` > `from`: nothing covers `[from, to)`; `to` < `from`: `[to, from)` is covered twice, or past the end. */
export interface TilingBreak {
  readonly seriesId: string;
  readonly what: 'chunks' | 'segments';
  readonly from: number;
  readonly to: number;
}

/** A segment that begins before the one before it has ended. */
export interface SegmentOverlap {
  readonly seriesId: string;
  readonly firstRow: number;
}

/** @param only these series; null: all */
export async function tilingBreaks(db: Database, only: readonly string[] | null): Promise<TilingBreak[]> {
  const breaks: TilingBreak[] = [];
  for (const what of ['chunks', 'segments'] as const) {
    const counts = what === 'chunks' ? sql`true` : sql`s.kind = 'regular'`;
    const { rows } = await sql<{ id: string; due: bigint; found: bigint }>`
      with tiles as (select series_id, first_row, first_row + rows as after from ${sql.table(what)} ${where('series_id', only)})
      select series_id as id, due, first_row as found
      from (select series_id, first_row, coalesce(lag(after) over (partition by series_id order by first_row), 0) as due from tiles) t
      where first_row <> due
      union all
      select s.id, coalesce(e.due, 0), s.rows
      from series s left join (select series_id, max(after) as due from tiles group by series_id) e on e.series_id = s.id
      where s.rows <> coalesce(e.due, 0) and ${counts} and ${only ? sql`s.id = any(${[...only]}::uuid[])` : sql`true`}
      order by 1, 2`.execute(db);
    breaks.push(...rows.map(({ id, due, found }) => ({ seriesId: id, what, from: Number(due), to: Number(found) })));
  }
  return breaks;
}

/** @param only these series; null: all */
export async function segmentOverlaps(db: Database, only: readonly string[] | null): Promise<SegmentOverlap[]> {
  // Numerics, as a rate is an exact fraction; div() cuts as floor does, rows not being negative.
  const { rows } = await sql<{ id: string; first_row: bigint }>`
    select g.series_id as id, g.first_row
    from (select series_id, first_row, start_ns, lag(start_ns) over w as before_ns, lag(rows) over w as before_rows
      from segments ${where('series_id', only)} window w as (partition by series_id order by first_row)) g
    join series s on s.id = g.series_id
    where g.before_ns is not null and s.rate is not null and g.start_ns < g.before_ns + div(
      g.before_rows::numeric * 1000000000 * split_part(s.rate, '/', 2)::numeric, split_part(s.rate, '/', 1)::numeric)
    order by 1, 2`.execute(db);
  return rows.map((row) => ({ seriesId: row.id, firstRow: Number(row.first_row) }));
}

function where(column: string, only: readonly string[] | null): RawBuilder<unknown> {
  return only ? sql`where ${sql.ref(column)} = any(${[...only]}::uuid[])` : sql``;
}
