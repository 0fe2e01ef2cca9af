/** What decides whether shards of a lane are to be compacted. */
import { sql } from 'kysely';
import type { CompactableShard } from '../../core/upkeep/compaction-plan.ts';
import type { Database } from '../database.ts';

/** A shard of a lane, without what takes a look at its chunks. */
export type LaneShard = Omit<CompactableShard, 'deadBytes' | 'overlap'>;

/**
 * Live shards by lane, in the order in which their rows came. A shard that tells of more than all shards of the lane
 * tell is left out.
 * @param laneId only this one
 * @param shardId only this one, also if its file is too short
 */
export async function lanesWithShards(
  db: Database,
  laneId: string | null = null,
  shardId: string | null = null,
): Promise<Map<string, LaneShard[]>> {
  const { rows } = await sql<{
    id: string;
    lane_id: string;
    level: number;
    bytes: number;
    data_bytes: number;
    age_ms: number;
    wanted: boolean;
  }>`
    select h.id, h.lane_id, h.level, h.bytes::float8 as bytes, coalesce(nullif(h.data_bytes, 0), h.bytes)::float8 as data_bytes,
      (extract(epoch from now() - h.made_at) * 1000)::float8 as age_ms, h.level = 0 and e.lane_id is not null as wanted
    from shards h join lanes l on l.id = h.lane_id
      left join (${EXPIRING}) e on e.lane_id = h.lane_id
    where ${shardId === null ? sql`h.state = 'live'` : sql`h.state in ('live', 'damaged') and h.id = ${shardId}`}
      and h."commit" <= l.flushed_commit and ${laneId === null ? sql`true` : sql`h.lane_id = ${laneId}`}
      and (exists (select from chunks c where c.shard_id = h.id and c.damaged_at is null)
        or not exists (select from chunks c where c.shard_id = h.id and c.damaged_at is not null))
    order by h.lane_id, h.first_commit, h.id`.execute(db);
  const lanes = new Map<string, LaneShard[]>();
  for (const row of rows) {
    const shards = lanes.get(row.lane_id) ?? [];
    lanes.set(row.lane_id, shards);
    shards.push({
      id: row.id,
      level: row.level,
      bytes: row.bytes,
      dataBytes: row.data_bytes,
      ageMs: row.age_ms,
      isWanted: row.wanted,
    });
  }
  return lanes;
}

/** Lanes with samples that are to expire, and may not before there are summaries of them. */
const EXPIRING = sql`
  select distinct d.lane_id from retention_rules r join series s on s.project_id = r.project_id and s.tags @> r.tags
    join heads d on d.series_id = s.id
  where s.deleted_at is null
    and d.first_ns < least(d.last_ns, (extract(epoch from now()) * 1000000)::bigint * 1000) - r.keep_days * 86400e9`;

/**
 * Overlaps in time among the given shards: which others lie within each shard, and how much of the shard that concerns.
 */
export async function overlappingShards(
  db: Database,
  shardIds: readonly string[],
): Promise<Map<string, NonNullable<CompactableShard['overlap']>>> {
  const { rows } = await sql<{ shard_id: string; others: string[]; share: number }>`
    with spans as materialized (
      select series_id, shard_id, min(first_ns) as first_ns, max(last_ns) as last_ns
      from chunks where shard_id = any(${[...shardIds]}::uuid[]) and first_ns is not null
      group by series_id, shard_id),
    pairs as materialized (
      select a.series_id, a.shard_id, b.shard_id as other, b.first_ns, b.last_ns
      from spans a join spans b on b.series_id = a.series_id and b.shard_id <> a.shard_id
        and b.first_ns <= a.last_ns and b.last_ns >= a.first_ns)
    select p.shard_id, p.others, (
      select coalesce(sum(c.rows) filter (where exists (
          select from pairs q where q.shard_id = c.shard_id and q.series_id = c.series_id and q.first_ns <= c.last_ns and q.last_ns >= c.first_ns)), 0)
        / sum(c.rows)
      from chunks c where c.shard_id = p.shard_id)::float8 as share
    from (select shard_id, array_agg(distinct other::text) as others from pairs group by shard_id) p`.execute(db);
  return new Map(rows.map((row) => [row.shard_id, { others: row.others, share: row.share }]));
}

/** Series of a lane with rows in shards that know less than what was removed, replaced or has expired by now. */
export async function maskedInShards(db: Database, laneId: string): Promise<{ series: string[]; shards: string[] }> {
  const { rows } = await sql<{ series_id: string }>`
    select d.series_id from heads d
    where d.lane_id = ${laneId} and (d.masked_commit > 0 or d.purged_at is not null)
      and exists (
        select from chunks c join shards h on h.id = c.shard_id
        where c.series_id = d.series_id and h.state = 'live' and (h."commit" < d.masked_commit or d.purged_at is not null)
        union all
        select from summaries y join shards h on h.id = y.shard_id
        where y.series_id = d.series_id and h.state = 'live' and (h."commit" < d.masked_commit or d.purged_at is not null))
    order by d.series_id`.execute(db);
  const shards = await db
    .selectFrom('shards')
    .select('id')
    .where('lane_id', '=', laneId)
    .where('state', '=', 'live')
    .execute();
  return { series: rows.map((row) => row.series_id), shards: shards.map(({ id }) => id) };
}
