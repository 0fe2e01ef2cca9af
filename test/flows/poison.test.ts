/** Writes that can never be applied, and shards that can never be appended to: neither holds up a lane. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { open, readdir, unlink } from 'node:fs/promises';
import { sql } from 'kysely';
import { listShards } from '../../src/catalog/shard-store.ts';
import { hasTestPostgres } from '../support/postgres.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;

beforeAll(async () => {
  if (hasTestPostgres()) lab = await openLab();
});

afterAll(() => lab?.close());

const suite = hasTestPostgres() ? describe : describe.skip;

async function overwrite(path: string, position: number, bytes: Uint8Array): Promise<void> {
  const file = await open(lab.root.resolve(path), 'r+');
  await file.write(bytes, 0, bytes.length, position);
  await file.close();
}

suite('a poison write ends as failed with its reason, and those around it are applied', () => {
  test.each<[string, (write: string) => Promise<void>, RegExp]>([
    ['whose spooled payload was deleted', (write) => unlink(lab.root.spooled(write, 'values')), /payload is missing/],
    [
      'whose spooled payload was changed',
      (write) => overwrite(`spool/${write}.values`, 4, Uint8Array.of(0xff)),
      /does not match its checksum/,
    ],
    [
      'whose spooled payload was cut',
      async (write) => {
        const file = await open(lab.root.spooled(write, 'values'), 'r+');
        await file.truncate(4);
        await file.close();
      },
      /has 4 bytes, not 12/,
    ],
  ])('%s', async (_, spoil, reason) => {
    const [spoiled, other] = [await lab.newSeries(), await lab.newSeries()];
    await lab.db.updateTable('series').set({ lane_id: spoiled.laneId }).where('id', '=', other.id).execute();
    const before = await lab.stage(spoiled.id, [1, 2]);
    const poison = await lab.stage(spoiled.id, [3, 4, 5], 'spooled');
    const after = await lab.stage(spoiled.id, [6]);
    const beside = await lab.stage(other.id, [7, 8], 'spooled');
    await spoil(poison);
    await lab.drainAll(spoiled.laneId);
    expect(await lab.write(poison)).toMatchObject({
      state: 'failed',
      error: { code: 'poison', message: expect.stringMatching(reason) },
    });
    expect(await Promise.all([before, after, beside].map(lab.write))).toMatchObject([
      { state: 'applied', firstRow: 0 },
      { state: 'applied', firstRow: 2 },
      { state: 'applied', firstRow: 0 },
    ]);
  });

  test('that fails for a reason nobody foresaw', async () => {
    const [spoiled, other] = [await lab.newSeries(), await lab.newSeries()];
    await lab.db.updateTable('series').set({ lane_id: spoiled.laneId }).where('id', '=', other.id).execute();
    // A row of the catalog that somebody has changed by hand: no payload of the API's comes that far.
    await lab.db.updateTable('series').set({ dtype: 'nonsense' }).where('id', '=', spoiled.id).execute();
    const poison = await lab.stage(spoiled.id, [1, 2, 3], 'spooled');
    const beside = await lab.stage(other.id, [7, 8]);
    await lab.drainAll(spoiled.laneId);
    expect(await lab.write(poison)).toMatchObject({
      state: 'failed',
      error: { code: 'poison', message: expect.stringMatching(/^could not be applied in 5 attempts: /) },
    });
    expect(await lab.write(beside)).toMatchObject({ state: 'applied' });
    expect(existsSync(lab.root.spooled(poison, 'values'))).toBe(true);
  });
});

suite('a damaged shard', () => {
  test('is left for a new one: no write is put aside, and what was committed stays where it is', async () => {
    const { id, laneId } = await lab.newSeries();
    await lab.stage(id, [1, 2, 3]);
    await lab.drainAll(laneId);
    const { hot_shard_id: hot } = await lab.db
      .selectFrom('lanes')
      .select('hot_shard_id')
      .where('id', '=', laneId)
      .executeTakeFirstOrThrow();
    const { path } = (await listShards(lab.db)).find((shard) => shard.id === hot)!;
    await overwrite(path, 0, Buffer.from('no HDF5'));
    const writes = [await lab.stage(id, [4]), await lab.stage(id, [5])];
    await lab.drainAll(laneId);
    expect(await Promise.all(writes.map(lab.write))).toMatchObject([
      { state: 'applied', firstRow: 3 },
      { state: 'applied', firstRow: 4 },
    ]);
    const chunks = await lab.db
      .selectFrom('chunks')
      .select(['first_row', 'rows', 'shard_id'])
      .where('series_id', '=', id)
      .orderBy('first_row')
      .execute();
    expect(chunks.map(({ first_row: first, rows }) => [first, rows])).toEqual([
      [0n, 3n],
      [3n, 2n],
    ]);
    expect(chunks[0].shard_id).toBe(hot);
  });
});

suite('a commit that Postgres refuses', () => {
  test('leaves no new shard behind, and is made again', async () => {
    const { id, laneId } = await lab.newSeries();
    await lab.db.updateTable('lanes').set({ hot_shard_id: null }).where('id', '=', laneId).execute();
    const write = await lab.stage(id, [1, 2, 3]);
    const shardFiles = (): Promise<string[]> => readdir(lab.root.shardFolder, { recursive: true });
    const before = (await shardFiles()).filter((name) => name.endsWith('.h5'));
    await sql`alter table chunks add constraint refused check (rows < 0) not valid`.execute(lab.db);
    await expect(lab.drain(laneId)).rejects.toMatchObject({ code: '23514' });
    await sql`alter table chunks drop constraint refused`.execute(lab.db);
    expect((await shardFiles()).filter((name) => name.endsWith('.h5'))).toEqual(before);
    await lab.drainAll(laneId);
    expect(await lab.write(write)).toMatchObject({ state: 'applied', firstRow: 0 });
  });
});
