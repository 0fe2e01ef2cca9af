/** Pages of series: one condition and one order, and one statement for each page. */
import { sql, type RawBuilder, type SqlBool } from 'kysely';
import { SEARCH_FIELDS } from '../../core/tags/search-field.ts';
import { nameKey } from '../../core/same-name.ts';
import type { SearchPosition, SearchRequest, SortKey } from '../../core/tags/search-request.ts';
import type { Series } from '../../core/signal/series.ts';
import { namesItsSeries, type Expression } from '../../core/tags/tag-expression.ts';
import type { Database, DatabaseTransaction } from '../database.ts';
import { SERIES_COLUMNS_TEXT, toSeries, type SeriesRow } from '../series/series-row.ts';
import { fieldValue, headValue, isHeadField, isInIdRange, toCondition, type IdRange } from './tag-condition.ts';

/**
 * Columns as a text: putting it together from names took 4 % of the time of a search that finds one series. The
 * project's name is asked for by a query in each row, so that the order of one table less has to be planned.
 */
const COLUMNS = sql.raw(
  SERIES_COLUMNS_TEXT.replace(
    'p.name as project',
    '(select p.name from projects p where p.id = s.project_id) as project',
  ),
);

/** Ids of the projects a search is limited to; null: all. */
export type ProjectScope = readonly string[] | null;

export interface SeriesPage {
  readonly items: Series[];
  /** Null on the last page. */
  readonly after: SearchPosition | null;
}

type Question = Pick<SearchRequest, 'where' | 'sort' | 'limit' | 'after'>;

/**
 * Finds a page of series. Without a `sort` the oldest come first (ids are time-ordered), so that pages stay stable
 * while others are created.
 */
export async function searchSeries(
  trx: Database | DatabaseTransaction,
  question: Question,
  scope: ProjectScope,
): Promise<SeriesPage> {
  const { rows } = await pageStatement(question, scope).execute(trx);
  const items = rows.slice(0, question.limit);
  const last = rows.length > question.limit ? items.at(-1) : undefined;
  return {
    items: items.map(toSeries),
    after: last ? { id: last.id, values: last.sort_values ?? [] } : null,
  };
}

/** Those of some series that exist and that the caller may see, in no order. @param where what they have to meet besides */
export async function seriesByIds(
  db: Database | DatabaseTransaction,
  ids: readonly string[],
  scope: ProjectScope,
  where: Expression | null = null,
): Promise<Series[]> {
  const { rows } = await sql<SeriesRow>`select ${COLUMNS}
    from series s join heads h on h.series_id = s.id where s.id = any(${[...ids]}::uuid[]) and ${seriesInReach(where, scope)}`.execute(
    db,
  );
  return rows.map(toSeries);
}

export type PageRow = SeriesRow & { sort_values: (string | null)[] | null };

export function pageStatement({ where, sort, limit, after }: Question, scope: ProjectScope): RawBuilder<PageRow> {
  const order = sort.flatMap(sortExpressions);
  const joins = sort.map((key, at) => (key.by === 'tag' ? tagJoin(key, at) : sql``));
  if (sort.some((key) => key.by === 'field' && isHeadField(key.field))) joins.unshift(HEAD_JOIN);
  const isById = sort.length === 0;
  const branches = isById && where ? alternativesOf(where) : null;
  const rest = after && isById ? behind(after) : null;
  const conditions = [branches ? firstOfEach(branches, limit, scope, rest) : seriesInReach(where, scope, rest)];
  if (after && !isById) conditions.push(isAfter(order, after));
  const values = order.map(({ value }) => sql`(${value})::text`);
  // The heads of a page are looked up when it has been chosen, one after the other, which keeps its order.
  return sql`select ${COLUMNS}, s.sort_values
    from (
      select s.*, ${values.length === 0 ? sql`null::text[]` : sql`array[${sql.join(values)}]`} as sort_values
      from series s ${sql.join(joins, sql` `)}
      where ${sql.join(conditions, sql` and `)}
      order by ${sql.join([...order.map(orderBy), sql`s.id`])}
      limit ${limit + 1}) s
    cross join lateral (select * from heads h where h.series_id = s.id offset 0) h`;
}

const HEAD_JOIN = sql`join heads h on h.series_id = s.id`;

/**
 * True of the most frequent question: the series with one value of one tag, oldest first. The plan for any value is
 * right for each: along the index, which has them in order. To make it again each time takes three times as long as to
 * run it.
 */
export function hasOnePlan({ where, sort }: Pick<Question, 'where' | 'sort'>): boolean {
  if (where?.kind !== 'tag' || where.test.op !== 'any' || sort.length > 0) return false;
  // What is equal to a quantity is a range.
  const [value, ...others] = where.test.values;
  return value !== undefined && others.length === 0 && value.type !== 'quantity';
}

/** Branches of one `or` become searches of their own up to here. */
const MAX_BRANCHES = 8;

/** The branches of an `or`, at the top or in the `and` there, if an index leads to the series of each. */
function alternativesOf(where: Expression): Expression[] | null {
  const parts = where.kind === 'and' ? where.of : [where];
  const at = parts.findIndex((part) => part.kind === 'or');
  const or = parts[at];
  if (or?.kind !== 'or' || or.of.length > MAX_BRANCHES || !or.of.every(namesItsSeries)) return null;
  return or.of.map((branch) => ({ kind: 'and', of: [...parts.slice(0, at), branch, ...parts.slice(at + 1)] }));
}

/** The first page of a union is among the first pages of its branches, each of which ends early. */
function firstOfEach(
  branches: readonly Expression[],
  limit: number,
  scope: ProjectScope,
  within: IdRange | null,
): RawBuilder<SqlBool> {
  const pages = branches.map(
    (branch) =>
      sql`(select s.id from series s where ${seriesInReach(branch, scope, within)} order by s.id limit ${limit + 1})`,
  );
  return sql`s.id in (${sql.join(pages, sql` union all `)})`;
}

/** The series that the pages so far have not shown, in the order of ids. */
function behind({ id }: SearchPosition): IdRange {
  return { after: sql`${id}::uuid` };
}

/** The series that exist, that the caller may see, and that meet the condition. */
export function seriesInReach(
  where: SearchRequest['where'],
  scope: ProjectScope,
  within: IdRange | null = null,
): RawBuilder<SqlBool> {
  const conditions = [sql`s.deleted_at is null`];
  if (within) conditions.push(isInIdRange(sql.ref('s.id'), within));
  if (scope) conditions.push(sql`s.project_id = any(${[...scope]}::uuid[])`);
  if (where) conditions.push(toCondition(where, within));
  return sql`${sql.join(conditions, sql` and `)}`;
}

interface SortExpression {
  readonly value: RawBuilder<unknown>;
  readonly type: RawBuilder<unknown>;
  readonly descending: boolean;
  readonly mayBeNull: boolean;
}

const TYPES = {
  text: sql`text collate "C"`,
  number: sql`double precision`,
  time: sql`bigint`,
  instant: sql`timestamptz`,
} as const;
const NEVER_NULL: ReadonlySet<string> = new Set(['name', 'kind', 'dtype', 'state', 'rows', 'created_at', 'updated_at']);

/** A tag is sorted by number, then by time, then as text, whichever it has. */
function sortExpressions(key: SortKey, at: number): SortExpression[] {
  const { descending } = key;
  if (key.by === 'field') {
    const type = TYPES[SEARCH_FIELDS[key.field]];
    const value = isHeadField(key.field) ? headValue(key.field) : fieldValue(key.field, sql.ref('s'));
    return [{ value, type, descending, mayBeNull: !NEVER_NULL.has(key.field) }];
  }
  const tag = sql.ref(`k${at}`);
  return (['number', 'time', 'text'] as const).map((type) => {
    return { value: sql`${tag}.${sql.ref(type)}`, type: TYPES[type], descending, mayBeNull: true };
  });
}

function tagJoin(key: Extract<SortKey, { by: 'tag' }>, at: number): RawBuilder<unknown> {
  const end = key.descending ? sql`max` : sql`min`;
  return sql`left join lateral (
    select ${end}(t.number) as number, ${end}(t.time_ns) as time,
      ${end}(t.entry) filter (where t.number is null and t.time_ns is null) as text
    from series_tags t where t.series_id = s.id and t.key = ${nameKey(key.key)}) ${sql.ref(`k${at}`)} on true`;
}

function orderBy({ value, descending, mayBeNull }: SortExpression): RawBuilder<unknown> {
  // Nulls last is the default of ascending orders, and what an index has.
  if (!descending) return sql`${value}`;
  return mayBeNull ? sql`${value} desc nulls last` : sql`${value} desc`;
}

/** (a, b, id) comes after the position: a is past it, or equal and b is past it, or … */
function isAfter(order: readonly SortExpression[], { values, id }: SearchPosition): RawBuilder<SqlBool> {
  const alternatives: RawBuilder<SqlBool>[] = [];
  const equal: RawBuilder<SqlBool>[] = [];
  const bounds: RawBuilder<SqlBool>[] = [];
  order.forEach(({ value, type, descending, mayBeNull }, at) => {
    const text = values[at] ?? null;
    if (text !== null) {
      const limit = sql`${text}::${type}`;
      const past = sql<SqlBool>`${value} ${descending ? sql`<` : sql`>`} ${limit}`;
      alternatives.push(
        sql`(${sql.join([...equal, mayBeNull ? sql`(${past} or ${value} is null)` : past], sql` and `)})`,
      );
      // Says again what an index can use.
      if (at === 0 && !mayBeNull) bounds.push(sql`${value} ${descending ? sql`<=` : sql`>=`} ${limit}`);
      equal.push(sql`${value} = ${limit}`);
    } else {
      equal.push(sql`${value} is null`);
    }
  });
  const sameButId = sql<SqlBool>`s.id > ${id}::uuid`;
  if (order.length === 0) return sameButId;
  alternatives.push(sql`(${sql.join([...equal, sameButId], sql` and `)})`);
  return sql`${sql.join([...bounds, sql`(${sql.join(alternatives, sql` or `)})`], sql` and `)}`;
}
