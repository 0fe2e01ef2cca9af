/** Rows and files that disagree, whatever has happened: what recovery does of it, and what it leaves alone. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { sql } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import { readEstrangement } from '../../src/catalog/recovery-reader.ts';
import { hasDamage, listShards } from '../../src/catalog/shard-store.ts';
import { ORPHAN_GRACE_MS, RECEIVING_KEPT_MS } from '../../src/core/reconcile.ts';
import type { Series } from '../../src/core/series.ts';
import { compactLane } from '../../src/flows/compact-lane.ts';
import { flushLane } from '../../src/flows/flush-lane.ts';
import { diagnose, recover, type RecoveryReport } from '../../src/flows/recover.ts';
import type { RewriteStage } from '../../src/flows/rewrite-shards.ts';
import { importedSpec } from '../../src/formats/imported-series.ts';
import { registerSpools } from '../../src/catalog/spool-store.ts';
import { shardPath, spoolPath } from '../../src/storage/data-root.ts';
import { hasTestPostgres } from '../support/postgres.ts';
import { Store } from './store.ts';

const suite = hasTestPostgres() ? describe : describe.skip;
/** More than a row of Postgres is to hold. */
const MANY_ROWS = 300_000;

let store: Store;
let lines: string[];

beforeEach(async () => {
  store = await Store.open();
  lines = [];
});

afterEach(() => store?.close());

function recovering() {
  const say = (_: object, message: string): void => void lines.push(message);
  return { db: store.db, root: store.root, log: { info: say, warn: say, error: say } };
}
const run = (): Promise<RecoveryReport> => recover(recovering());

let made = 0;
async function newSeries(...values: number[]): Promise<Series> {
  const spec = { name: `s${made++}`, dtype: 'float64', channels: [{ label: 'v' }], provenance: {} } as const;
  const sampling = { kind: 'regular', rate: { num: 1n, den: 1n }, startNs: 0n } as const;
  const series = await store.create(importedSpec({ ...spec, sampling }));
  if (values.length > 0) await append(series, ...values);
  return series;
}
const append = (series: Series, ...values: number[]) =>
  store.append(series, { values: Float64Array.from(values), times: null });
async function read(series: Series, from?: number, to?: number): Promise<number[]> {
  const bytes = await store.read(series, { by: 'rows', from, to });
  return [...new Float64Array(Uint8Array.from(bytes).buffer)];
}

async function shardOf(series: Series): Promise<{ id: string; path: string; file: string; state: string }> {
  const [shard] = await listShards(store.db, [series.id]);
  return { ...shard, file: store.root.resolve(shard.path) };
}

async function age(path: string, ms: number): Promise<void> {
  const at = new Date(Date.now() - ms);
  await utimes(store.root.resolve(path), at, at);
}

async function put(path: string, ageMs: number): Promise<string> {
  await mkdir(dirname(store.root.resolve(path)), { recursive: true });
  await writeFile(store.root.resolve(path), 'x');
  await age(path, ageMs);
  return path;
}

const isThere = (path: string): boolean => existsSync(store.root.resolve(path));

suite('a shard', () => {
  test('whose file is missing is lost with one alarm; appends go on; when the file is back, so is the shard', async () => {
    const series = await newSeries(1, 2, 3);
    await store.flush();
    const { file } = await shardOf(series);
    await rename(file, `${file}.elsewhere`);
    await run();
    await run();
    expect(lines.filter((line) => line.includes('a shard is lost'))).toHaveLength(1);
    expect((await shardOf(series)).state).toBe('lost');
    expect(await hasDamage(store.db)).toBe(true);
    await append(series, 4);
    expect(await read(series, 3)).toEqual([4]);
    await expect(read(series)).rejects.toMatchObject({ code: 'corrupt' });
    await rename(`${file}.elsewhere`, file);
    await run();
    expect((await shardOf(series)).state).toBe('live');
    expect(await hasDamage(store.db)).toBe(false);
    expect(await read(series)).toEqual([1, 2, 3, 4]);
  });

  test('that was cut short is damaged: its rows are refused, others are read, and nothing is appended on top', async () => {
    const [cut, whole] = [await newSeries(1, 2, 3), await newSeries(7)];
    await store.flush();
    const { file, path } = await shardOf(cut);
    const bytes = await readFile(file);
    await truncate(file, 100);
    const { estranged } = await run();
    expect(estranged).toBeNull();
    expect((await shardOf(cut)).state).toBe('damaged');
    await append(cut, 4);
    await expect(read(cut, 0, 3)).rejects.toMatchObject({ code: 'corrupt' });
    expect(await read(cut, 3)).toEqual([4]);
    expect(await read(whole)).toEqual([7]);
    await store.flush();
    expect((await readFile(store.root.resolve(path))).length).toBe(100);
    await writeFile(file, bytes);
    await run();
    expect([await read(cut), await read(whole)]).toEqual([[1, 2, 3, 4], [7]]);
  });
});

suite('a process that ends, or is paused, between any two steps of a rewriting', () => {
  const ended = (at: RewriteStage) => (stage: RewriteStage) => {
    if (stage === at) throw new Error('ended here');
  };
  const long = sql`made_at = now() - make_interval(secs => ${ORPHAN_GRACE_MS / 1000})`;

  test.each<RewriteStage>(['planned', 'registered', 'written', 'swapped'])(
    'after it has %s: nothing is lost or doubled, and nothing stays behind',
    async (stage) => {
      const series = await newSeries(1, 2, 3);
      const lane = await store.laneOf(series.id);
      await expect(flushLane(store.rewriting, lane, { asked: true, onStage: ended(stage) })).rejects.toThrow(
        'ended here',
      );
      expect(await read(series)).toEqual([1, 2, 3]);
      await append(series, 4);
      await run();
      await sql`update shards set ${long} where state = 'writing'`.execute(store.db);
      await run();
      expect(await read(series)).toEqual([1, 2, 3, 4]);
      await store.flush();
      await expect(
        compactLane(store.rewriting, lane, { all: true, asked: true, onStage: ended(stage) }),
      ).rejects.toThrow('ended here');
      await sql`update shards set ${long} where state = 'writing'`.execute(store.db);
      await run();
      await store.compact(series.id);
      expect(await read(series)).toEqual([1, 2, 3, 4]);
      await sql`update shards set replaced_at = now() - interval '1 hour' where state = 'replaced'`.execute(store.db);
      await run();
      const shards = await listShards(store.db);
      expect(shards).toHaveLength(1);
      expect((await store.verify()).notes).toEqual([]);
    },
  );

  test('whose swap comes after its row was swept changes nothing', async () => {
    const series = await newSeries(1, 2, 3);
    const lane = await store.laneOf(series.id);
    const pausing = flushLane(store.rewriting, lane, {
      asked: true,
      onStage: async (stage) => {
        if (stage !== 'written') return;
        await sql`update shards set ${long} where state = 'writing'`.execute(store.db);
        await run();
      },
    });
    await expect(pausing).rejects.toMatchObject({ slug: 'shard-swept' });
    expect(await read(series)).toEqual([1, 2, 3]);
    await store.flush();
    expect(await read(series)).toEqual([1, 2, 3]);
    expect((await store.verify()).findings).toEqual([]);
  });
});

suite('the spool', () => {
  async function large(): Promise<{ series: Series; path: string }> {
    const series = await newSeries();
    await store.append(series, { values: Float64Array.from({ length: MANY_ROWS }, (_, i) => i), times: null });
    const [{ id }] = await store.db.selectFrom('spool_files').select('id').execute();
    return { series, path: spoolPath(id) };
  }

  test('whose file is short: its last rows are refused, the others are read and flushed', async () => {
    const { series, path } = await large();
    await append(series, -1);
    await truncate(store.root.resolve(path), MANY_ROWS * 8 - 1);
    await run();
    expect(lines.join()).toContain('fresh chunks are damaged');
    expect(await hasDamage(store.db)).toBe(true);
    expect((await read(series, 0, 100_000)).length).toBe(100_000);
    expect(await read(series, MANY_ROWS)).toEqual([-1]);
    await expect(read(series)).rejects.toMatchObject({ code: 'corrupt' });
    await store.flush();
    expect(await read(series, MANY_ROWS)).toEqual([-1]);
    expect((await store.verify()).findings).toMatchObject([{ kind: 'fresh-corrupt', path }]);
  });

  test('keeps what a commit names, however old, and forgets what was begun long ago', async () => {
    const { series, path } = await large();
    await age(path, 10 * RECEIVING_KEPT_MS);
    const [begun, late] = [uuidv7(), uuidv7()];
    await registerSpools(store.db, [begun, late]);
    await put(spoolPath(begun), 0);
    await put(spoolPath(late), RECEIVING_KEPT_MS);
    await sql`update spool_files set made_at = now() - make_interval(secs => ${RECEIVING_KEPT_MS / 1000}) where id = ${late}`.execute(
      store.db,
    );
    await run();
    expect([path, spoolPath(begun), spoolPath(late)].map(isThere)).toEqual([true, true, false]);
    expect((await read(series)).length).toBe(MANY_ROWS);
  });
});

suite('files that no row names', () => {
  test('are set aside after an hour, and removed after a week; young ones and foreign ones stay', async () => {
    const stale = await put(shardPath(uuidv7(), 0n), ORPHAN_GRACE_MS);
    const staleSpool = await put(spoolPath(uuidv7()), ORPHAN_GRACE_MS);
    const young = await put(shardPath(uuidv7(), 0n), 0);
    const foreign = await put('spool/notes.txt', ORPHAN_GRACE_MS);
    const begun = await put('shards/ab/x.h5.tmp', ORPHAN_GRACE_MS);
    await run();
    expect([stale, staleSpool, young, foreign, begun].map(isThere)).toEqual([false, false, true, true, false]);
    const aside = [stale, staleSpool].map((path) => `shards/orphans/${path.split('/').at(-1)}`);
    expect(aside.map(isThere)).toEqual([true, true]);
    await run();
    expect(aside.map(isThere)).toEqual([true, true]);
    for (const path of aside) await age(path, 8 * 24 * ORPHAN_GRACE_MS);
    await run();
    expect(aside.map(isThere)).toEqual([false, false]);
  });

  test('that cannot be moved keep nothing else from being repaired', async () => {
    const stale = await put(shardPath(uuidv7(), 0n), ORPHAN_GRACE_MS);
    await put('shards/orphans', 0);
    const later = await put('shards/zz/x.tmp', ORPHAN_GRACE_MS);
    const { outcomes } = await run();
    expect(outcomes).toContainEqual({
      repair: { kind: 'set-aside', path: stale },
      done: null,
      error: expect.stringMatching(/EEXIST|ENOTDIR/),
    });
    expect([stale, later].map(isThere)).toEqual([true, false]);
    await rm(store.root.resolve('shards/orphans'));
  });
});

suite('catalog and files of different days', () => {
  test('an older catalog with newer files: it is said, and nothing is set aside however old it is', async () => {
    const series = await newSeries(1, 2, 3);
    await store.flush();
    const { path, id } = await shardOf(series);
    await age(path, 100 * 24 * ORPHAN_GRACE_MS);
    // As a dump of the day before has it.
    await sql`delete from chunks where shard_id = ${id}`.execute(store.db);
    await sql`delete from shards where id = ${id}`.execute(store.db);
    await sql`update commit_counter set value = 0`.execute(store.db);
    const { estranged } = await run();
    expect(estranged).toContain('Postgres was restored to an earlier day');
    expect(await readEstrangement(store.db)).toBe(estranged);
    expect(isThere(path)).toBe(true);
  });

  test('older files with a newer catalog: it is said until the right ones are there', async () => {
    const series = await newSeries(1, 2, 3);
    await store.flush();
    const old = await shardOf(series);
    const kept = `${store.root.root}/kept.h5`;
    await copyFile(old.file, kept);
    await append(series, 4);
    await store.flush();
    await store.compact(series.id);
    const now = await shardOf(series);
    await sql`delete from shards where state = 'replaced'`.execute(store.db);
    await rename(now.file, `${now.file}.elsewhere`);
    await copyFile(kept, old.file);
    await age(old.path, 2 * ORPHAN_GRACE_MS);
    expect((await run()).estranged).toContain('the data folder was restored to an earlier day');
    expect([await readEstrangement(store.db), isThere(old.path)]).toEqual([expect.any(String), true]);
    await expect(read(series)).rejects.toMatchObject({ code: 'corrupt' });
    await rename(`${now.file}.elsewhere`, now.file);
    const { estranged } = await run();
    expect([estranged, await readEstrangement(store.db)]).toEqual([null, null]);
    expect(await read(series)).toEqual([1, 2, 3, 4]);
  });
});

suite('a diagnosis', () => {
  test('changes nothing, and finds nothing left to do after a recovery', async () => {
    const orphan = await put(spoolPath(uuidv7()), ORPHAN_GRACE_MS);
    expect((await diagnose(recovering())).repairs).toEqual([{ kind: 'set-aside', path: orphan }]);
    expect(isThere(orphan)).toBe(true);
    await run();
    expect((await diagnose(recovering())).repairs).toEqual([]);
  });
});
