/** Facets: how often each value occurs among the series that a search finds. */
import { sql, type RawBuilder } from 'kysely';
import { nameKey } from '../../core/same-name.ts';
import type { FacetKey, FacetValue, SearchRequest } from '../../core/tags/search-request.ts';
import type { TagScalar } from '../../core/signal/tag-value.ts';
import type { DatabaseTransaction } from '../database.ts';
import { seriesInReach, type ProjectScope } from './search-store.ts';
import { fieldValue } from './tag-condition.ts';
import { estimateRows } from './explain-search.ts';

/** Up to so many series are counted one by one … */
export const MAX_COUNTED_SERIES = 10_000;
/** … of more, so many of all ages are looked at, and counts are reckoned from them. */
const SAMPLED_SERIES = 5_000;
/** The most frequent values of each facet. */
const MAX_VALUES = 100;

interface ValueRow {
  readonly at: number;
  readonly value: TagScalar;
  readonly series: number;
}

/**
 * A value of a list counts for itself; quantities count as they were given.
 * @returns by name of the facet, the most frequent value first
 */
export async function countFacets(
  trx: DatabaseTransaction,
  { where, facets }: Pick<SearchRequest, 'where' | 'facets'>,
  scope: ProjectScope,
): Promise<Record<string, FacetValue[]>> {
  const found = sql`from series s where ${seriesInReach(where, scope)}`;
  const expected = await estimateRows(trx, sql`select ${found}`);
  const firstOnes = (): Promise<Counted> => countOf(trx, facets, sql`${found} limit ${MAX_COUNTED_SERIES + 1}`);
  // What is surely too much is not looked at twice.
  let first = expected > MAX_COUNTED_SERIES ? null : await firstOnes();
  if (first && first.looked <= MAX_COUNTED_SERIES) return toFacets(facets, first.rows, null);
  const spread = await countOf(trx, facets, await spreadOver(trx, where, scope, expected));
  // Far fewer than were expected: they may be few enough to be counted.
  if (spread.looked < SAMPLED_SERIES / 4) first ??= await firstOnes();
  if (first && first.looked <= MAX_COUNTED_SERIES) return toFacets(facets, first.rows, null);
  const { rows, looked } = first && first.looked > 4 * spread.looked ? first : spread;
  return toFacets(facets, rows, Math.max(1, expected / Math.max(1, looked)));
}

interface Counted {
  readonly rows: readonly ValueRow[];
  readonly looked: number;
}

/**
 * A part of the series that are found, of all ages. It takes the first series of each hundredth of the catalog in the
 * order of ids, which is that of creation. These are a hundred index ranges, which cost as much as the first series
 * would.
 */
async function spreadOver(
  trx: DatabaseTransaction,
  where: SearchRequest['where'],
  scope: ProjectScope,
  expected: number,
): Promise<RawBuilder<unknown>> {
  const { rows } = await sql<{ bounds: string[] | null }>`
    select histogram_bounds::text::uuid[]::text[] as bounds from pg_stats
    where schemaname = current_schema and tablename = 'series' and attname = 'id'`.execute(trx);
  const bounds = rows[0]?.bounds ?? [];
  if (bounds.length < 2) return sql`from series s where ${seriesInReach(where, scope)} limit ${SAMPLED_SERIES}`;
  const ranges = partsOf(bounds, SAMPLED_SERIES / expected);
  const most = Math.ceil((2 * SAMPLED_SERIES) / ranges.length);
  return sql`from unnest(${ranges.map(({ from }) => from)}::uuid[], ${ranges.map(({ to }) => to)}::uuid[]) as w(from_id, to_id)
    cross join lateral (
      select s.* from series s where ${seriesInReach(where, scope, WITHIN)} limit ${most}) s`;
}

const WITHIN = { from: sql.ref('w.from_id'), to: sql.ref('w.to_id') };

/**
 * The first share of each range between neighbouring bounds. What is behind the last bound is left out: it is new since
 * they were taken.
 */
function partsOf(bounds: readonly string[], share: number): { from: string; to: string }[] {
  const perMillion = BigInt(Math.max(1, Math.min(1_000_000, Math.round(share * 1_000_000))));
  const [first, ...others] = bounds;
  let from = first;
  return others.map((next) => {
    const [begin, end] = [from ?? next, next];
    from = next;
    return { from: begin, to: toId(toNumber(begin) + ((toNumber(end) - toNumber(begin)) * perMillion) / 1_000_000n) };
  });
}

function toNumber(id: string): bigint {
  return BigInt(`0x${id.replaceAll('-', '')}`);
}

function toId(number: bigint): string {
  return number
    .toString(16)
    .padStart(32, '0')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** @param from what is looked at: rows `s` of series */
async function countOf(
  trx: DatabaseTransaction,
  facets: SearchRequest['facets'],
  from: RawBuilder<unknown>,
): Promise<Counted> {
  // Lists are taken apart when few are left: most series share their values.
  const groups = facets.map((_, at) => {
    const value = sql.ref(`f${at}`);
    return sql`select ${at}::integer as at, ${value} as value, count(*) as series from looked group by ${value}`;
  });
  const { rows } = await sql<ValueRow & { looked: number }>`
    with looked as materialized (
      select ${sql.join(facets.map((key, at) => sql`${facetValue(key)} as ${sql.ref(`f${at}`)}`))} ${from}
    ), given as (
      ${sql.join(groups, sql` union all `)}
    ), counted as (
      select g.at, e.value, sum(g.series)::integer as series
      from given g cross join lateral jsonb_array_elements(
        case jsonb_typeof(g.value) when 'array' then g.value else jsonb_build_array(g.value) end) e(value)
      where g.value is not null group by 1, 2
    ), ranked as (
      select c.*, row_number() over (partition by at order by series desc, value) as place from counted c
    )
    select at, value, series, (select count(*)::integer from looked) as looked from ranked
    where place <= ${MAX_VALUES} order by at, place`.execute(trx);
  return { rows, looked: rows[0]?.looked ?? 0 };
}

/** @param scale how many series one stands for; null: counted one by one */
function toFacets(
  facets: SearchRequest['facets'],
  rows: readonly ValueRow[],
  scale: number | null,
): Record<string, FacetValue[]> {
  return Object.fromEntries(
    facets.map(({ name }, index) => [
      name,
      rows
        .filter(({ at }) => at === index)
        .map(({ value, series }) => ({ value, count: Math.round(series * (scale ?? 1)), estimated: scale !== null })),
    ]),
  );
}

function facetValue(key: FacetKey): RawBuilder<unknown> {
  if (key.by === 'tag') {
    const name = sql`${nameKey(key.key)}::text`;
    return sql`varve_nfc_json(case when s.tags ? ${name} then s.tags else varve_nfc_json(s.tags) end -> ${name})`;
  }
  if (key.field === 'channel') {
    return sql`(select jsonb_agg(distinct c -> 'label') from jsonb_array_elements(varve_nfc_json(s.channels)) c)`;
  }
  return sql`to_jsonb(${fieldValue(key.field, sql.ref('s'))})`;
}
