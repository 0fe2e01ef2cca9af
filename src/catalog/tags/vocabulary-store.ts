/** Vocabularies: one a project, and how many of its series do not fit it. */
import { sql, type RawBuilder } from 'kysely';
import { notFound } from '../../core/errors.ts';
import { nameKey } from '../../core/same-name.ts';
import { comparableOf, type KeyRule, type Vocabulary } from '../../core/tags/vocabulary.ts';
import type { ReadUnit } from '../../core/signal/tag-value.ts';
import type { Database, DatabaseTransaction } from '../database.ts';
import { entry, tagTest, TERM_TYPES } from '../search/tag-condition.ts';
import { oneRow } from '../one-row.ts';

export interface StoredVocabulary extends Vocabulary {
  readonly updatedAt: Date;
}

/** @returns null if the project has none, or is not */
export async function readVocabulary(db: Database, project: string): Promise<StoredVocabulary | null> {
  return (await readVocabularies(db, [project])).get(nameKey(project)) ?? null;
}

/** Reads vocabularies, by name of the project as {@link nameKey} has it. Projects without one are left out. */
export async function readVocabularies(
  db: Database | DatabaseTransaction,
  projects: readonly string[],
): Promise<ReadonlyMap<string, StoredVocabulary>> {
  const rows = await db
    .selectFrom('vocabularies as v')
    .innerJoin('projects as p', 'p.id', 'v.project_id')
    .select(['p.name', 'v.content', 'v.updated_at'])
    .where(sql`varve_nfc(p.name)`, '=', sql<string>`any(${projects.map(nameKey)}::text[])`)
    .execute();
  return new Map(rows.map(({ name, content, updated_at }) => [nameKey(name), { ...content, updatedAt: updated_at }]));
}

/** @throws not-found for an unknown project */
export async function storeVocabulary(db: Database, project: string, vocabulary: Vocabulary): Promise<Date> {
  const content = JSON.stringify(vocabulary);
  const { rows } = await sql<{ updated_at: Date }>`
    insert into vocabularies (project_id, content)
    select id, ${content}::json from projects where varve_nfc(name) = ${nameKey(project)}
    on conflict (project_id) do update set content = excluded.content, updated_at = now()
    returning updated_at`.execute(db);
  if (rows.length === 0) throw notFound('project', project);
  return oneRow(rows).updated_at;
}

/** @throws not-found if the project has none */
export async function deleteVocabulary(db: Database, project: string): Promise<void> {
  const { rows } = await sql`
    delete from vocabularies v using projects p where p.id = v.project_id and varve_nfc(p.name) = ${nameKey(project)} returning p.id`.execute(
    db,
  );
  if (rows.length === 0) throw notFound('vocabulary of', project);
}

/** Series named where some do not fit. */
const SAMPLE = 10;

/** The series of a project that a vocabulary would refuse. */
export async function unfitSeries(
  db: Database,
  project: string,
  { closed, keys }: Vocabulary,
  readUnit: ReadUnit,
): Promise<{ series: number; sample: string[] }> {
  const rules = Object.entries(keys);
  const wrong = rules.flatMap(([key, rule]) => wrongValues(key, rule, readUnit));
  if (closed) wrong.push(sql`t.key <> all(${rules.map(([key]) => nameKey(key))}::text[])`);
  const branches = wrong.map(
    (condition) => sql`select t.series_id from series_tags t where t.project_id = p.id and ${condition}`,
  );
  const required = rules.filter(([, rule]) => rule.required).map(([key]) => nameKey(key));
  if (required.length > 0) {
    branches.push(sql`select s.id from series s where s.project_id = p.id and s.deleted_at is null
      and not s.tags ?& ${required}::text[] and not varve_nfc_json(s.tags) ?& ${required}::text[]`);
  }
  if (branches.length === 0) return { series: 0, sample: [] };
  const { rows } = await sql<{ n: number; sample: string[] | null }>`
    with unfit as (
      select distinct u.series_id from projects p cross join lateral (${sql.join(branches, sql` union all `)}) u(series_id)
      where varve_nfc(p.name) = ${nameKey(project)})
    select count(*)::integer as n, (array_agg(series_id order by series_id))[1:${sql.lit(SAMPLE)}] as sample from unfit`.execute(
    db,
  );
  const { n, sample } = oneRow(rows);
  return { series: n, sample: sample ?? [] };
}

/** Those entries of a key that its rule refuses. */
function wrongValues(key: string, rule: KeyRule, readUnit: ReadUnit): RawBuilder<unknown>[] {
  const ofKey = sql`t.entry ^@ ${entry(key, '')}::text`;
  const wrong: RawBuilder<unknown>[] = [];
  if (rule.type !== null) {
    const dimension = rule.unit === null ? undefined : readUnit(rule.unit)?.dimension;
    const term = TYPE_TERMS[rule.type] + (dimension === undefined ? '' : `${dimension}:`);
    wrong.push(sql`${ofKey} and not t.entry ^@ ${entry(key, term)}::text`);
  }
  if (rule.values) {
    const allowed = rule.values.flatMap((value) => comparableOf(value, readUnit) ?? []);
    wrong.push(sql`${ofKey} and not ${tagTest(key, { op: 'any', values: allowed })}`);
  }
  return wrong;
}

const TYPE_TERMS = {
  string: TERM_TYPES.text,
  number: TERM_TYPES.number,
  boolean: TERM_TYPES.boolean,
  time: TERM_TYPES.time,
  quantity: TERM_TYPES.quantity,
} as const;
