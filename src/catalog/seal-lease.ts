/** The lease of whoever rewrites the shards of a lane. It stands beside that of the drain: a lane is appended to while it is sealed. */
import { sql } from 'kysely';
import type { Database } from './database.ts';
import { LEASE_SECONDS } from './lane-store.ts';

export interface SealLease {
  readonly laneId: string;
  /** Higher than that of every earlier claim: whoever holds a lower one can no longer swap shards. */
  readonly token: bigint;
}

/**
 * @param isGone whether a former holder has certainly ended
 * @returns null while somebody else holds the lease, or if there is no such lane
 */
export async function claimSealLease(
  db: Database,
  laneId: string,
  holder: unknown,
  isGone: (formerHolder: unknown) => boolean,
): Promise<SealLease | null> {
  const lane = await db
    .selectFrom('lanes')
    .select(['seal_token', 'seal_holder'])
    .where('id', '=', laneId)
    .executeTakeFirst();
  if (!lane) return null;
  const mayTake = lane.seal_holder === null || isGone(lane.seal_holder);
  // The token: if somebody else has been here since, it is another holder that we have judged.
  const { rows } = await sql<{ seal_token: bigint }>`
    update lanes set seal_token = seal_token + 1, seal_holder = ${JSON.stringify(holder)}::jsonb,
      seal_expires_at = now() + make_interval(secs => ${LEASE_SECONDS})
    where id = ${laneId} and seal_token = ${lane.seal_token} and (${mayTake} or seal_holder is null or seal_expires_at < now()
      or seal_expires_at > now() + make_interval(secs => ${2 * LEASE_SECONDS}))
    returning seal_token`.execute(db);
  return rows.length === 0 ? null : { laneId, token: rows[0].seal_token };
}

export async function renewSealLease(db: Database, { laneId, token }: SealLease): Promise<void> {
  await db
    .updateTable('lanes')
    .set({ seal_expires_at: sql<Date>`now() + make_interval(secs => ${LEASE_SECONDS})` })
    .where('id', '=', laneId)
    .where('seal_token', '=', token)
    .execute();
}

export async function releaseSealLease(db: Database, { laneId, token }: SealLease): Promise<void> {
  await db
    .updateTable('lanes')
    .set({ seal_holder: null, seal_expires_at: null })
    .where('id', '=', laneId)
    .where('seal_token', '=', token)
    .execute();
}
