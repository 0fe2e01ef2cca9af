/**
 * Every HDF5 file is written once. Words: a *head* is the narrow row of a series that appends lock and advance; what describes the series is
 * another row. A *fresh* chunk is one whose bytes still lie where the append put them: here, or in a *spool file*. A *flush* moves the fresh
 * chunks of a lane into a new shard; *compaction* replaces shards by fewer and larger ones. A shard never changes once it has its name.
 */
import { sql, type Kysely, type Migration } from 'kysely';

const STATEMENTS = [
  // ── what was needed by shards that grow ────────────────────────────────────────────────────────────────────────
  `drop view varve_series`,
  `drop view varve_chunks`,
  `drop table writes`,
  `drop table changes`,
  `drop table summaries`,
  `drop table chunks`,
  `drop table shards`,
  `drop table segments`,
  `drop index series_extent`,
  `drop trigger series_extend on series`,
  `drop index series_lane`,
  `alter table series
     drop column lane_id, drop column sealed_at, drop column rows, drop column first_ns, drop column last_ns, drop column "commit",
     drop column staged_rows, drop column staged_last_ns, drop column staged_segment_start_ns, drop column staged_segment_rows,
     drop column edits, drop column removed, drop column masked, drop column expired_ns, drop column summaries_expired_ns,
     drop column extent`,
  `alter table commit_counter drop column appended_bytes, drop column sealed_bytes`,
  `alter table catalog_identity add column estranged text`, // what to say of files that are of another day; null: they are not

  // ── lanes: up to about 1,000 series that share shards ──────────────────────────────────────────────────────────
  `alter table lanes
     drop column hot_shard_id, drop column lease_token, drop column lease_holder, drop column lease_expires_at,
     drop column seal_token, drop column seal_holder, drop column seal_expires_at, drop column outages`,
  `alter table lanes add column flushed_commit bigint not null default 0`, // shards tell all that was so as of this commit

  // ── heads ──────────────────────────────────────────────────────────────────────────────────────────────────────
  // Narrow, with room in its pages, and no index over what appends change: updates stay in their page.
  `create table heads (
     series_id uuid primary key references series,
     lane_id uuid not null references lanes,
     project_id uuid not null,
     rows bigint not null default 0,             -- row numbers given out
     first_ns bigint,                            -- smallest and largest visible time
     last_ns bigint,
     "commit" bigint not null default 0,         -- newest change of its samples
     edits integer not null default 0,           -- the number of the newest edit
     removed bigint not null default 0,          -- rows that were removed and have not been replaced since
     masked_commit bigint not null default 0,    -- newest change of rows that were there before: an edit, an expiry
     expired_ns bigint,                          -- raw samples before it have expired …
     summaries_expired_ns bigint, --             -- … and summaries before this
     shape_version integer not null default 0,   -- version of the series in which its name or channels were changed last
     sealed_at timestamptz,                      -- the series takes no more samples
     deleted_at timestamptz,                     -- as of the series
     purged_at timestamptz,                      -- the deletion cannot be undone any more
     segment_row bigint,                         -- regular: the newest segment; the others are in closed_segments
     segment_ns bigint,
     segment_rows bigint,
     extent int8range)                           -- when it has data, generously
     with (fillfactor = 60)`,
  `create index heads_lane on heads (lane_id)`,
  `create index heads_extent on heads using gist (extent) where deleted_at is null and extent is not null`,
  `create trigger heads_extend before insert or update of first_ns, last_ns on heads for each row
     when (new.last_ns is not null and (new.extent is null or not new.extent @> int8range(new.first_ns, new.last_ns, '[]')))
     execute function varve_extend()`,

  `create function varve_mask() returns trigger language plpgsql as $$ begin new.masked_commit := new."commit"; return new; end $$`,
  `create trigger heads_mask before update of edits, expired_ns, summaries_expired_ns on heads for each row
     when (new.edits <> old.edits or new.expired_ns is distinct from old.expired_ns
       or new.summaries_expired_ns is distinct from old.summaries_expired_ns)
     execute function varve_mask()`,

  // ── time of regular series ─────────────────────────────────────────────────────────────────────────────────────
  `create table closed_segments (
     series_id uuid not null references series,
     first_row bigint not null,
     start_ns bigint not null,
     rows bigint not null,
     primary key (series_id, first_row))`,
  `create view segments as
     select series_id, first_row, start_ns, rows from closed_segments
     union all
     select series_id, segment_row, segment_ns, segment_rows from heads where segment_row is not null`,

  // ── where ──────────────────────────────────────────────────────────────────────────────────────────────────────
  `create table shards (
     id uuid primary key,
     lane_id uuid not null references lanes,
     state text not null check (state in ('writing', 'live', 'replaced', 'lost', 'damaged')),
     level smallint not null,                    -- 0: made by a flush; 1: by compaction
     path text not null unique,                  -- relative to the data root
     "commit" bigint not null,                   -- it tells what was so as of this commit
     first_commit bigint not null,               -- that of the oldest flush whose rows it has: shards of a lane in order
     bytes bigint not null default 0,
     data_bytes bigint not null default 0,       -- of its chunks alone
     made_at timestamptz not null default now(),
     replaced_at timestamptz)`,
  `create index shards_lane on shards (lane_id, state)`,
  `create index shards_rare on shards (state) where state <> 'live'`,
  `create table chunks (
     id bigint generated always as identity unique, -- never given again: a rewriting takes away what it has planned, or nothing
     series_id uuid not null references series,
     generation integer not null default 0,
     first_row bigint not null,                  -- row of the series
     rows bigint not null,
     shard_id uuid not null references shards,
     dataset_row bigint not null,                -- row of the HDF5 dataset
     skip integer not null default 0,            -- rows of the block before the first of this chunk
     first_ns bigint,                            -- irregular: smallest and largest time
     last_ns bigint,
     sorted boolean not null,                    -- times strictly increase
     values_offset bigint not null,
     values_length bigint not null,
     times_offset bigint,
     times_length bigint,
     codec text not null,
     times_codec text,
     values_crc bigint not null,
     times_crc bigint,
     counts bigint[] not null,                   -- per channel: values that are not NaN …
     mins double precision[] not null,           -- … and over those min, max and sum (raw values)
     maxs double precision[] not null,
     sums double precision[] not null,
     damaged_at timestamptz,                     -- it cannot be read: rewritings leave it out
     primary key (series_id, first_row, generation, id))`,
  `create index chunks_damaged on chunks (shard_id) where damaged_at is not null`,
  `create index chunks_shard on chunks (shard_id, series_id, first_row)`,
  `create table summaries (
     series_id uuid not null references series,
     shard_id uuid not null references shards,
     factor integer not null,
     ordinal integer not null,                   -- position among the blocks of its series, shard and factor
     first_cell bigint not null,
     last_cell bigint not null,
     cells integer not null,
     first_row bigint,                           -- regular: the rows its cells span …
     last_row bigint,
     first_ns bigint,                            -- … irregular: the times
     last_ns bigint,
     parts jsonb not null,                       -- [[name, offset, length, codec, crc], …]
     primary key (series_id, factor, shard_id, ordinal))`,
  `create index summaries_shard on summaries (shard_id)`,

  // ── fresh ──────────────────────────────────────────────────────────────────────────────────────────────────────
  `create table spool_files (
     id uuid primary key,
     bytes bigint not null default 0,
     state text not null check (state in ('receiving', 'kept')), -- the row comes before the file, and goes before it
     made_at timestamptz not null default now(),
     freed_at timestamptz)                       -- since when no fresh chunk lies in it`,
  `create index spool_files_age on spool_files (state, made_at)`,
  `create table fresh (
     id bigint generated always as identity primary key, -- never given again
     lane_id uuid not null,
     series_id uuid not null,
     generation integer not null default 0,
     first_row bigint not null,
     rows bigint not null,
     first_ns bigint,                            -- irregular: smallest and largest time
     last_ns bigint,
     sorted boolean not null,
     values_crc bigint not null,
     times_crc bigint,
     bytes bigint not null,                      -- of values and times
     at timestamptz not null default now(),
     damaged_at timestamptz,                     -- could not be read: left out by flushes
     values bytea,                               -- null: in the spool file
     times bytea,
     spool_id uuid,
     values_offset bigint,
     times_offset bigint,
     check ((values is null) = (spool_id is not null)))
     with (vacuum_truncate = false, toast.vacuum_truncate = false)`,
  `alter table fresh alter column values set storage external`, // samples barely compress; do not try
  `alter table fresh alter column times set storage external`,
  `create index fresh_series on fresh (series_id, first_row)`,
  `create index fresh_lane on fresh (lane_id, series_id) include (bytes, at, damaged_at)`,
  `create index fresh_spool on fresh (spool_id) where spool_id is not null`,

  // Every chunk, wherever its bytes lie: what readers and rewritings plan by. Values of a row of `fresh` come with it.
  `create view located_chunks as
     select 'c' || c.id as key, c.series_id, c.generation, c.first_row, c.rows, c.skip, c.shard_id, h.path, c.first_ns, c.last_ns, c.sorted, c.codec,
       c.values_offset, c.values_length, c.values_crc, c.times_codec, c.times_offset, c.times_length, c.times_crc,
       null::bytea as values, null::bytea as times, c.counts, c.mins, c.maxs, c.sums
     from chunks c join shards h on h.id = c.shard_id
     union all
     select 'f' || f.id, f.series_id, f.generation, f.first_row, f.rows, 0, f.spool_id, 'spool/' || f.spool_id, f.first_ns, f.last_ns, f.sorted, 'none',
       f.values_offset, f.bytes - case when f.times_crc is null then 0 else 8 * f.rows end, f.values_crc,
       case when f.times_crc is not null then 'none' end, f.times_offset, case when f.times_crc is not null then 8 * f.rows end, f.times_crc,
       f.values, f.times, null, null, null, null
     from fresh f`,

  // ── what has happened, in the order of visibility: a row a commit, an element a change ─────────────────────────
  `create table commits (
     "commit" bigint primary key,
     at timestamptz not null default now(),
     project_ids uuid[] not null,
     series uuid[] not null,
     kinds text[] not null,                      -- append, create, update, delete, restore, expire, …
     first_rows bigint[] not null,               -- null where rows have no numbers of their own
     rows bigint[] not null,
     tokens uuid[] not null,                     -- who asked
     marker uuid)                                -- of the one commit, for whoever has lost the answer to it`,
  `create index commits_age on commits (at)`,
  `create table append_keys (
     series_id uuid not null,
     key text not null,
     hash bytea not null,                        -- SHA-256 of what was asked
     "commit" bigint not null,
     ordinal integer not null,                   -- of the change in its commit
     rows bigint not null,
     first_row bigint,
     at timestamptz not null default now(),
     primary key (series_id, key))`,
  `create index append_keys_age on append_keys (at)`,

  // ── how much is written for what is accepted ───────────────────────────────────────────────────────────────────
  `create table written_bytes (
     singleton boolean primary key default true check (singleton),
     spooled bigint not null default 0,
     flushed bigint not null default 0,
     compacted bigint not null default 0)`,
  `insert into written_bytes default values`,

  // ── for people who read the catalog with SQL: docs/sql.md ──────────────────────────────────────────────────────
  `create view varve_series as
     select s.id, p.name as project, s.name, s.description, s.kind, s.dtype, s.channel_count, s.channels, s.unit, s.scale,
       s."offset", s.rate_hz, s.rate, s.time_reference, s.tags, s.provenance, h.rows,
       varve_timestamp(h.first_ns) as first_time, varve_timestamp(h.last_ns) as last_time, h.first_ns, h.last_ns,
       s.version, s.created_at, s.updated_at,
       s.continuity, s.resolution, s.missing_value, s.time_zone, s.external_ids,
       case when h.sealed_at is null then 'open' else 'sealed' end as state, h.sealed_at, s.content_hash
     from series s join heads h on h.series_id = s.id join projects p on p.id = s.project_id where s.deleted_at is null`,
  `create view varve_chunks as
     select c.series_id, p.name as project, s.name as series, c.first_row, c.rows, c.generation, h.path as shard, h.state as shard_state,
       c.values_offset, c.values_length, c.codec, varve_timestamp(c.first_ns) as first_time,
       varve_timestamp(c.last_ns) as last_time, c.first_ns, c.last_ns, c.counts, c.mins, c.maxs, c.sums
     from chunks c join series s on s.id = c.series_id join projects p on p.id = s.project_id
     join shards h on h.id = c.shard_id where s.deleted_at is null
     union all
     select f.series_id, p.name, s.name, f.first_row, f.rows, f.generation, null, 'fresh',
       f.values_offset, f.bytes - case s.kind when 'irregular' then 8 * f.rows else 0 end, 'none', varve_timestamp(f.first_ns),
       varve_timestamp(f.last_ns), f.first_ns, f.last_ns, null, null, null, null
     from fresh f join series s on s.id = f.series_id join projects p on p.id = s.project_id where s.deleted_at is null`,
];

export const writtenOnce: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
