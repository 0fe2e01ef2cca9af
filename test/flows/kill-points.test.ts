import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { getSeries } from '../../src/catalog/series-store.ts';
import { parseRate } from '../../src/core/rate.ts';
import type { Series } from '../../src/core/series.ts';
import { recoverLanes } from '../../src/flows/recover.ts';
import { importedSpec } from '../../src/formats/imported-series.ts';
import { Store } from './store.ts';

/** Every step of a drain at which a worker may die or stand still. */
const STEPS = ['claimed', 'appended', 'synced', 'journaled', 'applied', 'done', 'committed', 'published'] as const;
/** The worker's exit code for it. */
const LEASE_LOST = 75;
const WORKER = fileURLToPath(new URL('./stepping-worker.js', import.meta.url));

let store: Store;
let regular: Series;
let irregular: Series;
let lane: string;
let sent: { regular: number[]; irregular: number[] };

/** Acknowledges more rows for both series; enough of the first to go through the spool. */
async function stageMore(): Promise<void> {
  const rows = Array.from({ length: 20_000 }, (_, i) => sent.regular.length + i);
  sent.regular.push(...rows);
  await store.stage(regular, { values: Int32Array.from(rows), times: null });
  const few = Array.from({ length: 7 }, (_, i) => sent.irregular.length + i);
  sent.irregular.push(...few);
  await store.stage(irregular, {
    values: Float64Array.from(few),
    times: BigInt64Array.from(few, (row) => BigInt(row) * 1_000n),
  });
}

/** One batch: both ways to edit a regular series, an edit of an irregular one, and rows that come after it at the same times. */
async function stageEdits(): Promise<void> {
  const ns = (row: number): bigint => BigInt(row) * 1_000_000n;
  const values = Array.from({ length: 18_000 }, (_, i) => -i - 1); // through the spool
  await store.stageEdit(irregular, { startNs: 2_000n, endNs: 5_000n }, null);
  await store.stageEdit(
    regular,
    { startNs: ns(15_000), endNs: ns(33_000) },
    { values: Int32Array.from(values), times: null },
  );
  await store.stageEdit(regular, { startNs: ns(24_000), endNs: ns(24_100) }, null);
  await store.stage(irregular, { values: Float64Array.of(300), times: BigInt64Array.of(3_000n) });
  sent.regular.splice(15_000, 18_000, ...values);
  sent.regular.splice(24_000, 100);
  sent.irregular = [...sent.irregular.filter((row) => row < 2 || row >= 5), 300];
}

async function numbers(series: Series): Promise<{ edits: number; removed: number; erasures: number; holes: number }> {
  const { edits } = await store.db
    .selectFrom('series')
    .select('edits')
    .where('id', '=', series.id)
    .executeTakeFirstOrThrow();
  const count = async (table: 'erasures' | 'holes'): Promise<number> =>
    (await store.db.selectFrom(table).select('series_id').where('series_id', '=', series.id).execute()).length;
  const { removed } = await getSeries(store.db, { id: series.id });
  return { edits, removed, erasures: await count('erasures'), holes: await count('holes') };
}

function startWorker(step: string, signal: 'SIGKILL' | 'SIGSTOP'): ChildProcess {
  return spawn(process.execPath, [WORKER, store.databaseUrl, store.root.root, lane, step, signal], {
    stdio: 'inherit',
  });
}

async function expectEverythingOnce(): Promise<void> {
  const all = { by: 'rows', from: 0 } as const;
  expect(new Int32Array(bufferOf(await store.read(regular, all)))).toEqual(Int32Array.from(sent.regular));
  const records = await store.read(irregular, all);
  expect(records.length).toBe(sent.irregular.length * 16);
  expect(sent.irregular.map((_, row) => records.readDoubleLE(row * 16 + 8))).toEqual(sent.irregular);
  expect((await store.verify()).findings).toEqual([]);
}

function bufferOf(bytes: Buffer): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}

beforeEach(async () => {
  store = await Store.open();
  const spec = { channels: [{ label: 'value' }], unit: null, provenance: {}, duplicates: 'keep' } as const;
  regular = await store.create(
    importedSpec({
      ...spec,
      name: 'regular',
      dtype: 'int32',
      sampling: { kind: 'regular', rate: parseRate(1000)!, startNs: 0n },
    }),
  );
  irregular = await store.create(
    importedSpec({ ...spec, name: 'irregular', dtype: 'float64', sampling: { kind: 'irregular' } }),
  );
  // Both in one lane, so that one commit has them both.
  const row = await store.db
    .selectFrom('series')
    .select('lane_id')
    .where('id', '=', regular.id)
    .executeTakeFirstOrThrow();
  lane = row.lane_id;
  await store.db.updateTable('series').set({ lane_id: lane }).where('id', '=', irregular.id).execute();
  sent = { regular: [], irregular: [] };
  // A first commit, so that the next one changes a shard that others can read.
  await stageMore();
  await store.drain();
  await stageMore();
});

afterEach(async () => {
  await store.close();
});

describe('a worker that is killed', () => {
  test.each(STEPS)('when it has %s loses nothing and doubles nothing', async (step) => {
    const worker = startWorker(step, 'SIGKILL');
    const [, signal] = (await once(worker, 'exit')) as [number | null, string | null];
    expect(signal).toBe('SIGKILL');
    const { db, root, holder } = store;
    const log = { info: () => {}, warn: () => {}, error: () => {} };
    await recoverLanes({ db, root, holder, log });
    await store.drain();
    await expectEverythingOnce();
    await stageMore();
    await store.drain();
    await expectEverythingOnce();
  });
});

describe('a worker that is killed over edits', () => {
  test.each(STEPS)('when it has %s applies them once', async (step) => {
    await store.drain();
    await stageEdits();
    const worker = startWorker(step, 'SIGKILL');
    const [, signal] = (await once(worker, 'exit')) as [number | null, string | null];
    expect(signal).toBe('SIGKILL');
    const { db, root, holder } = store;
    await recoverLanes({ db, root, holder, log: { info: () => {}, warn: () => {}, error: () => {} } });
    await store.drain();
    await expectEverythingOnce();
    expect(await numbers(regular)).toEqual({ edits: 2, removed: 100, erasures: 0, holes: 1 });
    expect(await numbers(irregular)).toEqual({ edits: 1, removed: 3, erasures: 1, holes: 0 });
    // What the dead worker has left in the shard was written over, not put beside.
    const shards = await db.selectFrom('shards').select('id').where('lane_id', '=', lane).execute();
    expect(shards).toHaveLength(1);
  });
});

describe('a worker that stands still and wakes up after another took over', () => {
  test.each(STEPS)('when it had %s changes nothing a reader can see', async (step) => {
    const worker = startWorker(step, 'SIGSTOP');
    const ended = once(worker, 'exit') as Promise<[number | null]>;
    try {
      await untilStopped(worker.pid!);
      await store.db
        .updateTable('lanes')
        .set({ lease_expires_at: new Date(0) })
        .where('id', '=', lane)
        .where('lease_holder', 'is not', null)
        .execute();
      await store.drain();
      await expectEverythingOnce();
      await stageMore();
      await store.drain();
      const before = await contents();
      worker.kill('SIGCONT');
      const [code] = await ended;
      // One that had not begun finds its payload gone and may not say so; one that had published is done; all others are refused.
      expect(code).toBe(step === 'claimed' || step === 'published' ? 0 : LEASE_LOST);
      expect(await contents()).toEqual(before);
      await expectEverythingOnce();
    } finally {
      worker.kill('SIGKILL');
    }
  });
});

/** Rows of the catalog, and the bytes of the shard the lane writes now: nobody else may touch that file. */
async function contents(): Promise<unknown> {
  const { db, root } = store;
  const chunks = await db.selectFrom('chunks').selectAll().orderBy('series_id').orderBy('first_row').execute();
  const hot = await db
    .selectFrom('lanes as l')
    .innerJoin('shards as s', 's.id', 'l.hot_shard_id')
    .select('s.path')
    .where('l.id', '=', lane)
    .executeTakeFirstOrThrow();
  const bytes = readFileSync(root.resolve(hot.path));
  return { chunks, path: hot.path, hash: createHash('sha256').update(bytes).digest('hex') };
}

async function untilStopped(pid: number): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    if (/^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) return;
    await sleep(50);
  }
  throw new Error(`process ${pid} did not stop`);
}
