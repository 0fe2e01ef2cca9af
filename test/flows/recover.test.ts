import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { v7 as uuidv7 } from 'uuid';
import { claimLease, releaseLease, restLane, retireHotShard } from '../../src/catalog/lane-store.ts';
import { hasLostShards, listShards } from '../../src/catalog/shard-store.ts';
import { ORPHAN_GRACE_MS } from '../../src/core/reconcile.ts';
import { diagnose, recover, recoverLanes } from '../../src/flows/recover.ts';
import { shardPath } from '../../src/storage/data-root.ts';
import { journalPath, writeJournal } from '../../src/storage/journal.ts';
import type { ProcessIdentity } from '../../src/storage/process-identity.ts';
import { hasTestPostgres } from '../support/postgres.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;

beforeAll(async () => {
  if (hasTestPostgres()) lab = await openLab();
});

afterAll(() => lab?.close());

/** A process of this host that has ended: no process has pid 2^22 + 1. */
const gone = (): ProcessIdentity => ({ ...lab.holder, pid: 4_194_305, started: '1' });
/** One that may live: nobody can tell from here. */
const elsewhere = (): ProcessIdentity => ({ ...lab.holder, host: 'another-host' });

/** A lane of its own with a hot shard of three rows. */
async function laneWithShard(): Promise<{
  seriesId: string;
  laneId: string;
  path: string;
  file: string;
  shardId: string;
}> {
  const { id: seriesId } = await lab.newSeries();
  const laneId = uuidv7();
  await lab.db.insertInto('lanes').values({ id: laneId, series_count: 1000 }).execute();
  await lab.db.updateTable('series').set({ lane_id: laneId }).where('id', '=', seriesId).execute();
  await lab.stage(seriesId, [1, 2, 3]);
  await lab.drainAll(laneId);
  const { id: shardId, path } = await hotShard(laneId);
  return { seriesId, laneId, path, file: lab.root.resolve(path), shardId };
}

async function hotShard(laneId: string): Promise<{ id: string; path: string }> {
  return lab.db
    .selectFrom('lanes as l')
    .innerJoin('shards as s', 's.id', 'l.hot_shard_id')
    .select(['s.id', 's.path'])
    .where('l.id', '=', laneId)
    .executeTakeFirstOrThrow();
}

async function setLease(laneId: string, seconds: number): Promise<void> {
  const at = new Date(Date.now() + seconds * 1000);
  await lab.db.updateTable('lanes').set({ lease_expires_at: at }).where('id', '=', laneId).execute();
}

async function age(path: string, ms: number): Promise<void> {
  const at = new Date(Date.now() - ms);
  await utimes(lab.root.resolve(path), at, at);
}

async function put(path: string, ageMs: number): Promise<string> {
  await mkdir(dirname(lab.root.resolve(path)), { recursive: true });
  await writeFile(lab.root.resolve(path), 'x');
  await age(path, ageMs);
  return path;
}

const isThere = (path: string): boolean => existsSync(lab.root.resolve(path));
const state = async (shardId: string): Promise<string | undefined> =>
  (await listShards(lab.db)).find(({ id }) => id === shardId)?.state;
const rows = async (seriesId: string): Promise<number> =>
  Number((await lab.db.selectFrom('series').select('rows').where('id', '=', seriesId).executeTakeFirstOrThrow()).rows);

const suite = hasTestPostgres() ? describe : describe.skip;

suite('lanes with pending writes', () => {
  test('are rung for when nobody drains them, and not while somebody does', async () => {
    const { seriesId, laneId } = await laneWithShard();
    expect(await recoverLanes(lab)).not.toContain(laneId);
    await lab.stage(seriesId, [4]);
    expect(await recoverLanes(lab)).toContain(laneId);
    const lease = await claimLease(lab.db, laneId, elsewhere());
    expect(await recoverLanes(lab)).not.toContain(laneId);
    await setLease(laneId, -1);
    expect(await recoverLanes(lab)).toContain(laneId);
    await releaseLease(lab.db, lease!, false);
    await lab.drainAll(laneId);
  });

  test('are freed from a process that is gone, at once, and go on in their shard', async () => {
    const { seriesId, laneId, shardId } = await laneWithShard();
    await lab.stage(seriesId, [4]);
    await claimLease(lab.db, laneId, gone());
    expect(await lab.drain(laneId)).toMatchObject({ kind: 'busy' });
    expect(await recoverLanes(lab)).toContain(laneId);
    await lab.drainAll(laneId);
    expect((await hotShard(laneId)).id).toBe(shardId);
    expect(await rows(seriesId)).toBe(4);
  });

  test('are left to a process that may live, until its lease expires; then they go on in a new shard', async () => {
    const { seriesId, laneId, shardId } = await laneWithShard();
    await lab.stage(seriesId, [4]);
    await claimLease(lab.db, laneId, elsewhere());
    await recoverLanes(lab);
    expect(await lab.drain(laneId)).toMatchObject({ kind: 'busy' });
    await setLease(laneId, -1);
    await lab.drainAll(laneId);
    expect((await hotShard(laneId)).id).not.toBe(shardId);
    expect(await state(shardId)).toBe('retired');
    expect(await rows(seriesId)).toBe(4);
  });

  test('rest after an outage, longer after each in a row, and are rung for again after it', async () => {
    const { seriesId, laneId } = await laneWithShard();
    await lab.stage(seriesId, [4]);
    const rests: number[] = [];
    for (let outage = 0; outage < 8; outage++) {
      const lease = await claimLease(lab.db, laneId, lab.holder);
      rests.push(await restLane(lab.db, lease!));
    }
    expect(rests.map((ms) => Math.round(ms))).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    expect(await recoverLanes(lab)).not.toContain(laneId);
    const past = new Date(Date.now() - 1000);
    await lab.db.updateTable('lanes').set({ resting_until: past }).where('id', '=', laneId).execute();
    expect(await recoverLanes(lab)).toContain(laneId);
    await lab.drainAll(laneId);
    const lease = await claimLease(lab.db, laneId, lab.holder);
    expect(Math.round(await restLane(lab.db, lease!))).toBe(500);
  });

  test('do not wait for a clock that was set back', async () => {
    const { seriesId, laneId } = await laneWithShard();
    await lab.stage(seriesId, [4]);
    await claimLease(lab.db, laneId, elsewhere());
    const farOff = new Date(Date.now() + 3600_000);
    const ahead = { lease_expires_at: farOff, resting_until: farOff };
    await lab.db.updateTable('lanes').set(ahead).where('id', '=', laneId).execute();
    expect(await recoverLanes(lab)).toContain(laneId);
    await lab.drainAll(laneId);
    expect(await rows(seriesId)).toBe(4);
  });
});

suite('a shard whose file is missing', () => {
  test('is lost with an alarm; its lane goes on in a new one; when the file is back, so is the shard', async () => {
    const { seriesId, laneId, shardId, file } = await laneWithShard();
    await rename(file, `${file}.elsewhere`);
    lab.lines.length = 0;
    await recover(lab);
    expect(await state(shardId)).toBe('lost');
    expect(await hasLostShards(lab.db)).toBe(true);
    expect(lab.lines.filter((line) => line.includes('a shard is lost'))).toHaveLength(1);
    await recover(lab);
    expect(lab.lines.filter((line) => line.includes('a shard is lost'))).toHaveLength(1);

    await lab.stage(seriesId, [4]);
    expect(await lab.drain(laneId)).toMatchObject({ kind: 'drained' });
    expect((await hotShard(laneId)).id).not.toBe(shardId);

    await rename(`${file}.elsewhere`, file);
    await recover(lab);
    expect(await state(shardId)).toBe('retired');
    expect(await hasLostShards(lab.db)).toBe(false);
  });

  test('does not hold up its lane before recovery finds out', async () => {
    const { seriesId, laneId, shardId, file } = await laneWithShard();
    await rename(file, `${file}.elsewhere`);
    const write = await lab.stage(seriesId, [4]);
    await lab.drainAll(laneId);
    expect(await lab.write(write)).toMatchObject({ state: 'applied', firstRow: 3 });
    expect((await hotShard(laneId)).id).not.toBe(shardId);
    await rename(`${file}.elsewhere`, file);
  });
});

suite('a journal that was left behind', () => {
  /** As a writer leaves it that ends between the journal and the file: the last byte of the file is still to be changed. */
  async function leaveJournal(file: string): Promise<{ offset: number; byte: number }> {
    const bytes = await readFile(file);
    const offset = bytes.length - 1;
    const byte = bytes[offset] ^ 0xff;
    writeJournal(file, { fileLength: bytes.length, runs: [{ offset, bytes: Uint8Array.of(byte) }] });
    return { offset, byte };
  }

  async function byteAt(file: string, offset: number): Promise<number> {
    const handle = await open(file);
    const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, offset);
    await handle.close();
    return buffer[0];
  }

  test('is settled when nobody has the shard', async () => {
    const { file } = await laneWithShard();
    const { offset, byte } = await leaveJournal(file);
    await recover(lab);
    expect(existsSync(journalPath(file))).toBe(false);
    expect(await byteAt(file, offset)).toBe(byte);
  });

  test('is left to whoever may be writing the shard', async () => {
    const { laneId, file } = await laneWithShard();
    const { offset, byte } = await leaveJournal(file);
    const lease = await claimLease(lab.db, laneId, elsewhere());
    await recover(lab);
    await setLease(laneId, -1);
    await recover(lab);
    expect(existsSync(journalPath(file))).toBe(true);
    expect(await byteAt(file, offset)).not.toBe(byte);
    await releaseLease(lab.db, lease!, false);
  });

  test('of an abandoned shard waits for the end of the process that may have it open', async () => {
    const { laneId, file, shardId } = await laneWithShard();
    await leaveJournal(file);
    const lease = await claimLease(lab.db, laneId, lab.holder);
    await retireHotShard(lab.db, lease!, elsewhere());
    await releaseLease(lab.db, lease!, false);
    await recover(lab);
    expect(existsSync(journalPath(file))).toBe(true);
    await lab.db
      .updateTable('shards')
      .set({ abandoned_by: JSON.stringify(gone()) })
      .where('id', '=', shardId)
      .execute();
    await recover(lab);
    expect(existsSync(journalPath(file))).toBe(false);
  });
});

suite('files without a row', () => {
  test('are removed from the spool after the grace time; what a write refers to stays', async () => {
    const { seriesId, laneId } = await laneWithShard();
    const old = await put(`spool/${uuidv7()}.values`, ORPHAN_GRACE_MS);
    const oldTimes = await put(`spool/${uuidv7()}.times`, ORPHAN_GRACE_MS);
    const young = await put(`spool/${uuidv7()}.values`, 0);
    const foreign = await put('spool/notes.txt', ORPHAN_GRACE_MS);
    const pending = await lab.stage(seriesId, [4, 5], 'spooled');
    await age(`spool/${pending}.values`, ORPHAN_GRACE_MS);
    await recover(lab);
    expect([old, oldTimes, young, foreign, `spool/${pending}.values`].map(isThere)).toEqual([
      false,
      false,
      true,
      true,
      true,
    ]);
    await lab.drainAll(laneId);
    expect(await rows(seriesId)).toBe(5);
    // As a crash right after the publish leaves it.
    await put(`spool/${pending}.values`, 0);
    await recover(lab);
    expect(isThere(`spool/${pending}.values`)).toBe(false);
  });

  test('of a shard that was never published are set aside, unless a lease could still publish it', async () => {
    const { laneId } = await laneWithShard();
    const lease = await claimLease(lab.db, laneId, elsewhere());
    const [mine, stale] = [shardPath(uuidv7(), lease!.token), shardPath(uuidv7(), 999_999n)];
    await put(mine, ORPHAN_GRACE_MS);
    await put(stale, ORPHAN_GRACE_MS);
    await put(journalPath(stale), ORPHAN_GRACE_MS);
    await setLease(laneId, -1);
    await recover(lab);
    expect([mine, stale, journalPath(stale)].map(isThere)).toEqual([true, false, false]);
    const aside = `shards/orphans/${stale.split('/').at(-1)}`;
    expect([aside, journalPath(aside)].map(isThere)).toEqual([true, true]);
    await recover(lab);
    expect(isThere(aside)).toBe(true);
    await age(aside, 8 * 24 * ORPHAN_GRACE_MS);
    await releaseLease(lab.db, lease!, false);
    await recover(lab);
    expect([mine, aside].map(isThere)).toEqual([false, false]);
  });

  test('that cannot be moved keep nothing else from being repaired', async () => {
    const stale = await put(shardPath(uuidv7(), 999_999n), ORPHAN_GRACE_MS);
    const folder = lab.root.resolve('shards/orphans');
    await mkdir(folder, { recursive: true });
    await rename(folder, `${folder}.moved`);
    await put('shards/orphans', 0);
    const later = await put('shards/zz/x.tmp', ORPHAN_GRACE_MS);
    const { outcomes } = await recover(lab);
    expect(outcomes).toContainEqual({
      repair: { kind: 'set-aside', path: stale },
      done: null,
      error: expect.stringMatching(/EEXIST|ENOTDIR/),
    });
    expect([stale, later].map(isThere)).toEqual([true, false]);
    await rm(folder);
    await rename(`${folder}.moved`, folder);
    await recover(lab);
    expect(isThere(stale)).toBe(false);
  });

  test('that somebody began and did not finish are removed after the grace time', async () => {
    const old = await put('shards/ab/x.h5.tmp', ORPHAN_GRACE_MS);
    const young = await put('spool/y.tmp', 0);
    await recover(lab);
    expect([old, young].map(isThere)).toEqual([false, true]);
  });
});

suite('writes that were applied', () => {
  test('are forgotten after a week, and not before; pending and failed ones never', async () => {
    const { seriesId, laneId } = await laneWithShard();
    const [old, young] = [await lab.stage(seriesId, [4]), await lab.stage(seriesId, [5])];
    await lab.drainAll(laneId);
    const failed = await lab.stage(seriesId, [6]);
    const pending = await lab.stage(seriesId, [7]);
    await lab.db.updateTable('writes').set({ state: 'failed' }).where('id', '=', failed).execute();
    const days = (n: number): number => Date.now() - n * 24 * 3600_000;
    const backdated: string[] = [];
    for (const [id, ms] of [
      [old, days(8)],
      [young, days(6)],
      [failed, days(100)],
      [pending, days(100)],
    ] as const) {
      const then = uuidv7({ msecs: ms });
      backdated.push(then);
      await lab.db
        .updateTable('writes')
        .set({ id: then, applied_at: new Date(ms) })
        .where('id', '=', id)
        .execute();
    }
    expect((await recover(lab)).purgedWrites).toBe(1);
    const found = await Promise.all(backdated.map((id) => lab.write(id)));
    expect(found.map((write) => write?.state)).toEqual([undefined, 'applied', 'failed', 'pending']);
    expect(await rows(seriesId)).toBe(5);
  });
});

suite('a diagnosis', () => {
  test('changes nothing', async () => {
    const orphan = await put(`spool/${uuidv7()}.values`, ORPHAN_GRACE_MS);
    const repairs = await diagnose(lab);
    expect(repairs).toContainEqual(
      expect.objectContaining({ kind: 'remove', file: expect.objectContaining({ path: orphan }) }),
    );
    expect(isThere(orphan)).toBe(true);
  });

  test('finds nothing left to do after a recovery', async () => {
    await recover(lab);
    const left = (await diagnose(lab)).filter(({ kind }) => kind !== 'ring');
    expect(left).toEqual([]);
  });
});
