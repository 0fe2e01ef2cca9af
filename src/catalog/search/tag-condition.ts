/**
 * A tree of conditions as one SQL condition on a row of `series`. Everything a client wrote is a bound parameter.
 *
 * A condition that must hold (`required`) is written as a semi-join, which the planner may turn around. It then walks
 * `series_tags` by (entry, series) in the order of pages, however many series there are. Inside `or` and `not` it is a
 * probe per series instead, unless every branch names its series itself: then they are united. What appends change is
 * in `heads`, and asked for in the same two ways.
 */
import { sql, type RawBuilder, type SqlBool } from 'kysely';
import { baseOf, equalRange } from '../../core/tags/quantity.ts';
import { SEARCH_FIELDS, type SearchField } from '../../core/tags/search-field.ts';
import { nameKey } from '../../core/same-name.ts';
import {
  composed,
  namesItsSeries,
  type Bound,
  type ChannelLike,
  type Comparable,
  type Expression,
  type Test,
} from '../../core/tags/tag-expression.ts';
import type { TagUnit } from '../../core/signal/tag-value.ts';

type Condition = RawBuilder<SqlBool>;
type Leaf<K extends Expression['kind']> = Extract<Expression, { kind: K }>;

/** Compared as it is; a quantity is with all that is equal to it. */
type Term = Exclude<Comparable, { type: 'quantity' }>;

const BOUND_OPERATORS: Readonly<Record<Bound, RawBuilder<unknown>>> = {
  gt: sql`>`,
  gte: sql`>=`,
  lt: sql`<`,
  lte: sql`<=`,
};

/** What the only channel of a series is called unless it is given a name, as in the migration. */
const UNLABELLED = 'value';

/** Characters of a text that its term has, as in the migration. */
const TERM_CHARS = 256;

/** Characters of a subject that its index has, as in the migration. */
const INDEXED_SUBJECT_CHARS = 512;

/** Ids after one, or from one to before another; each an expression. */
export type IdRange =
  { readonly after: RawBuilder<unknown> } | { readonly from: RawBuilder<unknown>; readonly to: RawBuilder<unknown> };

export function isInIdRange(id: RawBuilder<unknown>, range: IdRange): Condition {
  return 'after' in range ? sql`${id} > ${range.after}` : sql`(${id} >= ${range.from} and ${id} < ${range.to})`;
}

/**
 * The condition on a row `s` of series.
 * @param within only series of these ids are asked for. Tags say so, too: the planner does not see that what holds for
 * one holds for the other
 */
export function toCondition(where: Expression, within: IdRange | null = null): Condition {
  return required(composed(where), sql.ref('s'), within);
}

type Row = RawBuilder<unknown>;

function required(where: Expression, s: Row, within: IdRange | null = null): Condition {
  switch (where.kind) {
    case 'and':
      return joined(where.of, sql` and `, (each) => required(each, s, within));
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
      return within ? tagWithin(where, s, within) : tagExists(where, s);
    case 'overlaps':
      return headThat(overlaps(where, s), s);
    case 'active_since':
      return headThat(activeSince(where), s);
    case 'silent_for':
      return sql`(${createdBefore(where, s)} and ${headThat(silentSince(where), s)})`;
    case 'field':
      return isHeadField(where.field) ? headThat(headTest(where.field, where.test), s) : probe(where, s);
    default:
      return probe(where, s);
  }
}

/** This is a semi-join, too: an index of heads may lead. */
function headThat(condition: Condition, s: Row): Condition {
  return sql`exists (select 1 from heads h where h.series_id = ${s}.id and h.deleted_at is null and ${condition})`;
}

/** Never null. */
function headProbe(condition: Condition, s: Row): Condition {
  return sql`coalesce((select ${condition} from heads h where h.series_id = ${s}.id), false)`;
}

/** This is never turned into a hash of all that match: a page ends after some hundred series. */
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
      if (isHeadField(where.field)) return headProbe(headTest(where.field, where.test), s);
      return fieldCondition(where.field, where.test, s);
    case 'text':
      return sql`varve_words(${s}.name, ${s}.description) @@ plainto_tsquery('simple', translate(${where.text}::text, '/_-.:,;@&=?', '           '))`;
    case 'overlaps':
      return headProbe(overlaps(where, s), s);
    case 'active_since':
      return headProbe(activeSince(where), s);
    case 'silent_for':
      return sql`(${createdBefore(where, s)} and ${headProbe(silentSince(where), s)})`;
    case 'has_channel':
      return hasChannel(where.like, s);
    case 'ids':
      return sql`${s}.id = any(${[...where.ids]}::uuid[])`;
    case 'has_annotation':
      return sql`exists (select 1 from annotations a where a.series_id = ${s}.id and ${annotationTest(where)})`;
  }
}

function seriesOf(where: Expression): RawBuilder<unknown> {
  if (where.kind === 'tag') return sql`select t.series_id from series_tags t where ${tagTest(where.key, where.test)}`;
  if (where.kind === 'has_annotation') return sql`select a.series_id from annotations a where ${annotationTest(where)}`;
  return sql`select b.id from series b where b.deleted_at is null and ${required(where, sql.ref('b'))}`;
}

function tagExists({ key, test }: Leaf<'tag'>, s: Row): Condition {
  return sql`exists (select 1 from series_tags t where t.series_id = ${s}.id and ${tagTest(key, test)})`;
}

function tagWithin({ key, test }: Leaf<'tag'>, s: Row, within: IdRange): Condition {
  return sql`exists (select 1 from series_tags t where t.series_id = ${s}.id and ${isInIdRange(sql.ref('t.series_id'), within)} and ${tagTest(key, test)})`;
}

/** The condition on a row `t` of series_tags. */
export function tagTest(key: string, test: Test): Condition {
  switch (test.op) {
    case 'exists':
      return sql`t.entry ^@ ${entry(key, '')}::text`;
    case 'any':
      return anyOf(key, test.values);
    case 'range':
      return tagRange(key, test);
    case 'prefix': {
      const term = [...test.text].slice(0, TERM_CHARS).join('');
      const prefix = sql<SqlBool>`t.entry ^@ ${entry(key, `s${term}`)}::text`;
      return term === test.text ? prefix : sql`(${prefix} and t.long_text ^@ ${test.text}::text)`;
    }
    case 'contains':
      return sql`(t.entry ^@ ${entry(key, 's')}::text and ${unforeseen(sql`strpos(${storedText(key)}, ${test.text}::text) > 0`)})`;
    case 'regex':
      return sql`(t.entry ^@ ${entry(key, `s${test.prefix}`)}::text and ${unforeseen(sql`${storedText(key)} ~ ${test.pattern}::text`)})`;
  }
}

function anyOf(key: string, values: readonly Comparable[]): Condition {
  const quantities = values.filter((value) => value.type === 'quantity');
  const entries = values.filter((value) => value.type !== 'quantity').map((value) => entryOf(key, value));
  const conditions = quantities.map(({ unit, ...quantity }) => {
    const { low, high } = equalRange({ unit, ...quantity });
    const at = (base: number): RawBuilder<unknown> => quantityEntry(key, unit, base);
    return sql<SqlBool>`t.entry between ${at(low)} and ${at(high)}`;
  });
  if (entries.length === 1) conditions.push(sql`t.entry = ${entries[0]}`);
  else if (entries.length > 1) conditions.push(sql`t.entry = any(array[${sql.join(entries)}])`);
  const [condition] = conditions;
  if (!condition) return sql`false`;
  return conditions.length === 1 ? condition : joined(conditions, sql` or `, (each) => each);
}

/**
 * Hides a pattern in a `case`. The planner takes a pattern for rare, and would collect all rows that match. From a
 * `case` it expects half of all rows, and so reads page by page.
 */
function unforeseen(condition: RawBuilder<unknown>): Condition {
  return sql`case when ${condition} then true else false end`;
}

/** The entry of a key and a term, as the migration makes entries. */
export function entry(key: string, term: string): string {
  return nameKey(`${key}\u0001${term}`);
}

function storedText(key: string): RawBuilder<unknown> {
  return sql`coalesce(t.long_text, substr(t.entry, ${[...entry(key, 's')].length + 1}::integer))`;
}

/** Bounds of one type, closed by where the entries of the key and type begin and end. */
function tagRange(key: string, { bounds }: Extract<Test, { op: 'range' }>): Condition {
  const [first] = bounds;
  if (!first) return sql`false`;
  const type = TERM_TYPES[first.value.type];
  const [begin, end] =
    first.value.type === 'quantity'
      ? [`${type}${first.value.unit.dimension}:`, `${type}${first.value.unit.dimension};`]
      : [type, String.fromCharCode(type.charCodeAt(0) + 1)];
  const tests = bounds.map(
    ({ bound, value }): Condition => sql`t.entry ${BOUND_OPERATORS[bound]} ${boundEntry(key, bound, value)}`,
  );
  if (!bounds.some(({ bound }) => bound.startsWith('g'))) tests.push(sql`t.entry >= ${entry(key, begin)}::text`);
  if (!bounds.some(({ bound }) => bound.startsWith('l'))) tests.push(sql`t.entry < ${entry(key, end)}::text`);
  return joined(tests, sql` and `, (each) => each);
}

/** What is equal to a quantity is not above it, and not below it. */
function boundEntry(key: string, bound: Bound, value: Comparable): RawBuilder<unknown> {
  if (value.type !== 'quantity') return entryOf(key, value);
  const { low, high } = equalRange(value);
  return quantityEntry(key, value.unit, bound === 'gt' || bound === 'lte' ? high : low);
}

function quantityEntry(key: string, { dimension }: TagUnit, base: number): RawBuilder<unknown> {
  return sql`(${entry(key, '')}::text || varve_quantity_term(${dimension}::text, ${base}::double precision))`;
}

function limitOf(value: Comparable): RawBuilder<unknown> {
  switch (value.type) {
    case 'number':
      return sql`${value.number}::double precision`;
    case 'quantity':
      return sql`${baseOf(value)}::double precision`;
    case 'time':
      return sql`${value.ns}::bigint`;
    case 'text':
      return sql`${value.text}::text`;
    case 'boolean':
      return sql`${value.boolean}::boolean`;
  }
}

export const TERM_TYPES = { text: 's', number: 'n', boolean: 'b', time: 't', quantity: 'q' } as const;

function entryOf(key: string, value: Term): RawBuilder<unknown> {
  const known = knownTerm(value);
  return known === null ? sql`(${entry(key, '')}::text || ${termOf(value)})` : sql`${entry(key, known)}::text`;
}

/** A term that needs no computing, which a plan would have to do; null: let Postgres make it. */
function knownTerm(value: Term): string | null {
  if (value.type === 'boolean') return `b${value.boolean}`;
  return value.type === 'text' && value.text.length <= TERM_CHARS ? `s${value.text}` : null;
}

/** The term of a value, as the migration's functions make terms. */
function termOf(value: Term): RawBuilder<unknown> {
  switch (value.type) {
    case 'text':
      return sql`varve_text_term(${value.text}::text)`;
    case 'number':
      return sql`varve_number_term(${value.number}::double precision)`;
    case 'boolean':
      return sql`${`b${value.boolean}`}::text`;
    case 'time':
      return sql`varve_time_term(${value.ns}::bigint)`;
  }
}

/** Fields that appends change, or that they look at. */
const HEAD_VALUES = {
  state: sql`(case when h.sealed_at is null then 'open' else 'sealed' end) collate "C"`,
  rows: sql.ref('h.rows'),
  first_time: sql.ref('h.first_ns'),
  last_time: sql.ref('h.last_ns'),
} as const satisfies Partial<Record<SearchField, RawBuilder<unknown>>>;

type HeadField = keyof typeof HEAD_VALUES;

export function isHeadField(field: SearchField): field is HeadField {
  return Object.hasOwn(HEAD_VALUES, field);
}

/** The value of a field on a row `h` of heads. */
export function headValue(field: HeadField): RawBuilder<unknown> {
  return HEAD_VALUES[field];
}

function headTest(field: HeadField, test: Test): Condition {
  return valueTest(headValue(field), test, SEARCH_FIELDS[field]);
}

/** What a field is in SQL, compared byte by byte if it is text; a channel is a set of them, see {@link fieldCondition}. */
export function fieldValue(field: SearchField, s: Row): RawBuilder<unknown> {
  switch (field) {
    case 'project':
      return sql`(select varve_nfc(p.name) collate "C" from projects p where p.id = ${s}.project_id)`;
    case 'subject':
    case 'operator':
    case 'protocol':
    case 'sample':
      return sql`varve_nfc(${s}.provenance ->> ${sql.lit(field)}) collate "C"`;
    case 'instrument':
      return sql`varve_nfc(coalesce(${s}.provenance #>> '{instrument,model}',
        case jsonb_typeof(${s}.provenance -> 'instrument') when 'string' then ${s}.provenance ->> 'instrument' end)) collate "C"`;
    case 'derived_from':
      return sql`(varve_derived_from(${s}.provenance))[1] collate "C"`;
    case 'channel':
      return sql`varve_nfc(${s}.channels -> 0 ->> 'label') collate "C"`;
    case 'external_id':
      return sql`(select min(varve_nfc(e.value) collate "C") from jsonb_each_text(${s}.external_ids) e)`;
    case 'recording_id':
      return sql`${s}.recording_id::text collate "C"`;
    case 'state':
    case 'rows':
    case 'first_time':
    case 'last_time':
      return sql`(select ${headValue(field)} from heads h where h.series_id = ${s}.id)`;
    case 'created_at':
    case 'updated_at':
    case 'channel_count':
    case 'rate_hz':
      return sql`${s}.${sql.ref(field)}`;
    default:
      return sql`varve_nfc(${s}.${sql.ref(field)}) collate "C"`;
  }
}

const UUID_FORM = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function fieldCondition(field: SearchField, test: Test, s: Row): Condition {
  if (field === 'channel') {
    if (test.op === 'any')
      return sql`(${joined(test.values, sql` or `, (value) => channelIs({ label: textOf(value) }, s))})`;
    const label = sql`varve_nfc(c ->> 'label') collate "C"`;
    return sql`exists (select 1 from jsonb_array_elements(${s}.channels) c where ${valueTest(label, test, 'text')})`;
  }
  if (field === 'external_id') {
    const value = sql`varve_nfc(e.value) collate "C"`;
    if (test.op !== 'any') {
      return sql`exists (select 1 from jsonb_each_text(${s}.external_ids) e where ${valueTest(value, test, 'text')})`;
    }
    const ids = sql`array[${sql.join(test.values.map(limitOf))}]`;
    return sql`(${s}.external_ids <> '{}' and varve_external_ids(${s}.external_ids) && ${ids})`;
  }
  if (field === 'derived_from') {
    const value = sql`d.value collate "C"`;
    if (test.op !== 'any') {
      return sql`exists (select 1 from unnest(varve_derived_from(${s}.provenance)) d(value) where ${valueTest(value, test, 'text')})`;
    }
    const ids = sql`array[${sql.join(test.values.map((each) => sql`${textOf(each).toLowerCase()}::text`))}]`;
    return sql`(${s}.provenance ? 'derived_from' and varve_derived_from(${s}.provenance) && ${ids})`;
  }
  if (field === 'recording_id' && test.op === 'any') {
    const ids = test.values.map((each) => textOf(each).toLowerCase()).filter((id) => UUID_FORM.test(id));
    return sql`${s}.recording_id = any(${ids}::uuid[])`;
  }
  if (field === 'recording' && test.op === 'any') {
    return sql`(${s}.recording is not null and ${valueTest(fieldValue(field, s), test, 'text')})`;
  }
  if (field === 'subject' && test.op === 'any') {
    const indexed = test.values.map((each) => [...textOf(each)].slice(0, INDEXED_SUBJECT_CHARS).join(''));
    const term = sql`left(varve_nfc(${s}.provenance ->> 'subject'), ${sql.lit(INDEXED_SUBJECT_CHARS)}) collate "C"`;
    const leading = indexed.length === 1 ? sql`${term} = ${indexed[0]}::text` : sql`${term} = any(${indexed}::text[])`;
    return sql`(${s}.provenance ? 'subject' and ${leading} and ${valueTest(fieldValue(field, s), test, 'text')})`;
  }
  if (field === 'project' && test.op === 'any') {
    const names = test.values.map(limitOf);
    return sql`${s}.project_id = any(array(select p.id from projects p where varve_nfc(p.name) = any(array[${sql.join(names)}])))`;
  }
  return valueTest(fieldValue(field, s), test, SEARCH_FIELDS[field]);
}

/**
 * An index finds what a channel itself says. It does not find a unit that may be that of the series, nor a channel of
 * which nobody says that it is bad.
 */
function hasChannel({ unit, bad, ...said }: ChannelLike, s: Row): Condition {
  const known = { ...said, ...(bad && { bad }) };
  if (unit === undefined && bad !== false) return channelIs(known, s);
  const tests: Condition[] = [sql`varve_nfc_json(c) @> ${JSON.stringify(known)}::jsonb`];
  if (unit !== undefined) tests.push(sql`varve_nfc(coalesce(c ->> 'unit', ${s}.unit)) = ${unit}::text`);
  if (bad === false) tests.push(sql`not coalesce((c -> 'bad')::boolean, false)`);
  const one = sql<SqlBool>`exists (select 1 from jsonb_array_elements(${s}.channels) c where ${joined(tests, sql` and `, (each) => each)})`;
  // Channels are taken apart where they may be it.
  const some: Condition[] = Object.keys(known).length === 0 ? [] : [channelIs(known, s)];
  if (unit !== undefined)
    some.push(
      sql`(varve_nfc(${s}.unit) = ${unit}::text or varve_nfc_json(${s}.channels) @> ${JSON.stringify([{ unit }])}::jsonb)`,
    );
  return joined([...some, one], sql` and `, (each) => each);
}

/**
 * The index leaves out series whose only channel says no more than its label, if that is the label of all channels
 * without a name.
 */
function channelIs(known: ChannelLike, s: Row): Condition {
  const holds = sql<SqlBool>`varve_nfc_json(${s}.channels) @> ${JSON.stringify([known])}::jsonb`;
  if (Object.keys(known).join() === 'label' && known.label === UNLABELLED) return holds;
  return sql`(${holds} and ${s}.channels <> '[{"label": "value"}]')`;
}

function textOf(value: Comparable): string {
  return value.type === 'text' ? value.text : '';
}

function valueTest(value: RawBuilder<unknown>, test: Test, type: string): Condition {
  // The catalog's clock has microseconds; a time in between is between two of them.
  const limit = (given: Comparable): RawBuilder<unknown> =>
    type === 'instant' && given.type === 'time' ? sql`varve_timestamp(${given.ns}::bigint)` : limitOf(given);
  const there = sql`${value} is not null`;
  switch (test.op) {
    case 'exists':
      return sql`(${there})`;
    case 'any': {
      const [only, ...others] = test.values;
      if (only && others.length === 0) return sql`(${there} and ${value} = ${limit(only)})`;
      return sql`(${there} and ${value} = any(array[${sql.join(test.values.map(limit))}]))`;
    }
    case 'range':
      return sql`(${there} and ${joined(test.bounds, sql` and `, (each) => sql`${value} ${BOUND_OPERATORS[each.bound]} ${limit(each.value)}`)})`;
    case 'prefix':
      return sql`(${there} and ${value} ^@ ${test.text}::text)`;
    case 'contains':
      return sql`(${there} and ${unforeseen(sql`strpos(${value}, ${test.text}::text) > 0`)})`;
    case 'regex':
      return sql`(${there} and ${value} ^@ ${test.prefix}::text and ${unforeseen(sql`${value} ~ ${test.pattern}::text`)})`;
  }
}

/**
 * The condition on a row `h` of heads. The runs of a regular series tell its gaps, its holes what was removed. For an
 * irregular series only the first and last time are known here.
 */
function overlaps({ startNs, endNs }: Leaf<'overlaps'>, s: Row): Condition {
  const from = rowAt(startNs, s);
  const to = rowAt(endNs, s);
  const removed = sql`(select coalesce(sum(least(o.to_row, ${to}) - greatest(o.from_row, ${from})), 0)
    from holes o where o.series_id = ${s}.id and o.from_row < ${to} and o.to_row > ${from})`;
  return sql`(h.extent && int8range(${startNs}::bigint, ${endNs}::bigint)
    and h.first_ns < ${endNs}::bigint and h.last_ns >= ${startNs}::bigint
    and (${s}.kind = 'irregular' or exists (select 1 from segments g where g.series_id = ${s}.id
      and g.start_ns < ${endNs}::bigint and g.start_ns + varve_run_ns(g.rows, ${s}.rate) >= ${startNs}::bigint
      and (h.edits = 0 or ${to} - ${from} > ${removed}))))`;
}

/** The first row of a run `g` at or after a time, as rowAtOrAfter of core/signal/rate; one past the end if it has none. */
function rowAt(ns: bigint, s: Row): RawBuilder<unknown> {
  const period = sql`(1000000000 * split_part(${s}.rate, '/', 2)::numeric)`;
  const num = sql`split_part(${s}.rate, '/', 1)::numeric`;
  const passed = sql`greatest(${ns}::numeric - g.start_ns + div(g.skip * ${period}, ${num}), 0)`;
  const row = sql`div(${passed} * ${num} + ${period} - 1, ${period}) - g.skip`;
  return sql`(g.first_row + greatest(0, least(g.rows, ${row})))`;
}

/** The condition on a row `h` of heads. */
function activeSince({ ns }: Leaf<'active_since'>): Condition {
  return sql`(h.extent && int8range(${ns}::bigint, null) and h.last_ns >= ${ns}::bigint)`;
}

/** On a row `h` of heads: its last commit is older than the first one of so late, if there is any. */
function silentSince({ seconds }: Leaf<'silent_for'>): Condition {
  return sql`h."commit" < coalesce((select c."commit" from commits c where c.at > now() - make_interval(secs => ${seconds})
    order by c.at limit 1), 9223372036854775807)`;
}

/** A series that is younger has not been silent for so long. */
function createdBefore({ seconds }: Leaf<'silent_for'>, s: Row): Condition {
  return sql`${s}.created_at <= now() - make_interval(secs => ${seconds})`;
}

function annotationTest({ label, startNs, endNs }: Leaf<'has_annotation'>): Condition {
  const tests: Condition[] = [];
  if (label !== null) tests.push(sql`varve_nfc(a.label) = ${label}`);
  if (endNs !== null) tests.push(sql`a.start_ns < ${endNs}::bigint`);
  if (startNs !== null) tests.push(sql`(a.end_ns > ${startNs}::bigint or a.start_ns >= ${startNs}::bigint)`);
  return tests.length === 0 ? sql`true` : sql`${sql.join(tests, sql` and `)}`;
}

function joined<T>(items: readonly T[], by: RawBuilder<unknown>, each: (item: T) => Condition): Condition {
  return sql`(${sql.join(items.map(each), by)})`;
}
