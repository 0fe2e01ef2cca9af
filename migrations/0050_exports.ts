/** Files that were asked for, and what became of them. */
import { sql, type Kysely, type Migration } from 'kysely';

const STATEMENTS = [
  `create table exports (
     id uuid primary key,
     token_id uuid not null,
     request jsonb not null,
     state text not null check (state in ('waiting', 'running', 'done', 'failed')),
     series integer not null,
     written bigint not null default 0,          -- bytes so far
     file_name text,
     media_type text,
     notes jsonb not null default '[]',
     error jsonb,                                -- code, slug, message
     created_at timestamptz not null default now(),
     alive_at timestamptz not null default now(), -- whoever makes it says so now and then
     finished_at timestamptz)`,
  `create index exports_token on exports (token_id, id)`,
  `create index exports_age on exports (created_at)`,
];

export const exportsMade: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
