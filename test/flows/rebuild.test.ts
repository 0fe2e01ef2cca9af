import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { v7 as uuidv7 } from 'uuid';
import { createRetentionRule } from '../../src/catalog/shards/retention-store.ts';
import { deleteSeries, getSeries, updateSeries } from '../../src/catalog/series/series-store.ts';
import { hashedSeries, sealSeries, storeContentHash } from '../../src/catalog/series/seal-store.ts';
import { shardChunks } from '../../src/catalog/shards/shard-store.ts';
import type { Series } from '../../src/core/signal/series.ts';
import { compactLane } from '../../src/flows/compact/compact-lane.ts';
import { expireSamples } from '../../src/flows/compact/expire-samples.ts';
import { flushLane } from '../../src/flows/flush/flush-lane.ts';
import { hashContent } from '../../src/flows/close/hash-content.ts';
import { rebuildCatalog, type RebuildCatalogReport } from '../../src/flows/repair/rebuild-catalog.ts';
import { rebuildShard, type RebuildShardReport } from '../../src/flows/repair/rebuild-shard.ts';
import type { RewriteStage } from '../../src/flows/rewrite/rewrite-shards.ts';
import { importedSpec } from '../../src/formats/recordings/imported-series.ts';
import { shardPath } from '../../src/storage/folder/data-root.ts';
import { dumpHeader } from '../storage/h5dump.ts';
import { describeProgram } from '../storage/program.ts';
import { hasTestPostgres } from '../support/postgres.ts';
import { describePython } from '../support/python.ts';
import { describeRecordings } from '../support/shared-data.ts';
import { modelRuns } from '../support/model-runs.ts';
import { Store } from './store.ts';

const START_NS = 1_777_593_600_000_000_000n;
const describeWithPostgres = hasTestPostgres() ? describe : describe.skip;

function rebuildAll(store: Store): Promise<RebuildCatalogReport> {
  return rebuildCatalog({ db: store.db, root: store.root, hdf5: store.hdf5, codec: store.codec });
}

function rebuildOne(store: Store, shard: string, skipCorrupt = false): Promise<RebuildShardReport> {
  return rebuildShard(store.rewriting, shard, skipCorrupt);
}

function shardsOf(store: Store): Promise<{ id: string; path: string; bytes: bigint }[]> {
  return store.db
    .selectFrom('shards')
    .select(['id', 'path', 'bytes'])
    .where('state', '=', 'live')
    .orderBy('id')
    .execute();
}

/** What must come back of a series' metadata. */
function metadata({
  createdAt,
  updatedAt,
  commit,
  version,
  description,
  provenance,
  externalIds,
  ...rest
}: Series): unknown {
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
      recording: { name: `the recording of ${name}`, source: null, startNs: null },
    }),
  );
  await appendNumbers(store, series, 0, count);
  return series;
}

async function appendNumbers(store: Store, series: Series, from: number, count: number): Promise<void> {
  await store.append(series, { values: Int32Array.from({ length: count }, (_, i) => from + i), times: null });
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
  const ruined: string[] = [];

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
    await store.flush();
    hashes = await store.hashes();
    described = await allMetadata(store);
    expect((await store.verify()).findings).toEqual([]);
  }, 300_000);

  afterAll(() => store?.close());

  suite('a shard whose HDF5 structures are destroyed is written anew, and answers as before', async () => {
    const [first, second] = await shardsOf(store);
    for (const [shard, ruin] of [
      [first, ruinHead],
      [second, ruinStructures],
    ] as const) {
      await ruin(store, shard);
      ruined.push(shard.path);
      expect((await store.verify()).findings.length).toBeGreaterThan(0);
      const report = await rebuildOne(store, shard.id);
      expect(report).toMatchObject({ oldShard: shard.id, oldPath: null, corrupt: [] });
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
    // The two files that were ruined are still there, and nobody can know what they tell.
    const others = report.findings.filter(({ kind, path }) => kind !== 'hdf5-unreadable' || !ruined.includes(path!));
    expect(others).toEqual([]);
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

/** Rows that a series is to have, as {@link numbers} appends them. */
function upTo(rows: number): Int32Array {
  return Int32Array.from({ length: rows }, (_, i) => i);
}

function nsOf(row: number): bigint {
  return START_NS + (BigInt(row) * 100n * 1_000_000_000n) / 2003n;
}

/** A process that ends when its file has its name. */
function endWhenWritten(stage: RewriteStage): void {
  if (stage === 'written') throw new Error('ended here');
}

describeWithPostgres('rebuilding a catalog', () => {
  let store: Store;
  beforeEach(async () => {
    store = await Store.open();
  });
  afterEach(() => store?.close());

  test('one orphan of a swap that never came costs no row of an intact store', async () => {
    const series = await numbers(store, 'long', 100_000);
    await store.flush();
    await appendNumbers(store, series, 100_000, 60_000);
    await store.flush();
    const lane = await store.laneOf(series.id);
    const options = { all: true, asked: true, onStage: endWhenWritten };
    await expect(compactLane(store.rewriting, lane, options)).rejects.toThrow('ended here');
    await appendNumbers(store, series, 160_000, 10);
    await store.flush();
    await store.loseCatalog();
    expect((await rebuildAll(store)).findings.filter(({ kind }) => kind !== 'spool-kept')).toEqual([]);
    expect(await readNumbers(store, series)).toEqual(upTo(160_010));
    expect((await store.verify()).findings).toEqual([]);
  });

  test('no removed sample is back, and no replaced one shows its old value', async () => {
    const series = await numbers(store, 'edited', 1000);
    const irregular = await store.create(
      importedSpec({
        name: 'i',
        dtype: 'int32',
        channels: [{ label: 'x' }],
        sampling: { kind: 'irregular' },
        provenance: {},
      }),
    );
    const times = BigInt64Array.from({ length: 1000 }, (_, i) => nsOf(i));
    await store.append(irregular, { values: upTo(1000), times });
    await store.flush();
    await store.compact(series.id);
    const range = (from: number, to: number): { startNs: bigint; endNs: bigint } => ({
      startNs: nsOf(from),
      endNs: nsOf(to),
    });
    await store.replace(series, range(100, 103), { values: Int32Array.of(-7, -8, -9), times: null });
    await store.remove(series, range(500, 600));
    await store.remove(irregular, range(500, 600));
    await store.replace(irregular, range(10, 20), { values: Int32Array.of(-5), times: BigInt64Array.of(nsOf(11)) });
    await store.flush();
    const [regularBefore, irregularBefore] = [
      await store.read(series, { by: 'time' }),
      await store.read(irregular, { by: 'time' }),
    ];
    await store.loseCatalog();
    expect((await rebuildAll(store)).findings).toEqual([]);
    expect(await store.read(series, { by: 'time' })).toEqual(regularBefore);
    expect(await store.read(irregular, { by: 'time' })).toEqual(irregularBefore);
    expect(await getSeries(store.db, { id: series.id })).toMatchObject({ rows: 1000, removed: 100 });
    expect(await getSeries(store.db, { id: irregular.id })).toMatchObject({ removed: 110 });
    // The next edit is the newest.
    await store.replace(series, range(100, 101), { values: Int32Array.of(-70), times: null });
    expect((await readNumbers(store, series, 100, 102))[0]).toBe(-70);
  });

  test('what had not reached a shard is told, and appending goes on where the shards end, in time too', async () => {
    const series = await numbers(store, 'cut', 7000);
    await store.flush();
    await appendNumbers(store, series, 7000, 100_000);
    const [spooled] = readdirSync(store.root.spoolFolder);
    const told = await numbers(store, 'told', 10);
    await appendNumbers(store, told, 10, 5);
    await flushLane(store.rewriting, await store.laneOf(told.id), { asked: true, most: 40 });
    await store.loseCatalog();
    const { findings } = await rebuildAll(store);
    expect(findings).toContainEqual(expect.objectContaining({ kind: 'spool-kept', path: `spool/kept/${spooled}` }));
    expect(readFileSync(store.root.resolve(`spool/kept/${spooled}`)).length).toBe(400_000);
    expect(await readNumbers(store, series)).toEqual(upTo(7000));
    await appendNumbers(store, series, 7000, 200);
    await store.flush();
    expect(await readNumbers(store, series)).toEqual(upTo(7200));
    expect(await getSeries(store.db, { id: series.id })).toMatchObject({ rows: 7200, lastNs: nsOf(7199) });
    expect(await store.db.selectFrom('heads').selectAll().where('series_id', '=', series.id).execute()).toMatchObject([
      { segment_row: 0n, segment_ns: START_NS, segment_rows: 7200n },
    ]);
    expect((await store.verify()).findings).toEqual([]);
  });

  test('rows that a file knows of, and no file has, are told and not served as data', async () => {
    const series = await numbers(store, 'partly', 10);
    for (let from = 10; from < 50; from += 10) await appendNumbers(store, series, from, 10);
    await store.flushOne(series.id);
    await store.loseCatalog();
    const { findings } = await rebuildAll(store);
    expect(findings).toMatchObject([{ kind: 'rows-unwritten', series: series.id, row: 10 }]);
    expect(await readNumbers(store, series)).toEqual(upTo(10));
  });

  test('commit numbers go on beyond all that the lost catalog may have given out', async () => {
    const series = await numbers(store, 'counted', 10);
    await store.flush();
    await appendNumbers(store, series, 10, 10);
    const { commit } = await getSeries(store.db, { id: series.id });
    await store.loseCatalog();
    await rebuildAll(store);
    const after = await getSeries(store.db, { id: series.id });
    expect(after.commit).toBeGreaterThan(commit + 1_000_000n);
    const [lane] = await store.db.selectFrom('lanes').selectAll().execute();
    expect(lane).toMatchObject({ series_count: 1, flushed_commit: after.commit });
    await appendNumbers(store, series, 10, 10);
    expect((await getSeries(store.db, { id: series.id })).commit).toBe(after.commit + 1n);
  });

  test('shards are in the catalog as they were, with the places of their chunks and summaries', async () => {
    const series = await numbers(store, 'compacted', 200_000);
    await store.flush();
    await store.compact(series.id);
    await appendNumbers(store, series, 200_000, 50);
    await store.flush();
    const tables = async (): Promise<unknown> => ({
      shards: await store.db
        .selectFrom('shards')
        .select(['id', 'lane_id', 'path', 'level', 'commit', 'first_commit', 'bytes', 'data_bytes', 'state'])
        .where('state', '=', 'live')
        .orderBy('id')
        .execute(),
      chunks: (await store.db.selectFrom('chunks').selectAll().orderBy('first_row').execute()).map(
        ({ id, ...chunk }) => chunk,
      ),
      summaries: await store.db.selectFrom('summaries').selectAll().orderBy('factor').orderBy('ordinal').execute(),
    });
    const before = await tables();
    await store.loseCatalog();
    expect((await rebuildAll(store)).findings.filter(({ kind }) => kind !== 'spool-kept')).toEqual([]);
    expect(await tables()).toEqual(before);
  });

  test('summaries of samples that have expired are there, once', async () => {
    const series = await numbers(store, 'expiring', 50_000);
    await store.flush();
    await store.compact(series.id);
    await createRetentionRule(store.db, uuidv7(), {
      project: 'default',
      tags: {},
      keepDays: 1000 / (2003 / 100) / 86_400,
      keepSummariesDays: null,
    });
    await expireSamples({ ...store.rewriting, codec: store.codec });
    await store.flush();
    await store.compact(series.id);
    await store.compact(series.id);
    const expired = await getSeries(store.db, { id: series.id });
    expect(expired.firstNs).toBeGreaterThan(START_NS);
    const summaries = (): Promise<unknown> =>
      store.db.selectFrom('summaries').selectAll().orderBy('factor').orderBy('ordinal').execute();
    const [before, samples] = [await summaries(), await store.read(series, { by: 'time' })];
    expect(before).not.toEqual([]);
    await store.loseCatalog();
    expect((await rebuildAll(store)).findings.filter(({ kind }) => kind !== 'spool-kept')).toEqual([]);
    expect(await summaries()).toEqual(before);
    expect(await store.read(series, { by: 'time' })).toEqual(samples);
    const { firstNs, lastNs, rows } = await getSeries(store.db, { id: series.id });
    expect([firstNs, lastNs, rows]).toEqual([expired.firstNs, expired.lastNs, expired.rows]);
    expect((await store.verify()).findings).toEqual([]);
  });

  test('what describes a series, and its state, come back as the newest file tells', async () => {
    const series = await numbers(store, 'before', 100);
    await store.flush();
    await updateSeries(store.db, series.id, { name: 'after', tags: { species: 'rat' }, scale: 2 });
    await sealSeries(store.db, series.id, { tokenId: null });
    const sealed = await getSeries(store.db, { id: series.id });
    const hash = await hashContent(store, series.id);
    await storeContentHash(store.db, series.id, sealed.sealedAt!, hash);
    const deleted = await numbers(store, 'deleted', 10);
    await deleteSeries(store.db, deleted.id);
    await store.flush();
    await store.compact(series.id);
    const wanted = metadata(await getSeries(store.db, { id: series.id }));
    await store.loseCatalog();
    expect((await rebuildAll(store)).findings).toEqual([]);
    expect(metadata(await getSeries(store.db, { id: series.id }))).toEqual(wanted);
    await expect(getSeries(store.db, { id: deleted.id })).rejects.toMatchObject({ code: 'not-found' });
    // Verified by its hash again.
    expect((await hashedSeries(store.db, null)).map(({ id }) => id)).toEqual([series.id]);
    expect((await store.verify()).findings).toEqual([]);
  });

  test('a shard that is gone leaves its rows missing, and nothing else', async () => {
    const series = await numbers(store, 'gone', 100);
    await store.flush();
    await appendNumbers(store, series, 100, 50);
    await store.flush();
    await appendNumbers(store, series, 150, 50);
    await store.flush();
    unlinkSync(store.root.resolve((await shardsOf(store))[1].path));
    await store.loseCatalog();
    expect((await rebuildAll(store)).findings).toMatchObject([{ kind: 'rows-missing', series: series.id, row: 100 }]);
    expect(await readNumbers(store, series, 0, 100)).toEqual(upTo(100));
    expect(await readNumbers(store, series, 150)).toEqual(upTo(200).subarray(150));
    await expect(readNumbers(store, series, 0, 101)).rejects.toMatchObject({ code: 'corrupt' });
    expect((await store.verify()).findings).toMatchObject([{ kind: 'chunks-missing', series: series.id, row: 100 }]);
    expect((await getSeries(store.db, { id: series.id })).lastNs).toBe(nsOf(199));
  });

  test('a damaged shard is told, and the others are restored', async () => {
    const series = await numbers(store, 'damaged', 100);
    await store.flush();
    await appendNumbers(store, series, 100, 50);
    await store.flush();
    const [, last] = await shardsOf(store);
    await ruinHead(store, last);
    await store.loseCatalog();
    const { findings } = await rebuildAll(store);
    expect(findings).toMatchObject([{ kind: 'hdf5-unreadable', path: last.path, shard: last.id }]);
    expect(await readNumbers(store, series)).toEqual(upTo(100));
  });

  test('a file that says that it is another shard is told and left out', async () => {
    await numbers(store, 'one', 100);
    await store.flush();
    const [{ path }] = await shardsOf(store);
    const other = uuidv7();
    const name = shardPath(other, 3n);
    mkdirSync(dirname(store.root.resolve(name)), { recursive: true });
    copyFileSync(store.root.resolve(path), store.root.resolve(name));
    await store.loseCatalog();
    expect((await rebuildAll(store)).findings).toMatchObject([{ kind: 'shard-misnamed', path: name, shard: other }]);
  });

  test('of two series of one name the newer keeps it', async () => {
    const older = await numbers(store, 'twice', 10);
    await store.flush();
    await updateSeries(store.db, older.id, { name: 'renamed' });
    const newer = await numbers(store, 'twice', 20);
    await store.flush();
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
  const rows = 200_000;

  beforeAll(async () => {
    store = await Store.open();
    series = await numbers(store, 'x', 4000);
    await appendNumbers(store, series, 4000, rows - 4000);
    await store.flush();
  });
  afterAll(() => store?.close());

  test('a damaged one is written anew, and its file stays for those who have just asked for it', async () => {
    const [first] = await shardsOf(store);
    await ruinHead(store, first);
    const report = await rebuildOne(store, first.id);
    expect(report).toMatchObject({ oldPath: null, corrupt: [] });
    expect(await store.db.selectFrom('shards').select(['id', 'state']).orderBy('id').execute()).toEqual([
      { id: first.id, state: 'replaced' },
      { id: report.newShard.id, state: 'live' },
    ]);
    expect(existsSync(store.root.resolve(first.path))).toBe(true);
    await appendNumbers(store, series, rows, 100);
    await store.flush();
    expect(await readNumbers(store, series)).toEqual(upTo(rows + 100));
    expect((await store.verify()).findings).toEqual([]);
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
      await rebuildOne(store, id);
      expect(await readNumbers(store, series)).toEqual(whole);
      expect((await store.verify()).findings).toEqual([]);
    });
    await fc.assert(property, {
      numRuns: modelRuns(2),
      seed: 4711,
      endOnFailure: true,
    });
  }, 120_000);

  test('damaged rows are refused by name; skipped, they stay where they were and are still told', async () => {
    // Of the two shards that there are, the one with more than a few rows.
    const [{ id, path }] = (await shardsOf(store)).sort((a, b) => Number(b.bytes) - Number(a.bytes));
    const page = await shardChunks(store.db, id, series.id).next();
    const victims = (page.value as { firstRow: number; rows: number; values: { offset: number } }[]).slice(0, 3);
    const file = readFileSync(store.root.resolve(path));
    file[victims[0].values.offset] ^= 1; // the first, and one in the middle
    file[victims[2].values.offset + 5] ^= 1;
    writeFileSync(store.root.resolve(path), file);
    const before = await store.verify();

    await expect(rebuildOne(store, id)).rejects.toMatchObject({
      code: 'corrupt',
      slug: 'chunks-corrupt',
      errors: [{ field: `series ${series.id}` }, { field: `series ${series.id}` }],
    });
    expect(await store.db.selectFrom('shards').select('id').where('state', '=', 'writing').execute()).toEqual([]);

    const report = await rebuildOne(store, id, true);
    expect(report.oldPath).toBe(path);
    expect(report.corrupt.map(({ row }) => row)).toEqual([victims[0].firstRow, victims[2].firstRow]);
    const after = await store.verify();
    expect(after.chunks).toBe(before.chunks);
    // HDF5 cannot inflate them either.
    expect(after.findings.filter(({ kind }) => kind !== 'hdf5-index')).toMatchObject([
      { kind: 'values-corrupt', shard: id, row: victims[0].firstRow },
      { kind: 'values-corrupt', shard: id, row: victims[2].firstRow },
    ]);
    const between = await readNumbers(store, series, victims[1].firstRow, victims[2].firstRow);
    expect(between).toEqual(upTo(victims[2].firstRow).subarray(victims[1].firstRow));
    const rest = victims[2].firstRow + victims[2].rows;
    expect(await readNumbers(store, series, rest)).toEqual(upTo(rows + 100).subarray(rest));
    await expect(readNumbers(store, series)).rejects.toMatchObject({ code: 'corrupt' });

    // From the shards alone: what does not decode is missing, not zero.
    await store.loseCatalog();
    const rebuilt = await rebuildAll(store);
    const missing = rebuilt.findings.filter(({ kind }) => kind === 'rows-missing');
    expect(missing.map(({ kind, row }) => [kind, row])).toEqual([
      ['rows-missing', victims[0].firstRow],
      ['rows-missing', victims[2].firstRow],
    ]);
    expect(await readNumbers(store, series, rest)).toEqual(upTo(rows + 100).subarray(rest));
    expect((await getSeries(store.db, { id: series.id })).lastNs).toBe(nsOf(rows + 99));
  });

  test('one whose file is missing, that is none, or that has been replaced, is refused', async () => {
    await expect(rebuildOne(store, 'unknown')).rejects.toMatchObject({ code: 'not-found' });
    const [{ id, path }] = await shardsOf(store);
    await store.db.updateTable('shards').set({ state: 'replaced' }).where('id', '=', id).execute();
    await expect(rebuildOne(store, id)).rejects.toMatchObject({ code: 'conflict', slug: 'shard-state' });
    await store.db.updateTable('shards').set({ state: 'live' }).where('id', '=', id).execute();
    unlinkSync(store.root.resolve(path));
    await expect(rebuildOne(store, id)).rejects.toMatchObject({ code: 'corrupt', slug: 'shard-missing' });
  });

  test('one that tells of edits, or is cut short at its end, is written anew', async () => {
    const other = await numbers(store, 'edited', 1000);
    await store.flush();
    const [shard] = (await shardsOf(store)).slice(-1);
    await store.remove(other, { startNs: nsOf(0), endNs: nsOf(100) });
    await store.db.updateTable('shards').set({ state: 'damaged' }).where('id', '=', shard.id).execute();
    const report = await rebuildOne(store, shard.id);
    expect(report.corrupt).toEqual([]);
    expect(await readNumbers(store, other)).toEqual(upTo(1000).subarray(100));
    expect(await store.db.selectFrom('shards').select('state').where('id', '=', shard.id).execute()).toEqual([
      { state: 'replaced' },
    ]);
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
      await store.append(irregular, { values: new Float32Array(10_000), times }); // all zero: only the index tells its chunks apart
      await store.flush();
      await numbers(store, 'c', 3);
      await store.flush();
      for (const { id } of (await shardsOf(store)).slice(0, 1)) await rebuildOne(store, id);
      await store.loseCatalog();
      expect((await rebuildAll(store)).findings.filter(({ kind }) => kind !== 'spool-kept')).toEqual([]);
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
                if g[name].chunks is None:
                    out.append([uuid, name, 0, d.get_offset(), d.get_storage_size()])
                    continue
                for i in range(d.get_num_chunks()):
                    c = d.get_chunk_info(i)
                    out.append([uuid, name, c.chunk_offset[0], c.byte_offset, c.size])
print(json.dumps(out))`).toString(),
        ) as [string, string, number, number, number][];
        const known: typeof found = [];
        for (const { id: seriesId } of await store.db.selectFrom('series').select('id').execute()) {
          for await (const chunks of shardChunks(store.db, id, seriesId)) {
            for (const { datasetRow, skip, values, times: blocks } of chunks) {
              known.push([seriesId, 'values', datasetRow - skip, values.offset, values.length]);
              if (blocks) known.push([seriesId, 'time', datasetRow - skip, blocks.offset, blocks.length]);
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
