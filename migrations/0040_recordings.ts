/** Recordings, which group series that were taken together, and imports, which bring them from files. */
import { sql, type Kysely, type Migration } from 'kysely';

const STATEMENTS = [
  // A recording without a series is nothing: it is made with its first one, shown while it has one, and goes with the last.
  `create table recordings (
     id uuid primary key,
     project_id uuid not null references projects,
     name text not null,
     sources jsonb not null default '[]',        -- files that it was made from: file, sha256
     start_ns bigint,
     created_at timestamptz not null default now(),
     updated_at timestamptz not null default now()
   )`,
  `create unique index recording_name on recordings (project_id, varve_nfc(name))`,
  // The name is kept with its series, whose version a new name raises: a reader of a series sees it.
  `alter table series add recording_id uuid references recordings, add recording text,
     add constraint recording_whole check ((recording_id is null) = (recording is null))`,
  `create index series_recording on series (recording_id) where recording_id is not null`,
  `create index series_recording_name on series ((varve_nfc(recording) collate "C")) where recording is not null`,
  `create or replace view varve_series as
     select s.id, p.name as project, s.name, s.description, s.kind, s.dtype, s.channel_count, s.channels, s.unit, s.scale,
       s."offset", s.rate_hz, s.rate, s.time_reference, s.tags, s.provenance, h.rows,
       varve_timestamp(h.first_ns) as first_time, varve_timestamp(h.last_ns) as last_time, h.first_ns, h.last_ns,
       s.version, s.created_at, s.updated_at,
       s.continuity, s.resolution, s.missing_value, s.time_zone, s.external_ids,
       case when h.sealed_at is null then 'open' else 'sealed' end as state, h.sealed_at, s.content_hash,
       s.recording_id, s.recording
     from series s join heads h on h.series_id = s.id join projects p on p.id = s.project_id where s.deleted_at is null`,
  `create table imports (
     id uuid primary key,
     project_id uuid not null references projects,
     token_id uuid not null,
     request jsonb not null,
     state text not null default 'waiting' check (state in ('waiting', 'running', 'done', 'failed', 'cancelled')),
     content_key bytea,                          -- of files and options, once they have been read
     attempts int not null default 0,
     runner uuid,                                -- the process that is at it
     progress jsonb,
     files jsonb,
     problem jsonb,
     same_as uuid,
     created_at timestamptz not null default now(),
     seen_at timestamptz,                        -- by its runner
     ended_at timestamptz
   )`,
  `create index imports_open on imports (created_at) where state in ('waiting', 'running')`,
  `create index imports_of_project on imports (project_id, id)`,
  `create index imports_content on imports (content_key) where state = 'done'`,
];

export const recordings: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
