/** What tags the series have that a search finds: which measurements, keys, values and fields there are. */
import { sql } from 'kysely';
import type { Dtype } from '../../core/numbers/dtype.ts';
import type { Expression } from '../../core/tags/tag-expression.ts';
import type { Database } from '../database.ts';
import { seriesInReach, type ProjectScope } from './search-store.ts';

export interface FoundTag {
  readonly measurement: string;
  readonly key: string;
  /** Null: only keys were asked for. */
  readonly value: string | null;
}

export interface FoundField {
  readonly measurement: string;
  readonly field: string;
  readonly dtype: Dtype;
}

interface FoundQuestion {
  readonly where: Expression | null;
  readonly scope: ProjectScope;
  /** Rows of the answer, at most. */
  readonly most: number;
}

/** Texts alone: other values of the tag say nothing of a measurement. */
const MEASUREMENT = sql`case when jsonb_typeof(s.tags -> '_measurement') = 'string' then s.tags ->> '_measurement' end`;
const FIELD_NAME = sql`case when jsonb_typeof(s.tags -> '_field') = 'string' then s.tags ->> '_field' end`;

/** In alphabetical order. */
export async function foundMeasurements(db: Database, { where, scope, most }: FoundQuestion): Promise<string[]> {
  const { rows } = await sql<{ measurement: string }>`
    select distinct ${MEASUREMENT} collate "C" as measurement from series s
    where ${seriesInReach(where, scope)} and ${MEASUREMENT} is not null order by 1 limit ${most}`.execute(db);
  return rows.map(({ measurement }) => measurement);
}

/** By measurement, key and value; tags that begin with `_` are no tags of a point. @param isWithValues false: keys alone */
export async function foundTags(
  db: Database,
  { where, scope, most }: FoundQuestion,
  isWithValues: boolean,
): Promise<FoundTag[]> {
  const value = isWithValues ? sql`(k.value #>> '{}') collate "C"` : sql`null::text`;
  const { rows } = await sql<FoundTag>`
    select distinct ${MEASUREMENT} collate "C" as measurement, k.key collate "C" as key, ${value} as value
    from series s cross join lateral jsonb_each(s.tags) k
    where ${seriesInReach(where, scope)} and ${MEASUREMENT} is not null and k.key !~ '^_' and jsonb_typeof(k.value) = 'string'
    order by 1, 2, 3 limit ${most}`.execute(db);
  return rows;
}

/** By measurement and field. */
export async function foundFields(db: Database, { where, scope, most }: FoundQuestion): Promise<FoundField[]> {
  const { rows } = await sql<FoundField>`
    select distinct ${MEASUREMENT} collate "C" as measurement, ${FIELD_NAME} collate "C" as field, s.dtype
    from series s where ${seriesInReach(where, scope)} and ${MEASUREMENT} is not null and ${FIELD_NAME} is not null
    order by 1, 2, 3 limit ${most}`.execute(db);
  return rows;
}
