/**
 * A catalog that is made again from the files answers as the lost one did, for all that had been flushed. That holds
 * whatever has happened to the store, and whatever files that no row names lie in its folder.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { v7 as uuidv7 } from 'uuid';
import { getSeries, updateSeries } from '../../src/catalog/series/series-store.ts';
import { parseRate } from '../../src/core/signal/rate.ts';
import type { DuplicateRule, Series } from '../../src/core/signal/series.ts';
import { compactLane } from '../../src/flows/compact/compact-lane.ts';
import { flushLane } from '../../src/flows/flush/flush-lane.ts';
import { rebuildCatalog, type RebuildCatalogReport } from '../../src/flows/repair/rebuild-catalog.ts';
import type { RewriteStage } from '../../src/flows/rewrite/rewrite-shards.ts';
import { importedSpec } from '../../src/formats/recordings/imported-series.ts';
import { hasTestPostgres } from '../support/postgres.ts';
import { Store } from './store.ts';
import { modelRuns, MODEL_LIMIT_MS, PROPERTY_LIMIT_MS } from '../support/model-runs.ts';

const describeWithPostgres = hasTestPostgres() ? describe : describe.skip;
const RUNS = modelRuns(2);
const RATE = parseRate(30)!; // rows are not a whole number of nanoseconds apart
const SECOND = 1_000_000_000n;
/** So wide that some appends fill more than one block. */
const CHANNELS = 16;

const step = fc.record({
  do: fc.constantFrom(
    ...([
      'append',
      'append',
      'append',
      'remove',
      'replace',
      'describe',
      'flush',
      'flushOne',
      'compact',
      'orphanFlush',
      'orphanCompact',
      'pauseFlush',
      'pauseCompact',
      'resume',
      'copy',
      'sweep',
    ] as const),
  ),
  of: fc.constantFrom('regular' as const, 'irregular' as const),
  at: fc.nat({ max: 60 }),
  length: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1500, max: 3000 })),
});
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

/** A process that ends when the file has its name: nobody knows what became of it. */
function endWhenWritten(stage: RewriteStage): void {
  if (stage === 'written') throw new Error('ended here');
}

class History {
  readonly store: Store;
  readonly series: { readonly regular: Series; readonly irregular: Series };
  #serial = 0;
  /** Rewritings that stand still before they make their file. */
  #paused: { readonly resume: () => void; readonly done: Promise<unknown> }[] = [];

  private constructor(store: Store, series: History['series']) {
    this.store = store;
    this.series = series;
  }

  static async begin(store: Store, duplicates: DuplicateRule): Promise<History> {
    const channels = Array.from({ length: CHANNELS }, (_, i) => ({ label: `c${i}` }));
    const spec = { dtype: 'float64', channels, duplicates, provenance: {} } as const;
    const sampling = { kind: 'regular', rate: RATE, startNs: 0n } as const;
    return new History(store, {
      regular: await store.create(importedSpec({ ...spec, name: 'regular', sampling })),
      irregular: await store.create(importedSpec({ ...spec, name: 'irregular', sampling: { kind: 'irregular' } })),
    });
  }

  async apply({ do: what, of, at, length }: Step): Promise<void> {
    const { store } = this;
    const series = this.series[of];
    const lane = await store.laneOf(series.id);
    const range = { startNs: BigInt(at) * SECOND, endNs: BigInt(at + length) * SECOND };
    const options = { all: true, asked: true };
    const ended = (error: Error): void => expect(error.message).toBe('ended here');
    switch (what) {
      case 'append': {
        const { rows, lastNs } = await getSeries(store.db, { id: series.id });
        const isAfterGap = of === 'regular' && rows > 0 && at % 3 === 0;
        await store.append(series, this.#batch(series, at, length), isAfterGap ? (lastNs ?? 0n) + 200n * SECOND : null);
        break;
      }
      // What is refused (there are no such rows) changes nothing.
      case 'remove':
        await store.remove(series, range).catch(() => {});
        break;
      case 'replace':
        await store.replace(series, range, this.#batch(series, at, length)).catch(() => {});
        break;
      case 'describe':
        await updateSeries(store.db, series.id, { name: `${of} ${length}`, tags: { step: length } });
        // A description reaches a file together with rows.
        await store.append(series, this.#batch(series, at, 1));
        break;
      case 'flush':
        await store.flush();
        break;
      case 'flushOne':
        await store.flushOne(series.id);
        break;
      case 'compact':
        await store.compact(series.id);
        break;
      case 'orphanFlush':
        await flushLane(store.rewriting, lane, { asked: true, onStage: endWhenWritten }).catch(ended);
        break;
      case 'orphanCompact':
        await compactLane(store.rewriting, lane, { ...options, onStage: endWhenWritten }).catch(ended);
        break;
      case 'pauseFlush':
        await this.#pause((onStage) => flushLane(store.rewriting, lane, { asked: true, onStage }));
        break;
      case 'pauseCompact':
        await this.#pause((onStage) => compactLane(store.rewriting, lane, { ...options, onStage }));
        break;
      case 'resume':
        await this.resume();
        break;
      case 'copy':
        this.#copy(at, length);
        break;
      case 'sweep':
        await this.#sweep();
        break;
    }
  }

  #batch(series: Series, at: number, length: number): Parameters<Store['append']>[1] {
    const values = Float64Array.from({ length: length * CHANNELS }, () => ++this.#serial);
    if (series.sampling.kind === 'regular') return { values, times: null };
    return { values, times: BigInt64Array.from({ length }, (_, i) => BigInt(at + ((i * 7) % length)) * SECOND) };
  }

  async #pause(work: (onStage: (stage: RewriteStage) => Promise<void> | void) => Promise<unknown>): Promise<void> {
    let resume = (): void => {};
    const until = new Promise<void>((resolve) => (resume = resolve));
    let planned = (): void => {};
    const isPlanned = new Promise<void>((resolve) => (planned = resolve));
    const done = work((stage) => {
      if (stage !== 'planned') return undefined;
      planned();
      return until;
    }).catch(() => {}); // it may have lost to another
    await Promise.race([isPlanned, done]);
    this.#paused.push({ resume, done });
  }

  /** Lets go on what stands still, one after the other. */
  async resume(): Promise<void> {
    for (const { resume, done } of this.#paused.splice(0)) {
      resume();
      await done;
    }
  }

  get files(): string[] {
    return readdirSync(this.store.root.shardFolder, { recursive: true })
      .map((name) => join(this.store.root.shardFolder, String(name)))
      .filter((path) => path.endsWith('.h5'));
  }

  /** As people and backups do it: under another name, or in another folder. */
  #copy(at: number, length: number): void {
    const files = this.files;
    if (files.length === 0) return;
    const path = files[(at * length) % files.length];
    const folder = join(this.store.root.shardFolder, 'orphans');
    mkdirSync(folder, { recursive: true });
    if (dirname(path) !== folder) copyFileSync(path, join(folder, path.slice(dirname(path).length + 1)));
    copyFileSync(path, join(dirname(path), `${uuidv7()}-copy.h5`));
  }

  /** Files of replaced shards go, but for some. */
  async #sweep(): Promise<void> {
    const replaced = await this.store.db.selectFrom('shards').select('path').where('state', '=', 'replaced').execute();
    for (const { path } of replaced) {
      const file = this.store.root.resolve(path);
      if (existsSync(file)) unlinkSync(file);
    }
  }

  /** All that a reader sees of the samples, and what describes them. */
  async seen(): Promise<unknown> {
    const seen: unknown[] = [];
    for (const { id } of Object.values(this.series)) {
      const { name, tags, rows, removed, firstNs, lastNs } = await getSeries(this.store.db, { id });
      const bytes: string[] = [];
      for (const by of ['time', 'rows'] as const) {
        bytes.push((await this.store.read(await getSeries(this.store.db, { id }), { by })).toString('base64'));
      }
      const times = JSON.parse(
        (await this.store.read(await getSeries(this.store.db, { id }), { by: 'time' }, 'json')).toString(),
      ) as { times: string[] };
      // A series without samples is in no shard.
      seen.push(rows === 0 ? null : { name, tags, rows, removed, firstNs, lastNs, bytes, times: times.times });
    }
    return seen;
  }

  async rebuild(): Promise<RebuildCatalogReport> {
    const { store } = this;
    await store.loseCatalog();
    const { db, root, hdf5, codec } = store;
    const report = await rebuildCatalog({ db, root, hdf5, codec });
    for (const series of Object.values(this.series)) {
      const known = await db.selectFrom('series').select('id').where('id', '=', series.id).execute();
      if (known.length > 0) continue;
      // Without samples it was in no shard; it is made again.
      const { rows, removed, sampling, ...spec } = series;
      await store.create({ ...spec, sampling }, 'default', series.id);
    }
    return report;
  }
}

describeWithPostgres.each(['last', 'keep'] as const)('files and orphans of any history, duplicates: %s', (rule) => {
  test(
    'make a catalog that answers as the lost one did, and goes on',
    async () => {
      const steps = fc.array(step, { minLength: 2, maxLength: 14 });
      await fc.assert(
        fc.asyncProperty(steps, steps, async (before, after) => {
          const store = await Store.open();
          try {
            const history = await History.begin(store, rule);
            for (const some of [before, after]) {
              for (const each of some) await history.apply(each);
              await store.flush();
              await history.resume();
              await store.flush();
              const seen = await history.seen();
              expect((await store.verify()).findings).toEqual([]);
              const report = await history.rebuild();
              // Spool files stay for a while when their samples are in shards.
              expect(report.findings.filter(({ kind }) => kind !== 'spool-kept')).toEqual([]);
              expect(await history.seen()).toEqual(seen);
              expect((await store.verify()).findings).toEqual([]);
            }
          } finally {
            await store.close();
          }
        }),
        { numRuns: RUNS, endOnFailure: true, interruptAfterTimeLimit: PROPERTY_LIMIT_MS },
      );
    },
    MODEL_LIMIT_MS,
  );
});
