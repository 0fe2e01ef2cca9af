/**
 * The first schema. A *lane* is an ordered stream of writes (up to about 1,000 series) that owns at most one hot shard
 * at a time. A *shard* is one HDF5 file. A *chunk* is one block of rows of one series at a known place in a shard. A
 * *write* is an acknowledged append that is not, or not yet, in a shard. A sample exists when the transaction that
 * inserted its chunk row has committed.
 */
import { sql, type Kysely, type Migration } from 'kysely';

const STATEMENTS = [
  // ── who ────────────────────────────────────────────────────────────────────────────────────────────────────────
  `create table projects (
     id uuid primary key,
     name text not null unique,
     created_at timestamptz not null default now())`,
  `create table tokens (
     id uuid primary key,
     name text not null,
     hash bytea not null unique,                 -- SHA-256 of the token; the token itself is never stored
     scopes text[] not null,
     project_ids uuid[],                         -- null: all projects
     created_at timestamptz not null default now(),
     revoked_at timestamptz)`,

  // ── what ───────────────────────────────────────────────────────────────────────────────────────────────────────
  `create table lanes (
     id uuid primary key,
     series_count integer not null default 0,
     hot_shard_id uuid,                          -- where the next append goes; null: a new shard
     lease_token bigint not null default 0,      -- raised by every claim; fences every publish
     lease_holder jsonb,                         -- null: released
     lease_expires_at timestamptz,
     failures integer not null default 0,        -- drains in a row that failed for a reason that may lie in a write
     outages integer not null default 0,         -- drains in a row that the system (disk, network) did not let through
     resting_until timestamptz)                  -- after an outage: not to be rung for before`,
  `create index lanes_open on lanes (series_count, id)`,
  `create table series (
     id uuid primary key,
     project_id uuid not null references projects,
     lane_id uuid not null references lanes,
     name text not null,
     description text,
     kind text not null check (kind in ('regular', 'irregular')),
     dtype text not null,
     channels jsonb not null,                    -- one object a channel, in order
     channel_count integer not null check (channel_count > 0),
     unit text,
     scale double precision not null default 1,
     "offset" double precision not null default 0,
     rate text,                                  -- exact, num/den; null for irregular
     rate_hz double precision,
     start_ns bigint,                            -- where a regular series begins if its first append does not say
     time_reference text not null check (time_reference in ('utc', 'relative')),
     duplicates text not null check (duplicates in ('last', 'error', 'keep')),
     codec text not null,
     tags jsonb not null default '{}',
     provenance jsonb not null default '{}',
     version integer not null default 1,         -- of the metadata: the ETag
     created_at timestamptz not null default now(),
     updated_at timestamptz not null default now(),
     deleted_at timestamptz,
     -- what readers see
     rows bigint not null default 0,
     first_ns bigint,
     last_ns bigint,
     "commit" bigint not null default 0,
     -- what has been acknowledged: the visible state plus every pending write
     staged_rows bigint not null default 0,
     staged_last_ns bigint,                      -- irregular: largest time
     staged_segment_start_ns bigint,             -- regular: the newest segment
     staged_segment_rows bigint not null default 0)`,
  `create unique index series_name on series (project_id, name) where deleted_at is null`,
  `create index series_tags on series using gin (tags jsonb_path_ops) where deleted_at is null`,
  `create index series_lane on series (lane_id)`,
  `create table annotations (
     id uuid primary key,
     series_id uuid not null references series,
     start_ns bigint not null,
     end_ns bigint not null check (end_ns >= start_ns),
     label text not null,
     payload jsonb not null default '{}',
     author uuid,                                -- the token that wrote it
     created_at timestamptz not null default now())`,
  `create index annotations_time on annotations (series_id, start_ns, id)`,

  // ── where ──────────────────────────────────────────────────────────────────────────────────────────────────────
  `create table segments (
     series_id uuid not null references series,
     first_row bigint not null,
     start_ns bigint not null,
     rows bigint not null,
     primary key (series_id, first_row))`,
  `create table shards (
     id uuid primary key,
     lane_id uuid not null references lanes,
     state text not null check (state in ('hot', 'retired', 'lost')), -- retired: takes no more appends; lost: its file is missing
     path text not null unique,                  -- relative to the data root
     bytes bigint not null default 0,            -- committed length of the file
     lease_token bigint not null,                -- of the claim that created it
     abandoned_by jsonb,                         -- who may still have it open, though it is retired; null: nobody
     created_at timestamptz not null default now())`,
  `create index shards_lost on shards (id) where state = 'lost'`,
  `create table chunks (
     series_id uuid not null references series,
     generation integer not null default 0,
     first_row bigint not null,                  -- row of the series
     rows bigint not null,
     shard_id uuid not null references shards,
     dataset_row bigint not null,                -- row of the HDF5 dataset
     first_ns bigint,                            -- irregular: smallest and largest time
     last_ns bigint,
     sorted boolean not null,                    -- times strictly increase
     values_offset bigint not null,              -- of the whole block in the file …
     values_length bigint not null,              -- … which may hold room for more rows
     times_offset bigint,
     times_length bigint,
     codec text not null,
     values_crc bigint not null,                 -- CRC-32 of the first "rows" rows
     times_crc bigint,
     counts bigint[] not null,                   -- per channel: values that are not NaN …
     mins double precision[] not null,           -- … and over those min, max and sum (raw values)
     maxs double precision[] not null,
     sums double precision[] not null,
     primary key (series_id, first_row, generation))`,
  `create index chunks_shard on chunks (shard_id, series_id, first_row)`,

  // ── what is still to be done ───────────────────────────────────────────────────────────────────────────────────
  `create table writes (
     id uuid primary key,
     seq bigint generated always as identity,    -- per series the order of acknowledgement
     lane_id uuid not null references lanes,
     series_id uuid not null references series,
     state text not null check (state in ('pending', 'applied', 'failed')),
     rows bigint not null,
     bytes bigint not null,                      -- of the payload
     start_ns bigint,                            -- regular: time of the first row, resolved when staged
     first_ns bigint,                            -- irregular: smallest and largest time
     last_ns bigint,
     value_bytes bytea,                          -- small payloads; null: spooled, or applied
     time_bytes bytea,
     spooled boolean not null,
     values_crc bigint not null,
     times_crc bigint,
     idempotency_key text,
     content_hash bytea,                         -- SHA-256 of what was asked, where a key was given
     attempts integer not null default 0,
     error jsonb,
     created_at timestamptz not null default now(),
     applied_at timestamptz,
     first_row bigint,
     "commit" bigint)`,
  `alter table writes alter column value_bytes set storage external`, // samples barely compress; do not try
  `alter table writes alter column time_bytes set storage external`,
  `create unique index writes_key on writes (series_id, idempotency_key) where idempotency_key is not null`,
  `create index writes_pending on writes (lane_id, seq) include (bytes) where state = 'pending'`,
  `create index writes_failed on writes (id) where state = 'failed'`,

  // ── whose data these are: the data folder bears the same id ────────────────────────────────────────────────────
  `create table catalog_identity (
     singleton boolean primary key default true check (singleton),
     id uuid not null)`,
  `insert into catalog_identity (id) values (gen_random_uuid())`,

  // ── what has happened, in the order of visibility ──────────────────────────────────────────────────────────────
  `create table commit_counter (
     singleton boolean primary key default true check (singleton),
     value bigint not null)`,
  `insert into commit_counter (value) values (0)`,
  `create table changes (
     "commit" bigint not null,
     ordinal integer not null,
     project_id uuid not null,
     series_id uuid not null,
     kind text not null,                         -- append, create, update, delete, restore
     first_row bigint,
     rows bigint,
     at timestamptz not null default now(),
     primary key ("commit", ordinal))`,
];

export const foundation: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
