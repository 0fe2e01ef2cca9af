/** Who gets the hot shard when a lease changes hands. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import { claimLease, releaseLease, type Lease } from '../../src/catalog/lane-store.ts';
import { isGone, thisProcess, type ProcessIdentity } from '../../src/storage/process-identity.ts';
import { hasTestPostgres } from '../support/postgres.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;

beforeAll(async () => {
  if (hasTestPostgres()) lab = await openLab();
});

// New series share the lanes of earlier tests.
beforeEach(async () => {
  await lab?.db.updateTable('lanes').set({ lease_holder: null, lease_expires_at: null, hot_shard_id: null }).execute();
});

afterAll(() => lab?.close());

const suite = hasTestPostgres() ? describe : describe.skip;

/** Of another machine, so nobody here can tell whether it has ended. */
const mayLive: ProcessIdentity = { host: 'another.example', boot: 'a-boot', pid: 1, started: '1' };
const ended: ProcessIdentity = { ...thisProcess(), started: '1' };

/** A lane with a hot shard, whose lease `holder` has let expire. */
async function laneWithExpiredLease(holder: unknown): Promise<{ laneId: string; shardId: string }> {
  const { id, laneId } = await lab.newSeries();
  await lab.stage(id, [1, 2, 3]);
  await lab.drain(laneId);
  const lease = await claimLease(lab.db, laneId, holder);
  await sql`update lanes set lease_expires_at = now() - interval '1 second' where id = ${laneId}`.execute(lab.db);
  return { laneId, shardId: lease!.hotShard!.id };
}

function claim(laneId: string): Promise<Lease | null> {
  return claimLease(lab.db, laneId, lab.holder, isGone);
}

suite('a lease that changes hands', () => {
  test('by its release hands the hot shard on', async () => {
    const { laneId, shardId } = await laneWithExpiredLease(ended);
    await releaseLease(lab.db, (await claim(laneId))!, false);
    expect(await claim(laneId)).toMatchObject({ hotShard: { id: shardId }, abandonedShard: null });
  });

  test('by its expiry hands the hot shard on if its holder has certainly ended', async () => {
    const { laneId, shardId } = await laneWithExpiredLease(ended);
    expect(await claim(laneId)).toMatchObject({ hotShard: { id: shardId }, abandonedShard: null });
  });

  test('by its expiry leaves the hot shard to a holder that may live, whatever becomes of the heir', async () => {
    const { laneId, shardId } = await laneWithExpiredLease(mayLive);
    const heir = await claim(laneId);
    expect(heir).toMatchObject({ hotShard: null, abandonedShard: shardId });
    await releaseLease(lab.db, heir!, false); // it did nothing more
    expect(await claim(laneId)).toMatchObject({ hotShard: null, abandonedShard: null });
    const shard = await lab.db
      .selectFrom('shards')
      .select(['state', 'abandoned_by'])
      .where('id', '=', shardId)
      .executeTakeFirst();
    expect(shard).toEqual({ state: 'retired', abandoned_by: mayLive });
  });

  test('is not changed by a claim that comes too early', async () => {
    const { laneId, shardId } = await laneWithExpiredLease(mayLive);
    await sql`update lanes set lease_expires_at = now() + interval '10 seconds' where id = ${laneId}`.execute(lab.db);
    expect(await claim(laneId)).toBeNull();
    const lane = await lab.db.selectFrom('lanes').selectAll().where('id', '=', laneId).executeTakeFirstOrThrow();
    expect(lane).toMatchObject({ hot_shard_id: shardId, lease_holder: mayLive });
  });

  test('goes to one of several that claim it at once', async () => {
    const { laneId } = await laneWithExpiredLease(mayLive);
    const leases = await Promise.all(Array.from({ length: 4 }, () => claim(laneId)));
    expect(leases.filter((lease) => lease !== null)).toHaveLength(1);
  });

  test('during a publish hands on the shard that this publish makes', async () => {
    const { laneId } = await lab.newSeries();
    const shardId = uuidv7();
    const path = `shards/00/${shardId}-1.h5`;
    let waiting: Promise<Lease | null> | undefined;
    await lab.db.transaction().execute(async (trx) => {
      await sql`select id from lanes where id = ${laneId} for no key update`.execute(trx);
      await trx
        .insertInto('shards')
        .values({ id: shardId, lane_id: laneId, state: 'hot', path, bytes: 1, lease_token: 1n })
        .execute();
      await trx.updateTable('lanes').set({ hot_shard_id: shardId }).where('id', '=', laneId).execute();
      waiting = claim(laneId);
      for (let blocked = 0; blocked === 0;) {
        const { rows } = await sql<{ n: number }>`
          select count(*)::int as n from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock'`.execute(trx);
        blocked = rows[0].n;
      }
    });
    expect(await waiting).toMatchObject({ hotShard: { id: shardId, path } });
  });
});
