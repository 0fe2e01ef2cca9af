import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parseRate } from '../../src/core/rate.ts';
import type { Series } from '../../src/core/series.ts';
import { rebuildCatalog } from '../../src/flows/rebuild-catalog.ts';
import { importedSpec } from '../../src/formats/imported-series.ts';
import { Store } from './store.ts';

let store: Store;

beforeAll(async () => {
  store = await Store.open();
});

afterAll(async () => {
  await store?.close();
});

const RATE = parseRate(1000)!;
const ns = (row: number): bigint => BigInt(row) * 1_000_000n;

async function counts(): Promise<unknown> {
  return store.db.selectFrom('series').select(['id', 'rows', 'removed', 'edits']).orderBy('id').execute();
}

async function edit(regular: Series, irregular: Series): Promise<void> {
  const range = (from: number, to: number) => ({
    startNs: ns(from),
    endNs: ns(to),
  });
  await store.stage(regular, {
    values: Int32Array.from({ length: 9_000 }, (_, i) => i),
    times: null,
  });
  await store.stage(irregular, {
    values: Float64Array.of(1, 2, 3, 4),
    times: BigInt64Array.of(1n, 2n, 3n, 4n),
  });
  await store.drain();
  await store.retireAll();
  await store.stageEdit(regular, range(0, 500), null);
  await store.stageEdit(regular, range(300, 8_000), {
    values: Int32Array.from({ length: 7_700 }, (_, i) => -i),
    times: null,
  });
  await store.stageEdit(irregular, { startNs: 3n, endNs: 9n }, null);
  await store.drain();
  await store.retireAll();
  await store.stageEdit(regular, range(7_999, 9_000), null);
  await store.stageEdit(
    irregular,
    { startNs: 1n, endNs: 2n },
    { values: Float64Array.of(10, 11), times: BigInt64Array.of(1n, 1n) },
  );
  await store.drain();
  await store.stage(irregular, {
    values: Float64Array.of(30),
    times: BigInt64Array.of(3n),
  });
  await store.drain();
}

test('the catalog is made again with every edit in its place', async () => {
  const common = {
    channels: [{ label: 'value' }],
    provenance: {},
    duplicates: 'last',
  } as const;
  const regular = await store.create(
    importedSpec({
      ...common,
      name: 'r',
      dtype: 'int32',
      sampling: { kind: 'regular', rate: RATE, startNs: 0n },
    }),
  );
  const irregular = await store.create(
    importedSpec({
      ...common,
      name: 'i',
      dtype: 'float64',
      sampling: { kind: 'irregular' },
    }),
  );
  await edit(regular, irregular);
  const [before, numbers] = [await store.hashes(), await counts()];
  expect((await store.verify()).findings).toEqual([]);
  await store.loseCatalog();
  const report = await rebuildCatalog(store);
  expect(report.findings).toEqual([]);
  expect(await store.hashes()).toEqual(before);
  expect(await counts()).toEqual(numbers);
  expect((await store.verify()).findings).toEqual([]);
  // The next edit is a newer one than all of these.
  await store.stageEdit(regular, { startNs: ns(0), endNs: ns(1) }, { values: Int32Array.of(7), times: null });
  await store.drain();
  expect((await store.read(regular, { by: 'rows', from: 0, to: 300 })).readInt32LE(0)).toBe(7);
});
