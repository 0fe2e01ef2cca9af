/** The search: one statement a page. */
import { sql, type RawBuilder, type SqlBool } from 'kysely';
import type { SeriesFilter, TagCondition } from '../core/series-filter.ts';
import type { Series } from '../core/series.ts';
import type { Database } from './database.ts';
import { SERIES_COLUMNS, toSeries } from './series-row.ts';

export interface SeriesPage {
  readonly items: Series[];
  /** Id to continue after; null on the last page. */
  readonly after: string | null;
}

/**
 * Series that pass the filter, oldest first (ids are time-ordered), so pages stay stable while others are created.
 * @param after the id the previous page ended with
 */
export async function searchSeries(
  db: Database,
  filter: SeriesFilter,
  page: { limit: number; after: string | null },
): Promise<SeriesPage> {
  let query = db
    .selectFrom('series as s')
    .innerJoin('projects as p', 'p.id', 's.project_id')
    .select(SERIES_COLUMNS)
    .where('s.deleted_at', 'is', null)
    .orderBy('s.id')
    .limit(page.limit + 1);
  if (page.after !== null) query = query.where('s.id', '>', page.after);
  if (filter.projectIds) query = query.where('s.project_id', '=', sql<string>`any(${[...filter.projectIds]}::uuid[])`);
  if (filter.project !== undefined) query = query.where('p.name', '=', filter.project);
  if (filter.name !== undefined) query = query.where('s.name', '=', filter.name);
  if (filter.unit !== undefined) query = query.where('s.unit', '=', filter.unit);
  if (filter.kind !== undefined) query = query.where('s.kind', '=', filter.kind);
  for (const condition of filter.tags) query = query.where(tagCondition(condition));
  const rows = await query.execute();
  const items = rows.slice(0, page.limit).map(toSeries);
  return { items, after: rows.length > page.limit ? items[items.length - 1].id : null };
}

const SQL_OPERATOR = { gt: sql`>`, gte: sql`>=`, lt: sql`<`, lte: sql`<=` } as const;

function tagCondition({ key, op, values }: TagCondition): RawBuilder<SqlBool> {
  const contains = sql.join(
    values.map((value) => sql`s.tags @> ${JSON.stringify({ [key]: value })}::jsonb`),
    sql` or `,
  );
  switch (op) {
    case 'eq':
      return sql<SqlBool>`(${contains})`;
    case 'ne':
      return sql<SqlBool>`not (${contains})`;
    case 'exists':
      return values[0] ? sql<SqlBool>`s.tags ? ${key}` : sql<SqlBool>`not (s.tags ? ${key})`;
    default: {
      const value = values[0];
      // The case keeps the cast away from values of another type: `and` does not promise an order of evaluation.
      return typeof value === 'number'
        ? sql<SqlBool>`(case when jsonb_typeof(s.tags -> ${key}) = 'number'
            then (s.tags ->> ${key})::double precision ${SQL_OPERATOR[op]} ${value} else false end)`
        : sql<SqlBool>`(jsonb_typeof(s.tags -> ${key}) = 'string' and (s.tags ->> ${key}) collate "C" ${SQL_OPERATOR[op]} ${String(value)})`;
    }
  }
}
