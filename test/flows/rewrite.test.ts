/** What flushes and compaction promise to readers, whoever stops them wherever, and in whatever order they come to their ends. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { closeSync, openSync, readdirSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { getSeries } from '../../src/catalog/series/series-store.ts';
import { forgetShard } from '../../src/catalog/shards/swap-shard.ts';
import { laneBacklogs, vacuumFresh } from '../../src/catalog/appends/fresh-store.ts';
import { mostBlockRows } from '../../src/core/rows/chunk.ts';
import { parseRate } from '../../src/core/signal/rate.ts';
import { UNSAID, type NewSeries, type Series } from '../../src/core/signal/series.ts';
import { compactLane, planCompaction, rewriteShard } from '../../src/flows/compact/compact-lane.ts';
import { flushLane, type FlushOptions, type FlushOutcome } from '../../src/flows/flush/flush-lane.ts';
import { rebuildCatalog } from '../../src/flows/repair/rebuild-catalog.ts';
import { awaitTurn } from '../../src/flows/rewrite/await-turn.ts';
import type { RewriteStage } from '../../src/flows/rewrite/rewrite-shards.ts';
import { sweepSpools } from '../../src/flows/flush/sweep-fresh.ts';
import type { SurveyedSeries } from '../../src/storage/survey/shard-survey.ts';
import { execute } from '../support/postgres.ts';
import { describePython } from '../support/python.ts';
import { Hdf5Judge } from '../torture/hdf5-judge.ts';
import { modelRuns } from '../support/model-runs.ts';
import { Store } from './store.ts';

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
let lane: string;
let regular: Series;
let irregular: Series;

beforeEach(async () => {
  store = await Store.open();
  regular = await store.create(SPEC);
  irregular = await store.create(IRREGULAR);
  lane = await store.laneOf(regular.id);
  await execute(store.databaseUrl, `update heads set lane_id = '${lane}'`);
});
afterEach(async () => {
  await store.close();
});

const values = (rows: number, seed: number): Float64Array =>
  Float64Array.from({ length: rows * 2 }, (_, i) => Math.round(Math.sin(i / 50 + seed) * 2048) / 4);

/** Rows of both series, some of which came late. */
async function append(part: number, rows = 3000): Promise<void> {
  await store.append(regular, { values: values(rows, part), times: null }, part === 2 ? 60_000_000_000n : null);
  const times = BigInt64Array.from({ length: 400 }, (_, i) => BigInt(part * 300 + (i % 7 === 0 ? -i : i)) * 1000n);
  await store.append(irregular, { values: Int32Array.from(times, (_, i) => part * 1000 + i), times });
}

async function contents(): Promise<string[]> {
  return [
    await store.read(regular, { by: 'rows' }),
    await store.read(regular, { by: 'time', startNs: 1_234_000_000n, endNs: 61_000_000_000n }),
    await store.read(irregular, { by: 'time' }),
    await store.read(irregular, { by: 'time', startNs: 100_000n, endNs: 700_000n }),
  ].map((bytes) => bytes.toString('base64'));
}

const flush = (options: FlushOptions = {}): Promise<FlushOutcome> =>
  flushLane(store.rewriting, lane, { asked: true, ...options });
const compact = (options: FlushOptions = {}) =>
  compactLane(store.rewriting, lane, { all: true, asked: true, ...options });

const shards = () => store.db.selectFrom('shards').selectAll().orderBy('id').execute();
const states = async (): Promise<string[]> => (await shards()).map(({ state }) => state);
const filesOnDisk = (): string[] =>
  readdirSync(store.root.shardFolder, { recursive: true })
    .map(String)
    .filter((name) => /\.h5(\.tmp)?$/.test(name))
    .sort();
const freshRows = () => store.db.selectFrom('fresh').selectAll().orderBy('id').execute();

/** What each live shard says of a series, the oldest first. */
async function told(series: Series): Promise<SurveyedSeries[]> {
  const live = (await shards()).filter(({ state }) => state === 'live');
  const surveys = await Promise.all(live.map(({ path }) => store.hdf5.survey(store.root.resolve(path))));
  return surveys.flatMap(({ series: all }) => all.filter(({ seriesId }) => seriesId === series.id));
}

/** Rows and files say the same: nothing is left over, nothing is missing. */
async function expectTidy(findings: readonly string[] = []): Promise<void> {
  const rows = await shards();
  expect(rows.some(({ state }) => state === 'writing')).toBe(false);
  expect(filesOnDisk()).toEqual(rows.map(({ path }) => path.slice('shards/'.length)).sort());
  expect((await store.verify()).findings.map(({ kind }) => kind)).toEqual(findings);
}

/** A rewriting that waits at a stage until it is let go. */
function paused(start: (options: FlushOptions) => Promise<unknown>, at: RewriteStage) {
  let reach!: () => void;
  let letGo!: () => void;
  const reached = new Promise<void>((resolve) => (reach = resolve));
  const gate = new Promise<void>((resolve) => (letGo = resolve));
  const end = start({
    onStage: async (stage) => {
      if (stage !== at) return;
      reach();
      await gate;
    },
  }).then(
    () => null,
    (error: { slug?: string }) => error.slug ?? error,
  );
  return {
    reached,
    /** @returns the slug of what it threw; null: nothing */
    resume: () => {
      letGo();
      return end;
    },
  };
}

describe('a flush', () => {
  test('changes no sample, and leaves a shard that HDF5 and verify find in order', async () => {
    await append(0);
    await append(1);
    const before = await contents();
    expect(await flush()).toMatchObject({ kind: 'flushed', more: false });
    expect(await contents()).toEqual(before);
    expect(await freshRows()).toEqual([]);
    await expectTidy();
    const judge = new Hdf5Judge();
    const [{ path }] = await shards();
    const found = await judge.look(store.root.resolve(path), { [regular.id]: 6000, [irregular.id]: 700 });
    judge.close();
    expect(found[regular.id].values_crc).toBe(crc32(await store.read(regular, { by: 'rows' })));
    expect(await flush()).toEqual({ kind: 'nothing' });
  });

  test('of thousands of tiny appends is one chunk a series', async () => {
    await Promise.all(
      Array.from({ length: 500 }, (_, i) =>
        store.append(irregular, { values: Int32Array.of(i), times: BigInt64Array.of(BigInt(i)) }),
      ),
    );
    const before = await contents();
    await flush();
    expect(await contents()).toEqual(before);
    const chunks = await store.db.selectFrom('chunks').selectAll().execute();
    expect(chunks.map(({ rows, codec }) => [Number(rows), codec])).toEqual([[500, 'none']]);
  });

  test('takes no more at once than it may, and goes on where it ended', async () => {
    for (const part of [0, 1, 2]) await append(part, 20);
    const before = await contents();
    let flushes = 0;
    for (let more = true; more; flushes++) {
      const outcome = await flush({ most: 4_000 });
      more = outcome.kind === 'flushed' && outcome.more;
      expect(await contents()).toEqual(before);
    }
    expect(flushes).toBeGreaterThan(2);
    await expectTidy();
  });

  test('that a person asks for waits for the one under way, and for one that is stuck no longer than it must', async () => {
    await append(0);
    const other = paused(flush, 'written');
    await other.reached;
    await awaitTurn(store.db, lane, 0, 50);
    expect(await states()).toEqual(['writing']);
    let isOver = false;
    const turn = awaitTurn(store.db, lane, 0).then(() => (isOver = true));
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(isOver).toBe(false);
    expect(await other.resume()).toBeNull();
    await turn;
    expect(await flush()).toEqual({ kind: 'nothing' });
    await expectTidy();
  });

  test('of much is written side by side, by series and by rows of one; what one side could not write is fresh still', async () => {
    for (let part = 10; part < 16; part++) await append(part, 200_000);
    await store.remove(regular, { startNs: 250_000_000_000n, endNs: 251_000_000_000n });
    const before = await store.hashes();
    const told = async (): Promise<bigint> =>
      (await store.db.selectFrom('lanes').select('flushed_commit').where('id', '=', lane).executeTakeFirstOrThrow())
        .flushed_commit;
    let written = 0;
    const failing = flush({
      sides: 2,
      onStage: (stage) => {
        if (stage === 'written' && ++written === 2) throw new Error('ended here');
      },
    });
    await expect(failing).rejects.toThrow('ended here');
    expect([written, await states(), await told()]).toEqual([2, ['live'], 0n]);
    expect((await freshRows()).length).toBeGreaterThan(0);
    expect(await store.hashes()).toEqual(before);
    await flush();
    expect([await store.hashes(), await freshRows()]).toEqual([before, []]);

    for (let part = 16; part < 22; part++) await append(part, 200_000);
    const grown = await store.hashes();
    const outcome = await flush({ sides: 2 });
    expect(outcome).toMatchObject({ kind: 'flushed', more: false, reports: [{ series: 2 }, { series: 1 }] });
    const [{ value }] = await store.db.selectFrom('commit_counter').select('value').execute();
    expect(await told()).toBe(value);
    expect([await store.hashes(), await freshRows()]).toEqual([grown, []]);
    const sides = await store.db
      .selectFrom('chunks')
      .select(({ fn }) => ['shard_id', fn.sum<string>('rows').as('rows')])
      .where('series_id', '=', regular.id)
      .where('first_row', '>=', 1_200_000n)
      .groupBy('shard_id')
      .execute();
    expect(sides.map(({ rows }) => Number(rows))).toEqual([600_000, 600_000]);
    await expectTidy();
    await store.loseCatalog();
    const { findings } = await rebuildCatalog(store, () => {});
    // What was flushed lies in the spool for a while.
    expect(findings.filter(({ kind }) => kind !== 'spool-kept')).toEqual([]);
    expect(await store.hashes()).toEqual(grown);
  });

  test('tells edits of series that have nothing fresh, and says as of when shards tell all', async () => {
    await append(0);
    await flush();
    await store.remove(regular, { startNs: 500_000_000n, endNs: 700_000_000n });
    await store.remove(irregular, { startNs: 50_000n, endNs: 90_000n });
    expect(await laneBacklogs(store.db)).toMatchObject([{ laneId: lane, chunks: 0, ageMs: null }]);
    expect((await laneBacklogs(store.db))[0].untoldMs).not.toBeNull();
    const before = await contents();
    await flush();
    expect(await laneBacklogs(store.db)).toEqual([]);
    expect(await contents()).toEqual(before);
    const [, ofRegular] = await told(regular);
    expect(ofRegular).toMatchObject({ rows: 0, record: { claims: [], holes: [{ from: 500, to: 700 }], removed: 200 } });
    const [, ofIrregular] = await told(irregular);
    expect(ofIrregular.record.erasures).toMatchObject([{ generation: 1, startNs: 50_000n, endNs: 90_000n }]);
    const { flushed_commit: flushed } = await store.db
      .selectFrom('lanes')
      .selectAll()
      .where('id', '=', lane)
      .executeTakeFirstOrThrow();
    const { commit } = await store.db
      .selectFrom('heads')
      .selectAll()
      .where('series_id', '=', irregular.id)
      .executeTakeFirstOrThrow();
    expect(flushed).toBeGreaterThanOrEqual(commit);
    await expectTidy();
  });

  test('claims the rows that it has and none that another chunk covers', async () => {
    await append(0);
    await flush();
    const range = { startNs: 100_000_000n, endNs: 200_000_000n };
    await store.replace(regular, range, { values: values(100, 7), times: null });
    await append(1);
    const before = await contents();
    await flush();
    expect(await contents()).toEqual(before);
    const [first, second] = await told(regular);
    expect(first.record.claims).toEqual([{ from: 0, to: 3000 }]);
    expect(second.record.claims).toEqual([
      { from: 100, to: 200 },
      { from: 3000, to: 6000 },
    ]);
    await compact();
    expect((await told(regular))[0].record.claims).toEqual([{ from: 0, to: 6000 }]);
    expect((await told(irregular))[0].record.claims).toEqual([{ from: 0, to: 800 }]);
    expect(await contents()).toEqual(before);
    await expectTidy();
  });

  test.each<RewriteStage>(['planned', 'registered', 'written', 'swapped'])(
    'that ends when it is %s loses nothing, and is made up for',
    async (at) => {
      await append(0);
      const before = await contents();
      const onStage = (stage: RewriteStage): void => {
        if (stage === at) throw new Error('ended here');
      };
      await expect(flush({ onStage })).rejects.toThrow('ended here');
      expect(await contents()).toEqual(before);
      await flush();
      expect(await contents()).toEqual(before);
      expect((await store.verify()).findings).toEqual([]);
      expect(await freshRows()).toEqual([]);
    },
  );

  test('leaves a lane to one that is at it already, unless it is asked for', async () => {
    await append(0);
    const first = paused(flush, 'registered');
    await first.reached;
    expect(await flushLane(store.rewriting, lane)).toEqual({ kind: 'busy' });
    expect(await first.resume()).toBeNull();
    await expectTidy();
  });

  test('gives spool files back when readers have let go of them, and room to Postgres', async () => {
    await append(0, 80_000);
    const spooled = [...new Set((await freshRows()).flatMap(({ spool_id: id }) => id ?? []))];
    expect(spooled.length).toBeGreaterThan(0);
    await flush();
    expect(await sweepSpools(store.rewriting)).toBe(0);
    expect(readdirSync(store.root.spoolFolder)).toHaveLength(spooled.length);
    expect(await sweepSpools(store.rewriting, 0)).toBe(spooled.length);
    expect(readdirSync(store.root.spoolFolder)).toEqual([]);
    expect(await store.db.selectFrom('spool_files').selectAll().execute()).toEqual([]);
    expect(await vacuumFresh(store.db)).toBe(true);
    await expectTidy();
  });
});

describe('a swap takes away exactly what was planned, or nothing', () => {
  test.each<RewriteStage>(['planned', 'registered', 'written'])(
    'a flusher that was paused when it had %s, and comes back after flush, append, flush and compaction, changes nothing',
    async (at) => {
      await append(0);
      const late = paused(flush, at);
      await late.reached;
      await flush();
      await append(1);
      await flush();
      await compact();
      await append(2);
      const before = await contents();
      expect(await late.resume()).toBe('chunks-changed');
      expect(await contents()).toEqual(before);
      await expectTidy();
      await flush();
      expect(await contents()).toEqual(before);
    },
  );

  test('a compaction that was paused, and comes back after another, changes nothing', async () => {
    for (const part of [0, 1]) {
      await append(part);
      await flush();
    }
    const late = paused(compact, 'written');
    await late.reached;
    await append(2);
    await flush();
    await compact();
    const before = await contents();
    expect(await late.resume()).toBe('chunks-changed');
    expect(await contents()).toEqual(before);
    await expectTidy();
  });

  test('two flushers of one lane: one wins, and nothing is doubled', async () => {
    await append(0);
    const before = await contents();
    const both = [paused(flush, 'written'), paused(flush, 'written')];
    await Promise.all(both.map(({ reached }) => reached));
    const ends = await Promise.all(both.map(({ resume }) => resume()));
    expect(new Set(ends)).toEqual(new Set(['chunks-changed', null]));
    expect(await contents()).toEqual(before);
    expect(await states()).toEqual(['live']);
    await expectTidy();
  });

  test('a sweep that removes the row before the swap makes the swap lose', async () => {
    await append(0);
    const before = await contents();
    const late = paused(flush, 'written');
    await late.reached;
    const [{ id, path }] = await shards();
    expect(await forgetShard(store.db, id)).toBe(true);
    rmSync(store.root.resolve(path));
    expect(await late.resume()).toBe('shard-swept');
    expect(await contents()).toEqual(before);
    await expectTidy();
    await flush();
    expect(await contents()).toEqual(before);
  });

  test('a sweep that comes after the swap removes nothing', async () => {
    await append(0);
    await flush();
    expect(await forgetShard(store.db, (await shards())[0].id)).toBe(false);
    await expectTidy();
  });

  test('edits and appends between plan and swap are seen afterwards', async () => {
    await append(0);
    const late = paused(flush, 'written');
    await late.reached;
    await store.remove(regular, { startNs: 500_000_000n, endNs: 700_000_000n });
    await store.replace(regular, { startNs: 0n, endNs: 10_000_000n }, { values: values(10, 3), times: null });
    await store.remove(irregular, { startNs: 50_000n, endNs: 90_000n });
    await append(1);
    const before = await contents();
    expect(await late.resume()).toBeNull();
    expect(await contents()).toEqual(before);
    await flush();
    await compact();
    expect(await contents()).toEqual(before);
    await expectTidy();
  });
});

describe('fresh chunks that cannot be read', () => {
  test('are left out and told, and keep no others from being flushed', async () => {
    await append(0, 300);
    await append(1, 300);
    await store.append(regular, { values: values(100, 5), times: null });
    const [, second] = (await freshRows()).filter(({ series_id: id }) => id === regular.id);
    await execute(
      store.databaseUrl,
      `update fresh set values = overlay(values placing '\\x7f' from 9 for 1) where id = ${second.id}`,
    );
    const before = await store.read(irregular, { by: 'time' });
    expect(await flush()).toMatchObject({ kind: 'flushed', more: false });
    const left = await freshRows();
    expect(left.map(({ id }) => id)).toEqual([second.id]);
    expect(left[0].damaged_at).not.toBeNull();
    expect(await store.read(irregular, { by: 'time' })).toEqual(before);
    expect((await store.read(regular, { by: 'rows', from: 0, to: 300 })).length).toBe(300 * 16);
    expect((await store.read(regular, { by: 'rows', from: 600, to: 700 })).length).toBe(100 * 16);
    expect((await told(regular))[0].record.claims).toEqual([
      { from: 0, to: 300 },
      { from: 600, to: 700 },
    ]);
    expect(await laneBacklogs(store.db)).toEqual([]);
    // And what comes later is flushed and compacted as ever.
    await append(2, 300);
    await flush();
    await compact();
    expect((await freshRows()).map(({ id }) => id)).toEqual([second.id]);
    await expectTidy(['fresh-corrupt']);
  });

  test('are all those of a spool file that is missing, of irregular series, too', async () => {
    await append(0, 300);
    const times = BigInt64Array.from({ length: 200_000 }, (_, i) => BigInt(i) + 1_000_000n);
    await store.append(irregular, { values: Int32Array.from(times, Number), times });
    await append(1, 300);
    const spooled = (await freshRows()).filter(({ spool_id: id }) => id !== null);
    expect(spooled.length).toBeGreaterThan(0);
    for (const { spool_id: id } of spooled) rmSync(store.root.spooled(id!), { force: true });
    expect(await flush()).toMatchObject({ kind: 'flushed', more: false });
    expect((await freshRows()).map(({ id }) => id)).toEqual(spooled.map(({ id }) => id));
    expect((await told(irregular))[0].record.claims).toEqual([
      { from: 0, to: 400 },
      { from: 200_400, to: 200_800 },
    ]);
    expect((await store.read(irregular, { by: 'time', startNs: 0n, endNs: 1_000_000n })).length).toBeGreaterThan(0);
    await expectTidy(spooled.map(() => 'fresh-corrupt'));
  });
});

describe('compaction', () => {
  test('sorts, drops what was removed and superseded, and adds summaries; no sample changes', async () => {
    for (const part of [0, 1, 2]) {
      await append(part, 5000);
      await flush();
    }
    await store.remove(regular, { startNs: 500_000_000n, endNs: 3_000_000_000n });
    await store.remove(irregular, { startNs: 50_000n, endNs: 90_000n });
    await store.replace(regular, { startNs: 0n, endNs: 10_000_000n }, { values: values(10, 3), times: null });
    const before = await contents();
    await flush();
    const [report] = (await compact())!;
    expect(report.bytesAfter).toBeLessThan(report.bytesBefore);
    expect(await contents()).toEqual(before);
    expect(await states()).toEqual(['replaced', 'replaced', 'replaced', 'replaced', 'live']);
    const chunks = await store.db.selectFrom('chunks').selectAll().execute();
    expect(chunks.every(({ sorted }) => sorted)).toBe(true);
    expect(chunks.reduce((sum, { rows }) => sum + Number(rows), 0)).toBeLessThan(15_000 - 2_500 + 1_200);
    expect(await store.db.selectFrom('summaries').selectAll().execute()).not.toEqual([]);
    expect(await store.db.selectFrom('erasures').selectAll().execute()).toEqual([]);
    expect(await planCompaction(store.db)).toEqual([]);
    expect(await compact()).toEqual([]);
    // What was removed is told again: the shards that said so are gone.
    expect((await told(regular))[0].record).toMatchObject({ holes: [{ from: 500, to: 3000 }], removed: 2500 });
    await expectTidy();
  });

  test('takes in no edit that no flush has told: a flush goes first', async () => {
    await append(0);
    await flush();
    await store.remove(regular, { startNs: 500_000_000n, endNs: 700_000_000n });
    const before = await contents();
    await compact();
    expect(await contents()).toEqual(before);
    const [flushed, compacted] = (await shards()).filter(({ state }) => state === 'live');
    expect(new Set([flushed.level, compacted.level])).toEqual(new Set([0, 1]));
    const head = await store.db
      .selectFrom('heads')
      .selectAll()
      .where('series_id', '=', regular.id)
      .executeTakeFirstOrThrow();
    for (const shard of [flushed, compacted]) expect(shard.commit).toBeGreaterThanOrEqual(head.masked_commit);
    await expectTidy();
  });

  test('goes on beside appends and reads: no read sees anything but all that is visible', async () => {
    for (const part of [0, 1]) {
      await append(part);
      await flush();
    }
    const known = await store.read(regular, { by: 'rows' });
    let isAtWork = true;
    let reads = 0;
    const reading = (async () => {
      for (; isAtWork; reads++) {
        const now = await store.read(regular, { by: 'rows' });
        expect(now.subarray(0, known.length).equals(known)).toBe(true);
      }
    })();
    const work = compact();
    await store.append(regular, { values: values(500, 9), times: null });
    await flush();
    await work;
    isAtWork = false;
    await reading;
    expect(reads).toBeGreaterThan(2);
    expect((await store.read(regular, { by: 'rows' })).length).toBe(known.length + 500 * 16);
  });

  test('sorts rows that came in any order in windows of time, in bounded memory', async () => {
    const rows = 200_000;
    const times = BigInt64Array.from({ length: rows }, (_, i) => BigInt((i * 7919) % rows) * 1000n);
    await store.append(irregular, { values: Int32Array.from({ length: rows }, (_, i) => i), times });
    const before = await store.read(irregular, { by: 'time' });
    await flush();
    await compact();
    expect((await store.read(irregular, { by: 'time' })).equals(before)).toBe(true);
  });

  test('lays blocks of a regular series into one grid, whatever part of its shards it takes, and whatever was removed', async () => {
    const most = mostBlockRows(16, 2);
    const step = fc.oneof(
      {
        arbitrary: fc.record({ do: fc.constant('append' as const), rows: fc.integer({ min: 1, max: 3 * most }) }),
        weight: 4,
      },
      { arbitrary: fc.record({ do: fc.constant('remove' as const), at: fc.nat(99), rows: fc.nat(9_000) }), weight: 1 },
      { arbitrary: fc.record({ do: fc.constant('flush' as const) }), weight: 3 },
      { arbitrary: fc.record({ do: fc.constant('compact' as const), all: fc.boolean() }), weight: 1 },
      { arbitrary: fc.record({ do: fc.constant('first two' as const) }), weight: 2 },
    );
    let names = 0;
    const property = fc.asyncProperty(fc.array(step, { minLength: 6, maxLength: 14 }), async (steps) => {
      const series = await store.create({ ...SPEC, name: `grid ${names++}` });
      const own = await store.laneOf(series.id);
      for (const each of [...steps, { do: 'flush' } as const, { do: 'first two' } as const]) {
        if (each.do === 'append') await store.append(series, { values: values(each.rows, 1), times: null });
        else if (each.do === 'flush') await store.flush();
        else if (each.do === 'compact') await compactLane(store.rewriting, own, { asked: true, all: each.all });
        else if (each.do === 'first two') {
          const two = (await store.db
            .selectFrom('shards')
            .select('id')
            .where('lane_id', '=', own)
            .where('state', '=', 'live')
            .orderBy('first_commit')
            .limit(2)
            .execute()) as { id: string }[];
          for (const { id } of two) await rewriteShard(store.rewriting, own, id).catch(() => {});
        } else {
          const { rows } = await getSeries(store.db, series);
          const startNs = BigInt(Math.floor((rows * each.at) / 100)) * 1_000_000n;
          await store.remove(series, { startNs, endNs: startNs + BigInt(each.rows) * 1_000_000n }).catch(() => {});
        }
      }
      const found = await store.db
        .selectFrom('chunks as c')
        .innerJoin('shards as h', 'h.id', 'c.shard_id')
        .selectAll('c')
        .where('c.series_id', '=', series.id)
        .where('h.level', '=', 1)
        .orderBy('c.first_row')
        .execute();
      for (const id of new Set(found.map((chunk) => chunk.shard_id))) {
        const chunks = found.filter((chunk) => chunk.shard_id === id);
        const places = chunks.map(({ first_row: firstRow, skip, rows }) => ({
          begin: Number(firstRow) - skip,
          end: Number(firstRow) + Number(rows),
        }));
        const needed = Math.max(...places.map(({ begin, end }) => end - begin));
        const grid = 2 ** Math.ceil(Math.log2(needed));
        for (const { begin, end } of places) {
          expect({ begin, of: begin % grid }).toEqual({ begin, of: 0 });
          // No block lies across a border of the widest grid, in which those of all shards nest.
          expect(Math.floor(begin / most)).toBe(Math.floor((end - 1) / most));
        }
        // A chunk begins where a block does, but for the first of the shard, and behind rows that are not there.
        chunks.forEach(({ skip, first_row: row }, i) => {
          const before = chunks[i - 1];
          if (before && before.first_row + before.rows === row) expect(skip).toBe(0);
        });
      }
    });
    await fc.assert(property, { numRuns: modelRuns(1), endOnFailure: true });
  }, 120_000);

  test('leaves out series of which all is dead, and replaces shards that had nothing else by none', async () => {
    await append(0);
    await flush();
    await execute(store.databaseUrl, 'update series set deleted_at = now()');
    await execute(store.databaseUrl, 'update heads set deleted_at = now(), purged_at = now()');
    await compact();
    expect(await states()).toEqual(['replaced']);
    expect(await store.db.selectFrom('chunks').selectAll().execute()).toEqual([]);
    expect(filesOnDisk()).toHaveLength(1);
  });
});

describePython('h5py', ['h5py', 'numpy'], (run) => {
  test('finds the chunks of compacted regular series in one grid, and what people ask first in attributes', async () => {
    await append(0, 50);
    await flush();
    await append(1, 70_000);
    await store.remove(regular, { startNs: 0n, endNs: 33_000_000_000n });
    await flush();
    await compact();
    const live = (await shards()).find(({ state }) => state === 'live')!;
    const script = `
import sys, json, h5py
path, series = json.load(sys.stdin)
with h5py.File(path) as f:
    g = f['series'][series]
    record = json.loads(g.attrs['varve'])
    json.dump({'first_row': record['first_row'], 'chunk': g['values'].chunks[0], 'rows': g['values'].shape[0],
      'runs': record['runs'], 'name': g.attrs['name'], 'unit': g.attrs['unit'], 'rate': g.attrs['rate'],
      'channels': list(g.attrs['channels']), 'scale': float(g.attrs['scale'])}, sys.stdout)`;
    const found = JSON.parse(run(script, JSON.stringify([store.root.resolve(live.path), regular.id])).toString()) as {
      first_row: number;
      chunk: number;
      rows: number;
    };
    expect(found).toMatchObject({
      name: 'regular',
      unit: 'mV',
      rate: '1000/1',
      channels: ['a', 'b'],
      scale: 1,
      runs: [[33_000, 70_050]],
    });
    expect(found.first_row % found.chunk).toBe(0);
    expect(found.first_row).toBeGreaterThan(0);
    expect(found.first_row + found.rows).toBe(70_050);
    expect(Number.isInteger(Math.log2(found.chunk))).toBe(true);
  });
});

test('a shard never changes once it has its name', async () => {
  await append(0);
  await flush();
  const [{ path }] = await shards();
  const sum = crc32(readFileSync(store.root.resolve(path)));
  await store.remove(regular, { startNs: 500_000_000n, endNs: 700_000_000n });
  await append(1);
  await flush();
  await compact();
  expect(crc32(readFileSync(store.root.resolve(path)))).toBe(sum);
});

test('a bit that flips in a shard costs its own chunk, is named, and is left out of a compaction of the others, which are served', async () => {
  await append(0);
  const before = await store.read(irregular, { by: 'time' });
  await flush();
  const [chunk] = await store.db.selectFrom('chunks').selectAll().where('series_id', '=', regular.id).execute();
  const path = store.root.resolve((await shards())[0].path);
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, Number(chunk.values_offset) + 20);
  byte[0] ^= 4;
  writeSync(file, byte, 0, 1, Number(chunk.values_offset) + 20);
  closeSync(file);
  await expect(store.read(regular, { by: 'rows' })).rejects.toMatchObject({ slug: 'chunk-corrupt' });
  await compact();
  await expect(store.read(regular, { by: 'rows' })).rejects.toMatchObject({ slug: 'chunk-corrupt' });
  expect((await store.read(irregular, { by: 'time' })).equals(before)).toBe(true);
  expect((await store.verify()).findings.map(({ kind }) => kind)).toContain('values-corrupt');
  expect(await states()).toEqual(['live', 'live']);
  // And it is not tried again and again.
  await compact();
  expect(await states()).toEqual(['live', 'live']);
});
