/** What sealing and compaction promise to readers, whoever stops them wherever. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { closeSync, existsSync, openSync, readdirSync, readSync, utimesSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { parseRate } from '../../src/core/rate.ts';
import { DEFAULT_SEAL_LIMITS } from '../../src/core/seal-plan.ts';
import { UNSAID, type NewSeries, type Series } from '../../src/core/series.ts';
import { rebuildCatalog } from '../../src/flows/rebuild-catalog.ts';
import { rebuildShard } from '../../src/flows/rebuild-shard.ts';
import { recover } from '../../src/flows/recover.ts';
import { planSealing, sealLane, type SealReport, type SealStage } from '../../src/flows/seal-lane.ts';
import { execute } from '../support/postgres.ts';
import { Hdf5Judge } from '../torture/hdf5-judge.ts';
import { Store } from './store.ts';

const SILENT = { info: () => {}, warn: () => {}, error: () => {} };
const SPEC: Omit<NewSeries, 'project'> = {
  name: 'regular',
  description: null,
  dtype: 'float64',
  channels: [{ label: 'a' }, { label: 'b' }],
  unit: 'mV',
  scale: 1,
  offset: 0,
  sampling: { kind: 'regular', rate: parseRate(1000)!, startNs: 0n },
  timeReference: 'utc',
  duplicates: 'last',
  codec: 'gzip',
  tags: {},
  ...UNSAID,
  provenance: {},
};
const IRREGULAR: Omit<NewSeries, 'project'> = {
  ...SPEC,
  name: 'irregular',
  dtype: 'int32',
  channels: [{ label: 'v' }],
  sampling: { kind: 'irregular' },
};

let store: Store;
beforeEach(async () => {
  store = await Store.open();
});
afterEach(async () => {
  await store.close();
});

const deps = () => ({ db: store.db, root: store.root, holder: store.holder, limits: DEFAULT_SEAL_LIMITS, log: SILENT });

async function sealAll(onStage?: (stage: SealStage) => void): Promise<SealReport[]> {
  const reports: SealReport[] = [];
  for (const { id } of await store.db.selectFrom('lanes').select('id').execute()) {
    reports.push(...((await sealLane(deps(), id, { all: true, onStage })) ?? []));
  }
  return reports;
}

const shards = () => store.db.selectFrom('shards').selectAll().orderBy('id').execute();
const states = async (): Promise<string[]> => (await shards()).map(({ state }) => state);
const filesOnDisk = (): string[] =>
  readdirSync(join(store.root.root, 'shards'), { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.h5'));

const values = (rows: number, seed: number): Float64Array =>
  Float64Array.from({ length: rows * 2 }, (_, i) => Math.round(Math.sin(i / 50 + seed) * 2048) / 4);

/** Rows over three shards, with a gap, and some that came late. */
async function fill(): Promise<{ regular: Series; irregular: Series }> {
  const regular = await store.create(SPEC);
  const irregular = await store.create(IRREGULAR);
  await execute(store.databaseUrl, 'update series set lane_id = (select min(id::text)::uuid from lanes)');
  for (let part = 0; part < 3; part++) {
    await store.stage(regular, { values: values(3000, part), times: null }, part === 2 ? 60_000_000_000n : null);
    const times = BigInt64Array.from({ length: 400 }, (_, i) => BigInt(part * 300 + (i % 7 === 0 ? -i : i)) * 1000n);
    await store.stage(irregular, { values: Int32Array.from(times, (_, i) => part * 1000 + i), times });
    await store.drain();
    if (part < 2) await store.retireAll();
  }
  return { regular, irregular };
}

async function contents({ regular, irregular }: { regular: Series; irregular: Series }): Promise<string[]> {
  return [
    await store.read(regular, { by: 'rows' }),
    await store.read(regular, { by: 'time', startNs: 1_234_000_000n, endNs: 61_000_000_000n }),
    await store.read(irregular, { by: 'time' }),
    await store.read(irregular, { by: 'time', startNs: 100_000n, endNs: 700_000n }),
  ].map((bytes) => bytes.toString('base64'));
}

describe('sealing', () => {
  test('changes no sample, and leaves one compressed shard that HDF5 and verify find in order', async () => {
    const filled = await fill();
    const before = await contents(filled);
    const [report] = await sealAll();
    expect(await contents(filled)).toEqual(before);
    expect(await states()).toEqual(['replaced', 'replaced', 'replaced', 'sealed']);
    expect(report.bytesAfter).toBeLessThan(report.bytesBefore / 2);
    const sealed = (await shards()).at(-1)!;
    expect(sealed.parents).toHaveLength(3);
    expect((await store.verify()).findings).toEqual([]);
    const judge = new Hdf5Judge();
    const { regular, irregular } = filled;
    const found = await judge.look(store.root.resolve(sealed.path), { [regular.id]: 9000, [irregular.id]: 2000 });
    judge.close();
    expect(found[regular.id].values_crc).toBe(crc32(await store.read(regular, { by: 'rows' })));
    const byTime = await store.read(irregular, { by: 'time' });
    expect(found[irregular.id].extent).toBe(byTime.length / 12);
  });

  test('puts rows that came late in order of time, and drops those that others supersede', async () => {
    const { irregular } = await fill();
    const before = await store.read(irregular, { by: 'time' });
    await sealAll();
    const chunks = await store.db.selectFrom('chunks').selectAll().where('series_id', '=', irregular.id).execute();
    expect(chunks.every(({ sorted }) => sorted)).toBe(true);
    expect(await store.read(irregular, { by: 'rows' })).toEqual(before);
  });

  test('goes on beside appends and reads: no read sees anything but all that is visible', async () => {
    const { regular } = await fill();
    const known = await store.read(regular, { by: 'rows' });
    let reads = 0;
    let sealing = true;
    const reading = (async () => {
      for (; sealing; reads++) {
        const now = await store.read(regular, { by: 'rows' });
        expect(now.subarray(0, known.length).equals(known)).toBe(true);
      }
    })();
    const work = sealAll();
    await store.stage(regular, { values: values(500, 9), times: null });
    await store.drain();
    await work;
    await store.drain(); // if the lane was being relieved of its hot shard at that moment
    sealing = false;
    await reading;
    expect(reads).toBeGreaterThan(2);
    expect((await store.read(regular, { by: 'rows' })).length).toBe(known.length + 500 * 16);
  });

  test('of what was sealed before becomes compaction: small shards become one', async () => {
    const filled = await fill();
    await sealAll();
    await store.stage(filled.regular, { values: values(500, 9), times: null });
    await store.drain();
    await sealAll();
    const before = await contents(filled);
    expect((await planSealing(deps(), null, true)).map(({ reason }) => reason)).toEqual(['small']);
    await sealAll();
    expect(await contents(filled)).toEqual(before);
    expect((await states()).filter((state) => state === 'sealed')).toHaveLength(1);
  });

  test('leaves the old files for a grace time, and then nothing of them', async () => {
    const filled = await fill();
    const before = await contents(filled);
    await sealAll();
    const deps = { db: store.db, root: store.root, holder: store.holder, log: SILENT };
    await recover(deps);
    expect(filesOnDisk()).toHaveLength(4);
    await execute(store.databaseUrl, `update shards set replaced_at = replaced_at - interval '2 minutes'`);
    await recover(deps);
    expect(filesOnDisk()).toHaveLength(1);
    expect(await states()).toEqual(['sealed']);
    expect(await contents(filled)).toEqual(before);
  });

  test('finds nothing to do where all is sealed', async () => {
    await fill();
    await sealAll();
    expect(await planSealing(deps(), null, true)).toEqual([]);
  });

  test('leaves a hot shard alone until it is old', async () => {
    await fill();
    expect((await planSealing(deps())).flatMap(({ shards, retire }) => [shards.length, retire])).toEqual([2, null]);
    await execute(store.databaseUrl, `update shards set created_at = now() - interval '2 days'`);
    expect((await planSealing(deps())).map(({ shards }) => shards.length)).toEqual([3]);
  });
});

describe('a sealing that ends', () => {
  test.each<SealStage>(['planned', 'written', 'swapped'])(
    'when it has %s loses nothing, and is made up for',
    async (at) => {
      const filled = await fill();
      const before = await contents(filled);
      const ended = sealAll((stage) => {
        if (stage === at) throw new Error('ended here');
      });
      await expect(ended).rejects.toThrow('ended here');
      expect(await contents(filled)).toEqual(before);
      await sealAll();
      expect(await contents(filled)).toEqual(before);
      expect((await store.verify()).findings).toEqual([]);
      // What was written and never published is swept when it is old.
      for (const name of filesOnDisk()) {
        const path = join(store.root.root, 'shards', name);
        const isKnown = (await shards()).some((shard) => path.endsWith(shard.path));
        if (!isKnown) utimesSync(path, 0, 0);
      }
      await recover({ db: store.db, root: store.root, holder: store.holder, log: SILENT });
      const known = (await shards()).map(({ path }) => path);
      expect(filesOnDisk().filter((name) => !name.startsWith('orphans') && !known.includes(`shards/${name}`))).toEqual(
        [],
      );
    },
  );

  test('without its lease swaps nothing', async () => {
    const filled = await fill();
    const before = await contents(filled);
    const overtaken = sealAll((stage) => {
      if (stage === 'written') void execute(store.databaseUrl, 'update lanes set seal_token = seal_token + 1');
    });
    await overtaken.catch((error: { slug?: string }) => expect(error.slug).toBe('lease-lost'));
    await execute(store.databaseUrl, 'update lanes set seal_holder = null');
    expect(await contents(filled)).toEqual(before);
  });
});

describe('sealing is bounded in memory', () => {
  test('rows of one series that came in any order are sorted in windows of time', async () => {
    const irregular = await store.create(IRREGULAR);
    const rows = 200_000;
    const at = (i: number): bigint => BigInt((i * 7919) % rows) * 1000n;
    const times = BigInt64Array.from({ length: rows }, (_, i) => at(i));
    await store.stage(irregular, { values: Int32Array.from({ length: rows }, (_, i) => i), times });
    await store.drain();
    const before = await store.read(irregular, { by: 'time' });
    await sealAll();
    expect((await store.read(irregular, { by: 'time' })).equals(before)).toBe(true);
    expect(existsSync(store.root.resolve((await shards()).at(-1)!.path))).toBe(true);
  });
});

describe('sealed shards alone', () => {
  test('are enough to make the catalog again, with what was removed and replaced', async () => {
    const filled = await fill();
    const { regular, irregular } = filled;
    const edit = (series: Series, from: bigint, to: bigint): Promise<string> =>
      store.stageEdit(series, { startNs: from, endNs: to }, null);
    await edit(regular, 500_000_000n, 700_000_000n);
    await edit(irregular, 50_000n, 90_000n);
    await store.drain();
    await sealAll();
    // On top of what is sealed: rows that are removed, and replaced, in a hot shard, and some that are sealed a second time.
    await store.stageEdit(
      regular,
      { startNs: 1_000_000_000n, endNs: 1_200_000_000n },
      { values: values(200, 7), times: null },
    );
    await store.drain();
    await store.retireAll();
    await store.seal(regular.id, false);
    await edit(irregular, 200_000n, 210_000n);
    await edit(regular, 60_000_000_000n, 60_100_000_000n);
    await store.stage(regular, { values: values(100, 5), times: null });
    await store.drain();
    await execute(store.databaseUrl, `update shards set replaced_at = replaced_at - interval '2 minutes'`);
    await recover({ db: store.db, root: store.root, holder: store.holder, log: SILENT });
    const before = await contents(filled);

    await store.loseCatalog();
    const { findings } = await rebuildCatalog({ db: store.db, root: store.root, hdf5: store.hdf5 });
    expect(findings).toEqual([]);
    expect(await contents(filled)).toEqual(before);
    expect((await store.verify()).findings).toEqual([]);
    // And it goes on from there.
    await sealAll();
    expect(await contents(filled)).toEqual(before);
  });

  test('that were written and never published do no harm', async () => {
    const filled = await fill();
    const before = await contents(filled);
    await sealAll((stage) => {
      if (stage === 'written') throw new Error('ended here');
    }).catch(() => {});
    await store.loseCatalog();
    const { findings } = await rebuildCatalog({ db: store.db, root: store.root, hdf5: store.hdf5 });
    expect(findings).toEqual([]);
    expect(await contents(filled)).toEqual(before);
  });
});

test('a bit that flips in a sealed shard costs its own chunk, is named, and the other series are served', async () => {
  const { regular, irregular } = await fill();
  const before = await store.read(irregular, { by: 'time' });
  await sealAll();
  const [{ values_offset: offset }] = await store.db
    .selectFrom('chunks')
    .select('values_offset')
    .where('series_id', '=', regular.id)
    .execute();
  const path = store.root.resolve((await shards()).at(-1)!.path);
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, Number(offset) + 20);
  byte[0] ^= 4;
  writeSync(file, byte, 0, 1, Number(offset) + 20);
  closeSync(file);
  await expect(store.read(regular, { by: 'rows' })).rejects.toMatchObject({ slug: 'chunk-corrupt' });
  expect((await store.read(irregular, { by: 'time' })).equals(before)).toBe(true);
  expect((await store.verify()).findings.map(({ kind }) => kind)).toContain('values-corrupt');
});

test('a sealed shard whose HDF5 structure is damaged is written anew from its chunks', async () => {
  const filled = await fill();
  await sealAll();
  const before = await contents(filled);
  const damaged = (await shards()).at(-1)!;
  const file = openSync(store.root.resolve(damaged.path), 'r+');
  writeSync(file, Buffer.alloc(96), 0, 96, 0);
  closeSync(file);
  expect((await store.verify()).findings.map(({ kind }) => kind)).toContain('hdf5-unreadable');
  const { db, root, writer, holder } = store;
  const report = await rebuildShard({ db, root, writer, holder }, damaged.id, { skipCorrupt: false, remove: false });
  expect(report).toMatchObject({ oldShard: damaged.id, series: 2 });
  expect((await store.verify()).findings).toEqual([]);
  expect(await contents(filled)).toEqual(before);
});
