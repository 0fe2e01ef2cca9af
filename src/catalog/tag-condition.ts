/**
 * A tree of conditions as one SQL condition on a row of `series`. Everything a client wrote is a bound parameter.
 *
 * A condition that must hold (`required`) is written as a semi-join, which the planner may turn around: it then walks `series_tags` by
 * (key, term, series) in the order of pages, however many series there are. Inside `or` and `not` it is a probe per series instead,
 * unless every branch names its series itself: then they are united.
 */
import { sql, type RawBuilder, type SqlBool } from 'kysely';
import { SEARCH_FIELDS, type SearchField } from '../core/series-search-field.ts';
import type { Bound, Comparable, Expression, Test } from '../core/tag-expression.ts';

type Condition = RawBuilder<SqlBool>;
type Leaf<K extends Expression['kind']> = Extract<Expression, { kind: K }>;

const BOUND_OPERATORS: Readonly<Record<Bound, RawBuilder<unknown>>> = {
  gt: sql`>`,
  gte: sql`>=`,
  lt: sql`<`,
  lte: sql`<=`,
};

/** @param alias of the row of `series` */
export function toCondition(where: Expression, alias = 's'): Condition {
  return required(where, sql.ref(`${alias}`));
}

type Row = RawBuilder<unknown>;

function required(where: Expression, s: Row): Condition {
  switch (where.kind) {
    case 'and':
      return joined(where.of, sql` and `, (each) => required(each, s));
    case 'or': {
      if (where.of.every((each) => each.kind === 'tag')) {
        const any = joined(where.of, sql` or `, ({ key, test }) => tagTest(key, test));
        return sql`exists (select 1 from series_tags t where t.series_id = ${s}.id and ${any})`;
      }
      if (!where.of.every(namesItsSeries)) return probe(where, s);
      const branches = where.of.map((each) => sql`(${seriesOf(each)})`);
      return sql`${s}.id in (${sql.join(branches, sql` union all `)})`;
    }
    case 'not':
      if (where.of.kind === 'tag') return sql`not ${tagExists(where.of, s)}`;
      return sql`not ${probe(where.of, s)}`;
    case 'tag':
      return tagExists(where, s);
    default:
      return probe(where, s);
  }
}

/** Never turned into a hash of all that match: a page ends after some hundred series. */
function probe(where: Expression, s: Row): Condition {
  switch (where.kind) {
    case 'and':
      return joined(where.of, sql` and `, (each) => probe(each, s));
    case 'or':
      return joined(where.of, sql` or `, (each) => probe(each, s));
    case 'not':
      return sql`not ${probe(where.of, s)}`;
    case 'tag':
      return sql`coalesce((select true from series_tags t where t.series_id = ${s}.id and ${tagTest(where.key, where.test)} limit 1), false)`;
    case 'field':
      return fieldCondition(where.field, where.test, s);
    case 'text':
      return sql`varve_words(${s}.name, ${s}.description) @@ plainto_tsquery('simple', translate(${where.text}::text, '/_-.:,;@&=?', '           '))`;
    case 'overlaps':
      return overlaps(where, s);
    case 'active_since':
      return sql`coalesce(${s}.extent && int8range(${where.ns}::bigint, null) and ${s}.last_ns >= ${where.ns}::bigint, false)`;
    case 'has_annotation':
      return sql`exists (select 1 from annotations a where a.series_id = ${s}.id and ${annotationTest(where)})`;
  }
}

/** True of what an index leads to. */
function namesItsSeries(where: Expression): boolean {
  if (where.kind === 'and') return where.of.some(namesItsSeries);
  if (where.kind === 'or') return where.of.every(namesItsSeries);
  return where.kind === 'tag' || where.kind === 'text' || where.kind === 'overlaps' || where.kind === 'has_annotation';
}

function seriesOf(where: Expression): RawBuilder<unknown> {
  if (where.kind === 'tag') return sql`select t.series_id from series_tags t where ${tagTest(where.key, where.test)}`;
  if (where.kind === 'has_annotation') return sql`select a.series_id from annotations a where ${annotationTest(where)}`;
  return sql`select b.id from series b where b.deleted_at is null and ${required(where, sql.ref('b'))}`;
}

function tagExists({ key, test }: Leaf<'tag'>, s: Row): Condition {
  return sql`exists (select 1 from series_tags t where t.series_id = ${s}.id and ${tagTest(key, test)})`;
}

/** On a row `t` of series_tags. */
function tagTest(key: string, test: Test): Condition {
  const sameKey = sql<SqlBool>`t.key = ${key}`;
  switch (test.op) {
    case 'exists':
      return sameKey;
    case 'any': {
      const terms = test.values.map(termOf);
      if (terms.length === 1) return sql`(${sameKey} and t.term = ${terms[0]})`;
      return sql`(${sameKey} and t.term = any(array[${sql.join(terms)}]))`;
    }
    case 'range':
      return sql`(${sameKey} and ${tagRange(test)})`;
    case 'prefix':
      return sql`(${sameKey} and t.term ^@ ('s' || left(${test.text}::text, 256)) and ${tagText} ^@ ${test.text}::text)`;
    case 'contains':
      return sql`(${sameKey} and t.term ^@ 's' and strpos(${tagText}, ${test.text}::text) > 0)`;
    case 'regex':
      return sql`(${sameKey} and t.term ^@ ('s' || left(${test.prefix}::text, 256)) and ${tagText} ~ ${test.pattern}::text)`;
  }
}

const tagText = sql`coalesce(t.long_text, substr(t.term, 2))`;

function tagRange({ bounds }: Extract<Test, { op: 'range' }>): Condition {
  const within = (value: RawBuilder<unknown>): Condition =>
    joined(bounds, sql` and `, ({ bound, value: limit }) => sql`${value} ${BOUND_OPERATORS[bound]} ${limitOf(limit)}`);
  const [{ value: first }] = bounds;
  switch (first.type) {
    case 'number':
      return sql`(t.number is not null and t.dimension = '' and ${within(sql`t.number`)})`;
    case 'quantity':
      return sql`(t.number is not null and t.dimension = ${first.unit.dimension} and ${within(sql`t.number`)})`;
    case 'time':
      return sql`(t.time_ns is not null and ${within(sql`t.time_ns`)})`;
    default:
      return sql`(t.term ^@ 's' and ${within(sql`${tagText} collate "C"`)})`;
  }
}

function limitOf(value: Comparable): RawBuilder<unknown> {
  switch (value.type) {
    case 'number':
      return sql`${value.number}::double precision`;
    case 'quantity':
      return baseOf(value);
    case 'time':
      return sql`${value.ns}::bigint`;
    case 'text':
      return sql`${value.text}::text`;
    case 'boolean':
      return sql`${value.boolean}::boolean`;
  }
}

function baseOf({ value, unit }: Extract<Comparable, { type: 'quantity' }>): RawBuilder<unknown> {
  return sql`varve_base(${value}::double precision, ${unit.factor}::double precision, ${unit.shift}::double precision)`;
}

/** As the migration's functions make them. */
function termOf(value: Comparable): RawBuilder<unknown> {
  switch (value.type) {
    case 'text':
      return sql`varve_text_term(${value.text}::text)`;
    case 'number':
      return sql`varve_number_term(${value.number}::double precision)`;
    case 'boolean':
      return sql`${`b${value.boolean}`}::text`;
    case 'time':
      return sql`${`t${value.ns}`}::text`;
    case 'quantity':
      return sql`varve_quantity_term(${value.unit.dimension}::text, ${baseOf(value)})`;
  }
}

/** What a field is in SQL, compared byte by byte if it is text; a channel is a set of them, see {@link fieldCondition}. */
export function fieldValue(field: SearchField, s: Row): RawBuilder<unknown> {
  switch (field) {
    case 'project':
      return sql`(select p.name collate "C" from projects p where p.id = ${s}.project_id)`;
    case 'subject':
      return sql`(${s}.provenance ->> 'subject') collate "C"`;
    case 'channel':
      return sql`(${s}.channels -> 0 ->> 'label') collate "C"`;
    case 'first_time':
      return sql`${s}.first_ns`;
    case 'last_time':
      return sql`${s}.last_ns`;
    case 'created_at':
    case 'updated_at':
    case 'channel_count':
    case 'rate_hz':
    case 'rows':
      return sql`${s}.${sql.ref(field)}`;
    default:
      return sql`${s}.${sql.ref(field)} collate "C"`;
  }
}

function fieldCondition(field: SearchField, test: Test, s: Row): Condition {
  if (field === 'channel') {
    const label = sql`(c ->> 'label') collate "C"`;
    return sql`exists (select 1 from jsonb_array_elements(${s}.channels) c where ${valueTest(label, test, 'text')})`;
  }
  if (field === 'project' && test.op === 'any') {
    const names = test.values.map(limitOf);
    return sql`${s}.project_id = any(array(select p.id from projects p where p.name = any(array[${sql.join(names)}])))`;
  }
  return valueTest(fieldValue(field, s), test, SEARCH_FIELDS[field]);
}

function valueTest(value: RawBuilder<unknown>, test: Test, type: string): Condition {
  // The catalog's clock has microseconds; a time in between is between two of them.
  const limit = (given: Comparable): RawBuilder<unknown> =>
    type === 'instant' && given.type === 'time'
      ? sql`varve_timestamp(${given.ns}::bigint)`
      : limitOf(given);
  const there = sql`${value} is not null`;
  switch (test.op) {
    case 'exists':
      return sql`(${there})`;
    case 'any':
      if (test.values.length === 1) return sql`(${there} and ${value} = ${limit(test.values[0])})`;
      return sql`(${there} and ${value} = any(array[${sql.join(test.values.map(limit))}]))`;
    case 'range':
      return sql`(${there} and ${joined(test.bounds, sql` and `, (each) => sql`${value} ${BOUND_OPERATORS[each.bound]} ${limit(each.value)}`)})`;
    case 'prefix':
      return sql`(${there} and ${value} ^@ ${test.text}::text)`;
    case 'contains':
      return sql`(${there} and strpos(${value}, ${test.text}::text) > 0)`;
    case 'regex':
      return sql`(${there} and ${value} ^@ ${test.prefix}::text and ${value} ~ ${test.pattern}::text)`;
  }
}

/** The runs of a regular series tell its gaps; of an irregular one only the first and last time are known here. */
function overlaps({ startNs, endNs }: Leaf<'overlaps'>, s: Row): Condition {
  return sql`coalesce(${s}.extent && int8range(${startNs}::bigint, ${endNs}::bigint)
    and ${s}.first_ns < ${endNs}::bigint and ${s}.last_ns >= ${startNs}::bigint
    and (${s}.kind = 'irregular' or exists (select 1 from segments g where g.series_id = ${s}.id
      and g.start_ns < ${endNs}::bigint and g.start_ns + varve_run_ns(g.rows, ${s}.rate) >= ${startNs}::bigint)), false)`;
}

function annotationTest({ label, startNs, endNs }: Leaf<'has_annotation'>): Condition {
  const tests: Condition[] = [];
  if (label !== null) tests.push(sql`a.label = ${label}`);
  if (endNs !== null) tests.push(sql`a.start_ns < ${endNs}::bigint`);
  if (startNs !== null) tests.push(sql`(a.end_ns > ${startNs}::bigint or a.start_ns >= ${startNs}::bigint)`);
  return tests.length === 0 ? sql`true` : sql`${sql.join(tests, sql` and `)}`;
}

function joined<T>(items: readonly T[], by: RawBuilder<unknown>, each: (item: T) => Condition): Condition {
  return sql`(${sql.join(items.map(each), by)})`;
}
