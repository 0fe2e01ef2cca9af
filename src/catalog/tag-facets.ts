/** Facets: how often each value occurs among the series that a search finds. */
import { sql, type RawBuilder } from 'kysely';
import type { FacetKey, FacetValue, SearchRequest } from '../core/series-search.ts';
import type { TagScalar } from '../core/tag-value.ts';
import type { DatabaseTransaction } from './database.ts';
import { seriesInReach, type ProjectScope } from './series-search.ts';
import { fieldValue } from './tag-condition.ts';
import { estimateRows } from './tag-plan.ts';

/** Series that are looked at; if a search finds more, counts are reckoned from these. */
export const MAX_COUNTED_SERIES = 5_000;
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
  // Lists are taken apart when few are left: most series share their values.
  const groups = facets.map((_, at) => {
    const value = sql.ref(`f${at}`);
    return sql`select ${at}::integer as at, ${value} as value, count(*) as series from looked group by ${value}`;
  });
  const { rows } = await sql<ValueRow & { looked: number }>`
    with looked as materialized (
      select ${sql.join(facets.map((key, at) => sql`${facetValue(key)} as ${sql.ref(`f${at}`)}`))} ${found}
      limit ${MAX_COUNTED_SERIES + 1}
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
  const looked = rows[0]?.looked ?? 0;
  const estimated = looked > MAX_COUNTED_SERIES;
  const scale = estimated ? Math.max(1, (await estimateRows(trx, sql`select ${found}`)) / looked) : 1;
  return Object.fromEntries(
    facets.map(({ name }, index) => [
      name,
      rows
        .filter(({ at }) => at === index)
        .map(({ value, series }) => ({ value, count: Math.round(series * scale), estimated })),
    ]),
  );
}

function facetValue(key: FacetKey): RawBuilder<unknown> {
  if (key.by === 'tag') return sql`s.tags -> ${key.key}::text`;
  if (key.field === 'channel') {
    return sql`(select jsonb_agg(distinct c -> 'label') from jsonb_array_elements(s.channels) c)`;
  }
  return sql`to_jsonb(${fieldValue(key.field, sql.ref('s'))})`;
}
