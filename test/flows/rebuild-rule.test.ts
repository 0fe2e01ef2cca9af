/**
 * The files of a store say together what the store says: each tells the truth as of its commit about the rows that it claims, also those that were never
 * swapped in, and those that were replaced long ago. This is what a lost catalog is made of again.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isErased } from '../../src/core/erasure.ts';
import { parseRate } from '../../src/core/rate.ts';
import { clipRows, countRows, uniteRows, withoutRows } from '../../src/core/row-ranges.ts';
import type { RowRange } from '../../src/core/segment.ts';
import type { DuplicateRule, Series } from '../../src/core/series.ts';
import { compactLane } from '../../src/flows/compact-lane.ts';
import { flushLane } from '../../src/flows/flush-lane.ts';
import type { RewriteStage } from '../../src/flows/rewrite-shards.ts';
import { importedSpec } from '../../src/formats/imported-series.ts';
import type { SurveyedSeries } from '../../src/storage/shard-survey.ts';
import { Store } from './store.ts';

const RUNS = Number(process.env.VARVE_TEST_MODEL_RUNS ?? 25);
const RATE = parseRate(1)!;
const SECOND = 1_000_000_000n;

/** What one file says of a series, in the order of files: later ones count. */
interface Told extends SurveyedSeries {
  readonly path: string;
}

async function filesOf(store: Store): Promise<Map<string, Told[]>> {
  const paths = readdirSync(store.root.shardFolder, { recursive: true })
    .map((name) => join(store.root.shardFolder, String(name)))
    .filter((path) => path.endsWith('.h5'));
  const surveys = await Promise.all(paths.map(async (path) => ({ path, ...(await store.hdf5.survey(path)) })));
  surveys.sort((a, b) => Number(a.commit - b.commit) || a.level - b.level || (a.shardId < b.shardId ? -1 : 1));
  const told = new Map<string, Told[]>();
  for (const { path, series } of surveys) {
    for (const each of series) told.set(each.seriesId, [...(told.get(each.seriesId) ?? []), { ...each, path }]);
  }
  return told;
}

/** Which rows count of each file: those that no later one claims. */
function counted(files: readonly Told[]): RowRange[][] {
  return files.map(({ record }, i) =>
    withoutRows(
      record.claims,
      uniteRows(
        files.slice(i + 1).flatMap((later) => later.record.claims),
        [],
      ),
    ),
  );
}

/** Files that cut a claim of another, and that the others cover wholly, go; the lowest first. */
function withoutCuts(files: readonly Told[]): Told[] {
  const isCut = (all: readonly Told[]): boolean =>
    counted(all).some((ranges, i) =>
      all[i].record.claims.some((claim) => {
        const rows = countRows(clipRows(ranges, claim));
        return rows > 0 && rows < claim.to - claim.from;
      }),
    );
  if (!isCut(files)) return [...files];
  for (const [i, { record }] of files.entries()) {
    const others = files.filter((_, at) => at !== i);
    const covered = uniteRows(
      others.flatMap((other) => other.record.claims),
      [],
    );
    const cuts = files.slice(0, i).some((earlier) =>
      earlier.record.claims.some((claim) => {
        const rows = countRows(clipRows(record.claims, claim));
        return rows > 0 && rows < claim.to - claim.from;
      }),
    );
    if (cuts && withoutRows(record.claims, covered).length === 0) return withoutCuts(others);
  }
  throw new Error('an irregular claim is cut, and no file can go');
}

interface Row {
  readonly row: number;
  readonly ns: bigint | null;
  readonly value: number;
}

/** What is left of a series when all but its files is lost; one channel. */
async function rebuilt(store: Store, all: readonly Told[], rule: DuplicateRule): Promise<Row[]> {
  const irregular = all[0].record.description.rate === null;
  const files = irregular ? withoutCuts(all) : all;
  const masks = all.at(-1)!.record;
  const rows: Row[] = [];
  for (const [i, ranges] of counted(files).entries()) {
    const { record, path, seriesId } = files[i];
    for (const run of ranges.flatMap((range) => clipRows(record.runs, range))) {
      const [from, to] = [run.from - record.firstRow, run.to - record.firstRow];
      const values = await store.hdf5.read(path, `/series/${seriesId}/values`, from, to);
      const times = irregular ? await store.hdf5.read(path, `/series/${seriesId}/time`, from, to) : null;
      const erasures = masks.erasures.filter(({ generation }) => record.generation < generation);
      for (let at = 0; at < values.length; at++) {
        const row = run.from + at;
        const ns = times && (times[at] as bigint);
        if (ns !== null && isErased(row, ns, erasures)) continue;
        if (ns === null && clipRows(masks.holes, { from: row, to: row + 1 }).length > 0) continue;
        rows.push({ row, ns, value: Number(values[at]) });
      }
    }
    await store.hdf5.done(path);
  }
  rows.sort((a, b) => (a.ns !== null && b.ns !== null && a.ns !== b.ns ? (a.ns < b.ns ? -1 : 1) : a.row - b.row));
  return rule === 'keep' || !irregular ? rows : rows.filter(({ ns }, i) => rows[i + 1]?.ns !== ns);
}

async function readValues(store: Store, series: Series): Promise<number[]> {
  const read = JSON.parse((await store.read(series, { by: 'time' }, 'json')).toString()) as { values: number[][] };
  return read.values[0];
}

const step = fc.record({
  do: fc.constantFrom(
    ...([
      'append',
      'append',
      'remove',
      'replace',
      'flush',
      'flushOne',
      'compact',
      'orphanFlush',
      'orphanCompact',
    ] as const),
  ),
  of: fc.constantFrom('regular' as const, 'irregular' as const),
  at: fc.nat({ max: 60 }),
  length: fc.integer({ min: 1, max: 20 }),
});

/** A process that ends when the file has its name: nobody knows what became of it. */
function endWhenWritten(stage: RewriteStage): void {
  if (stage === 'written') throw new Error('ended here');
}

describe.each(['last', 'keep'] as const)('files of whatever history make the store again, duplicates: %s', (rule) => {
  test('regular and irregular', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 18 }), async (steps) => {
        const store = await Store.open();
        try {
          const spec = { dtype: 'float64', channels: [{ label: 'v' }], duplicates: rule, provenance: {} } as const;
          const regular = await store.create(
            importedSpec({ ...spec, name: 'r', sampling: { kind: 'regular', rate: RATE, startNs: 0n } }),
          );
          const irregular = await store.create(importedSpec({ ...spec, name: 'i', sampling: { kind: 'irregular' } }));
          let serial = 0;
          const fresh = (count: number): Float64Array => Float64Array.from({ length: count }, () => ++serial);
          const ended = (error: Error): void => expect(error.message).toBe('ended here');
          for (const { do: what, of, at, length } of steps) {
            const series = of === 'regular' ? regular : irregular;
            const range = { startNs: BigInt(at) * SECOND, endNs: BigInt(at + length) * SECOND };
            const lane = await store.laneOf(series.id);
            const times = BigInt64Array.from({ length }, (_, i) => BigInt(at + ((i * 7) % length)) * SECOND);
            const batch = { values: fresh(length), times: of === 'regular' ? null : times };
            // What is refused (there are no such rows) changes nothing.
            if (what === 'append') await store.append(series, batch);
            else if (what === 'remove') await store.remove(series, range).catch(() => {});
            else if (what === 'replace') await store.replace(series, range, batch).catch(() => {});
            else if (what === 'flush') await store.flush();
            else if (what === 'flushOne') await store.flushOne(series.id);
            else if (what === 'compact') await store.compact(series.id);
            else if (what === 'orphanFlush') {
              await flushLane(store.rewriting, lane, { asked: true, onStage: endWhenWritten }).catch(ended);
            } else {
              const options = { all: true, asked: true, onStage: endWhenWritten };
              await compactLane(store.rewriting, lane, options).catch(ended);
            }
          }
          await store.flush();
          const files = await filesOf(store);
          for (const series of [regular, irregular]) {
            const told = files.get(series.id);
            const values = told ? (await rebuilt(store, told, rule)).map(({ value }) => value) : [];
            expect(values).toEqual(await readValues(store, series));
          }
        } finally {
          await store.close();
        }
      }),
      { numRuns: RUNS, interruptAfterTimeLimit: 240_000 },
    );
  }, 300_000);
});
