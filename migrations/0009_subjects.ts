/**
 * Subjects: what is personal, kept apart from series so that it can be deleted. Series are found by their subject and
 * by what they are derived from, too. No view shows subjects: docs/sql.md.
 */
import { sql, type Kysely, type Migration } from 'kysely';

const STATEMENTS = [
  `create table subjects (
     project_id uuid not null references projects,
     id text collate "C" not null,               -- what provenance calls it
     content jsonb not null,
     updated_at timestamptz not null default now(),
     primary key (project_id, id))`,
  // Statistics are a copy: of what is deleted they would keep examples until the next analyze.
  `alter table subjects alter column content set statistics 0`,

  // ── other ways in; series that say nothing of it are in neither ────────────────────────────────────────────────
  `create index series_subject on series ((left(provenance ->> 'subject', 512) collate "C"), id)
     where deleted_at is null and provenance ? 'subject'`,
  // What came before provenance had a shape may be anything.
  `create function varve_derived_from(provenance jsonb) returns text[] language sql immutable parallel safe
     return array(select lower(e.id)
       from jsonb_array_elements(case jsonb_typeof(provenance -> 'derived_from') when 'array' then provenance -> 'derived_from' else '[]' end)
           with ordinality d(value, place)
         cross join lateral (select case jsonb_typeof(d.value) when 'object' then d.value ->> 'series' else d.value #>> '{}' end) e(id)
       where length(e.id) <= 500 order by d.place)`,
  `create index series_derived_from on series using gin (varve_derived_from(provenance))
     where deleted_at is null and provenance ? 'derived_from'`,
];

export const subjects: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
