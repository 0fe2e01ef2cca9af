/**
 * No answer changes by flush, compaction or restart: byte for byte, in every format, of every range, page by page.
 * Buckets have the same counts, extremes and sums of integers, also when the catalog was lost. Their means of floats
 * are as near as the docs say.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { openDatabase, type Database } from '../../src/catalog/database.ts';
import { readSampleSnapshot, type ChunkSelection } from '../../src/catalog/read/sample-snapshot.ts';
import { getSeries } from '../../src/catalog/series/series-store.ts';
import { AGGREGATES } from '../../src/core/overview/aggregate-span.ts';
import type { OutBatch } from '../../src/core/signal/batch.ts';
import { DTYPES, isBigDtype, type Dtype, type SampleArray } from '../../src/core/numbers/dtype.ts';
import { parseRate } from '../../src/core/signal/rate.ts';
import { UNSAID, type DuplicateRule, type NewSeries, type Series } from '../../src/core/signal/series.ts';
import { AnswerRoom } from '../../src/flows/read/answer-room.ts';
import { hashContent } from '../../src/flows/close/hash-content.ts';
import { lastValues } from '../../src/flows/table/last-value.ts';
import { readLatest, selectNewest } from '../../src/flows/read/latest-read.ts';
import { querySeries } from '../../src/flows/table/query-series.ts';
import { readBuckets } from '../../src/flows/overview/read-overview.ts';
import { planEnough } from '../../src/flows/read/plan-pages.ts';
import { planSamples, type PlanLimits } from '../../src/flows/read/plan-samples.ts';
import { rowBatches } from '../../src/flows/read/print-samples.ts';
import { readSamples, readSnapshot, rowsTask } from '../../src/flows/read/read-samples.ts';
import { rebuildCatalog } from '../../src/flows/repair/rebuild-catalog.ts';
import type { WantedBuckets } from '../../src/flows/overview/overview-service.ts';
import type { ReadRequest, SampleSelection, SampleStream } from '../../src/flows/read/read-service.ts';
import type { TableRequest } from '../../src/flows/table/table-service.ts';
import { unpackRecords } from '../../src/formats/binary/packed-records.ts';
import type { AnswerFormatName } from '../../src/formats/samples/wire-formats.ts';
import { CodecPool } from '../../src/storage/threads/codec-pool.ts';
import { eachOpened } from '../../src/storage/read/shard-files.ts';
import { Store } from './store.ts';
import { modelRuns, MODEL_LIMIT_MS } from '../support/model-runs.ts';

const RUNS = modelRuns(1);
/** It reads hundreds of answers a run. */
const TIMEOUT_MS = MODEL_LIMIT_MS;
const RATE = parseRate('1000/3')!;
const PERIOD = 3_000_000n;
const THREAD = new URL('../../src/flows/threads/codec-thread.js', import.meta.url);

let store: Store;
beforeAll(async () => {
  store = await Store.open();
});
afterAll(async () => {
  await store.close();
});

let names = 0;
function spec(dtype: Dtype, sampling: NewSeries['sampling'], duplicates: DuplicateRule): Omit<NewSeries, 'project'> {
  return {
    name: `series ${names++}`,
    description: null,
    dtype,
    channels: [{ label: 'a', scale: 0.5, offset: 1 }, { label: 'b' }],
    unit: 'mV',
    scale: 1,
    offset: 0,
    sampling,
    timeReference: 'utc',
    duplicates,
    codec: 'gzip',
    tags: {},
    ...UNSAID,
    provenance: {},
  };
}

/** What reads are made with: a service of its own. */
interface Reading {
  readonly db: Database;
  readonly codec: CodecPool;
}

const depsOf = ({ db, codec }: Reading) => ({
  db,
  codec,
  searches: db,
  root: store.root,
  files: eachOpened(store.root),
  room: new AnswerRoom(),
});

const asked = ({ id }: Series) => ({
  principal: { tokenId: id, scopes: ['read'] as const, projects: null },
  ref: { id },
  channels: null,
  physical: false,
  signal: new AbortController().signal,
});

async function bytesOf(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(Buffer.from(piece)); // its memory is used again
  return Buffer.concat(pieces);
}

const digest = (bytes: Buffer): string => `${bytes.length} ${createHash('sha256').update(bytes).digest('base64url')}`;

interface Page {
  readonly stream: SampleStream;
  readonly bytes: Buffer;
  readonly rest: SampleSelection | null;
}

async function read(reading: Reading, series: Series, more: Partial<ReadRequest>): Promise<Page> {
  let rest: SampleSelection | null = null;
  const stream = await readSamples(depsOf(reading), {
    ...asked(series),
    selection: { by: 'time' },
    format: 'octet',
    spelling: {},
    limit: null,
    linkTo: (selection) => {
      rest = selection;
      return text(selection);
    },
    ...more,
  });
  return { stream, bytes: await bytesOf(stream.body), rest };
}

const text = (what: unknown): string =>
  JSON.stringify(what, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value));

/** All that is told of an answer. */
const told = ({ stream, bytes }: Page): string => {
  const { body: _, ...rest } = stream;
  return `${text(rest)} ${digest(bytes)}`;
};

async function pages(
  reading: Reading,
  series: Series,
  selection: SampleSelection,
  limit: number,
  format: AnswerFormatName,
): Promise<Page[]> {
  const found: Page[] = [];
  for (let next: SampleSelection | null = selection; next;) {
    const page: Page = await read(reading, series, { selection: next, limit, format });
    found.push(page);
    next = page.rest;
  }
  return found;
}

const FORMATS = ['json', 'ndjson', 'csv', 'npy', 'octet', 'arrow', 'arrow-stream', 'hdf5'] as const;

/** By what was asked for, digests of what is answered. */
async function answers(reading: Reading, id: string): Promise<Record<string, string>> {
  const series = await getSeries(reading.db, { id });
  const found: Record<string, string> = {};
  const { firstNs, lastNs } = series;
  const [first, last] = [firstNs ?? 0n, lastNs ?? 0n];
  const [third, twoThirds] = [first + (last - first) / 3n, first + ((last - first) * 2n) / 3n];
  const whole = await read(reading, series, {});
  const { rows } = whole.stream;
  const selections: SampleSelection[] = [
    { by: 'time' },
    { by: 'rows' },
    { by: 'time', startNs: third, endNs: twoThirds },
    { by: 'rows', from: Math.floor(series.rows / 3), to: Math.floor(series.rows / 2) },
    { by: 'rows', from: -7 },
  ];
  for (const selection of selections) {
    for (const format of FORMATS) {
      // It has a thread and a library of its own, which take a third of a second.
      if (format === 'hdf5' && !('startNs' in selection)) continue;
      found[`${format} ${text(selection)}`] = told(await read(reading, series, { selection, format }));
    }
    for (const format of ['octet', 'arrow'] as const) {
      const chosen = { selection, format, channels: [{ by: 'label', label: 'b' }], physical: true } as const;
      found[`physical b ${format} ${text(selection)}`] = told(await read(reading, series, chosen));
    }
  }
  for (const format of ['octet', 'npy'] as const) {
    const choosePart: ReadRequest['choosePart'] = ({ bytes }) => ({
      from: Math.floor(bytes / 3),
      to: Math.floor(bytes / 2),
    });
    found[`part of ${format}`] = told(await read(reading, series, { format, choosePart }));
  }
  const limit = Math.max(7, Math.ceil(rows / 4));
  for (const selection of selections.slice(0, 4)) {
    for (const format of ['json', 'octet'] as const) {
      const each = await pages(reading, series, selection, limit, format);
      each.forEach((page, i) => (found[`page ${i} of ${format} ${text(selection)}`] = told(page)));
      if (format === 'json') continue;
      const joined = Buffer.concat(each.map(({ bytes }) => bytes));
      const all = await read(reading, series, { selection });
      expect(digest(joined)).toBe(digest(all.bytes));
      expect(each.reduce((sum, page) => sum + page.stream.rows, 0)).toBe(all.stream.rows);
    }
  }
  for (const newest of [1, 10, 10_000]) {
    const { body, ...latest } = await readLatest(depsOf(reading), {
      ...asked(series),
      rows: newest,
      format: 'json',
      spelling: {},
    });
    found[`latest ${newest}`] = `${text(latest)} ${digest(await bytesOf(body))}`;
  }
  found['last value'] = text(await lastValues(depsOf(reading), asked(series).principal, [series]));
  if (rows > 0) found.hash = text(await hashContent(depsOf(reading), id));
  const every = { kind: 'fixed', ns: (last - first) / 9n + 1n } as const;
  const wanted: TableRequest['wanted'][] = [
    { by: 'rows', most: null },
    { by: 'rows', most: 50 },
    { by: 'newest', rows: 20 },
    { by: 'as-of', clock: { seriesId: id }, toleranceNs: 0n, direction: 'backward' },
    { by: 'as-of', clock: { everyNs: (last - first) / 50n + 1n }, toleranceNs: 10n ** 9n, direction: 'nearest' },
  ];
  const isWhole = DTYPES[series.dtype].kind === 'int';
  const aggregates = isWhole ? (['count', 'min', 'max', 'sum', 'mean'] as const) : (['count', 'min', 'max'] as const);
  wanted.push({ by: 'buckets', every, zone: 'UTC', aggregates, fill: 'null', isWide: true });
  for (const each of wanted) {
    for (const format of ['arrow', 'csv'] as const) {
      const request = { ...asked(series), series: { by: 'ids', ids: [id] }, wanted: each, format } as const;
      const { body } = await querySeries(depsOf(reading), request);
      found[`table ${format} ${text(each)}`] = digest(await bytesOf(body));
    }
  }
  return found;
}

type Column = readonly (number | string | null)[];

interface Buckets {
  readonly buckets: { readonly start: readonly string[]; readonly count: readonly number[] };
  readonly channels: ReadonlyArray<Readonly<Record<string, Column>>>;
}

/** What is answered of buckets, by what was asked for. */
async function bucketsOf(reading: Reading, id: string): Promise<Map<string, Buckets>> {
  const { firstNs, lastNs } = await getSeries(reading.db, { id });
  const span = (lastNs ?? 0n) - (firstNs ?? 0n) + PERIOD; // of one row, too, no more buckets than are answered
  const wanted: WantedBuckets[] = [1n, 7n, 60n].flatMap((buckets): WantedBuckets[] => [
    { by: 'points', points: Number(buckets) },
    { by: 'every', every: { kind: 'fixed', ns: span / buckets + 1n }, zone: 'UTC', aggregates: SPREAD, fill: 'null' },
  ]);
  wanted.push({ by: 'every', every: { kind: 'fixed', ns: span }, zone: 'UTC', aggregates: AGGREGATES, fill: 'null' });
  const found = new Map<string, Buckets>();
  for (const each of wanted) {
    const request = { ...asked({ id } as Series), wanted: each, format: 'json' } as const;
    const { body } = await readBuckets(depsOf(reading), request);
    found.set(text(each), JSON.parse(Buffer.from(body).toString()) as Buckets);
  }
  return found;
}

/** Without first and last, which only rows tell. */
const SPREAD = AGGREGATES.filter((name) => name !== 'first' && name !== 'last');

/** As near as the description of buckets in the API says: parts of the largest magnitude of a bucket, and of a deviation. */
const [MEAN_ERROR, STD_ERROR] = [2 ** -50, 2 ** -40];

function expectSameBuckets(
  found: ReadonlyMap<string, Buckets>,
  before: ReadonlyMap<string, Buckets>,
  dtype: Dtype,
): void {
  const isWhole = DTYPES[dtype].kind === 'int';
  for (const [asked, { buckets, channels }] of before) {
    const other = found.get(asked)!;
    expect({ asked, buckets: other.buckets }).toEqual({ asked, buckets });
    channels.forEach((columns, c) => {
      for (const [name, column] of Object.entries(columns)) {
        const now = other.channels[c][name];
        const isNear = name === 'std' || (!isWhole && (name === 'mean' || name === 'sum'));
        if (!isNear) {
          expect({ asked, name, column: now }).toEqual({ asked, name, column });
          continue;
        }
        column.forEach((value, b) => {
          const most = Math.max(Math.abs(Number(columns.min[b])), Math.abs(Number(columns.max[b])));
          const error: Record<string, number> = {
            mean: MEAN_ERROR * most,
            sum: MEAN_ERROR * most * buckets.count[b],
            std: STD_ERROR * Number(value) + MEAN_ERROR * most,
          };
          const allowed = error[name];
          const isSame = value === now[b] || Math.abs(Number(value) - Number(now[b])) <= allowed;
          expect({ asked, name, b, value: isSame ? value : now[b] }).toEqual({ asked, name, b, value });
        });
      }
    });
  }
}

const step = fc.record({
  what: fc.constantFrom(
    'append',
    'append',
    'append',
    'append',
    'late',
    'remove',
    'replace',
    'flush one',
    'flush',
    'compact',
  ),
  // The most lie in the spool.
  rows: fc.oneof(
    { arbitrary: fc.constant(1), weight: 3 },
    { arbitrary: fc.integer({ min: 2, max: 60 }), weight: 3 },
    { arbitrary: fc.integer({ min: 500, max: 3_000 }), weight: 3 },
    { arbitrary: fc.constant(30_000), weight: 1 },
  ),
  at: fc.double({ min: 0, max: 0.9, noNaN: true }),
  gap: fc.boolean(),
});
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

/**
 * Values that are hard to add. Large floats leave little where they cancel each other; large integers are beyond what a
 * double has.
 */
function anyValue(dtype: Dtype, n: number): number | bigint {
  const small = n % 30_000;
  if (isBigDtype(dtype)) return BigInt(small) - (n % 5 === 0 ? 2n ** 62n : 0n) + (n % 7 === 0 ? 2n ** 61n : 0n);
  if (DTYPES[dtype].kind === 'int') return small;
  return (small + 0.1) * (n % 11 === 0 ? 1e12 : n % 13 === 0 ? -1e12 : 1);
}

/** A history of a series, with flushes and compactions on its way. */
async function live(series: Series, steps: readonly Step[]): Promise<void> {
  const isRegular = series.sampling.kind === 'regular';
  const { duplicates } = series;
  let value = 0;
  let gaps = 0;
  const valuesOf = (rows: number): SampleArray => {
    const values = new DTYPES[series.dtype].array(rows * 2);
    for (let i = 0; i < values.length; i++) values[i] = anyValue(series.dtype, value++);
    return values;
  };
  for (const { what, rows, at, gap } of steps) {
    const { firstNs, lastNs } = await getSeries(store.db, series);
    const [first, last] = [firstNs ?? 0n, lastNs ?? 0n];
    const position = first + BigInt(Math.floor(Number(last - first) * at));
    const next = lastNs === null ? 0n : last + PERIOD * (gap ? 1000n : 1n);
    // Of one time some rows, but of a series that refuses what is not newer.
    const timesFrom = (begin: bigint): BigInt64Array =>
      BigInt64Array.from({ length: rows }, (_, i) =>
        duplicates === 'error' ? begin + BigInt(i) * PERIOD : begin + BigInt(i >> (i % 3)) * PERIOD,
      );
    if (what === 'flush one') await store.flushOne(series.id);
    else if (what === 'flush') await store.flush();
    else if (what === 'compact') {
      await store.flush();
      await store.compact(series.id);
    } else if (what === 'append' || lastNs === null) {
      const times = isRegular ? null : timesFrom(next);
      // Far after all before: what was removed at the end still counts for where the data end.
      const startNs = 10n ** 13n * BigInt(steps.length + ++gaps);
      await store.append(series, { values: valuesOf(rows), times }, isRegular && gap ? startNs : null);
    } else if (what === 'late' && isRegular) {
      // Before all that is there.
      const startNs = first - 10n ** 12n * BigInt(1 + rows);
      await store.append(series, { values: valuesOf(rows), times: null }, startNs);
    } else if (what === 'late' && duplicates !== 'error') {
      await store.append(series, { values: valuesOf(rows), times: timesFrom(position) });
    } else if (what === 'remove') {
      const range = { startNs: position, endNs: position + PERIOD * BigInt(rows) };
      await store.remove(series, range).catch(isInGap);
    } else if (what === 'replace' && !isRegular) {
      const endNs = position + PERIOD * BigInt(rows + 1);
      await store.replace(
        series,
        { startNs: position, endNs },
        { values: valuesOf(rows), times: timesFrom(position).map((ns) => (ns < endNs ? ns : position)) },
      );
    }
  }
}

function isInGap(error: Error): void {
  expect(error.message).toContain('no rows');
}

describe('no answer changes by flush, compaction or restart', () => {
  // One of each kind on every change; a long run takes the others, too.
  const kinds: [string, Dtype, NewSeries['sampling'], DuplicateRule][] = [
    ['regular', 'int16', { kind: 'regular', rate: RATE, startNs: 0n }, 'last'],
    ['irregular', 'int64', { kind: 'irregular' }, 'last'],
    ['regular', 'float64', { kind: 'regular', rate: RATE, startNs: 0n }, 'last'],
    ['irregular', 'float64', { kind: 'irregular' }, 'keep'],
    ['irregular', 'float32', { kind: 'irregular' }, 'error'],
  ];
  test.each(kinds.slice(0, modelRuns(2)))(
    'of a series that is %s, of %s',
    async (_kind, dtype, sampling, duplicates) => {
      const known = new Map<string, Map<string, Buckets>>();
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 9 }), async (steps) => {
          const series = await store.create(spec(dtype, sampling, duplicates));
          await live(series, steps);
          const reading = { db: store.db, codec: store.codec };
          const before = await answers(reading, series.id);
          const buckets = await bucketsOf(reading, series.id);
          known.set(series.id, buckets);
          await store.flush();
          expect(await answers(reading, series.id)).toEqual(before);
          expectSameBuckets(await bucketsOf(reading, series.id), buckets, dtype);
          await store.compact(series.id);
          const { db, close } = openDatabase(store.databaseUrl, { poolSize: 4, onError: () => {} });
          const codec = new CodecPool(THREAD, 1);
          try {
            expect(await answers({ db, codec }, series.id)).toEqual(before);
            expectSameBuckets(await bucketsOf({ db, codec }, series.id), buckets, dtype);
          } finally {
            await codec.close();
            await close();
          }
        }),
        { numRuns: RUNS, endOnFailure: true },
      );
      await store.loseCatalog();
      await rebuildCatalog(store, () => {});
      for (const [id, buckets] of known) {
        // Of a series without rows no shard tells.
        if (
          buckets
            .values()
            .next()
            .value!.buckets.count.every((count) => count === 0)
        )
          continue;
        expectSameBuckets(await bucketsOf({ db: store.db, codec: store.codec }, id), buckets, dtype);
      }
    },
    TIMEOUT_MS,
  );
});

describe('rows that overlap in time', () => {
  const ROWS = 3_000;
  /** Chunk by chunk over the whole time, many of one time. */
  async function overlapping(duplicates: DuplicateRule): Promise<Series> {
    const series = await store.create(spec('int16', { kind: 'irregular' }, duplicates));
    for (let n = 0; n < 6; n++) {
      const times = BigInt64Array.from({ length: ROWS }, (_, i) => BigInt(((i * 7 + n) % ROWS) >> 1) * PERIOD);
      await store.append(series, { values: Int16Array.from({ length: ROWS * 2 }, (_, i) => n * ROWS + i), times });
    }
    return getSeries(store.db, { id: series.id });
  }

  async function answered(series: Series, selection: SampleSelection, most: number, limits: PlanLimits) {
    const deps = depsOf({ db: store.db, codec: store.codec });
    const { snapshot } = await readSnapshot(deps, { ...asked(series), selection });
    const plan = await planSamples(deps, snapshot, selection, most, limits);
    const task = rowsTask(deps, snapshot, plan, { selected: null, physical: false, next: null });
    const batches: OutBatch[] = [];
    for await (const batch of rowBatches(task, deps.files, true)) batches.push(batch);
    return {
      kinds: plan.sections.map(({ kind }) => kind),
      largest: Math.max(...batches.map(({ rows }) => rows)),
      rest: plan.rest,
      rows: batches.flatMap(({ times, values }) =>
        Array.from(times!, (ns, i) => `${ns} ${values[i * 2]} ${values[i * 2 + 1]}`),
      ),
    };
  }

  test.each<DuplicateRule>(['last', 'keep'])('are put in order in bounded memory, by rule %s', async (duplicates) => {
    const series = await overlapping(duplicates);
    const most = 500;
    const limits = { orderBytes: most * (4 + 40) };
    // What is flushed by rule last has been put in order.
    for (const isFlushed of duplicates === 'keep' ? [false, true] : [false]) {
      if (isFlushed) await store.flush();
      for (const selection of [
        { by: 'time' },
        { by: 'time', startNs: 100n * PERIOD, endNs: 1_400n * PERIOD },
        { by: 'rows', from: 40, to: 17_000 },
        { by: 'rows', from: -900 },
      ] satisfies SampleSelection[]) {
        const whole = await answered(series, selection, Infinity, {});
        const found = await answered(series, selection, Infinity, limits);
        expect([whole.kinds, found.kinds]).toEqual([['held'], ['disordered']]);
        expect(found.largest).toBeLessThanOrEqual(most);
        expect(found.rows).toEqual(whole.rows);
        const pages: string[] = [];
        for (let next: SampleSelection | null = selection; next;) {
          const page = await answered(series, next, 2_000, limits);
          expect(page.rest ? page.rows.length : 2_000).toBe(2_000);
          pages.push(...page.rows);
          next = page.rest;
        }
        expect(pages).toEqual(whole.rows);
      }
    }
  });

  test.each<DuplicateRule>(['last', 'keep'])(
    'have newest ones that are found from the end, by rule %s',
    async (duplicates) => {
      const series = await overlapping(duplicates);
      await store.remove(series, { startNs: 1_490n * PERIOD, endNs: 1_495n * PERIOD });
      const deps = depsOf({ db: store.db, codec: store.codec });
      for (const isFlushed of [false, true]) {
        if (isFlushed) await store.flush();
        const { rows } = await answered(series, { by: 'time' }, Infinity, {});
        const times = rows.map((row) => row.split(' ')[0]);
        for (const newest of [1, 2, 61, 5_000, 100_000]) {
          const none = await readSampleSnapshot(store.db, { id: series.id }, { by: 'rows', from: 0, to: 0 });
          const selection = await selectNewest(deps, none, newest);
          // Rows of one time are not parted.
          const wanted = rows.slice(times.indexOf(times[Math.max(0, rows.length - newest)]));
          expect((await answered(series, selection, Infinity, {})).rows).toEqual(wanted);
        }
      }
    },
  );

  test('are counted exactly, or refused with order-too-costly', async () => {
    const series = await overlapping('keep');
    const limits = { countedRows: 1_000 };
    const tooCostly = { code: 'limit-exceeded', slug: 'order-too-costly' };
    await expect(answered(series, { by: 'rows', from: -5 }, Infinity, limits)).rejects.toMatchObject(tooCostly);
    await expect(answered(series, { by: 'rows', from: 1_001 }, Infinity, limits)).rejects.toMatchObject(tooCostly);
    const { rows } = await answered(series, { by: 'time' }, Infinity, limits);
    const found = await answered(series, { by: 'rows', from: 1_000, to: 1_010 }, Infinity, limits);
    expect(found.rows).toEqual(rows.slice(1_000, 1_010));
    // What compaction has put in order is counted without a look at it.
    const strict = await overlapping('last');
    await store.flush();
    await store.compact(strict.id);
    const none = { countedRows: 0 };
    const all = await answered(strict, { by: 'time' }, Infinity, none);
    expect((await answered(strict, { by: 'rows', from: -5 }, Infinity, none)).rows).toEqual(all.rows.slice(-5));
  });
});

test('fresh rows that came one by one are read as one chunk, in order of time if they came so, on either side of 1970', async () => {
  const step = 3_000_000_000n; // past 32 bits
  for (const places of [
    [-3, -2, -1, 0, 1, 2, 3],
    [-3, -1, -2, 0, 3, 1, 2],
  ]) {
    const series = await store.create(spec('int16', { kind: 'irregular' }, 'last'));
    for (const place of places) {
      const values = Int16Array.of(place, -place);
      await store.append(series, { values, times: BigInt64Array.of(BigInt(place) * step) });
    }
    const selection = { by: 'time', startNs: -3n * step, endNs: 4n * step } as const;
    const { chunks } = await readSampleSnapshot(store.db, { id: series.id }, selection);
    const isInOrder = places.every((place, i) => i === 0 || place > places[i - 1]);
    expect(
      chunks.map(({ firstRow, rows, firstNs, lastNs, sorted }) => ({ firstRow, rows, firstNs, lastNs, sorted })),
    ).toEqual([{ firstRow: 0, rows: 7, firstNs: -3n * step, lastNs: 3n * step, sorted: isInOrder }]);
    const { bytes } = await read({ db: store.db, codec: store.codec }, series, { selection });
    const { times, values } = unpackRecords(bytes, 'int16', 2);
    expect([...times]).toEqual([-3n, -2n, -1n, 0n, 1n, 2n, 3n].map((place) => place * step));
    expect(Array.from(values, Number)).toEqual([-3, 3, -2, 2, -1, 1, 0, 0, 1, -1, 2, -2, 3, -3]);
  }
});

describe('a plan that is made in pages', () => {
  const ROWS = 1_000;

  /** In a shard each, some of them replaced, one of them removed. */
  async function spread(): Promise<Series> {
    const series = await store.create(spec('int16', { kind: 'regular', rate: RATE, startNs: 0n }, 'last'));
    const values = (n: number): Int16Array => Int16Array.from({ length: ROWS * 2 }, (_, i) => n * 31 + i);
    for (let n = 0; n < 8; n++) {
      await store.append(series, { values: values(n), times: null }, n === 5 ? PERIOD * 100_000n : null);
      await store.flush();
    }
    const middle = { startNs: PERIOD * 1_500n, endNs: PERIOD * 2_500n };
    await store.replace(series, middle, { values: values(77), times: null });
    await store.remove(series, { startNs: PERIOD * 3_100n, endNs: PERIOD * 3_300n });
    return getSeries(store.db, { id: series.id });
  }

  const paged = { chunkLimits: { page: 2, first: 1 } };
  const reading = () => ({ ...depsOf({ db: store.db, codec: store.codec }), ...paged });
  const request = (series: Series, more: Partial<ReadRequest>): ReadRequest => ({
    ...asked(series),
    selection: { by: 'time' },
    format: 'octet',
    spelling: {},
    limit: null,
    linkTo: text,
    ...more,
  });

  test('gives the same bytes as a whole one, in every format, of every part and page', async () => {
    const series = await spread();
    for (const isFlushed of [false, true]) {
      if (isFlushed) await store.flush();
      for (const selection of [
        { by: 'time' },
        { by: 'time', startNs: 1_000n * PERIOD, endNs: 101_500n * PERIOD },
        { by: 'rows', from: 700, to: 7_900 },
        { by: 'rows', from: -1_500 },
      ] satisfies SampleSelection[]) {
        // An HDF5 file takes a third of a second.
        const isFirst = !isFlushed && !('from' in selection) && !('startNs' in selection);
        const formats = FORMATS.filter((format) => format !== 'hdf5' || isFirst);
        const cases: Partial<ReadRequest>[] = formats.map((format) => ({ format }));
        cases.push({ limit: 10 }, { limit: 2_500, format: 'json' }, { physical: true, format: 'csv' });
        for (const [from, to] of [
          [0, 0.4],
          [0.3, 0.31],
          [0.9, 1],
        ]) {
          const choosePart: ReadRequest['choosePart'] = ({ bytes }) => ({
            from: Math.floor(bytes * from),
            to: Math.floor(bytes * to),
          });
          cases.push({ choosePart, format: 'npy' }, { choosePart, format: 'octet', physical: true });
        }
        for (const more of cases) {
          const whole = await readSamples(
            depsOf({ db: store.db, codec: store.codec }),
            request(series, { selection, ...more }),
          );
          const found = await readSamples(reading(), request(series, { selection, ...more }));
          expect(found.rows).toBe(whole.rows);
          expect(digest(await bytesOf(found.body))).toBe(digest(await bytesOf(whole.body)));
        }
      }
    }
  });

  test('has no more chunks at once than a page, and finds the others where a compaction has put them', async () => {
    const series = await spread();
    const whole = await read({ db: store.db, codec: store.codec }, series, {});
    const { snapshot, plan } = await planEnough(
      reading(),
      Infinity,
      async (enough) => ({
        ...(await readSnapshot(reading(), { ...asked(series), selection: { by: 'time' } }, enough)),
        most: Infinity,
      }),
      { isPaged: true, ...paged },
    );
    expect(snapshot.chunks.filter(({ path }) => path !== null)).toHaveLength(2);
    expect(plan.later.length).toBeGreaterThan(0);
    const stream = await readSamples(reading(), request(series, { format: 'csv' }));
    const csv = await read({ db: store.db, codec: store.codec }, series, { format: 'csv' });
    await store.flush();
    await store.compact(series.id);
    expect(digest(await bytesOf(stream.body))).toBe(digest(csv.bytes));
    expect(digest((await read({ db: store.db, codec: store.codec }, series, {})).bytes)).toBe(digest(whole.bytes));
  });

  test('answers as of its beginning, or is cut off: no sample that was edited meanwhile is mixed in', async () => {
    const series = await spread();
    const before = await read({ db: store.db, codec: store.codec }, series, {});
    const edit = { startNs: PERIOD * 100_200n, endNs: PERIOD * 101_200n };
    const values = Int16Array.from({ length: ROWS * 2 }, () => -1);
    const first = await readSamples(reading(), request(series, {}));
    await store.replace(series, edit, { values, times: null });
    await store.remove(series, { startNs: PERIOD * 100_100n, endNs: PERIOD * 100_150n });
    expect(digest(await bytesOf(first.body))).toBe(digest(before.bytes));

    const again = await readSamples(reading(), request(series, {}));
    await store.replace(series, edit, { values: values.map(() => -2), times: null });
    await store.flush();
    await store.compact(series.id);
    await expect(bytesOf(again.body)).rejects.toMatchObject({ code: 'conflict', slug: 'content-changed' });
  });

  test('has the segments of what is asked alone; all where no row is', async () => {
    const { id } = await spread();
    const startsOf = async (selection: ChunkSelection): Promise<number[]> =>
      (await readSampleSnapshot(store.db, { id }, selection)).segments.map(({ firstRow }) => firstRow);
    expect(await startsOf({ by: 'rows', from: 10, to: 20 })).toEqual([0]);
    expect(await startsOf({ by: 'rows', from: 4_999, to: 5_001 })).toEqual([0, 5_000]);
    expect(await startsOf({ by: 'rows', from: 0, to: 0 })).toEqual([0, 5_000]);
    expect(await startsOf({ by: 'time', startNs: 0n, endNs: PERIOD })).toEqual([0]);
    expect(await startsOf({ by: 'time', startNs: PERIOD * 90_000n, endNs: PERIOD * 200_000n })).toEqual([5_000]);
  });

  test('of an irregular series has only the chunks that end first, where a limit is given', async () => {
    const series = await store.create(spec('int16', { kind: 'irregular' }, 'keep'));
    for (let n = 0; n < 8; n++) {
      const times = BigInt64Array.from({ length: 100 }, (_, i) => BigInt(n * 80 + i) * PERIOD);
      await store.append(series, { values: Int16Array.from({ length: 200 }, (__, i) => n * 200 + i), times });
      await store.flush();
    }
    const selection = { by: 'time', startNs: 200n * PERIOD } as const;
    const enough = { most: 110 };
    const { snapshot } = await readSnapshot(reading(), { ...asked(series), selection }, enough);
    // Two that end first have more rows than these, and one begins before the second has ended.
    expect(snapshot.chunks.map(({ firstRow }) => firstRow)).toEqual([200, 300, 400]);
    const whole = await read({ db: store.db, codec: store.codec }, series, { selection });
    for (const limit of [7, 101, 600]) {
      const bytes: Buffer[] = [];
      for (let next: SampleSelection | null = selection; next;) {
        let rest: SampleSelection | null = null;
        const linkTo = (found: SampleSelection): string => text((rest = found));
        const stream = await readSamples(reading(), request(series, { selection: next, limit, linkTo }));
        bytes.push(await bytesOf(stream.body));
        expect(rest ? stream.rows : limit).toBe(limit);
        next = rest;
      }
      expect(digest(Buffer.concat(bytes))).toBe(digest(whole.bytes));
    }
  });
});
