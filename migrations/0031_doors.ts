/** Sessions of browsers, links that show a part of the store, and searches that are kept by name. */
import { sql, type Kysely, type Migration } from 'kysely';

const STATEMENTS = [
  // A session stands for its token, and ends with it.
  `create table sessions (
     hash bytea primary key,                              -- SHA-256 of "session " and what the cookie says
     token_id uuid not null references tokens on delete cascade,
     created_at timestamptz not null default now(),
     ends_at timestamptz not null)`,
  `create index sessions_token on sessions (token_id, created_at)`,
  `create trigger sessions_tell after insert or update or delete or truncate on sessions
     for each statement execute function varve_tell_tokens()`,
  `create table shares (
     id uuid primary key,
     hash bytea not null unique,                          -- SHA-256 of "share " and what the link says
     token_id uuid not null references tokens on delete cascade, -- its maker, who may see less later on
     series uuid[],
     recording uuid,
     search jsonb,                                        -- a tree of conditions
     note text,
     created_at timestamptz not null default now(),
     ends_at timestamptz not null,
     revoked_at timestamptz,
     check (num_nonnulls(series, recording, search) = 1))`,
  `create index shares_token on shares (token_id, id)`,
  `create trigger shares_tell after insert or update or delete or truncate on shares
     for each statement execute function varve_tell_tokens()`,
  `create table saved_searches (
     id uuid primary key,
     project_id uuid not null references projects,
     name text not null,
     question jsonb not null,                             -- where, sort and facets, as they were sent
     token_id uuid references tokens on delete set null,  -- who stored it last
     created_at timestamptz not null default now(),
     updated_at timestamptz not null default now())`,
  `create unique index saved_searches_name on saved_searches (project_id, varve_nfc(name))`,
];

export const doors: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
