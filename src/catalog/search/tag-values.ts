/** Which tags there are: keys, and the values of a key, each with the number of its series. */
import { sql, type RawBuilder } from 'kysely';
import { nameKey } from '../../core/same-name.ts';
import type { TagScalar } from '../../core/signal/tag-value.ts';
import type { DatabaseTransaction } from '../database.ts';
import type { ProjectScope } from './search-store.ts';
import { estimateRows } from './explain-search.ts';

/** Counted one by one up to here; what is more frequent is reckoned by the planner. */
export const MAX_COUNTED = 1000;
const SEPARATOR = '\u0001';
/** A place behind all entries of a key, before those of any longer key: keys have no control characters. */
const AFTER_SEPARATOR = '\u0002';

const TYPES = { s: 'string', n: 'number', b: 'boolean', t: 'time', q: 'quantity' } as const;

export interface TagKeyCount {
  readonly key: string;
  readonly types: (typeof TYPES)[keyof typeof TYPES][];
  readonly count: number;
  readonly estimated: boolean;
}

export interface TagValueCount {
  readonly value: TagScalar;
  readonly count: number;
  readonly estimated: boolean;
  /** Its place in the order of values. */
  readonly entry: string;
}

export interface TagQuestion {
  readonly scope: ProjectScope;
  readonly prefix: string;
  readonly limit: number;
  /** The key, or the entry, that the page before ended with. */
  readonly after: string | null;
}

/** Keys in alphabetical order; one more than `limit` if there are more. Each step is a descent into the index, whatever a key's series. */
export async function tagKeys(trx: DatabaseTransaction, question: TagQuestion): Promise<TagKeyCount[]> {
  const { limit, after, scope } = question;
  const prefix = nameKey(question.prefix);
  const start = after === null ? prefix : after + AFTER_SEPARATOR;
  const steps = walk({ scope, start, prefix, limit, next: sql`split_part(w.entry, chr(1), 1) || chr(2)` });
  const types = Object.entries(TYPES).map(
    ([letter, type]) =>
      sql`case when exists (select 1 from series_tags t where t.entry ^@ (k.key || chr(1) || ${letter}::text) and ${inScope(scope)}) then ${type}::text end`,
  );
  const { rows } = await sql<{ key: string; types: TagKeyCount['types']; counted: number; looked: number }>`
    ${steps}, k as (select split_part(w.entry, chr(1), 1) as key from w where w.entry is not null)
    select k.key, array_remove(array[${sql.join(types)}], null) as types, c.counted, c.looked
    from k cross join lateral (
      select count(distinct l.series_id)::integer as counted, count(*)::integer as looked from (
        select t.series_id from series_tags t where t.entry ^@ (k.key || chr(1)) and ${inScope(scope)}
        limit ${MAX_COUNTED + 1}) l) c
    order by k.key collate "C"`.execute(trx);
  return oneByOne(rows, async ({ key, types: found, counted, looked }) => {
    const estimated = looked > MAX_COUNTED;
    const entries = sql`select 1 from series_tags t where t.entry ^@ ${key + SEPARATOR}::text and ${inScope(scope)}`;
    return { key, types: found, estimated, count: estimated ? await atLeast(counted, trx, entries) : counted };
  });
}

/**
 * Values in order: texts by code point, numbers by size. Quantities are shown as one of their series gives them. @param
 * question with a prefix only texts are meant
 */
export async function tagValues(
  trx: DatabaseTransaction,
  askedKey: string,
  question: TagQuestion,
): Promise<TagValueCount[]> {
  const { limit, after, scope } = question;
  const key = nameKey(askedKey);
  const prefix = nameKey(question.prefix);
  const begin = prefix === '' ? key + SEPARATOR : `${key}${SEPARATOR}s${prefix}`;
  const start = after === null ? begin : after + SEPARATOR;
  const steps = walk({ scope, start, prefix: begin, limit, next: sql`w.entry || chr(1)` });
  const { rows } = await sql<{ entry: string; value: TagScalar; counted: number }>`
    ${steps}
    select w.entry, given.value, c.counted
    from w cross join lateral (
      select count(*)::integer as counted from (
        select 1 from series_tags t where t.entry = w.entry and ${inScope(scope)} limit ${MAX_COUNTED + 1}) l) c
    cross join lateral (
      select e.value from (
        select t.series_id from series_tags t where t.entry = w.entry and ${inScope(scope)} limit 1) one
      join series s on s.id = one.series_id
      join lateral jsonb_each(s.tags) k on varve_nfc(k.key) = ${key}::text
      cross join lateral jsonb_array_elements(case jsonb_typeof(k.value) when 'array'
        then k.value else jsonb_build_array(k.value) end) e(value)
      where exists (select 1 from varve_tag_rows(s.id, s.project_id,
          varve_nfc_json(jsonb_build_object(${key}::text, e.value))) r
        where r.entry = w.entry)
      limit 1) given
    order by w.entry`.execute(trx);
  return oneByOne(rows, async ({ entry, value, counted }) => {
    const estimated = counted > MAX_COUNTED;
    const same = sql`select 1 from series_tags t where t.entry = ${entry}::text and ${inScope(scope)}`;
    return { value, entry, estimated, count: estimated ? await atLeast(counted, trx, same) : counted };
  });
}

/** A recursion from entry to entry: the next one is the first at or after `next`. */
function walk(steps: {
  scope: ProjectScope;
  start: string;
  prefix: string;
  limit: number;
  next: RawBuilder<unknown>;
}): RawBuilder<unknown> {
  const { scope, start, prefix, limit, next } = steps;
  return sql`with recursive w(entry, place) as (
    select ${firstFrom(sql`${start}::text`, prefix, scope)}, 1
    union all
    select ${firstFrom(sql`(${next})`, prefix, scope)}, w.place + 1 from w where w.entry is not null and w.place <= ${limit}
  )`;
}

function firstFrom(start: RawBuilder<unknown>, prefix: string, scope: ProjectScope): RawBuilder<unknown> {
  const entries = sql`t.entry >= ${start} and t.entry ^@ ${prefix}::text`;
  if (!scope) return sql`(select t.entry from series_tags t where ${entries} order by t.entry limit 1)`;
  return sql`(select min(f.entry) from unnest(${[...scope]}::uuid[]) p(id) cross join lateral (
    select t.entry from series_tags t where t.project_id = p.id and ${entries} order by t.entry limit 1) f)`;
}

function inScope(scope: ProjectScope): RawBuilder<unknown> {
  return scope ? sql`t.project_id = any(${[...scope]}::uuid[])` : sql`true`;
}

async function atLeast(counted: number, trx: DatabaseTransaction, entries: RawBuilder<unknown>): Promise<number> {
  return Math.max(counted, await estimateRows(trx, entries));
}

/** A transaction runs one statement after the other. */
async function oneByOne<T, R>(items: readonly T[], each: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await each(item));
  return results;
}
