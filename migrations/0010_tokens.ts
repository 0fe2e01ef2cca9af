/**
 * The first token is known as such, so that another can take its place. Every change of tokens is told to the processes
 * that remember them.
 */
import { sql, type Kysely, type Migration } from 'kysely';

const STATEMENTS = [
  `alter table tokens
     add column is_first boolean not null default false,  -- given by the environment, or made at the first start
     add column replaced_at timestamptz`, //              -- of a first one: since when another is in its place
  // Until now each that was given stayed valid: at the next start all but the present one are replaced.
  `update tokens set is_first = true where name = 'first' and scopes = '{admin}' and project_ids is null`,
  `create function varve_tell_tokens() returns trigger language plpgsql as $$
     begin
       perform pg_notify('varve_tokens', '');
       return null;
     end $$`,
  `create trigger tokens_tell after insert or update or delete or truncate on tokens
     for each statement execute function varve_tell_tokens()`,
];

export const tokens: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
