/** Fresh chunks whose bytes are not what was acknowledged are an error for whoever reads them, and for nobody else. */
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseRate } from '../../src/core/signal/rate.ts';
import { UNSAID, type NewSeries, type Series } from '../../src/core/signal/series.ts';
import { hashContent } from '../../src/flows/close/hash-content.ts';
import { readBuckets } from '../../src/flows/overview/read-overview.ts';
import { execute } from '../support/postgres.ts';
import { Store } from './store.ts';

const REGULAR: Omit<NewSeries, 'project'> = {
  name: 'regular',
  description: null,
  dtype: 'int32',
  channels: [{ label: 'a' }],
  unit: null,
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
const IRREGULAR: Omit<NewSeries, 'project'> = { ...REGULAR, name: 'irregular', sampling: { kind: 'irregular' } };
const ROWS = 100;
const CORRUPT = { code: 'corrupt', slug: 'chunk-corrupt' };

let store: Store;
beforeEach(async () => {
  store = await Store.open();
});
afterEach(async () => {
  await store.close();
});

async function append(series: Series, from: number, rows = ROWS): Promise<void> {
  const values = Int32Array.from({ length: rows }, (_, i) => from + i);
  const times = series.sampling.kind === 'regular' ? null : BigInt64Array.from(values, BigInt);
  await store.append(series, { values, times });
}

async function told(series: Series): Promise<string> {
  const { body } = await readBuckets(
    { db: store.db, root: store.root, codec: store.codec, room: store.room },
    {
      principal: { tokenId: series.id, scopes: ['read'], projects: null },
      ref: { id: series.id },
      wanted: { by: 'points', points: 7 },
      format: 'json',
      channels: null,
      physical: false,
      signal: new AbortController().signal,
    },
  );
  return Buffer.from(body).toString();
}

const isFlipped = (bytes: string): string => `set_byte(${bytes}, 5, get_byte(${bytes}, 5) # 1)`;

test.each([
  ['values of a regular series', REGULAR, 'values'],
  ['values of an irregular series', IRREGULAR, 'values'],
  ['times', IRREGULAR, 'times'],
])('altered %s in Postgres are told to who reads them', async (_, spec, column) => {
  const series = await store.create(spec);
  for (const from of [0, ROWS, 2 * ROWS]) await append(series, from);
  const before = await store.read(series, { by: 'time' });
  const rowBytes = before.length / (3 * ROWS);
  await execute(
    store.databaseUrl,
    `update fresh set ${column} = ${isFlipped(column)} where series_id = '${series.id}' and first_row = ${ROWS}`,
  );
  await expect(store.read(series, { by: 'time' })).rejects.toMatchObject(CORRUPT);
  await expect(store.read(series, { by: 'rows', from: ROWS + 50, to: ROWS + 51 })).rejects.toMatchObject(CORRUPT);
  await expect(store.read(series, { by: 'rows' }, 'json')).rejects.toMatchObject(CORRUPT);
  await expect(told(series)).rejects.toMatchObject(CORRUPT);
  await expect(hashContent({ db: store.db, root: store.root, codec: store.codec }, series.id)).rejects.toMatchObject(
    CORRUPT,
  );
  const sound = await store.read(series, { by: 'rows', from: 0, to: ROWS });
  expect(sound.equals(before.subarray(0, ROWS * rowBytes))).toBe(true);
  const after = await store.read(series, { by: 'rows', from: 2 * ROWS, to: 3 * ROWS });
  expect(after.equals(before.subarray(2 * ROWS * rowBytes))).toBe(true);
});

test.each([
  ['regular', REGULAR],
  ['irregular', IRREGULAR],
])('altered bytes of a %s series in the spool are told to who reads them', async (_, spec) => {
  const series = await store.create(spec);
  await append(series, 0, 200_000);
  const fresh = await store.db.selectFrom('fresh').select(['spool_id', 'first_row']).orderBy('first_row').execute();
  const path = store.root.spooled(fresh[0].spool_id!);
  const bytes = readFileSync(path);
  bytes[bytes.length - 1] ^= 1;
  writeFileSync(path, bytes);
  await expect(store.read(series, { by: 'time' })).rejects.toMatchObject(CORRUPT);
  await expect(told(series)).rejects.toMatchObject(CORRUPT);
  // A part of a chunk cannot be checked by itself: once the damage is known, the whole is read for it.
  const last = { by: 'time', startNs: 199_900n, endNs: 199_950n } as const;
  const part = spec === REGULAR ? ({ by: 'rows', from: 199_900, to: 199_950 } as const) : last;
  if (spec === REGULAR) await store.read(series, part);
  await execute(store.databaseUrl, `update fresh set damaged_at = now() where series_id = '${series.id}'`);
  await expect(store.read(series, part)).rejects.toMatchObject(CORRUPT);
});
