/** What recovery must know of the catalog, as of one instant. */
import { sql } from 'kysely';
import type { ShardState } from '../core/shard-state.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { CLAIMABLE, RESTING } from './lane-store.ts';

/** A lane with a lease or with pending writes; all others have neither. */
export interface BusyLane {
  readonly id: string;
  readonly token: bigint;
  /** Null: the lease was released. */
  readonly holder: unknown;
  /** Nobody holds the lease, or it has expired. */
  readonly claimable: boolean;
  readonly resting: boolean;
  readonly hasPending: boolean;
}

export interface RecoveryRows {
  readonly lanes: readonly BusyLane[];
  readonly shards: ReadonlyArray<{
    readonly id: string;
    readonly laneId: string;
    readonly path: string;
    readonly state: ShardState;
    readonly abandonedBy: unknown;
    /** Replaced: for so long. */
    readonly replacedMs: number | null;
  }>;
  /** Of the writes that were asked for; ids without a row are left out. */
  readonly writeStates: ReadonlyMap<string, 'pending' | 'applied' | 'failed'>;
}

export async function readBusyLanes(db: Database | DatabaseTransaction): Promise<BusyLane[]> {
  const { rows } = await sql<{
    id: string;
    lease_token: bigint;
    lease_holder: unknown;
    claimable: boolean;
    resting: boolean;
    has_pending: boolean;
  }>`
    select * from (
      select lanes.id, lease_token, lease_holder, ${CLAIMABLE} as claimable, ${RESTING} as resting,
        exists (select from writes w where w.lane_id = lanes.id and w.state = 'pending') as has_pending
      from lanes) as all_lanes
    where lease_holder is not null or has_pending`.execute(db);
  return rows.map((row) => ({
    id: row.id,
    token: row.lease_token,
    holder: row.lease_holder,
    claimable: row.claimable,
    resting: row.resting,
    hasPending: row.has_pending,
  }));
}

/**
 * In one snapshot: a drain that has released its lease has its shard among the rows, or will never have.
 * @param writeIds of the payloads in the spool
 */
export async function readRecoveryRows(db: Database, writeIds: readonly string[]): Promise<RecoveryRows> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (trx) => {
      const lanes = await readBusyLanes(trx);
      const shards = await trx
        .selectFrom('shards')
        .select(['id', 'lane_id', 'path', 'state', 'abandoned_by'])
        .select(sql<number | null>`(extract(epoch from now() - replaced_at) * 1000)::float8`.as('replaced_ms'))
        .orderBy('id')
        .execute();
      return {
        lanes,
        shards: shards.map((row) => ({
          id: row.id,
          laneId: row.lane_id,
          path: row.path,
          state: row.state,
          abandonedBy: row.abandoned_by,
          replacedMs: row.replaced_ms,
        })),
        writeStates: await readWriteStates(trx, writeIds),
      };
    });
}

/** Ids without a row are left out. */
export async function readWriteStates(
  db: Database | DatabaseTransaction,
  ids: readonly string[],
): Promise<Map<string, 'pending' | 'applied' | 'failed'>> {
  const rows = await db
    .selectFrom('writes')
    .select(['id', 'state'])
    .where('id', '=', sql<string>`any(${[...ids]}::uuid[])`)
    .execute();
  return new Map(rows.map((row) => [row.id, row.state]));
}
