/** Lanes and their leases. A lease is a row, a token and the database's clock; nobody else's clock counts. */
import { sql } from 'kysely';
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
  /** Who held the lease and let it expire; null if it had been released. Such a holder may still have the file open. */
  readonly expiredHolder: unknown;
  /** Drains that failed in a row. */
  readonly failures: number;
}

/** @returns null while somebody else holds the lease, or if there is no such lane */
export async function claimLease(db: Database, laneId: string, holder: unknown): Promise<Lease | null> {
  const { rows } = await sql<{
    lease_token: bigint;
    previous_holder: unknown;
    failures: number;
    shard_id: string | null;
    path: string | null;
    bytes: bigint | null;
  }>`
    with old as (select id, lease_holder from lanes where id = ${laneId} for no key update),
    claimed as (
      update lanes
      set lease_token = lanes.lease_token + 1,
          lease_holder = ${JSON.stringify(holder)}::jsonb,
          lease_expires_at = now() + make_interval(secs => ${LEASE_SECONDS})
      from old
      where lanes.id = old.id and ${CLAIMABLE}
      returning lanes.lease_token, old.lease_holder as previous_holder, lanes.failures, lanes.hot_shard_id)
    select c.lease_token, c.previous_holder, c.failures, s.id as shard_id, s.path, s.bytes
    from claimed c left join shards s on s.id = c.hot_shard_id`.execute(db);
  const row = rows[0];
  if (!row) return null;
  return {
    laneId,
    token: row.lease_token,
    hotShard: row.shard_id === null ? null : { id: row.shard_id, path: row.path!, bytes: Number(row.bytes) },
    expiredHolder: row.previous_holder,
    failures: row.failures,
  };
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
