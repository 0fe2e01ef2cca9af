/**
 * Metadata in quantity: what has changed and by whom, edits of many series at once, vocabularies, and requests that are
 * answered once. An *edit* is one request that changes the tags of many series. What it changed is in their history,
 * from where it can be undone.
 */
import { sql, type Kysely, type Migration } from 'kysely';

const STATEMENTS = [
  // ── history ────────────────────────────────────────────────────────────────────────────────────────────────────
  `create table metadata_edits (
     id uuid primary key,
     kind text not null check (kind in ('edit', 'rename', 'undo')),
     token_id uuid,
     project_ids uuid[] not null,                -- of the series that it changed
     request jsonb not null,                     -- what was asked; of an undo: the edit that it undid
     series integer not null,
     undone_by uuid references metadata_edits,
     created_at timestamptz not null default now())`,
  `create table series_history (
     series_id uuid not null references series on delete cascade,
     id uuid not null,                           -- time-ordered
     action text not null check (action in ('create', 'update', 'edit', 'rename', 'undo', 'delete', 'restore')),
     token_id uuid,                              -- null: not a request
     edit_id uuid references metadata_edits,
     changes jsonb not null,                     -- [{field, old, new}, …]
     at timestamptz not null default now(),
     primary key (series_id, id))`,
  `create index series_history_edit on series_history (edit_id, series_id) where edit_id is not null`,

  // ── vocabularies ───────────────────────────────────────────────────────────────────────────────────────────────
  `create table vocabularies (
     project_id uuid primary key references projects,
     content json not null,                      -- in the order of its author
     updated_at timestamptz not null default now())`,

  // ── requests that are answered once ────────────────────────────────────────────────────────────────────────────
  `create table request_keys (
     token_id uuid not null,
     key text not null,
     content_hash bytea not null,                -- SHA-256 of what was asked
     answer json,                                -- null only within the transaction that makes it
     created_at timestamptz not null default now(),
     primary key (token_id, key))`,
  `create index request_keys_age on request_keys (created_at)`,

  // ── annotations ────────────────────────────────────────────────────────────────────────────────────────────────
  `alter table annotations rename column author to token_id`,
  `alter table annotations
     add column channels jsonb,                  -- labels; null: all of them
     add column author text`, //                 -- as the client says

  // ── tags of many new series are taken apart by one statement ───────────────────────────────────────────────────
  `drop trigger series_index_tags on series`,
  `create trigger series_index_tags after delete or update of tags, project_id, deleted_at on series
     for each row execute function varve_index_tags()`,
  `create function varve_index_new_tags() returns trigger language plpgsql as $$
     begin
       insert into series_tags select r.* from added s, varve_tag_rows(s.id, s.project_id, s.tags) r
         where s.deleted_at is null
         order by r.entry, r.series_id -- neighbours in the index: a third faster
         on conflict do nothing;
       return null;
     end $$`,
  `create trigger series_index_new_tags after insert on series referencing new table as added
     for each statement execute function varve_index_new_tags()`,
];

export const metadata: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
