/**
 * The life of a shard: sealing, edits, expiry. A *sealed* shard is immutable and compressed. A *replaced* one has given
 * its rows to another and waits for its removal. An *edit* replaces or removes a range of a series. Edits of a series
 * are numbered, and a chunk's `generation` is the newest edit it has taken in. A *hole* is a range of rows of a regular
 * series that was removed; an *erasure* is a range of time of an irregular one. A *summary* holds count, minimum,
 * maximum and mean of every 64, 4,096 or 262,144 rows.
 */
import { sql, type Kysely, type Migration } from 'kysely';

const STATEMENTS = [
  // ── series ─────────────────────────────────────────────────────────────────────────────────────────────────────
  `alter table series
     add column edits integer not null default 0,           -- acknowledged so far: the number of the newest
     add column removed bigint not null default 0,          -- rows that were removed and have not been replaced since
     add column masked boolean not null default false,      -- some of its sealed rows may be no data any more
     add column expired_ns bigint,                          -- raw samples before it have expired …
     add column summaries_expired_ns bigint`, //            -- … and summaries before this

  // ── writes that are no appends ─────────────────────────────────────────────────────────────────────────────────
  `alter table writes
     add column kind text not null default 'append' check (kind in ('append', 'replace', 'remove')),
     add column generation integer,                         -- of an edit: its number
     add column from_row bigint,                            -- regular: the rows of its range
     add column to_row bigint,
     add column range_start_ns bigint,                      -- irregular: its range
     add column range_end_ns bigint,
     add column removed bigint`, //                         -- when applied: rows that it took away

  // ── what edits have left for sealing to make physical ─────────────────────────────────────────────────────────
  `create table holes (
     series_id uuid not null references series,
     from_row bigint not null,
     to_row bigint not null check (to_row > from_row),
     primary key (series_id, from_row))`,
  `create table erasures (
     series_id uuid not null references series,
     generation integer not null,
     start_ns bigint not null,
     end_ns bigint not null check (end_ns > start_ns),
     before_row bigint not null,                            -- rows that came later are not meant
     primary key (series_id, generation))`,

  // ── chunks of compressed blocks ────────────────────────────────────────────────────────────────────────────────
  `alter table chunks
     add column skip integer not null default 0,            -- rows of the block before the first of this chunk
     add column times_codec text`,
  `update chunks set times_codec = codec where times_offset is not null`,

  // ── shards ─────────────────────────────────────────────────────────────────────────────────────────────────────
  `alter table shards drop constraint shards_state_check`,
  `alter table shards
     add constraint shards_state_check check (state in ('hot', 'retired', 'lost', 'sealed', 'replaced')),
     add column parents uuid[] not null default '{}',       -- of a sealed one: the shards whose rows it took
     add column replaced_at timestamptz`,
  `create index shards_lane on shards (lane_id, state)`,
  `create index shards_replaced on shards (replaced_at) where state = 'replaced'`,

  // ── a second lease of a lane: who rewrites its shards ──────────────────────────────────────────────────────────
  `alter table lanes
     add column seal_token bigint not null default 0,
     add column seal_holder jsonb,
     add column seal_expires_at timestamptz`,

  // ── summaries ──────────────────────────────────────────────────────────────────────────────────────────────────
  `create table summaries (
     series_id uuid not null references series,
     shard_id uuid not null references shards,
     factor integer not null,
     ordinal integer not null,                              -- position among the blocks of its series, shard and factor
     first_cell bigint not null,
     last_cell bigint not null,
     cells integer not null,
     first_row bigint,                                      -- regular: the rows its cells span …
     last_row bigint,
     first_ns bigint,                                       -- … irregular: the times
     last_ns bigint,
     parts jsonb not null,                                  -- [[name, offset, length, codec, crc], …]
     primary key (series_id, factor, shard_id, ordinal))`,
  `create index summaries_shard on summaries (shard_id)`,

  // ── retention ──────────────────────────────────────────────────────────────────────────────────────────────────
  `create table retention_rules (
     id uuid primary key,
     project_id uuid not null references projects,
     tags jsonb not null default '{}',                      -- series that have all of these
     keep_days double precision not null check (keep_days > 0),
     keep_summaries_days double precision check (keep_summaries_days >= keep_days), -- null: for ever
     created_at timestamptz not null default now())`,
  `create index retention_rules_project on retention_rules (project_id)`,

  // ── series that may be restored, and then are purged ───────────────────────────────────────────────────────────
  `create index series_deleted on series (deleted_at) where deleted_at is not null`,

  // ── how much is written for what is accepted ───────────────────────────────────────────────────────────────────
  `alter table commit_counter
     add column accepted_bytes bigint not null default 0,   -- payloads of writes that were applied
     add column appended_bytes bigint not null default 0,   -- by drains: growth of hot shards, and what their journals held
     add column sealed_bytes bigint not null default 0`, // -- by sealing and compaction: new shards
];

export const shardLife: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
