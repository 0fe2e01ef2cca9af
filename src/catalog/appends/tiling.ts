/**
 * Whether the rows of series are covered. Those of regular series are, if a chunk and a segment cover each, and no two
 * chunks of one generation do.
 */
import { sql, type RawBuilder } from 'kysely';
import { parseRate, type Rate } from '../../core/signal/rate.ts';
import { uniteRows, withoutRows } from '../../core/signal/row-ranges.ts';
import { rowsBefore, type RowRange } from '../../core/signal/segment.ts';
import type { Database } from '../database.ts';
import { holesOf, readSegments } from './edit-store.ts';
import { sessionOf } from '../session.ts';

/** Where coverage breaks. `to` > `from`: nothing covers `[from, to)`; `to` < `from`: `[to, from)` is covered twice, or past the end. */
export interface TilingBreak {
  readonly seriesId: string;
  readonly what: 'chunks' | 'segments';
  readonly from: number;
  readonly to: number;
}

/** A segment that begins before the last row of the one before it in time. */
export interface SegmentOverlap {
  readonly seriesId: string;
  readonly firstRow: number;
}

/**
 * Finds where the chunks of a series do not tile its rows. Fresh chunks count as those in shards do, and chunks of
 * different generations may cover each other. Rows that were removed or have expired may be in no chunk. Where others
 * have taken their time, they may be in no segment either. An irregular series need not have all numbers: compaction
 * leaves some out.
 * @param only these series; null: all
 */
export async function tilingBreaks(db: Database, only: readonly string[] | null): Promise<TilingBreak[]> {
  const breaks: TilingBreak[] = [];
  for (const what of ['chunks', 'segments'] as const) {
    const tiles =
      what === 'segments'
        ? sql`select series_id, 0 as layer, first_row, rows from segments ${where('series_id', only)}`
        : sql`select series_id, generation as layer, first_row, rows from chunks ${where('series_id', only)}
          union all select series_id, generation, first_row, rows from fresh ${where('series_id', only)}`;
    const isRegular = sql`s.kind = 'regular'`;
    const { rows } = await sql<{ id: string; due: bigint; found: bigint; expired: bigint | null; rate: string | null }>`
      with tiles as (
        select series_id, layer, first_row, first_row + rows as after from (${tiles}) t),
      ends as (select series_id, max(after) as after from tiles group by series_id),
      spaces as (
        select series_id, due, first_row as found
        from (select series_id, first_row, coalesce(max(after) over (
          partition by series_id order by first_row rows between unbounded preceding and 1 preceding), 0) as due from tiles) t
        where first_row > due
        union all
        select h.series_id, coalesce(e.after, 0), h.rows from heads h left join ends e on e.series_id = h.series_id
        where h.rows > coalesce(e.after, 0))
      select p.series_id as id, p.due, p.found, h.expired_ns as expired, s.rate
      from spaces p join series s on s.id = p.series_id join heads h on h.series_id = p.series_id
      where ${isRegular} and ${chosen(only)} and not (p.found - p.due <= (
          select coalesce(sum(least(o.to_row, p.found) - greatest(o.from_row, p.due)), 0) from holes o
          where o.series_id = p.series_id and o.from_row < p.found and o.to_row > p.due))
      union all
      select series_id, due, first_row, null, null
      from (select series_id, first_row, lag(after) over (partition by series_id, layer order by first_row) as due from tiles) t
      where first_row < due
      union all
      select h.series_id, e.after, h.rows, null, null from ends e join heads h on h.series_id = e.series_id where e.after > h.rows
      order by 1, 2`.execute(db);
    for (const { id, due, found, expired, rate } of rows) {
      const range = { from: Number(due), to: Number(found) };
      if (expired !== null && (await hasExpired(db, id, parseRate(rate!)!, expired, range))) continue;
      breaks.push({ seriesId: id, what, ...range });
    }
  }
  return breaks;
}

/** Whether nothing of a range was to be there, because it has expired or was removed. */
async function hasExpired(
  db: Database,
  seriesId: string,
  rate: Rate,
  expiredNs: bigint,
  range: RowRange,
): Promise<boolean> {
  const session = sessionOf(db);
  const expired = rowsBefore(await readSegments(session, seriesId), rate, range.to, expiredNs);
  return withoutRows([range], uniteRows(expired, await holesOf(session, seriesId))).length === 0;
}

/** @param only these series; null: all */
export async function segmentOverlaps(db: Database, only: readonly string[] | null): Promise<SegmentOverlap[]> {
  // Numerics, as a rate is an exact fraction; div() cuts as floor does, rows not being negative.
  const { rows } = await sql<{ id: string; first_row: bigint }>`
    select g.series_id as id, g.first_row
    from (select series_id, first_row, start_ns, lag(start_ns) over w as before_ns, lag(rows) over w as before_rows, lag(skip) over w as skip
      from segments ${where('series_id', only)} window w as (partition by series_id order by start_ns)) g
    join series s on s.id = g.series_id
    where g.before_ns is not null and s.rate is not null and g.start_ns <= g.before_ns
      + div((g.skip + g.before_rows - 1)::numeric * 1000000000 * split_part(s.rate, '/', 2)::numeric, split_part(s.rate, '/', 1)::numeric)
      - div(g.skip::numeric * 1000000000 * split_part(s.rate, '/', 2)::numeric, split_part(s.rate, '/', 1)::numeric)
    order by 1, 2`.execute(db);
  return rows.map((row) => ({ seriesId: row.id, firstRow: Number(row.first_row) }));
}

function chosen(only: readonly string[] | null): RawBuilder<unknown> {
  return only ? sql`s.id = any(${[...only]}::uuid[])` : sql`true`;
}

function where(column: string, only: readonly string[] | null): RawBuilder<unknown> {
  return only ? sql`where ${sql.ref(column)} = any(${[...only]}::uuid[])` : sql``;
}
