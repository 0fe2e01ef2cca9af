/** What is left behind, whoever stopped wherever: recovery mends it, nothing acknowledged is lost, and what cannot be mended is told. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, rename, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { v7 as uuidv7 } from 'uuid';
import { openDatabase } from '../../src/catalog/database.ts';
import { hasDamage } from '../../src/catalog/shards/shard-store.ts';
import { readEstrangement } from '../../src/catalog/shards/recovery-reader.ts';
import { freeSpools, registerSpools } from '../../src/catalog/appends/spool-store.ts';
import { forgetShard } from '../../src/catalog/shards/swap-shard.ts';
import { parseRate } from '../../src/core/signal/rate.ts';
import {
  ASIDE_KEPT_MS,
  CLOCK_SLACK_MS,
  ORPHAN_GRACE_MS,
  RECEIVING_KEPT_MS,
  REPLACED_KEPT_MS,
  type Reconciliation,
} from '../../src/core/upkeep/reconcile.ts';
import { UNSAID, type NewSeries, type Series } from '../../src/core/signal/series.ts';
import { compactLane } from '../../src/flows/compact/compact-lane.ts';
import { flushLane, type FlushOptions } from '../../src/flows/flush/flush-lane.ts';
import { diagnose, recover, type RecoverDeps, type RecoveryReport } from '../../src/flows/repair/recover.ts';
import type { RewriteStage } from '../../src/flows/rewrite/rewrite-shards.ts';
import { sweepSpools } from '../../src/flows/flush/sweep-fresh.ts';
import { shardPath, spoolPath } from '../../src/storage/folder/data-root.ts';
import { writeSpool } from '../../src/storage/folder/spool.ts';
import { execute, hasTestPostgres, type TestDatabase } from '../support/postgres.ts';
import { Store } from './store.ts';

const SPEC: Omit<NewSeries, 'project'> = {
  name: 'regular',
  description: null,
  dtype: 'float64',
  channels: [{ label: 'a' }],
  unit: 'mV',
  scale: 1,
  offset: 0,
  sampling: { kind: 'regular', rate: parseRate(1000)!, startNs: 0n },
  timeReference: 'utc',
  duplicates: 'last',
  codec: 'none',
  tags: {},
  ...UNSAID,
  provenance: {},
};
const IRREGULAR: Omit<NewSeries, 'project'> = { ...SPEC, name: 'irregular', sampling: { kind: 'irregular' } };
/** So many rows of eight bytes go through the spool. */
const MANY = 140_000;
const HOUR_MS = 3600_000;

let store: Store;
let lane: string;
let regular: Series;
let irregular: Series;
let lines: string[];

const suite = hasTestPostgres() ? describe : describe.skip;

beforeEach(async () => {
  if (!hasTestPostgres()) return;
  store = await Store.open();
  regular = await store.create(SPEC);
  irregular = await store.create(IRREGULAR);
  lane = await store.laneOf(regular.id);
  await execute(store.databaseUrl, `update heads set lane_id = '${lane}'`);
  lines = [];
});
afterEach(() => store?.close());

function deps(): RecoverDeps {
  const log = (_: object, message: string): void => void lines.push(message);
  return { db: store.db, root: store.root, log: { info: log, warn: log, error: log } };
}

const recovered = (isAccepted = false): Promise<RecoveryReport> => recover(deps(), isAccepted);
const done = ({ outcomes }: RecoveryReport): string[] => outcomes.map(({ repair }) => repair.kind);

async function append(part: number, rows = 1000): Promise<void> {
  const values = Float64Array.from({ length: rows }, (_, i) => part * 1e6 + i);
  await store.append(regular, { values, times: null });
  const times = BigInt64Array.from({ length: 100 }, (_, i) => BigInt(part * 80 + i) * 1000n);
  await store.append(irregular, { values: values.subarray(0, 100), times });
}

async function contents(): Promise<string[]> {
  const all = [await store.read(regular, { by: 'rows' }), await store.read(irregular, { by: 'time' })];
  return all.map((bytes) => bytes.toString('base64'));
}

const rowsOf = (from: number, to: number): Promise<Buffer> => store.read(regular, { by: 'rows', from, to });
const shards = () => store.db.selectFrom('shards').selectAll().orderBy('id').execute();
const states = async (): Promise<string[]> => (await shards()).map(({ state }) => state);
const spools = () => store.db.selectFrom('spool_files').selectAll().orderBy('id').execute();
const freshRows = () => store.db.selectFrom('fresh').selectAll().orderBy('id').execute();
const isThere = (path: string): boolean => existsSync(store.root.resolve(path));
const files = (folder: string): string[] =>
  readdirSync(store.root.resolve(folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .sort();

const flush = (options: FlushOptions = {}) => flushLane(store.rewriting, lane, { asked: true, ...options });
const compact = (options: FlushOptions = {}) =>
  compactLane(store.rewriting, lane, { all: true, asked: true, ...options });

/** As if all had happened so long before. */
async function age(ms: number): Promise<void> {
  const by = `make_interval(secs => ${ms / 1000})`;
  await execute(store.databaseUrl, `update shards set made_at = made_at - ${by}, replaced_at = replaced_at - ${by}`);
  await execute(store.databaseUrl, `update spool_files set made_at = made_at - ${by}, freed_at = freed_at - ${by}`);
  for (const folder of ['shards', 'spool']) {
    for (const name of readdirSync(store.root.resolve(folder), { recursive: true }).map(String)) {
      await ageFile(`${folder}/${name}`, ms);
    }
  }
}

async function ageFile(path: string, ms: number): Promise<void> {
  const at = new Date(Date.now() - ms);
  await utimes(store.root.resolve(path), at, at);
}

async function put(path: string, ageMs: number): Promise<string> {
  await mkdir(dirname(store.root.resolve(path)), { recursive: true });
  await writeFile(store.root.resolve(path), 'x');
  await ageFile(path, ageMs);
  return path;
}

/** Rows and files say the same: nothing is left over, nothing is missing. */
async function expectTidy(): Promise<void> {
  expect(files('shards')).toEqual((await shards()).map(({ path }) => basename(path)).sort());
  expect(files('spool')).toEqual((await spools()).map(({ id }) => id).sort());
  expect((await store.verify()).findings).toEqual([]);
  expect(await diagnose(deps())).toEqual({ repairs: [], estranged: null });
}

suite('a shard', () => {
  let path: string;
  let file: string;
  beforeEach(async () => {
    if (!hasTestPostgres()) return;
    await append(0);
    await flush();
    [{ path }] = await shards();
    file = store.root.resolve(path);
    await append(1);
    await flush();
  });

  test('whose file is missing is lost, and told once; the rest is served and goes on; when the file is back, so is the shard', async () => {
    const before = await contents();
    await rename(file, `${file}.elsewhere`);
    await recovered();
    await recovered();
    expect(await states()).toEqual(['lost', 'live']);
    expect(lines.filter((line) => line.includes('a shard is lost'))).toHaveLength(1);
    expect(await hasDamage(store.db)).toBe(true);
    expect(await readEstrangement(store.db)).toBeNull();
    await expect(rowsOf(0, 10)).rejects.toMatchObject({ code: 'corrupt', slug: 'shard-missing' });
    expect((await rowsOf(1000, 2000)).length).toBe(8000);
    await append(2);
    await flush();
    await compact();
    expect((await rowsOf(1000, 3000)).length).toBe(16_000);
    await rename(`${file}.elsewhere`, file);
    await recovered();
    expect(await states()).not.toContain('lost');
    expect(await hasDamage(store.db)).toBe(false);
    const all = await contents();
    expect(Buffer.from(all[0], 'base64').subarray(0, 16_000)).toEqual(Buffer.from(before[0], 'base64'));
  });

  test.each([1, 3000, 10_000])(
    'whose file is %i bytes short is damaged: what it misses is refused, never zeros, and the rest is served',
    async (short) => {
      const whole = readFileSync(file);
      const before = await rowsOf(0, 1000);
      await truncate(file, Math.max(0, whole.length - short));
      await recovered();
      expect(await states()).toEqual(['damaged', 'live']);
      expect(lines).toContain('recovery: a shard is damaged: its file is too short');
      expect(await hasDamage(store.db)).toBe(true);
      const read = await rowsOf(0, 1000).catch((error: unknown) => error);
      if (Buffer.isBuffer(read)) expect(read).toEqual(before);
      else expect(read).toMatchObject({ code: 'corrupt', slug: 'chunk-corrupt' });
      if (short > 8000) expect(read).toMatchObject({ code: 'corrupt' });
      expect((await rowsOf(1000, 2000)).length).toBe(8000);
      expect((await store.verify()).findings.map(({ kind }) => kind)).toContain('shard-short');

      await writeFile(file, whole);
      await recovered();
      expect(await states()).toEqual(['live', 'live']);
      expect(await rowsOf(0, 1000)).toEqual(before);
    },
  );

  test('is looked at once more before it is marked', async () => {
    const { repairs } = await diagnose(deps());
    expect(repairs).toEqual([]);
    await rename(file, `${file}.elsewhere`);
    expect((await diagnose(deps())).repairs).toMatchObject([{ kind: 'mark', as: 'lost' }]);
    await rename(`${file}.elsewhere`, file);
    await recovered();
    expect(await states()).toEqual(['live', 'live']);
  });
});

suite('a spool file', () => {
  let path: string;
  beforeEach(async () => {
    if (!hasTestPostgres()) return;
    await append(0, MANY);
    await append(1);
    path = spoolPath((await spools())[0].id);
  });

  test.each<[string, (file: string) => Promise<void>]>([
    ['is missing', (file) => rm(file)],
    ['is short', (file) => truncate(file, 1_000_000)],
  ])(
    'that %s costs its own rows: they are refused and told, the rest is served and flushed, and all is well when it is back',
    async (_, harm) => {
      const before = await contents();
      const file = store.root.resolve(path);
      await cp(file, `${file}.elsewhere`);
      await harm(file);
      await recovered();
      expect(await hasDamage(store.db)).toBe(true);
      expect(lines.filter((line) => line.includes('bytes of their spool file are missing'))).toHaveLength(1);
      await expect(rowsOf(MANY - 10, MANY)).rejects.toMatchObject({ code: 'corrupt' });
      expect((await rowsOf(MANY, MANY + 1000)).length).toBe(8000);
      expect((await store.verify()).findings.length).toBeGreaterThan(0);
      await flush();
      const left = await freshRows();
      expect(left.length).toBeGreaterThan(0);
      expect(left.every(({ damaged_at: at }) => at !== null)).toBe(true);
      expect((await rowsOf(MANY, MANY + 1000)).length).toBe(8000);

      await rename(`${file}.elsewhere`, file);
      expect(done(await recovered())).toContain('mark-fresh');
      expect(await hasDamage(store.db)).toBe(false);
      expect(await contents()).toEqual(before);
      await flush();
      expect(await freshRows()).toEqual([]);
      expect(await contents()).toEqual(before);
    },
  );

  test('that came back with other bytes is found out by the next flush, and not tried again and again', async () => {
    const file = store.root.resolve(path);
    const bytes = readFileSync(file);
    await rm(file);
    await recovered();
    bytes[5] ^= 1;
    await writeFile(file, bytes);
    expect(done(await recovered())).toContain('mark-fresh');
    await flush();
    expect((await freshRows()).filter(({ damaged_at: at }) => at !== null)).toHaveLength(1);
    // As if the slack of the clocks had gone by between the two.
    await execute(store.databaseUrl, `update fresh set damaged_at = damaged_at + interval '${CLOCK_SLACK_MS} ms'`);
    expect((await diagnose(deps())).repairs).toEqual([]);
  });
});

suite('whoever is killed', () => {
  const STAGES: RewriteStage[] = ['planned', 'registered', 'written', 'swapped'];

  /** As a process that ends there: it neither goes on nor tidies up. */
  function killedAt(work: (options: FlushOptions) => Promise<unknown>, at: RewriteStage): Promise<void> {
    return new Promise((resolve, reject) => {
      const onStage = async (stage: RewriteStage): Promise<void> => {
        if (stage !== at) return;
        resolve();
        await new Promise(() => {});
      };
      work({ onStage }).then(() => reject(new Error('was not killed')), reject);
    });
  }

  /** What may be left of the file that is being written. */
  const leaveTemporary = async (): Promise<void> => {
    const [{ path }] = (await shards()).filter(({ state }) => state === 'writing');
    await put(`${path}.tmp`, 0);
  };

  for (const [what, work] of [
    ['a flush', flush],
    ['a compaction', compact],
  ] as const) {
    test.each([...STAGES, 'in the middle of the file'] as const)(
      `${what}, when it has %s, has lost nothing, and leaves nothing behind past the grace`,
      async (stage) => {
        await append(0, MANY);
        await flush();
        await append(1);
        await store.remove(regular, { startNs: 100_000_000n, endNs: 200_000_000n });
        if (what === 'a compaction') await flush();
        const before = await contents();
        await killedAt(work, stage === 'in the middle of the file' ? 'registered' : stage);
        if (stage === 'in the middle of the file') await leaveTemporary();
        expect(await contents()).toEqual(before);
        await recovered(); // nothing is touched before the grace
        expect(await contents()).toEqual(before);
        await age(ORPHAN_GRACE_MS + REPLACED_KEPT_MS);
        await sweepSpools(store.rewriting, 0);
        await recovered();
        expect(await states()).not.toContain('writing');
        await expectTidy();
        expect(await contents()).toEqual(before);
        await flush();
        await compact();
        await age(REPLACED_KEPT_MS);
        await sweepSpools(store.rewriting, 0);
        await recovered();
        await expectTidy();
        expect(await contents()).toEqual(before);
      },
    );

    test(`${what} that is paused past the grace between rename and swap, and comes back, has lost nothing`, async () => {
      await append(0);
      if (what === 'a compaction') {
        await flush();
        await append(1);
        await flush();
      }
      const before = await contents();
      await expect(
        work({
          onStage: async (stage) => {
            if (stage !== 'written') return;
            await age(ORPHAN_GRACE_MS);
            expect(done(await recovered())).toContain('forget');
          },
        }),
      ).rejects.toMatchObject({ slug: 'shard-swept' });
      expect(await contents()).toEqual(before);
      await expectTidy();
    });

    test(`${what} that is paused past the grace before it makes its file has lost nothing, and leaves nothing`, async () => {
      await append(0);
      if (what === 'a compaction') await flush();
      const before = await contents();
      await expect(
        work({
          onStage: async (stage) => {
            if (stage !== 'registered') return;
            await age(ORPHAN_GRACE_MS);
            expect(done(await recovered())).toContain('forget');
          },
        }),
      ).rejects.toMatchObject({ slug: 'shard-swept' });
      expect(await contents()).toEqual(before);
      await expectTidy();
    });
  }

  test('between row and file of what is swept leaves a file that is set aside, and removed after a week', async () => {
    await append(0);
    const before = await contents();
    await killedAt(flush, 'written');
    const [{ id, path }] = await shards();
    await forgetShard(store.db, id);
    expect(done(await recovered())).toEqual([]);
    await age(ORPHAN_GRACE_MS);
    expect(done(await recovered())).toEqual(['set-aside']);
    const aside = `shards/orphans/${basename(path)}`;
    expect([path, aside].map(isThere)).toEqual([false, true]);
    expect(await contents()).toEqual(before);
    await ageFile(aside, ASIDE_KEPT_MS - HOUR_MS);
    expect(done(await recovered())).toEqual([]);
    await ageFile(aside, ASIDE_KEPT_MS);
    expect(done(await recovered())).toEqual(['remove']);
    expect(isThere(aside)).toBe(false);
  });

  test('between file and row of what was replaced leaves a row that goes', async () => {
    await append(0);
    await flush();
    await append(1);
    await flush();
    await compact();
    const before = await contents();
    const replaced = (await shards()).filter(({ state }) => state === 'replaced');
    expect(replaced).toHaveLength(2);
    expect(done(await recovered())).toEqual([]);
    await age(REPLACED_KEPT_MS);
    await rm(store.root.resolve(replaced[0].path));
    await recovered();
    expect(await states()).toEqual(['live']);
    await expectTidy();
    expect(await contents()).toEqual(before);
  });

  test('while a body is received, or before COMMIT, leaves a spool file that goes after half a day, row first', async () => {
    const [early, late, kept] = [uuidv7(), uuidv7(), uuidv7()];
    await registerSpools(store.db, [early, late]); // killed before the file
    await writeSpool(store.root, late, [Buffer.alloc(100)]);
    await append(0, MANY);
    const before = await contents();
    await age(RECEIVING_KEPT_MS - HOUR_MS);
    expect(done(await recovered())).toEqual([]);
    await age(HOUR_MS);
    expect(done(await recovered())).toEqual(['forget', 'forget']);
    expect(isThere(spoolPath(late))).toBe(false);
    // Killed between its row and its file.
    await put(spoolPath(kept), ORPHAN_GRACE_MS);
    expect(done(await recovered())).toEqual(['set-aside']);
    expect(await contents()).toEqual(before);
    await rm(store.root.resolve('shards/orphans'), { recursive: true });
    await expectTidy();
  });
});

suite('files without a row', () => {
  test('that somebody began and did not finish are removed after the grace time; those of others are nobody’s business', async () => {
    const old = await put('shards/ab/x.h5.tmp', ORPHAN_GRACE_MS);
    const young = await put('spool/y.tmp', 0);
    const foreign = await put('spool/notes.txt', ASIDE_KEPT_MS);
    await recovered();
    expect([old, young, foreign].map(isThere)).toEqual([false, true, true]);
  });

  test('that cannot be moved keep nothing else from being repaired', async () => {
    const stale = await put(shardPath(uuidv7(), 0n), ORPHAN_GRACE_MS);
    await put('shards/orphans', 0);
    const later = await put('shards/zz/x.tmp', ORPHAN_GRACE_MS);
    const { outcomes } = await recovered();
    expect(outcomes).toContainEqual({
      repair: { kind: 'set-aside', path: stale },
      done: null,
      error: expect.stringMatching(/EEXIST|ENOTDIR/),
    });
    expect([stale, later].map(isThere)).toEqual([true, false]);
    await rm(store.root.resolve('shards/orphans'));
    await recovered();
    expect(isThere(stale)).toBe(false);
  });

  test('are left where they are while a shard is lost', async () => {
    await append(0);
    await flush();
    await append(1);
    await flush();
    const [{ path }] = await shards();
    await rm(store.root.resolve(path));
    await recovered();
    const orphan = await put(shardPath(uuidv7(), 0n), ORPHAN_GRACE_MS);
    const spooled = await put(spoolPath(uuidv7()), ORPHAN_GRACE_MS);
    await recovered();
    expect([orphan, spooled].map(isThere)).toEqual([true, true]);
  });
});

suite('catalog and files of different days', () => {
  const FOLDERS = ['shards', 'spool'];
  let dumps: TestDatabase[];
  beforeEach(() => {
    dumps = [];
  });
  afterEach(async () => {
    for (const each of dumps) if (each.url !== store.databaseUrl) await each.drop();
  });

  function copyFiles(from: string, to: string): void {
    for (const folder of FOLDERS)
      cpSync(store.root.resolve(from + folder), store.root.resolve(to + folder), {
        recursive: true,
        preserveTimestamps: true,
      });
  }

  async function bringFiles(from: string): Promise<void> {
    for (const folder of FOLDERS) await rm(store.root.resolve(folder), { recursive: true });
    copyFiles(from, '');
  }

  const everything = async (): Promise<unknown> => ({
    files: FOLDERS.map(files),
    shards: await shards(),
    spools: await spools(),
    fresh: (await freshRows()).map(({ id, damaged_at: at }) => [id, at]),
  });

  /** Told, and everything stays as it is, however old: also if asked for again and again. */
  async function expectEstranged(sentence: RegExp): Promise<void> {
    await age(2 * RECEIVING_KEPT_MS);
    await freeSpools(store.db);
    const before = await everything();
    for (let round = 0; round < 2; round++) {
      const { estranged, outcomes } = await recovered();
      expect(estranged).toMatch(sentence);
      expect(outcomes).toEqual([]);
      expect(await readEstrangement(store.db)).toBe(estranged);
      expect(lines).toContain(estranged);
    }
    const refused = { code: 'unavailable', slug: 'store-estranged', message: expect.stringMatching(sentence) };
    const flushed: unknown = await flush().catch((error: unknown) => error);
    if ((await freshRows()).length > 0) expect(flushed).toMatchObject(refused);
    await store.restart(); // the service may know for a second what was
    await expect(store.append(regular, { values: Float64Array.of(1), times: null })).rejects.toMatchObject(refused);
    await expect(store.remove(regular, { startNs: 0n, endNs: 1n })).rejects.toMatchObject(refused);
    await sweepSpools(store.rewriting, 0);
    expect(await everything()).toEqual(before);
  }

  async function expectWell(before: readonly string[]): Promise<void> {
    const { estranged } = await recovered();
    expect(estranged).toBeNull();
    expect(await contents()).toEqual(before);
    expect((await store.verify()).findings).toEqual([]);
    await store.restart();
    await append(9);
    await flush();
  }

  test('files from before flushes: told, and well again with the files of the day', async () => {
    await append(0);
    await flush();
    copyFiles('', 'yesterday/');
    for (const part of [1, 2]) {
      await append(part, part === 2 ? MANY : 1000);
      await flush();
    }
    await append(3, MANY);
    const before = await contents();
    copyFiles('', 'today/');
    await bringFiles('yesterday/');
    await expect(rowsOf(0, 2000)).rejects.toMatchObject({ code: 'corrupt' });
    await expectEstranged(/the data folder was restored to an earlier day/);
    await bringFiles('today/');
    await expectWell(before);
  });

  test('files from before a compaction: told, and what was replaced stays', async () => {
    for (const part of [0, 1]) {
      await append(part);
      await flush();
    }
    copyFiles('', 'yesterday/');
    await compact();
    const before = await contents();
    copyFiles('', 'today/');
    await bringFiles('yesterday/');
    const replaced = (await shards()).filter(({ state }) => state === 'replaced').map(({ path }) => path);
    await age(RECEIVING_KEPT_MS);
    await recovered();
    expect(replaced.map(isThere)).toEqual([true, true]);
    await bringFiles('today/');
    await expectWell(before);
  });

  test('a dump from before flushes: told, and well again with the newer dump', async () => {
    await append(0);
    await flush();
    await append(1, MANY);
    const dump = await store.dumpCatalog();
    await flush();
    await sweepSpools(store.rewriting, 0);
    await append(2, MANY);
    await flush();
    const before = await contents();
    const newer = await store.restoreCatalog(dump);
    dumps.push(dump, newer);
    await expectEstranged(/Postgres was restored to an earlier day\. Restore a newer dump, or make the catalog again/);
    await store.restoreCatalog(newer);
    await expectWell(before);
  });

  test('a dump from before a compaction whose inputs are gone: told as an older dump', async () => {
    for (const part of [0, 1]) {
      await append(part);
      await flush();
    }
    const dump = await store.dumpCatalog();
    await compact();
    await age(REPLACED_KEPT_MS);
    await recovered();
    const before = await contents();
    const newer = await store.restoreCatalog(dump);
    dumps.push(dump, newer);
    await expectEstranged(/Postgres was restored to an earlier day/);
    await store.restoreCatalog(newer);
    await expectWell(before);
  });

  test('a dump of a moment at which a shard was being written: the file stays, which has rows that the spool has not', async () => {
    await append(0, MANY);
    let dump!: TestDatabase;
    const before = await contents();
    await flush({ onStage: async (stage) => void (stage === 'registered' && (dump = await copyWhileOpen())) });
    await sweepSpools(store.rewriting, 0);
    await append(1, MANY);
    await flush();
    const [{ path }] = await shards();
    const newer = await store.restoreCatalog(dump);
    dumps.push(newer);
    await age(2 * RECEIVING_KEPT_MS);
    await recovered(true);
    await recovered(true);
    expect(isThere(path)).toBe(true);
    expect(before[0].length).toBeGreaterThan(0);

    async function copyWhileOpen(): Promise<TestDatabase> {
      const url = new URL(store.databaseUrl);
      const name = url.pathname.slice(1);
      const cluster = store.databaseUrl.replace(url.pathname, '/postgres');
      await execute(cluster, `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`);
      await execute(cluster, `create database ${name}_dump template ${name}`);
      url.pathname = `${name}_dump`;
      return { url: url.href, drop: () => execute(cluster, `drop database ${name}_dump with (force)`) };
    }
  });

  test('are not seen in shards that are swapped in between the look at the files and the look at the rows', async () => {
    await append(0);
    const narrow = openDatabase(store.databaseUrl, { poolSize: 1, onError: () => {} });
    try {
      let diagnosing = Promise.resolve<Reconciliation | null>(null);
      await narrow.db.connection().execute(async () => {
        diagnosing = diagnose({ db: narrow.db, root: store.root }); // sees the files, and waits for the connection
        await flush();
      });
      expect(await diagnosing).toEqual({ repairs: [], estranged: null });
    } finally {
      await narrow.close();
    }
  });

  test('go on without what is missing once that is accepted', async () => {
    await append(0);
    await flush();
    copyFiles('', 'yesterday/');
    for (const part of [1, 2]) {
      await append(part);
      await flush();
    }
    await bringFiles('yesterday/');
    await expectEstranged(/earlier day/);
    await recovered(true);
    expect(await states()).toEqual(['live', 'lost', 'lost']);
    expect((await rowsOf(0, 1000)).length).toBe(8000);
    await expect(rowsOf(1000, 1001)).rejects.toMatchObject({ slug: 'shard-missing' });
    expect((await recovered()).estranged).toBeNull();
    await store.restart();
    await append(3);
    await flush();
    expect((await rowsOf(3000, 4000)).length).toBe(8000);
  });

  test('newer files that are accepted as orphans never get in the way of what comes after them', async () => {
    await append(0);
    await flush();
    const dump = await store.dumpCatalog();
    for (const part of [1, 2]) {
      await append(part);
      await flush();
    }
    const newest = (await shards()).at(-1)!.commit;
    dumps.push(await store.restoreCatalog(dump));
    await age(RECEIVING_KEPT_MS);
    expect((await recovered()).estranged).not.toBeNull();
    expect(done(await recovered(true))).toEqual(['set-aside', 'set-aside']);
    await store.restart();
    await append(3);
    await flush();
    expect((await shards()).at(-1)!.commit > newest).toBe(true);
    expect((await recovered()).estranged).toBeNull();
  });
});

suite('what was long ago', () => {
  test('is forgotten: commits after thirty days, keys after seven; samples never', async () => {
    await append(0);
    await append(1);
    const before = await contents();
    const keys = (days: number): string =>
      `insert into append_keys (series_id, key, hash, "commit", ordinal, rows, at) values ('${regular.id}', 'k${days}', '', 1, 0, 1, now() - interval '${days} days')`;
    for (const days of [6, 8]) await execute(store.databaseUrl, keys(days));
    await execute(
      store.databaseUrl,
      `update commits set at = now() - interval '31 days' where "commit" = (select min("commit") from commits)`,
    );
    const count = async (): Promise<number> => (await store.db.selectFrom('commits').select('commit').execute()).length;
    const commits = await count();
    expect((await recovered()).trimmed).toBe(2);
    expect(await count()).toBe(commits - 1);
    const left = await store.db.selectFrom('append_keys').select('key').execute();
    expect(left.map(({ key }) => key)).toEqual(['k6']);
    expect(await contents()).toEqual(before);
  });
});

suite('a diagnosis', () => {
  test('changes nothing', async () => {
    const orphan = await put(spoolPath(uuidv7()), ORPHAN_GRACE_MS);
    expect((await diagnose(deps())).repairs).toEqual([{ kind: 'set-aside', path: orphan }]);
    expect(isThere(orphan)).toBe(true);
  });
});
