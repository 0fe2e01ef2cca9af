/**
 * The files of a store say together what the store says, and a lost catalog is made again of that. Each file tells the
 * truth as of its commit about the rows that it claims. So do files that were never swapped in, and files that were
 * replaced long ago.
 */
import { describe, expect, test } from '@jest/globals';
import { rm } from 'node:fs/promises';
import fc from 'fast-check';
import { marksAround } from '../../src/catalog/appends/clock-store.ts';
import { getSeries } from '../../src/catalog/series/series-store.ts';
import { parseRate } from '../../src/core/signal/rate.ts';
import type { Series } from '../../src/core/signal/series.ts';
import { compactLane } from '../../src/flows/compact/compact-lane.ts';
import { flushLane } from '../../src/flows/flush/flush-lane.ts';
import { rebuildCatalog } from '../../src/flows/repair/rebuild-catalog.ts';
import type { RewriteStage } from '../../src/flows/rewrite/rewrite-shards.ts';
import type { SampleSelection } from '../../src/flows/read/read-service.ts';
import { importedSpec } from '../../src/formats/recordings/imported-series.ts';
import { Store } from './store.ts';
import { modelRuns, MODEL_LIMIT_MS, PROPERTY_LIMIT_MS } from '../support/model-runs.ts';

const RUNS = modelRuns(2);
const RATE = parseRate(1)!;
const SECOND = 1_000_000_000n;

/** What readers are answered, by rows and by times, and what the series says of itself. */
async function answers(store: Store, series: Series): Promise<object> {
  const { rows, removed, firstNs, lastNs } = await getSeries(store.db, { id: series.id });
  const by = async (selection: SampleSelection): Promise<string> =>
    (await store.read(series, selection, 'json')).toString();
  const marks = await marksAround(store.db, series.id, { from: 0, to: rows });
  return { marks, rows, removed, firstNs, lastNs, byTime: await by({ by: 'time' }), byRows: await by({ by: 'rows' }) };
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

/** No shard tells of a series without rows. */
function isMissing(error: Error): void {
  expect(error.message).toContain('series');
}

function isOverlap(error: Error): void {
  expect(error.message).toContain('would lie over data');
}

/** A process that ends when the file has its name: nobody knows what became of it. */
function endWhenWritten(stage: RewriteStage): void {
  if (stage === 'written') throw new Error('ended here');
}

describe.each(['last', 'keep'] as const)('files of whatever history make the store again, duplicates: %s', (rule) => {
  test(
    'regular and irregular',
    async () => {
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
              if (what === 'append') {
                // Some go on, some come late, in gaps or over what is there.
                const startNs = of === 'regular' && at % 3 > 0 ? BigInt(at * 2) * SECOND : null;
                await store.append(series, batch, startNs).catch(isOverlap);
              } else if (what === 'remove') await store.remove(series, range).catch(() => {});
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
            const expected = [await answers(store, regular), await answers(store, irregular)];
            await store.loseCatalog();
            const { findings } = await rebuildCatalog(store, () => {});
            expect(findings).toEqual([]);
            for (const [n, series] of [regular, irregular].entries()) {
              const isThere = await getSeries(store.db, { id: series.id }).then(
                () => true,
                () => false,
              );
              // Of a series without rows no shard tells.
              if (isThere) expect(await answers(store, series)).toEqual(expected[n]);
              else expect(expected[n]).toMatchObject({ rows: 0 });
            }
            expect((await store.verify()).findings).toEqual([]);
            // And it goes on, wherever it would have.
            const late = { values: fresh(3), times: null };
            for (const startNs of [null, -50n * SECOND, 300n * SECOND]) {
              await store.append(regular, late, startNs).catch(isMissing);
            }
            expect((await store.verify()).findings).toEqual([]);
          } finally {
            await store.close();
          }
        }),
        { numRuns: RUNS, interruptAfterTimeLimit: PROPERTY_LIMIT_MS },
      );
    },
    MODEL_LIMIT_MS,
  );
});

test('clock marks of rows that were removed before a flush are told by the shard around them', async () => {
  const store = await Store.open();
  try {
    const spec = { dtype: 'float64', channels: [{ label: 'v' }], duplicates: 'last', provenance: {} } as const;
    const series = await store.create(
      importedSpec({ ...spec, name: 'r', sampling: { kind: 'regular', rate: RATE, startNs: null } }),
    );
    const append = (startNs: bigint): Promise<unknown> =>
      store.append(series, { values: new Float64Array(5), times: null }, startNs);
    // A clock that is a little late each time: times between marks hang on marks of rows that are there no more.
    for (let i = 0n; i < 4n; i++) await append(i * (5n * SECOND + SECOND / 10n));
    await store.remove(series, { startNs: 0n, endNs: 7n * SECOND });
    await store.flush();
    await store.compact(series.id);
    // The file of the flush says it, too, for as long as it is there.
    const replaced = await store.db.selectFrom('shards').select('path').where('state', '=', 'replaced').execute();
    expect(replaced).toHaveLength(1);
    for (const { path } of replaced) await rm(store.root.resolve(path));
    const marksOf = () => marksAround(store.db, series.id, { from: 0, to: 20 });
    const before = await marksOf();
    expect(before.map(({ row }) => row)).toEqual([0, 5, 10, 15]);
    for (let again = 0; again < 2; again++) {
      await store.loseCatalog();
      await rebuildCatalog(store, () => {});
      expect(await marksOf()).toEqual(before);
    }
  } finally {
    await store.close();
  }
});

test('segments of one grid stay apart, and the series begins where it was said', async () => {
  const store = await Store.open();
  try {
    const spec = { dtype: 'float64', channels: [{ label: 'v' }], duplicates: 'last', provenance: {} } as const;
    const [said, unsaid] = [
      await store.create(
        importedSpec({
          ...spec,
          name: 'said',
          sampling: { kind: 'regular', rate: parseRate(3)!, startNs: 50n * SECOND },
        }),
      ),
      await store.create(
        importedSpec({ ...spec, name: 'unsaid', sampling: { kind: 'regular', rate: parseRate(3)!, startNs: null } }),
      ),
    ];
    // The fourth lies ahead of what its clock lets expect, and before the end of the grid.
    for (const startNs of [0n, 3_183_333_333n, 6_366_666_666n, 9_900_000_000n]) {
      for (const series of [said, unsaid])
        await store.append(series, { values: new Float64Array(10), times: null }, startNs);
    }
    const segmentsOf = ({ id }: Series) =>
      store.db.selectFrom('segments').selectAll().where('series_id', '=', id).orderBy('first_row').execute();
    const before = [await segmentsOf(said), await segmentsOf(unsaid)];
    expect(before[0]).toHaveLength(2);
    await store.flush();
    await store.loseCatalog();
    await rebuildCatalog(store, () => {});
    expect([await segmentsOf(said), await segmentsOf(unsaid)]).toEqual(before);
    expect((await getSeries(store.db, { id: said.id })).sampling).toMatchObject({ startNs: 50n * SECOND });
    expect((await getSeries(store.db, { id: unsaid.id })).sampling).toMatchObject({ startNs: null });
  } finally {
    await store.close();
  }
});
