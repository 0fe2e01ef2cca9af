/** Lanes and their leases. A lease is a row, a token and the database's clock; nobody else's clock counts. */
import { sql, type RawBuilder } from 'kysely';
import type { Database } from './database.ts';

/** Long enough that a worker renewing every third of it is never overtaken by a mere pause, short enough to wait for. */
export const LEASE_SECONDS = 30;
/** After an outage a lane rests this long, twice as long after each further one … */
const FIRST_REST_MS = 500;
/** … up to this: the most that a lane may lag behind the end of an outage. */
const LONGEST_REST_MS = 30_000;

/**
 * True of a lane that can be claimed. No lease and no rest is ever given for so long as the second limits: the database's clock was set back, and nobody
 * shall wait until it has caught up.
 */
export const CLAIMABLE = sql<boolean>`(lanes.lease_holder is null or lanes.lease_expires_at < now()
  or lanes.lease_expires_at > now() + make_interval(secs => ${2 * LEASE_SECONDS}))`;
export const RESTING = sql<boolean>`coalesce(
  lanes.resting_until between now() and now() + make_interval(secs => ${(2 * LONGEST_REST_MS) / 1000}), false)`;

export interface HotShard {
  readonly id: string;
  readonly path: string;
  readonly bytes: number;
}

export interface Lease {
  readonly laneId: string;
  /** Higher than that of every earlier claim: whoever holds a lower one can no longer publish. */
  readonly token: bigint;
  /** Where the lane's next append goes; null: start a new shard. */
  readonly hotShard: HotShard | null;
  /** The hot shard that this claim took from the lane, because a former holder may still have it open. */
  readonly abandonedShard: string | null;
  /** Drains that failed in a row. */
  readonly failures: number;
}

/**
 * Claims the lease of a lane if it is free or has expired. One that was released hands the hot shard on. One that expired does not: its holder may wake up
 * with the file open, so the claim itself retires the shard. In a statement of its own, that could stay undone, and whoever comes next would not know.
 * @param isGone whether a former holder has certainly ended, and with it every file it had open: then the hot shard is handed on, too
 * @returns null while somebody else holds the lease, or if there is no such lane
 */
export async function claimLease(
  db: Database,
  laneId: string,
  holder: unknown,
  isGone: (formerHolder: unknown) => boolean = () => false,
): Promise<Lease | null> {
  const released = await takeLease(db, laneId, holder, sql`lanes.lease_holder is null`, null);
  if (released) return released;
  const { rows } = await sql<{ lease_token: bigint; lease_holder: unknown }>`
    select lease_token, lease_holder from lanes
    where id = ${laneId} and lease_holder is not null and ${CLAIMABLE}`.execute(db);
  if (rows.length === 0) return null;
  const [{ lease_token: token, lease_holder: former }] = rows;
  // The token: if somebody else has been here since, it is another holder that we have judged.
  const unchanged = sql`lanes.lease_token = ${token} and lanes.lease_holder is not null and ${CLAIMABLE}`;
  return takeLease(db, laneId, holder, unchanged, isGone(former) ? null : former);
}

/** @param abandonedBy who may still have the hot shard open; null: nobody */
async function takeLease(
  db: Database,
  laneId: string,
  holder: unknown,
  condition: RawBuilder<unknown>,
  abandonedBy: unknown,
): Promise<Lease | null> {
  const writer = abandonedBy === null ? null : JSON.stringify(abandonedBy);
  const { rows } = await sql<{
    lease_token: bigint;
    failures: number;
    hot_shard_id: string | null;
    path: string | null;
    bytes: bigint | null;
    abandoned_shard_id: string | null;
  }>`
    with old as (select id, hot_shard_id from lanes where id = ${laneId} and ${condition} for no key update),
    abandoned as (
      update shards set state = 'retired', abandoned_by = ${writer}::jsonb
      from old where shards.id = old.hot_shard_id and shards.state = 'hot' and ${writer}::jsonb is not null
      returning shards.id),
    claimed as (
      update lanes
      set lease_token = lanes.lease_token + 1,
          lease_holder = ${JSON.stringify(holder)}::jsonb,
          lease_expires_at = now() + make_interval(secs => ${LEASE_SECONDS}),
          hot_shard_id = case when ${writer}::jsonb is null then lanes.hot_shard_id end
      from old
      where lanes.id = old.id
      returning lanes.lease_token, lanes.failures, lanes.hot_shard_id)
    select c.*, s.path, s.bytes, (select id from abandoned) as abandoned_shard_id
    from claimed c left join shards s on s.id = c.hot_shard_id`.execute(db);
  if (rows.length === 0) return null;
  const { hot_shard_id: id, path, bytes, ...row } = rows[0];
  // A claim that has waited for the very publish that made the shard sees the lane as it is now, and the shards as they were.
  const hotShard = id === null ? null : path === null ? await readHotShard(db, id) : { id, path, bytes: Number(bytes) };
  return {
    laneId,
    token: row.lease_token,
    hotShard,
    abandonedShard: row.abandoned_shard_id,
    failures: row.failures,
  };
}

async function readHotShard(db: Database, id: string): Promise<HotShard> {
  const row = await db.selectFrom('shards').select(['path', 'bytes']).where('id', '=', id).executeTakeFirstOrThrow();
  return { id, path: row.path, bytes: Number(row.bytes) };
}

/** @returns false if the lease has been taken over */
export async function renewLease(db: Database, lease: Pick<Lease, 'laneId' | 'token'>): Promise<boolean> {
  const result = await db
    .updateTable('lanes')
    .set({ lease_expires_at: sql<Date>`now() + make_interval(secs => ${LEASE_SECONDS})` })
    .where('id', '=', lease.laneId)
    .where('lease_token', '=', lease.token)
    .executeTakeFirst();
  return result.numUpdatedRows === 1n;
}

/**
 * Gives the lease back without having published.
 * @param failed counts towards the lane's failures in a row
 */
export async function releaseLease(
  db: Database,
  lease: Pick<Lease, 'laneId' | 'token'>,
  failed: boolean,
): Promise<void> {
  await db
    .updateTable('lanes')
    .set({
      lease_holder: null,
      lease_expires_at: null,
      ...(failed && { failures: sql<number>`failures + 1` }),
    })
    .where('id', '=', lease.laneId)
    .where('lease_token', '=', lease.token)
    .execute();
}

/**
 * Gives the lease back after an outage of the system, which no write is to blame for, and lets the lane rest: longer after each outage in a row.
 * @returns for how long, in ms
 */
export async function restLane(db: Database, lease: Pick<Lease, 'laneId' | 'token'>): Promise<number> {
  const { rows } = await sql<{ rest_ms: number }>`
    update lanes
    set lease_holder = null, lease_expires_at = null, outages = outages + 1,
        resting_until = now() + least(${LONGEST_REST_MS}, ${FIRST_REST_MS} * 2 ^ least(outages, 16)) * interval '1 millisecond'
    where id = ${lease.laneId} and lease_token = ${lease.token}
    returning (extract(epoch from resting_until - now()) * 1000)::float8 as rest_ms`.execute(db);
  return rows[0]?.rest_ms ?? FIRST_REST_MS;
}

/**
 * Stops appending to the lane's hot shard: the next drain starts a new one. Its committed chunks stay readable.
 * @param abandonedBy who may still have the file open; null: nobody
 */
export async function retireHotShard(
  db: Database,
  lease: Pick<Lease, 'laneId' | 'token'>,
  abandonedBy: unknown,
): Promise<void> {
  const writer = abandonedBy === null ? null : JSON.stringify(abandonedBy);
  await sql`
    with lane as (
      update lanes set hot_shard_id = null
      from (select id, hot_shard_id from lanes where id = ${lease.laneId} and lease_token = ${lease.token} for no key update) old
      where lanes.id = old.id returning old.hot_shard_id)
    update shards set state = 'retired', abandoned_by = ${writer}::jsonb
    from lane where shards.id = lane.hot_shard_id and shards.state = 'hot'`.execute(db);
}
