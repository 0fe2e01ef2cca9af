import { existsSync, readFileSync, readdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { claimLease, releaseLease } from '../../src/catalog/lane-store.ts';
import { getSeries } from '../../src/catalog/series-store.ts';
import { shardChunks } from '../../src/catalog/shard-store.ts';
import type { Series } from '../../src/core/series.ts';
import { rebuildCatalog, type RebuildCatalogReport } from '../../src/flows/rebuild-catalog.ts';
import { rebuildShard, type RebuildShardOptions, type RebuildShardReport } from '../../src/flows/rebuild-shard.ts';
import { importedSpec } from '../../src/formats/imported-series.ts';
import { dumpHeader } from '../storage/h5dump.ts';
import { describeProgram } from '../storage/program.ts';
import { hasTestPostgres } from '../support/postgres.ts';
import { describePython } from '../support/python.ts';
import { describeRecordings } from '../support/shared-data.ts';
import { Store } from './store.ts';

const START_NS = 1_777_593_600_000_000_000n;
const describeWithPostgres = hasTestPostgres() ? describe : describe.skip;

function rebuildAll(store: Store): Promise<RebuildCatalogReport> {
  return rebuildCatalog({ db: store.db, root: store.root, hdf5: store.hdf5 });
}

function rebuildOne(
  store: Store,
  shard: string,
  options: Partial<RebuildShardOptions> = {},
): Promise<RebuildShardReport> {
  const { db, root, writer, holder } = store;
  return rebuildShard({ db, root, writer, holder }, shard, { skipCorrupt: false, remove: false, ...options });
}

function shardsOf(store: Store): Promise<{ id: string; path: string }[]> {
  return store.db.selectFrom('shards').select(['id', 'path']).orderBy('id').execute();
}

/** What must come back of a series' metadata. */
function metadata({ createdAt, updatedAt, commit, version, description, provenance, ...rest }: Series): unknown {
  return rest;
}

async function allMetadata(store: Store): Promise<unknown[]> {
  const ids = await store.db.selectFrom('series').select('id').orderBy('id').execute();
  return Promise.all(ids.map(async ({ id }) => metadata(await getSeries(store.db, { id }))));
}

async function numbers(store: Store, name: string, count: number): Promise<Series> {
  const series = await store.create(
    importedSpec({
      name,
      dtype: 'int32',
      channels: [{ label: 'x', unit: 'mV', gain: 200, baseline: -5 }],
      unit: 'mV',
      sampling: { kind: 'regular', rate: { num: 2003n, den: 100n }, startNs: START_NS },
      continuity: 'instantaneous',
      resolution: 0.005,
      missingValue: -1,
      timeZone: 'Europe/Berlin',
      tags: { species: 'mouse', age_days: 61, anaesthetised: false },
      provenance: {},
    }),
  );
  await appendNumbers(store, series, 0, count);
  return series;
}

async function appendNumbers(store: Store, series: Series, from: number, count: number): Promise<void> {
  await store.stage(series, { values: Int32Array.from({ length: count }, (_, i) => from + i), times: null });
}

/** Rows of a series whose values are their row numbers. */
async function readNumbers(store: Store, series: Series, from = 0, to?: number): Promise<Int32Array> {
  const bytes = await store.read(series, { by: 'rows', from, to });
  return new Int32Array(new Uint8Array(bytes).buffer);
}

describeRecordings('rebuilding real recordings', () => {
  const suite = hasTestPostgres() ? test : test.skip;
  let store: Store;
  let hashes: Record<string, string>;
  let described: unknown[];
  const rebuilt: string[] = [];

  beforeAll(async () => {
    if (!hasTestPostgres()) return;
    store = await Store.open();
    for (const name of [
      'wfdb/100.hea',
      'opensignals/loft_time_subject_1.h5',
      'bioreactor/example_2_Pio_Experiment_od_readings.csv',
    ]) {
      await store.importRecording(name);
    }
    hashes = await store.hashes();
    described = await allMetadata(store);
    expect((await store.verify()).findings).toEqual([]);
  });

  afterAll(() => store?.close());

  suite('a shard whose HDF5 structures are destroyed is written anew, and answers as before', async () => {
    const [first, second] = await shardsOf(store);
    for (const [shard, ruin] of [
      [first, ruinHead],
      [second, ruinStructures],
    ] as const) {
      await ruin(store, shard);
      expect((await store.verify()).findings.length).toBeGreaterThan(0);
      const report = await rebuildOne(store, shard.id);
      expect(report).toMatchObject({ oldShard: shard.id, oldPath: `${shard.path}.damaged`, corrupt: [] });
      expect(readFileSync(store.root.resolve(report.newShard.path)).length).toBe(report.newShard.bytes);
      rebuilt.push(store.root.resolve(report.newShard.path));
    }
    expect((await store.verify()).findings).toEqual([]);
    expect(await store.hashes()).toEqual(hashes);
  });

  describeProgram('h5dump', 'a shard that was written anew', () => {
    suite('opens in h5dump', () => {
      expect(rebuilt.length).toBe(2);
      for (const path of rebuilt) expect(dumpHeader(path)).toContain('GROUP "series"');
    });
  });

  suite('an empty catalog is filled from the shards alone, and answers as before', async () => {
    await store.loseCatalog();
    const report = await rebuildAll(store);
    expect(report.findings).toEqual([]);
    expect(await store.hashes()).toEqual(hashes);
    expect(await allMetadata(store)).toEqual(described);
    expect(await store.verify()).toMatchObject({ findings: [], chunks: report.chunks, shards: report.shards });
    expect(report.series).toBe(Object.keys(hashes).length);
    expect(report.notInShards.length).toBeGreaterThan(0);
  });

  suite('a catalog that is not empty is left alone', async () => {
    await expect(rebuildAll(store)).rejects.toMatchObject({ code: 'conflict', slug: 'catalog-not-empty' });
    expect(await store.hashes()).toEqual(hashes);
  });
});

/** Overwrites what lies before the first chunk of samples. */
async function ruinHead(store: Store, { id, path }: { id: string; path: string }): Promise<void> {
  const file = readFileSync(store.root.resolve(path));
  const first = await samplePlaces(store, id);
  file.fill(0xa5, 0, Math.min(4096, first[0].from));
  writeFileSync(store.root.resolve(path), file);
}

/** Overwrites everything that is no sample, but the superblock. */
async function ruinStructures(store: Store, { id, path }: { id: string; path: string }): Promise<void> {
  const file = readFileSync(store.root.resolve(path));
  let at = 48;
  for (const { from, to } of await samplePlaces(store, id)) {
    file.fill(0x5a, at, Math.max(at, from));
    at = to;
  }
  file.fill(0x5a, at);
  writeFileSync(store.root.resolve(path), file);
}

async function structurePlaces(store: Store, shardId: string, length: number): Promise<{ from: number; to: number }[]> {
  const samples = await samplePlaces(store, shardId);
  const bounds = [0, ...samples.flatMap(({ from, to }) => [from, to]), length];
  const gaps = Array.from({ length: bounds.length / 2 }, (_, i) => ({ from: bounds[2 * i], to: bounds[2 * i + 1] }));
  return gaps.filter(({ from, to }) => to > from);
}

async function samplePlaces(store: Store, shardId: string): Promise<{ from: number; to: number }[]> {
  const places: { from: number; to: number }[] = [];
  for (const { id } of await store.db.selectFrom('series').select('id').execute()) {
    for await (const chunks of shardChunks(store.db, shardId, id)) {
      for (const { values, times } of chunks) {
        for (const range of times ? [values, times] : [values]) {
          places.push({ from: range.offset, to: range.offset + range.length });
        }
      }
    }
  }
  return places.sort((a, b) => a.from - b.from);
}

describeWithPostgres('rebuilding a catalog', () => {
  let store: Store;
  beforeAll(async () => {
    store = await Store.open();
  });
  afterAll(() => store?.close());

  test('keeps what was committed and not published, and cuts what a later shard has once more', async () => {
    const kept = await numbers(store, 'kept', 9000);
    await store.drain();
    await appendNumbers(store, kept, 9000, 500);
    await store.drainUnpublished(); // the newest shard: those rows stay
    const cut = await numbers(store, 'cut', 100);
    await store.drain(); // publishes the 500 rows, too
    await store.retireAll();
    await appendNumbers(store, cut, 100, 50);
    await store.drain();
    await appendNumbers(store, cut, 150, 7000);
    await store.drainUnpublished();
    await store.retireAll();
    await store.drain(); // the 7000 rows are in two shards now
    await appendNumbers(store, cut, 7150, 30);
    await store.drainUnpublished();

    const before = await readNumbers(store, cut);
    expect(before.length).toBe(7150);
    await store.loseCatalog();
    const { findings, notes } = await rebuildAll(store);
    expect(findings).toEqual([]);
    expect(notes).toMatchObject([{ kind: 'rows-superseded', series: cut.id, row: 150 }]);
    expect(await readNumbers(store, kept)).toEqual(Int32Array.from({ length: 9500 }, (_, i) => i));
    expect(await readNumbers(store, cut)).toEqual(Int32Array.from({ length: 7180 }, (_, i) => i));
    const { continuity, resolution, missingValue, timeZone } = cut;
    expect(await getSeries(store.db, { id: cut.id })).toMatchObject({ continuity, resolution, missingValue, timeZone });
    expect((await store.verify()).findings).toEqual([]);
  });

  test('appending goes on where the shards end, in time too', async () => {
    const [series] = await Promise.all(['cut'].map((name) => getSeries(store.db, { project: 'default', name })));
    await appendNumbers(store, series, 7180, 20);
    await store.drain();
    const after = await getSeries(store.db, { id: series.id });
    expect(after.rows).toBe(7200);
    expect(after.lastNs).toBe(START_NS + (7199n * 100n * 1_000_000_000n) / 2003n);
    expect(
      await store.db.selectFrom('segments').selectAll().where('series_id', '=', series.id).execute(),
    ).toMatchObject([{ first_row: 0n, start_ns: START_NS, rows: 7200n }]);
    expect((await store.verify()).findings).toEqual([]);
  });

  test('acknowledged payloads that reached no shard are kept as files, and reported', async () => {
    const series = await getSeries(store.db, { project: 'default', name: 'kept' });
    await appendNumbers(store, series, 9500, 50_000);
    const [payload] = readdirSync(store.root.spoolFolder).filter((name) => name.endsWith('.values'));
    await store.loseCatalog();
    const { findings } = await rebuildAll(store);
    expect(findings).toMatchObject([{ kind: 'payload-kept', path: `spool/kept/${payload}` }]);
    expect(readFileSync(store.root.resolve(`spool/kept/${payload}`)).length).toBe(200_000);
  });

  test('a shard that is gone leaves its rows missing, and nothing else', async () => {
    const cut = await getSeries(store.db, { project: 'default', name: 'cut' });
    const whole = await readNumbers(store, cut);
    const {
      shard_id: id,
      first_row: row,
      rows,
    } = await store.db
      .selectFrom('chunks')
      .selectAll()
      .where('series_id', '=', cut.id)
      .where('first_row', '=', 100n)
      .executeTakeFirstOrThrow();
    expect([row, rows]).toEqual([100n, 50n]);
    const [{ path }] = (await shardsOf(store)).filter((shard) => shard.id === id);
    unlinkSync(store.root.resolve(path));
    await store.loseCatalog();
    const { findings } = await rebuildAll(store);
    expect(findings).toMatchObject([{ kind: 'rows-missing', series: cut.id, row: 100 }]);
    expect(await readNumbers(store, cut, 0, 100)).toEqual(whole.subarray(0, 100));
    expect(await readNumbers(store, cut, 150)).toEqual(whole.subarray(150));
    await expect(readNumbers(store, cut, 0, 101)).rejects.toMatchObject({ code: 'corrupt' });
    expect((await store.verify()).findings).toMatchObject([{ kind: 'chunks-missing', series: cut.id, row: 100 }]);
    expect((await getSeries(store.db, { id: cut.id })).lastNs).toBe(START_NS + (7199n * 100n * 1_000_000_000n) / 2003n);
  });

  test('a damaged shard is reported, and the others are restored', async () => {
    const [{ id, path }] = await shardsOf(store);
    await ruinHead(store, { id, path });
    await store.loseCatalog();
    const { findings, series } = await rebuildAll(store);
    expect(findings).toContainEqual(expect.objectContaining({ kind: 'hdf5-unreadable', path }));
    expect(series).toBeGreaterThan(0);
  });

  test('of two series of one name the newer keeps it', async () => {
    const older = await numbers(store, 'twice', 10);
    await store.drain();
    await store.db.updateTable('series').set({ deleted_at: new Date() }).where('id', '=', older.id).execute();
    const newer = await numbers(store, 'twice', 20);
    await store.drain();
    await store.loseCatalog();
    const { notes } = await rebuildAll(store);
    expect(notes).toContainEqual(expect.objectContaining({ kind: 'name-taken', series: older.id }));
    expect((await getSeries(store.db, { project: 'default', name: 'twice' })).id).toBe(newer.id);
    expect((await getSeries(store.db, { id: older.id })).name).toBe(`twice (${older.id})`);
  });
});

describeWithPostgres('rebuilding a shard', () => {
  let store: Store;
  let series: Series;
  const rows = 50_000;

  beforeAll(async () => {
    store = await Store.open();
    series = await numbers(store, 'x', 4000);
    await store.drain();
    await appendNumbers(store, series, 4000, rows - 4000);
    await store.drain();
  });
  afterAll(() => store?.close());

  test('a hot shard is written anew, and appends go on in another one', async () => {
    const [{ id, path }] = await shardsOf(store);
    await ruinHead(store, { id, path });
    const report = await rebuildOne(store, id, { remove: true });
    expect(report.oldPath).toBeNull();
    expect(await store.db.selectFrom('lanes').select(['hot_shard_id', 'lease_holder']).execute()).toEqual([
      { hot_shard_id: null, lease_holder: null },
    ]);
    expect(existsSync(store.root.resolve(path))).toBe(false);
    await appendNumbers(store, series, rows, 100);
    await store.drain();
    expect((await shardsOf(store)).length).toBe(2);
    expect(await readNumbers(store, series)).toEqual(Int32Array.from({ length: rows + 100 }, (_, i) => i));
    expect(await store.verify()).toMatchObject({ findings: [], notes: [] });
  });

  test('whatever blocks of its structure are overwritten, samples stay readable and the shard can be written anew', async () => {
    const whole = await readNumbers(store, series);
    const block = fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      length: fc.integer({ min: 1, max: 600 }),
      byte: fc.nat(255),
    });
    const property = fc.asyncProperty(fc.array(block, { minLength: 1, maxLength: 4 }), async (blocks) => {
      const [{ id, path }] = await shardsOf(store);
      const file = readFileSync(store.root.resolve(path));
      const gaps = await structurePlaces(store, id, file.length);
      const size = gaps.reduce((sum, { from, to }) => sum + to - from, 0);
      for (const { at, length, byte } of blocks) {
        let offset = Math.floor(at * (size - 1));
        const gap = gaps.find(({ from, to }) => offset < to - from || ((offset -= to - from), false))!;
        file.fill(byte, gap.from + offset, Math.min(gap.to, gap.from + offset + length));
      }
      writeFileSync(store.root.resolve(path), file);
      const { findings } = await store.verify();
      for (const { kind } of findings) expect(kind).toMatch(/^(hdf5-.+|dataset-short|segments-differ)$/);
      expect(await readNumbers(store, series)).toEqual(whole);
      await rebuildOne(store, id, { remove: true });
      expect(await readNumbers(store, series)).toEqual(whole);
      expect(await store.verify()).toMatchObject({ findings: [], notes: [] });
    });
    await fc.assert(property, { numRuns: 12, seed: 4711 });
  });

  test('a lane that is being drained is waited for, and then refused', async () => {
    const [{ id }] = await shardsOf(store);
    const { id: laneId } = await store.db.selectFrom('lanes').select('id').executeTakeFirstOrThrow();
    const lease = await claimLease(store.db, laneId, store.holder);
    await expect(rebuildOne(store, id, { waitMs: 600 })).rejects.toMatchObject({
      code: 'unavailable',
      slug: 'lane-busy',
    });
    await releaseLease(store.db, lease!, false);
  });

  test('damaged rows are refused by name; skipped, they stay where they were and are still reported', async () => {
    const [{ id, path }] = await shardsOf(store);
    const before = await store.verify();
    const page = await shardChunks(store.db, id, series.id).next();
    const victims = (page.value as { firstRow: number; rows: number; values: { offset: number } }[]).slice(0, 3);
    const file = readFileSync(store.root.resolve(path));
    file[victims[0].values.offset] ^= 1; // the first, and one in the middle
    file[victims[2].values.offset + 5] ^= 1;
    writeFileSync(store.root.resolve(path), file);

    await expect(rebuildOne(store, id)).rejects.toMatchObject({
      code: 'corrupt',
      slug: 'chunks-corrupt',
      errors: [{ field: `series ${series.id}` }, { field: `series ${series.id}` }],
    });
    expect((await shardsOf(store)).length).toBe(2);
    expect(
      readdirSync(store.root.resolve(path.slice(0, path.lastIndexOf('/')))).some((name) => name.includes('tmp')),
    ).toBe(false);

    const report = await rebuildOne(store, id, { skipCorrupt: true });
    expect(report.oldPath).toBe(path);
    expect(report.corrupt.map(({ row }) => row)).toEqual([victims[0].firstRow, victims[2].firstRow]);
    const after = await store.verify();
    expect(after.chunks).toBe(before.chunks);
    expect(after.findings).toMatchObject([
      { kind: 'values-corrupt', shard: id, row: victims[0].firstRow },
      { kind: 'values-corrupt', shard: id, row: victims[2].firstRow },
    ]);
    const between = await readNumbers(store, series, victims[1].firstRow, victims[2].firstRow);
    expect(between).toEqual(Int32Array.from({ length: victims[1].rows }, (_, i) => victims[1].firstRow + i));
    const rest = victims[2].firstRow + victims[2].rows;
    expect(await readNumbers(store, series, rest)).toEqual(
      Int32Array.from({ length: rows + 100 - rest }, (_, i) => rest + i),
    );
    await expect(readNumbers(store, series)).rejects.toMatchObject({ code: 'corrupt' });

    // From the shards alone: what is a hole in the newer file is missing, not zero, and not the damaged rows of the older one.
    await store.loseCatalog();
    const rebuilt = await rebuildAll(store);
    expect(rebuilt.findings.map(({ kind, row }) => [kind, row])).toEqual([
      ['rows-missing', victims[0].firstRow],
      ['rows-missing', victims[2].firstRow],
    ]);
    expect(await readNumbers(store, series, rest)).toEqual(
      Int32Array.from({ length: rows + 100 - rest }, (_, i) => rest + i),
    );
    expect((await getSeries(store.db, { id: series.id })).lastNs).toBe(
      START_NS + (BigInt(rows + 99) * 100n * 1_000_000_000n) / 2003n,
    );
  });

  test('a shard whose file is missing, or that is none, is refused', async () => {
    await expect(rebuildOne(store, 'unknown')).rejects.toMatchObject({ code: 'not-found' });
    const [{ id, path }] = await shardsOf(store);
    unlinkSync(store.root.resolve(path));
    await expect(rebuildOne(store, id)).rejects.toMatchObject({ code: 'corrupt', slug: 'shard-missing' });
  });
});

describePython('places of chunks', ['h5py'], (python) => {
  const withPostgres = hasTestPostgres() ? test : test.skip;

  withPostgres('that a rebuilt catalog has, of rebuilt shards too, are those that h5py finds', async () => {
    const store = await Store.open();
    try {
      await numbers(store, 'a', 30_000);
      const irregular = await store.create(
        importedSpec({
          name: 'b',
          dtype: 'float32',
          channels: [{ label: 'x' }, { label: 'y' }],
          sampling: { kind: 'irregular' },
          provenance: {},
        }),
      );
      const times = BigInt64Array.from({ length: 5000 }, (_, i) => START_NS + BigInt(i * i));
      await store.stage(irregular, { values: new Float32Array(10_000), times }); // all zero: only the index tells its chunks apart
      await store.drain();
      await store.retireAll();
      await numbers(store, 'c', 3);
      await store.drain();
      for (const { id } of (await shardsOf(store)).slice(0, 1)) await rebuildOne(store, id);
      await store.loseCatalog();
      expect((await rebuildAll(store)).findings).toEqual([]);
      for (const { id, path } of await shardsOf(store)) {
        const found = JSON.parse(
          python(`
import h5py, json
out = []
with h5py.File(${JSON.stringify(store.root.resolve(path))}) as f:
    for uuid, g in f["series"].items():
        for name in ("values", "time"):
            if name in g:
                d = g[name].id
                for i in range(d.get_num_chunks()):
                    c = d.get_chunk_info(i)
                    out.append([uuid, name, c.chunk_offset[0], c.byte_offset, c.size])
print(json.dumps(out))`).toString(),
        ) as [string, string, number, number, number][];
        const known: typeof found = [];
        for (const { id: seriesId } of await store.db.selectFrom('series').select('id').execute()) {
          for await (const chunks of shardChunks(store.db, id, seriesId)) {
            for (const { datasetRow, values, times: blocks } of chunks) {
              known.push([seriesId, 'values', datasetRow, values.offset, values.length]);
              if (blocks) known.push([seriesId, 'time', datasetRow, blocks.offset, blocks.length]);
            }
          }
        }
        expect(known.length).toBeGreaterThan(0);
        expect(known.map(String).sort()).toEqual(found.map(String).sort());
      }
    } finally {
      await store.close();
    }
  });
});
