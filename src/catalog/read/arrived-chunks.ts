/** Chunks of an irregular series by the order in which their rows came: what has come since a reader looked last. */
import { CompiledQuery } from 'kysely';
import { notFound } from '../../core/errors.ts';
import { expiry, type Erasure } from '../../core/rows/erasure.ts';
import { LOCATION_COLUMNS, toLocation, type ChunkArray } from '../chunks/chunk-location.ts';
import type { Database } from '../database.ts';
import { oneRow } from '../one-row.ts';
import { SERIES_COLUMNS_TEXT, toSeries, type SeriesRow } from '../series/series-row.ts';
import { HELD_COLUMNS, heldChunks, toHeldChunks, type HeldRow } from './held-chunks.ts';
import { inRowOrder, type SampleSnapshot } from './sample-snapshot.ts';

export interface Arrivals {
  /** With the chunks that are taken alone. */
  readonly snapshot: SampleSnapshot;
  /** Rows came with numbers up to this one in the chunks that are taken: there begins the next chunk, or what has not come yet. */
  readonly endRow: number;
}

interface ArrivalsRow extends SeriesRow, HeldRow {
  readonly expired_ns: bigint | null;
  readonly edits: number;
  readonly end_row: bigint;
  readonly chunks: ChunkArray[];
  readonly erasures: [number, string, string, number][] | null;
}

/** Chunks that are looked at. */
const LOOKED_CHUNKS = 500;
const TAKEN = `c.first_row >= (select row from f) and ((select row from e) is null or c.first_row < (select row from e))`;

/** The first row of a chunk beside a row, whichever table it is in. */
const beside = (operator: '<=' | '>', row: string): string => {
  const [order, pick] = operator === '>' ? ['', 'least'] : ['desc', 'greatest'];
  const of = (table: string): string =>
    `(select first_row from ${table} where series_id = $1 and first_row ${operator} ${row} order by first_row ${order} limit 1)`;
  return `select ${pick}(${of('chunks')}, ${of('fresh')}) as row`;
};

const followers = (table: string): string =>
  `(select first_row, rows from ${table} where series_id = $1 and first_row >= (select row from f) order by first_row limit ${LOOKED_CHUNKS + 1})`;

/**
 * $2: rows with lower numbers have been seen, $3: rows that are wanted. A chunk that began before and goes on beyond is taken alone.
 * What a rewriting has put together reaches to the next chunk, even where it has fewer rows.
 * Else as many whole chunks are taken as have no more rows than are wanted, but one at least.
 *
 * Each step is materialized: put into the conditions behind it, as the planner would, the first ones are evaluated a hundred times.
 */
const TEXT = `
  with h as materialized (select rows from heads where series_id = $1),
    b as materialized (${beside('<=', '$2::bigint')}),
    x as materialized (${beside('>', 'coalesce((select row from b), -1)')}),
    f as materialized (
      select case when b.row < $2::bigint and coalesce(x.row, h.rows) > $2::bigint then b.row else $2::bigint end as row from h, b, x),
    e as materialized (
      select case when f.row < $2::bigint then x.row else (
        select min(first_row) from (
          select first_row, row_number() over w as n, sum(rows) over w as rows
          from (select * from (${followers('chunks')} union all ${followers('fresh')}) c order by first_row limit ${LOOKED_CHUNKS + 1}) c
          window w as (order by first_row)) c
        where n > 1 and (rows > $3::bigint or n > ${LOOKED_CHUNKS})) end as row from f, x)
  select ${SERIES_COLUMNS_TEXT}, h.expired_ns, h.edits, coalesce((select row from e), h.rows) as end_row, ${HELD_COLUMNS},
    coalesce((
      select json_agg(json_build_array(${LOCATION_COLUMNS}) order by c.first_row)
      from located_chunks c where c.series_id = s.id and c.values is null and ${TAKEN}), '[]') as chunks,
    case when h.edits > 0 then (
      select json_agg(json_build_array(generation, start_ns::text, end_ns::text, before_row) order by generation)
      from erasures where series_id = s.id) end as erasures
  from series s join heads h on h.series_id = s.id join projects p on p.id = s.project_id
  ${heldChunks(TAKEN)}
  where s.deleted_at is null and s.id = $1::uuid`;

/**
 * @param fromRow rows with lower numbers, in the order of arrival, are not wanted
 * @param most rows of whole chunks; one chunk alone may have more
 * @throws not-found
 */
export async function readArrivals(db: Database, seriesId: string, fromRow: number, most: number): Promise<Arrivals> {
  const { rows } = await db.executeQuery<ArrivalsRow>(CompiledQuery.raw(TEXT, [seriesId, fromRow, most]));
  const [row] = rows;
  if (!row) throw notFound('series', seriesId);
  const erasures = (row.erasures ?? []).map(([generation, startNs, endNs, beforeRow]): Erasure => ({
    generation,
    startNs: BigInt(startNs),
    endNs: BigInt(endNs),
    beforeRow,
  }));
  if (row.expired_ns !== null) erasures.push(expiry(row.expired_ns));
  return {
    snapshot: {
      series: toSeries(row),
      segments: [],
      chunks: inRowOrder([...row.chunks.map(toLocation), ...toHeldChunks(row)]),
      completeTo: null,
      isCut: false,
      hasMoreHeld: false,
      edits: row.edits,
      holes: [],
      erasures,
      expiredNs: row.expired_ns,
    },
    endRow: Number(row.end_row),
  };
}

/** The latest time of rows that came before one, as far as their chunks tell. @returns null: there are none */
export async function latestBefore(db: Database, seriesId: string, row: number): Promise<bigint | null> {
  const { rows } = await db.executeQuery<{ last_ns: bigint | null }>(
    CompiledQuery.raw(
      'select max(last_ns) as last_ns from located_chunks where series_id = $1 and first_row < $2::bigint',
      [seriesId, row],
    ),
  );
  return oneRow(rows).last_ns;
}
