/** What retention, the purging of deleted series and removals promise to readers, to summaries, and to the disk. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { statSync } from 'node:fs';
import { v7 as uuidv7 } from 'uuid';
import { createRetentionRule, deleteRetentionRule } from '../../src/catalog/shards/retention-store.ts';
import { deleteSeries, getSeries, restoreSeries } from '../../src/catalog/series/series-store.ts';
import { toSummaryBlock } from '../../src/catalog/chunks/summary-row.ts';
import { parseRate } from '../../src/core/signal/rate.ts';
import { UNSAID, type NewSeries, type Series } from '../../src/core/signal/series.ts';
import { eachCell } from '../../src/core/overview/summary.ts';
import { TIME_MAX } from '../../src/core/time.ts';
import { rebuildCatalog } from '../../src/flows/repair/rebuild-catalog.ts';
import { expireSamples } from '../../src/flows/compact/expire-samples.ts';
import { readBuckets } from '../../src/flows/overview/read-overview.ts';
import { recover } from '../../src/flows/repair/recover.ts';
import { compactLane, type CompactionReport } from '../../src/flows/compact/compact-lane.ts';
import { spaceService } from '../../src/flows/compact/tell-space.ts';
import { readSummaries } from '../../src/storage/read/summary-reader.ts';
import { execute } from '../support/postgres.ts';
import { Store } from './store.ts';

const SILENT = { info: () => {}, warn: () => {}, error: () => {} };
const ADMIN = { tokenId: '', scopes: ['admin' as const], projects: null };
const SECOND = 1_000_000_000n;
const MS = 1_000_000n;
const DAY_S = 86_400;
const ROWS = 20_000;
const FACTOR = 64;

const REGULAR: Omit<NewSeries, 'project'> = {
  name: 'regular',
  description: null,
  dtype: 'float64',
  channels: [{ label: 'a' }],
  unit: 'mV',
  scale: 1,
  offset: 0,
  sampling: { kind: 'regular', rate: parseRate(1000)!, startNs: 0n },
  timeReference: 'utc',
  duplicates: 'last',
  codec: 'gzip',
  tags: { kind: 'housekeeping' },
  ...UNSAID,
  provenance: {},
};
const IRREGULAR: Omit<NewSeries, 'project'> = { ...REGULAR, name: 'irregular', sampling: { kind: 'irregular' } };

let store: Store;
beforeEach(async () => {
  store = await Store.open();
});
afterEach(async () => {
  await store.close();
});

/** Noise, which does not compress. */
const values = (rows: number): Float64Array => Float64Array.from({ length: rows }, () => Math.random());
const everyMs = (rows: number, fromNs = 0n): BigInt64Array =>
  BigInt64Array.from({ length: rows }, (_, i) => fromNs + BigInt(i) * MS);

async function append(series: Series, rows: number, fromNs: bigint | null = null): Promise<void> {
  const times = series.sampling.kind === 'irregular' ? everyMs(rows, fromNs ?? 0n) : null;
  const noise = series.dtype === 'int64' ? new BigInt64Array(rows) : values(rows);
  await store.append(series, { values: noise, times }, times ? null : fromNs);
}

async function filled(spec: Omit<NewSeries, 'project'>, name = spec.name): Promise<Series> {
  const series = await store.create({ ...spec, name });
  await append(series, ROWS);
  return series;
}

/** Flushes all that is fresh, and makes one shard of those of each lane, or of those that are due. */
async function compactAll(all = true): Promise<CompactionReport[]> {
  await store.flush();
  const reports: CompactionReport[] = [];
  for (const { id } of await store.db.selectFrom('lanes').select('id').orderBy('id').execute()) {
    reports.push(...((await compactLane(store.rewriting, id, { all, asked: true })) ?? []));
  }
  return reports;
}

const expire = (): Promise<string[]> =>
  expireSamples({ db: store.db, root: store.root, codec: store.codec, log: SILENT });

async function keep(keepS: number, summariesS: number | null, tags = {}): Promise<string> {
  const id = uuidv7();
  const keepSummariesDays = summariesS === null ? null : summariesS / DAY_S;
  await createRetentionRule(store.db, id, { project: 'default', tags, keepDays: keepS / DAY_S, keepSummariesDays });
  return id;
}

interface Cell {
  readonly index: number;
  readonly rows: number;
  readonly lastNs: bigint | null;
  /** Everything it tells. */
  readonly text: string;
}

/** The finest cells of a series in their order. */
async function cells(series: Series): Promise<Cell[]> {
  const rows = await store.db
    .selectFrom('summaries as y')
    .innerJoin('shards as h', 'h.id', 'y.shard_id')
    .selectAll('y')
    .select('h.path')
    .where('series_id', '=', series.id)
    .where('factor', '=', FACTOR)
    .orderBy('y.shard_id')
    .orderBy('ordinal')
    .execute();
  const found: Cell[] = [];
  for await (const columns of readSummaries(
    store.root,
    rows.map((row) => ({ ...toSummaryBlock(row, series), path: row.path })),
  )) {
    for (const { index, counts, mins, maxs, means, sums, rests, spreads, firstNs, lastNs } of eachCell(columns)) {
      const totals = [...(means ?? []), ...(sums ?? []), ...(rests ?? []), ...spreads];
      const numbers = [...counts, ...mins, ...maxs, ...totals, firstNs, lastNs];
      found.push({ index, rows: counts[0], lastNs, text: numbers.join(' ') });
    }
  }
  return found;
}

const column = async (series: Series, name: 'expired_ns' | 'first_ns' | 'commit'): Promise<bigint | null> =>
  (await store.db.selectFrom('heads').select(name).where('series_id', '=', series.id).executeTakeFirstOrThrow())[name];

const length = (path: string | null): number => (path === null ? 0 : statSync(store.root.resolve(path)).size);

/** Size of the shards that readers use. */
async function bytesOnDisk(): Promise<number> {
  const shards = await store.db.selectFrom('shards').select('path').where('state', '<>', 'replaced').execute();
  return shards.reduce((sum, { path }) => sum + length(path), 0);
}

/** Bytes of the values, by rows. */
async function valueBytes(series: Series): Promise<Buffer> {
  const bytes = await store.read(series, { by: 'rows' });
  if (series.sampling.kind === 'regular') return bytes;
  return Buffer.concat(Array.from({ length: bytes.length / 16 }, (_, i) => bytes.subarray(i * 16 + 8, i * 16 + 16)));
}

const rowCount = async (series: Series): Promise<number> => (await valueBytes(series)).length / 8;

test('rows of a regular series that came late expire by their times, and keep their summaries', async () => {
  const series = await store.create(REGULAR);
  // The newer half came first.
  await append(series, ROWS / 2, 10n * SECOND);
  await append(series, ROWS / 2, 0n);
  await compactAll();
  const [before, all] = [await cells(series), await store.read(series, { by: 'time' })];
  await keep(8, 30);
  expect(await expire()).toEqual([series.id]);
  const expiredNs = 11_999n * MS;
  expect(await getSeries(store.db, series)).toMatchObject({ firstNs: expiredNs, lastNs: 19_999n * MS, rows: ROWS });
  const left = all.subarray(11_999 * 8);
  expect((await store.read(series, { by: 'time' })).equals(left)).toBe(true);
  expect((await store.read(series, { by: 'rows' })).equals(left)).toBe(true);
  // Dropped are the rows 0 to 1,998 and 10,000 to 19,999; their cells are not.
  await compactAll();
  expect((await store.read(series, { by: 'time' })).equals(left)).toBe(true);
  expect((await cells(series)).map(({ text }) => text)).toEqual(before.map(({ text }) => text));
  expect((await store.verify()).findings).toEqual([]);
  await store.loseCatalog();
  expect((await rebuildCatalog(store, () => {})).findings).toEqual([]);
  expect((await store.read(series, { by: 'time' })).equals(left)).toBe(true);
  // What would lie before has expired before it comes.
  await expect(append(series, 100, -1n * SECOND)).rejects.toThrow('expire');
});

describe.each([
  ['regular', REGULAR],
  ['irregular', IRREGULAR],
])('samples of a %s series', (kind, spec) => {
  test('expire: readers miss them at once, the disk is freed, and their summaries stay as they were', async () => {
    const series = await filled(spec);
    await compactAll();
    const [before, all, commit] = [await cells(series), await valueBytes(series), await column(series, 'commit')];
    expect(before.length).toBeGreaterThan(300);
    await keep(8, 30);
    expect(await expire()).toEqual([series.id]);

    const expiredNs = 11_999n * MS; // eight seconds before the newest sample
    expect(await column(series, 'expired_ns')).toBe(expiredNs);
    expect(await getSeries(store.db, series)).toMatchObject({ firstNs: expiredNs, lastNs: 19_999n * MS, rows: ROWS });
    expect(await column(series, 'commit')).toBeGreaterThan(commit!);
    const change = await store.db.selectFrom('commits').selectAll().orderBy('commit', 'desc').executeTakeFirst();
    expect(change).toMatchObject({ kinds: ['expire'], series: [series.id] });
    expect((await valueBytes(series)).equals(all.subarray(11_999 * 8))).toBe(true);
    expect((await store.read(series, { by: 'time', endNs: expiredNs })).length).toBe(0);

    const [report] = await compactAll(false);
    expect(report.step.reason).toBe('dead-rows');
    expect(length(report.path)).toBeLessThan(report.bytesBefore * 0.65);
    expect((await valueBytes(series)).equals(all.subarray(11_999 * 8))).toBe(true);
    expect((await store.verify()).findings).toEqual([]);
    const after = await cells(series);
    const hasExpired = (cell: Cell): boolean =>
      kind === 'regular' ? cell.index * FACTOR < 11_999 : cell.lastNs! < expiredNs;
    const texts = (list: Cell[]): string[] => list.filter(hasExpired).map(({ text }) => text);
    expect(texts(before).length).toBeGreaterThan(180);
    expect(texts(after)).toEqual(texts(before));
    // Cells of a regular series lie in a grid: none was made anew of the rows that are left.
    if (kind === 'regular') expect(after.map(({ text }) => text)).toEqual(before.map(({ text }) => text));

    await append(series, ROWS, 20n * SECOND);
    expect(await expire()).toEqual([series.id]);
    expect(await column(series, 'expired_ns')).toBe(20n * SECOND); // no further: the rest is in a hot shard
    await compactAll();
    await compactAll();
    const live = await store.db.selectFrom('shards').select('id').where('state', '=', 'live').execute();
    expect(live).toHaveLength(1);
    expect(await rowCount(series)).toBe(ROWS);
    // Summaries are kept 30 s: of 39.999 s, what ends before 9.999 s has expired.
    const left = (cell: Cell): boolean =>
      hasExpired(cell) && (kind === 'regular' ? (cell.index + 1) * FACTOR > 9_999 : cell.lastNs! >= 9_999n * MS);
    const wanted = before.filter(left).map(({ text }) => text);
    expect(wanted.length).toBeGreaterThan(25);
    expect((await cells(series)).slice(0, wanted.length).map(({ text }) => text)).toEqual(wanted);
    expect((await store.verify()).findings).toEqual([]);
  });

  test('go with their summaries when these have expired, and so does the file', async () => {
    const series = await filled(spec);
    await append(series, 32, 20n * SECOND); // so that no cell ends beyond them
    await compactAll();
    await keep(2, 2);
    await expire();
    await compactAll();
    await append(series, 1000, 1000n * SECOND);
    await expire();
    await compactAll();
    const isNew = ({ index, lastNs }: Cell): boolean =>
      kind === 'regular' ? index * FACTOR >= ROWS : lastNs! >= 1000n * SECOND;
    expect((await cells(series)).filter((cell) => !isNew(cell))).toEqual([]);
    expect(await rowCount(series)).toBe(1000);
  });

  test('that no compacted shard has do not expire, nor do those that are fresh', async () => {
    const series = await filled(spec);
    await keep(1, null);
    expect(await expire()).toEqual([]);
    await compactAll();
    if (kind === 'irregular') {
      await store.append(series, { values: values(1), times: everyMs(1, 5n * SECOND) });
      expect(await expire()).toEqual([series.id]);
      expect(await column(series, 'expired_ns')).toBe(5n * SECOND);
      expect((await store.read(series, { by: 'time' })).length).toBe(15_000 * 16); // it took the place of one
    } else {
      expect(await expire()).toEqual([series.id]);
    }
  });
});

describe('retention', () => {
  test('counts from now where a sample says it is from the future', async () => {
    const series = await store.create(IRREGULAR);
    const now = BigInt(Date.now()) * MS;
    await append(series, 1000, now - 100n * SECOND);
    await append(series, 1, TIME_MAX);
    await compactAll();
    await keep(3600, null);
    expect(await expire()).toEqual([]);
    await keep(5000, null);
    expect(await rowCount(series)).toBe(1001);
  });

  test('takes the rule that keeps longest, and only series with all of its tags', async () => {
    const meant = await filled(REGULAR, 'meant');
    const other = await filled({ ...REGULAR, tags: { kind: 'science', depth: 5 } }, 'other');
    await compactAll();
    await keep(2, null, { kind: 'housekeeping' });
    const longer = await keep(10, null, { kind: 'housekeeping' });
    await keep(1, null, { kind: 'science', depth: 6 });
    expect(await expire()).toEqual([meant.id]);
    expect(await column(meant, 'expired_ns')).toBe(9_999n * MS);
    expect(await column(other, 'expired_ns')).toBeNull();
    await deleteRetentionRule(store.db, longer);
    expect(await expire()).toEqual([meant.id]);
    expect(await column(meant, 'expired_ns')).toBe(17_999n * MS);
    expect(await expire()).toEqual([]);
  });

  test.each([
    ['regular', REGULAR],
    ['irregular', IRREGULAR],
  ])(
    'leaves exact sums of a %s series of int64, and its deviations, however often it is compacted',
    async (_, spec) => {
      const series = await store.create({ ...spec, dtype: 'int64' });
      const large = BigInt64Array.from(
        { length: ROWS },
        (_value, i) => 2n ** 62n - BigInt(i * i) * (i % 3 === 0 ? -1n : 1n),
      );
      const times = spec === IRREGULAR ? everyMs(ROWS) : null;
      await store.append(series, { values: large, times });
      // Of 64 rows each, as the cells are.
      const told = async (): Promise<Record<'sum' | 'std' | 'mean', (number | string)[]>> => {
        const every = { kind: 'fixed', ns: 64n * MS } as const;
        const { body } = await readBuckets(
          { db: store.db, root: store.root, codec: store.codec, room: store.room },
          {
            principal: { tokenId: series.id, scopes: ['read'], projects: null },
            ref: { id: series.id },
            wanted: { by: 'every', every, zone: 'UTC', aggregates: ['sum', 'std', 'mean'], fill: 'none' },
            format: 'json',
            channels: null,
            physical: false,
            signal: new AbortController().signal,
          },
        );
        return (JSON.parse(Buffer.from(body).toString()) as { channels: Awaited<ReturnType<typeof told>>[] })
          .channels[0];
      };
      const before = await told();
      expect(before.sum.filter((sum) => typeof sum === 'string').length).toBeGreaterThan(300);
      await compactAll();
      await keep(8, null);
      expect(await expire()).toEqual([series.id]);
      for (let round = 0; round < 2; round++) {
        await append(series, 10, (20n + BigInt(round)) * SECOND);
        await compactAll();
        const after = await told();
        // Up to where cells alone tell.
        const cells = Math.floor(11_999 / 64);
        expect(after.sum.slice(0, cells)).toEqual(before.sum.slice(0, cells));
        expect(after.mean.slice(0, cells)).toEqual(before.mean.slice(0, cells));
        for (let i = 0; i < cells; i++) expect(Number(after.std[i]) / Number(before.std[i])).toBeCloseTo(1, 6);
      }
    },
  );

  test('begins after rows that were removed', async () => {
    const regular = await filled(REGULAR);
    const irregular = await filled(IRREGULAR);
    for (const series of [regular, irregular]) {
      await store.remove(series, { startNs: 11n * SECOND, endNs: 14n * SECOND });
    }
    await compactAll();
    await keep(8, null);
    expect((await expire()).sort()).toEqual([regular.id, irregular.id].sort());
    for (const series of [regular, irregular]) {
      expect(await column(series, 'first_ns')).toBe(14n * SECOND);
      expect(await rowCount(series)).toBe(6000);
    }
  });

  test('refuses appends of which all has expired, and takes those that have not', async () => {
    const series = await filled(IRREGULAR);
    await compactAll();
    await keep(8, null);
    await expire();
    const old = (): BigInt64Array => everyMs(10, 3n * SECOND);
    const refused = { code: 'unprocessable', slug: 'expired', errors: [{ field: 'times' }] };
    await expect(store.append(series, { values: values(10), times: old() })).rejects.toMatchObject(refused);
    const range = { startNs: 0n, endNs: 4n * SECOND };
    await expect(store.replace(series, range, { values: values(10), times: old() })).rejects.toMatchObject(refused);
    await store.append(series, { values: values(2), times: BigInt64Array.of(3n * SECOND, 30n * SECOND) });
    expect(await rowCount(series)).toBe(8002);
  });
});

const DELETED_LONG_AGO = ['series', 'heads']
  .map((table) => `update ${table} set deleted_at = now() - interval '7 days 2 hours' where deleted_at is not null`)
  .join(';');

describe('a deleted series', () => {
  test('is purged after its deadline: half of the bytes are freed, and no row refers to it', async () => {
    const kinds = [REGULAR, IRREGULAR, { ...REGULAR, dtype: 'float64' as const }, IRREGULAR];
    const series: Series[] = [];
    for (const [i, spec] of kinds.entries()) series.push(await store.create({ ...spec, name: `series ${i}` }));
    await execute(store.databaseUrl, 'update heads set lane_id = (select min(id::text)::uuid from lanes)');
    await execute(
      store.databaseUrl,
      'update lanes l set series_count = (select count(*) from heads where lane_id = l.id)',
    );
    for (const each of series) await append(each, ROWS);
    await compactAll();
    const before = await bytesOnDisk();
    const [gone, kept] = [series.slice(0, 2), series.slice(2)];
    const contents = await Promise.all(kept.map(valueBytes));
    await keep(8, null, { none: 'of these' });
    for (const { id } of gone) await deleteSeries(store.db, id);
    expect(await compactAll()).toEqual([]);
    await execute(store.databaseUrl, DELETED_LONG_AGO);
    const deps = { db: store.db, root: store.root, log: SILENT };
    expect((await recover(deps)).purgedSeries).toBe(0);
    const [report] = await compactAll(false);
    expect(report.step.reason).toBe('dead-rows');
    expect(await bytesOnDisk()).toBeLessThan(before * 0.55);
    expect((await recover(deps)).purgedSeries).toBe(2);
    for (const table of [
      'series',
      'heads',
      'closed_segments',
      'fresh',
      'append_keys',
      'chunks',
      'summaries',
      'series_tags',
      'annotations',
    ]) {
      const key = table === 'series' ? 'id' : 'series_id';
      const query = `do $$ begin if exists (select from ${table} where ${key} in ('${gone.map(({ id }) => id).join("','")}'))
        then raise '${table} has rows of it'; end if; end $$`;
      await execute(store.databaseUrl, query);
    }
    const lanes = await store.db.selectFrom('lanes').select('series_count').where('series_count', '>', 0).execute();
    expect(lanes).toEqual([{ series_count: 2 }]);
    const now = await Promise.all(kept.map(valueBytes));
    expect(now.map((bytes, i) => bytes.equals(contents[i]))).toEqual([true, true]);
    expect((await store.verify()).findings).toEqual([]);
    await expect(restoreSeries(store.db, gone[0].id)).rejects.toMatchObject({ code: 'not-found' });
  });

  test('can be restored until the deadline, which a late restore is told', async () => {
    const series = await filled(REGULAR);
    await compactAll();
    await deleteSeries(store.db, series.id);
    await execute(store.databaseUrl, `update series set deleted_at = now() - interval '6 days 23 hours'`);
    await recover({ db: store.db, root: store.root, log: SILENT });
    expect(await compactAll()).toEqual([]);
    expect((await restoreSeries(store.db, series.id)).rows).toBe(ROWS);
    await deleteSeries(store.db, series.id);
    await execute(store.databaseUrl, `update series set deleted_at = '2026-01-02T03:04:05Z'`);
    await expect(restoreSeries(store.db, series.id)).rejects.toMatchObject({
      code: 'gone',
      slug: 'deadline-passed',
      message: expect.stringContaining('2026-01-09T03:04:05.000Z'),
    });
  });

  test('that is all of a shard leaves nothing of it', async () => {
    const series = await filled(IRREGULAR);
    await compactAll();
    await deleteSeries(store.db, series.id);
    await execute(store.databaseUrl, DELETED_LONG_AGO);
    const deps = { db: store.db, root: store.root, log: SILENT };
    await recover(deps);
    const [report] = await compactAll();
    expect(report.shard).toBeNull();
    expect((await recover(deps)).purgedSeries).toBe(1);
  });
});

describe('removing half of the data and compacting', () => {
  test.each([
    ['regular', REGULAR],
    ['irregular', IRREGULAR],
  ])('halves the bytes of a %s series, and says so', async (_, spec) => {
    const series = await filled(spec);
    await append(series, 3 * ROWS, 20n * SECOND); // enough that HDF5's own structure does not count
    await compactAll();
    const before = await bytesOnDisk();
    const space = spaceService(store.db);
    const told = async (): Promise<number> => (await space.ofSeries(ADMIN, series)).storage.storedBytes;
    const toldBefore = await told();
    expect(toldBefore).toBeLessThan(before);
    expect(toldBefore).toBeGreaterThan(before * 0.8);
    await store.remove(series, { startNs: 20n * SECOND, endNs: 60n * SECOND });
    const { items } = await space.shards({ limit: 10, after: null });
    const live = items.find(({ state }) => state === 'live')!;
    expect(live).toMatchObject({ series: 1, bytes: before, storedBytes: toldBefore });
    expect(live.liveBytes / live.storedBytes).toBeCloseTo(0.5, 1);
    await compactAll();
    expect(await bytesOnDisk()).toBeLessThan(before * 0.57);
    const after = await told();
    expect(after).toBeLessThan(toldBefore * 0.55);
    const { storage } = await space.ofSeries(ADMIN, series);
    expect(storage.rows).toBe(ROWS * 2);
    expect(storage.shards.map(({ state }) => state)).toEqual(['live']);
    expect(await rowCount(series)).toBe(ROWS * 2);
  });
});

test('what is accepted and what is written for it is counted', async () => {
  const series = await filled(REGULAR);
  const accepted = async (): Promise<bigint> =>
    (await store.db.selectFrom('commit_counter').select('accepted_bytes').executeTakeFirstOrThrow()).accepted_bytes;
  const written = () => store.db.selectFrom('written_bytes').selectAll().executeTakeFirstOrThrow();
  expect(await accepted()).toBe(BigInt(ROWS * 8));
  await append(series, 10);
  expect(await accepted()).toBe(BigInt(ROWS * 8 + 80));
  expect(await written()).toMatchObject({ flushed: 0n, compacted: 0n });
  await store.flush();
  expect(Number((await written()).flushed)).toBeGreaterThan(ROWS * 7);
  expect((await written()).spooled).toBe(0n); // so few lie in Postgres
  await append(series, 200_000);
  await store.flush();
  expect((await written()).spooled).toBe(1_600_000n);
  const [report] = await compactAll();
  expect((await written()).compacted).toBe(BigInt(report.bytesAfter));
});
