import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { getWrites } from '../../src/catalog/write-store.ts';
import { parseRate } from '../../src/core/rate.ts';
import type { Series } from '../../src/core/series.ts';
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
const range = (from: number, to: number): { startNs: bigint; endNs: bigint } => ({
  startNs: BigInt(from) * 1_000_000n,
  endNs: BigInt(to) * 1_000_000n,
});
const rowsOf = (...values: number[]) => ({ values: Int32Array.from(values), times: null });

async function read(series: Series): Promise<number[]> {
  return JSON.parse((await store.read(series, { by: 'time' }, 'json')).toString()).values[0] as number[];
}

test('edits behind an append that is put aside act on the times they were asked for, not on rows that moved', async () => {
  const series = await store.create(
    importedSpec({
      name: 'edited',
      dtype: 'int32',
      channels: [{ label: 'value' }],
      sampling: { kind: 'regular', rate: RATE, startNs: 0n },
      provenance: {},
    }),
  );
  await store.stage(series, rowsOf(0, 1, 2));
  const spoilt = await store.stage(series, rowsOf(3, 4, 5));
  await store.stage(series, rowsOf(6, 7, 8));
  const over = await store.stageEdit(series, range(5, 7), rowsOf(50, 60));
  const behind = await store.stageEdit(series, range(7, 8), rowsOf(70));
  const gone = await store.stageEdit(series, range(2, 7), null);
  await store.db.updateTable('writes').set({ values_crc: 0 }).where('id', '=', spoilt).execute();
  await store.drain();
  const writes = new Map((await getWrites(store.db, [spoilt, over, behind, gone])).map((write) => [write.id, write]));
  expect(writes.get(spoilt)!.state).toBe('failed');
  expect(writes.get(over)).toMatchObject({ state: 'failed', error: { code: 'poison' } });
  expect(writes.get(behind)).toMatchObject({ state: 'applied', firstRow: 4 });
  expect(writes.get(gone)).toMatchObject({ state: 'applied', removed: 2 });
  expect(await read(series)).toEqual([0, 1, 70, 8]);
});

test('an edit that was acknowledged before its series was deleted is there when it is restored', async () => {
  const series = await store.create(
    importedSpec({
      name: 'restored',
      dtype: 'int32',
      channels: [{ label: 'value' }],
      sampling: { kind: 'irregular' },
      provenance: {},
    }),
  );
  await store.stage(series, { values: Int32Array.of(1, 2, 3), times: BigInt64Array.of(1n, 2n, 3n) });
  await store.stageEdit(series, { startNs: 2n, endNs: 3n }, null);
  const deleted = (at: Date | null) =>
    store.db.updateTable('series').set({ deleted_at: at }).where('id', '=', series.id).execute();
  await deleted(new Date());
  await store.drain();
  await deleted(null);
  expect(await read(series)).toEqual([1, 3]);
});
