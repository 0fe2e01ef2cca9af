/** Buckets say what the rows in them say, wherever the rows lie and whatever answers for them. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { fixedBorders, type Aggregate } from '../../src/core/overview/aggregate-span.ts';
import { DTYPES, viewAs, type Dtype, type SampleArray } from '../../src/core/numbers/dtype.ts';
import { parseRate } from '../../src/core/signal/rate.ts';
import { timesOfRows } from '../../src/core/signal/segment.ts';
import { UNSAID, type DuplicateRule, type NewSeries, type Series } from '../../src/core/signal/series.ts';
import { getSeries } from '../../src/catalog/series/series-store.ts';
import { readSampleSnapshot } from '../../src/catalog/read/sample-snapshot.ts';
import { readBuckets } from '../../src/flows/overview/read-overview.ts';
import { AnswerRoom } from '../../src/flows/read/answer-room.ts';
import { readLatest } from '../../src/flows/read/latest-read.ts';
import type { BucketRequest, WantedBuckets } from '../../src/flows/overview/overview-service.ts';
import { unpackRecords } from '../../src/formats/binary/packed-records.ts';
import { eachOpened } from '../../src/storage/read/shard-files.ts';
import { execute } from '../support/postgres.ts';
import { Store } from './store.ts';
import { modelRuns } from '../support/model-runs.ts';

const RATE = parseRate('1000/3')!;
const RUNS = modelRuns(1);

let store: Store;
beforeAll(async () => {
  store = await Store.open();
});
afterAll(async () => {
  await store.close();
});

let names = 0;
type Missing = NewSeries['missingValue'];
function spec(
  dtype: Dtype,
  channels: number,
  sampling: NewSeries['sampling'],
  duplicates: DuplicateRule = 'last',
  missingValue: Missing = null,
) {
  return {
    name: `series ${names++}`,
    description: null,
    dtype,
    channels: Array.from({ length: channels }, (_, i) => ({ label: `c${i}` })),
    unit: 'mV',
    scale: 1,
    offset: 0,
    sampling,
    timeReference: 'utc' as const,
    duplicates,
    codec: 'gzip' as const,
    tags: {},
    ...UNSAID,
    missingValue,
    provenance: {},
  };
}
const regular = (dtype: Dtype, channels: number, missing?: Missing): Promise<Series> =>
  store.create(spec(dtype, channels, { kind: 'regular', rate: RATE, startNs: 0n }, 'last', missing));
const irregular = (dtype: Dtype, channels: number, duplicates: DuplicateRule, missing?: Missing): Promise<Series> =>
  store.create(spec(dtype, channels, { kind: 'irregular' }, duplicates, missing));

/** Small and large numbers, and NaN where there can be one. @param missing is one in ten, and all of some stretches */
function values(dtype: Dtype, count: number, seed: number, missing: Missing = null): SampleArray {
  const out = new DTYPES[dtype].array(count);
  const { range } = DTYPES[dtype];
  let state = (seed + 1) * 2654435761;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const draw = state / 2 ** 32;
    const isMissing = missing !== null && ((draw > 0.4 && draw < 0.5) || (i >> 9) % 4 === 1);
    if (isMissing) out[i] = missing;
    else if (dtype === 'int64' || dtype === 'uint64') {
      const wide = draw > 0.999 ? range!.max : draw < 0.001 ? range!.min : BigInt(Math.floor(draw * 1000));
      out[i] = wide;
    } else if (range) out[i] = Math.floor(draw * 60_000) - (range.min < 0n ? 30_000 : 0);
    else out[i] = draw < 0.05 ? NaN : (draw - 0.5) * 10 ** ((state % 7) - 3);
  }
  return out;
}

interface Rows {
  readonly times: BigInt64Array;
  readonly values: SampleArray;
  readonly channels: number;
  readonly missing: Missing;
}

/** All rows that a reader sees, in order of time. */
async function rowsOf(series: Series): Promise<Rows> {
  const bytes = await store.read(series, { by: 'time' });
  const channels = series.channels.length;
  const shape = { channels, missing: series.missingValue };
  if (series.sampling.kind === 'irregular') return { ...unpackRecords(bytes, series.dtype, channels), ...shape };
  const {
    segments,
    holes,
    series: now,
  } = await readSampleSnapshot(store.db, { id: series.id }, { by: 'rows', from: 0, to: 0 });
  const all = timesOfRows(segments, series.sampling.rate, { from: 0, to: now.rows });
  const isHole = (row: number): boolean => holes.some(({ from, to }) => row >= from && row < to);
  return { times: all.filter((_, row) => !isHole(row)), values: viewAs(series.dtype, bytes), ...shape };
}

interface Answer {
  readonly buckets: { readonly start: string[]; readonly end: string[]; readonly count: number[] };
  readonly channels: ReadonlyArray<Record<Aggregate, (number | string | null)[]>>;
}

async function ask(series: Series, wanted: WantedBuckets, more: Partial<BucketRequest> = {}): Promise<Answer> {
  const { body } = await readBuckets(
    { db: store.db, root: store.root, codec: store.codec, room: store.room },
    {
      principal: { tokenId: series.id, scopes: ['read'], projects: null },
      ref: { id: series.id },
      wanted,
      format: 'json',
      channels: null,
      physical: false,
      signal: new AbortController().signal,
      ...more,
    },
  );
  return JSON.parse(Buffer.from(body).toString()) as Answer;
}

function near(found: number | string | null, wanted: number | null, scale: number): void {
  if (wanted === null) expect(found).toBeNull();
  else expect(Math.abs(Number(found) - wanted)).toBeLessThanOrEqual(1e-6 * scale + 1e-9 * Math.abs(wanted));
}

/** Compares every bucket with its rows. @returns rows in buckets */
function check(answer: Answer, { times, values, channels, missing }: Rows, startNs: bigint, endNs: bigint): number {
  let inBuckets = 0;
  const { start, end, count } = answer.buckets;
  let row = 0;
  let before = -(2n ** 63n);
  for (let b = 0; b < start.length; b++) {
    const [from, to] = [BigInt(start[b]), BigInt(end[b])];
    expect(from).toBeGreaterThanOrEqual(before);
    expect(to).toBeGreaterThanOrEqual(from);
    before = to;
    while (row < times.length && (times[row] < from || times[row] < startNs)) row++;
    const first = row;
    while (row < times.length && times[row] < to && times[row] < endNs) row++;
    inBuckets += row - first;
    let most = 0;
    for (let c = 0; c < channels; c++) {
      const own: (number | bigint)[] = [];
      for (let i = first; i < row; i++) {
        const value = values[i * channels + c];
        if (value === value && value !== missing) own.push(value);
      }
      most = Math.max(most, own.length);
      const channel = answer.channels[c];
      const min = own.length === 0 ? null : own.reduce((x, y) => (y < x ? y : x));
      const max = own.length === 0 ? null : own.reduce((x, y) => (y > x ? y : x));
      const isSingle = values instanceof Float32Array;
      const same = (found: number | string | null): number | bigint | null =>
        typeof min === 'bigint'
          ? BigInt(found!)
          : found === null
            ? null
            : isSingle
              ? Math.fround(Number(found))
              : Number(found);
      const sum = own.reduce<number>((x, y) => x + Number(y), 0);
      const scale = Math.max(Math.abs(Number(min ?? 0)), Math.abs(Number(max ?? 0)));
      if (channel.min) expect({ b, min: same(channel.min[b]) }).toEqual({ b, min });
      if (channel.max) expect({ b, max: same(channel.max[b]) }).toEqual({ b, max });
      if (channel.mean) near(channel.mean[b], own.length === 0 ? null : sum / own.length, scale);
      if (channel.sum) near(channel.sum[b], own.length === 0 ? null : sum, scale * own.length);
      if (channel.count) expect(channel.count[b]).toBe(own.length);
      if (channel.first) expect(own.length === 0 ? null : same(channel.first[b])).toEqual(own.at(0) ?? null);
      if (channel.last) expect(own.length === 0 ? null : same(channel.last[b])).toEqual(own.at(-1) ?? null);
      if (channel.std) {
        const mean = sum / own.length;
        const squares = own.reduce<number>((x, y) => x + (Number(y) - mean) ** 2, 0);
        near(channel.std[b], own.length < 2 ? null : Math.sqrt(squares / (own.length - 1)), scale);
      }
    }
    expect({ b, count: count[b] }).toEqual({ b, count: most });
  }
  return inBuckets;
}

async function checkAll(series: Series, seed: number): Promise<void> {
  const now = await getSeries(store.db, { id: series.id });
  const rows = await rowsOf(now);
  const [first, last] = [rows.times[0], rows.times.at(-1)!];
  const within = (share: number): bigint => first + ((last - first) * BigInt(Math.floor(share * 1e6))) / 1_000_000n;
  const inRange = (from: bigint, to: bigint): number => rows.times.filter((ns) => ns >= from && ns < to).length;
  for (const points of [1, 7, 40, 300]) {
    expect(check(await ask(series, { by: 'points', points }), rows, first, last + 1n)).toBe(rows.times.length);
    const [startNs, endNs] = [within(0.1 + (seed % 7) / 20), within(0.6 + (seed % 5) / 20)];
    const part = await ask(series, { by: 'points', points }, { startNs, endNs });
    expect(part.buckets.start).toHaveLength(points);
    expect(check(part, rows, startNs, endNs)).toBe(inRange(startNs, endNs));
  }
  const ns = (last - first) / 17n + BigInt(seed);
  for (const aggregates of [
    ['count', 'sum', 'mean', 'min', 'max'],
    ['first', 'last', 'std', 'mean', 'max'],
  ] satisfies Aggregate[][]) {
    const wanted: WantedBuckets = { by: 'every', every: { kind: 'fixed', ns }, zone: 'UTC', aggregates, fill: 'null' };
    const [startNs, endNs] = [within(0.2), within(0.9)];
    const answer = await ask(series, wanted, { startNs, endNs });
    expect(answer.buckets.start).toEqual([...fixedBorders(ns, startNs, endNs)].slice(0, -1).map(String));
    expect(check(answer, rows, startNs, endNs)).toBe(inRange(startNs, endNs));
    expect(check(await ask(series, wanted), rows, first, last + 1n)).toBe(rows.times.length);
  }
  for (const most of [1, 10, 5000]) {
    const bytes = await latest(now, most);
    const whole = await store.read(now, { by: 'time' });
    const rowBytes = whole.length / rows.times.length;
    if (now.duplicates !== 'keep')
      expect(bytes.equals(whole.subarray(Math.max(0, whole.length - most * rowBytes)))).toBe(true);
  }
}

async function latest(series: Series, rows: number): Promise<Buffer> {
  const { body } = await readLatest(
    { db: store.db, root: store.root, files: eachOpened(store.root), codec: store.codec, room: new AnswerRoom() },
    {
      principal: { tokenId: series.id, scopes: ['read'], projects: null },
      ref: { id: series.id },
      rows,
      format: 'octet',
      spelling: {},
      channels: null,
      physical: false,
      signal: new AbortController().signal,
    },
  );
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

async function compact(series: Series): Promise<void> {
  await store.flush();
  await store.compact(series.id);
}

async function hole(series: Series, from: number, to: number): Promise<void> {
  const { segments } = await readSampleSnapshot(store.db, { id: series.id }, { by: 'rows', from: 0, to: 0 });
  const times = timesOfRows(segments, RATE, { from, to });
  await store.remove(series, { startNs: times[0], endNs: times.at(-1)! + 1n });
}

const erase = async (series: Series, startNs: bigint, endNs: bigint): Promise<void> => {
  await store.remove(series, { startNs, endNs });
};

/** A piece of a recording, and what is done after it. */
const part = fc.record({
  rows: fc.integer({ min: 100, max: 12_000 }),
  gap: fc.boolean(),
  next: fc.constantFrom('nothing', 'flush', 'compact', 'hide'),
});

describe('buckets of a regular series', () => {
  test.each<[Dtype, number, Missing]>([
    ['int16', 1, null],
    ['float64', 2, null],
    ['int64', 1, null],
    ['int8', 2, -128],
    ['uint64', 1, 2n ** 64n - 1n],
  ])(
    'of %s say exactly what its rows say, fresh, flushed, compacted and with holes',
    async (dtype, channels, missing) => {
      await fc.assert(
        fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 5 }), fc.nat(1000), async (parts, seed) => {
          const series = await regular(dtype, channels, missing);
          let row = 0;
          let endNs = 0n;
          for (const [i, { rows, gap, next }] of parts.entries()) {
            const startNs = gap ? endNs + BigInt(1 + ((seed * 7919) % 30)) * 1_000_000_000n : null;
            await store.append(
              series,
              { values: values(dtype, rows * channels, seed + i, missing), times: null },
              startNs,
            );
            endNs = (await getSeries(store.db, { id: series.id })).lastNs! + 3_000_000n;
            if (next === 'hide' && rows > 10)
              await hole(series, row + Math.floor(rows / 3), row + Math.floor(rows / 2));
            row += rows;
            if (next === 'flush') await store.flush();
            if (next === 'compact') await compact(series);
          }
          await checkAll(series, seed);
        }),
        { numRuns: RUNS },
      );
    },
  );
});

describe('buckets of an irregular series', () => {
  test.each<[Dtype, number, DuplicateRule, Missing]>([
    ['int32', 1, 'last', null],
    ['float32', 2, 'keep', null],
    ['uint64', 1, 'last', null],
    ['int64', 2, 'keep', -(2n ** 63n)],
    ['float32', 1, 'last', 0],
  ])(
    'of %s say exactly what its rows say, fresh, flushed, compacted, late and erased',
    async (dtype, channels, duplicates, missing) => {
      await fc.assert(
        fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 5 }), fc.nat(1000), async (parts, seed) => {
          const series = await irregular(dtype, channels, duplicates, missing);
          let at = 0n;
          for (const [i, { rows, gap, next }] of parts.entries()) {
            let state = seed + i;
            const begin = gap ? at : at - BigInt(Math.floor(rows / 10)) * 50_000n;
            const times = BigInt64Array.from({ length: rows }, (_, k) => {
              state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
              return begin + BigInt(k) * 50_000n + BigInt(gap ? 0 : (state % 3) * 50_000);
            });
            await store.append(series, { values: values(dtype, rows * channels, seed + i, missing), times });
            if (next === 'hide') {
              await erase(
                series,
                begin + BigInt(Math.floor(rows / 3)) * 50_000n,
                begin + BigInt(Math.floor(rows / 2)) * 50_000n,
              );
            }
            at = times.reduce((a, b) => (b > a ? b : a), at) + (gap ? 1_000_000_000n : 50_000n);
            if (next === 'flush') await store.flush();
            if (next === 'compact') await compact(series);
          }
          await checkAll(series, seed);
        }),
        { numRuns: RUNS },
      );
    },
  );
});

/** So many rows that two levels of summaries are stored. */
const MANY = 300_000;

describe('a long series', () => {
  test('that is regular is told by coarse cells, with a hole, a gap and rows that are fresh', async () => {
    const series = await regular('int16', 1, -32_768);
    await store.append(series, { values: values('int16', MANY, 1, -32_768), times: null });
    await compact(series);
    await hole(series, 100_000, 100_100);
    await store.append(series, { values: values('int16', 50_000, 2), times: null }, 2_000_000_000_000n);
    await checkAll(series, 5);
  });

  test('that is irregular is told by coarse cells, with an erasure and rows that came late', async () => {
    const series = await irregular('int16', 1, 'last', 0);
    const times = BigInt64Array.from({ length: MANY }, (_, i) => BigInt(i) * 1000n);
    await store.append(series, { values: values('int16', MANY, 1, 0), times });
    await compact(series);
    await erase(series, 50_000_000n, 50_100_000n);
    const late = BigInt64Array.from({ length: 5000 }, (_, i) => 200_000_000n + BigInt(i) * 1500n);
    await store.append(series, { values: values('int16', 5000, 3), times: late });
    await checkAll(series, 5);
  });
});

describe('what has expired', () => {
  const expire = (series: Series, ns: bigint): Promise<void> =>
    execute(store.databaseUrl, `update heads set expired_ns = ${ns} where series_id = '${series.id}'`);

  test.each([['regular'], ['irregular']])('of a series that is %s is still told by its summaries', async (kind) => {
    const series = kind === 'regular' ? await regular('int16', 1) : await irregular('int16', 1, 'last');
    const rows = 30_000;
    const step = 3_000_000n;
    const times = BigInt64Array.from({ length: rows }, (_, i) => BigInt(i) * step);
    const all: Rows = { times, values: values('int16', rows, 1), channels: 1, missing: null };
    await store.append(series, { values: all.values, times: kind === 'regular' ? null : times });
    await compact(series);
    await expire(series, 20_000n * step + 1n);
    for (const points of [1, 20, 300]) {
      const answer = await ask(series, { by: 'points', points });
      expect(answer.buckets.start).toHaveLength(points);
      expect(check(answer, all, 0n, times[rows - 1] + 1n)).toBe(rows);
    }
    const part = await ask(series, { by: 'points', points: 10 }, { startNs: 1_000n * step + 5n, endNs: 9_000n * step });
    const [from, to] = [BigInt(part.buckets.start[0]), BigInt(part.buckets.end[9])];
    expect(Number(1_000n * step + 5n - from)).toBeLessThan(64 * Number(step));
    check(part, all, from, to);
    const every = { kind: 'fixed', ns: 1_000n * step } as const;
    const means = await ask(series, { by: 'every', every, zone: 'UTC', aggregates: ['mean', 'first'], fill: 'none' });
    expect(means.buckets.start).toHaveLength(30);
    // Of the cell with the first row that is there, the others are not told.
    expect(means.buckets.count.reduce((a, b) => a + b)).toBe(rows - (20_001 % 64));
    expect(means.channels[0].first.slice(0, 20)).toEqual(new Array(20).fill(null));
    expect((await latest(await getSeries(store.db, { id: series.id }), 20_000)).length).toBe(
      (rows - 20_001) * (kind === 'regular' ? 2 : 10),
    );
  });
});

describe('a line', () => {
  test.each(['regular', 'irregular'])(
    'of a %s series has the first and the last row and the extremes',
    async (kind) => {
      const isRegular = kind === 'regular';
      const series = await (isRegular ? regular('float64', 1) : irregular('float64', 1, 'last'));
      const wave = Float64Array.from({ length: 20_000 }, (_, i) => Math.sin(i / 700) + (i === 7777 ? 50 : 0));
      const ticks = isRegular ? null : BigInt64Array.from(wave, (_, i) => BigInt(i) * 3_000_000n);
      await store.append(series, { values: wave, times: ticks });
      for (const compacted of [false, true]) {
        if (compacted) await compact(series);
        const { times, values: lists } = (await ask(series, { by: 'line', points: 60 })) as unknown as {
          times: string[];
          values: number[][];
        };
        expect(times).toHaveLength(60);
        expect(Math.max(...lists[0])).toBe(wave[7777]);
        expect([times[0], lists[0][0]]).toEqual(['0', wave[0]]);
        expect([times.at(-1), lists[0].at(-1)]).toEqual([String(19_999n * 3_000_000n), wave[19_999]]);
        expect(times.every((ns, i) => i === 0 || BigInt(ns) > BigInt(times[i - 1]))).toBe(true);
        if (!compacted)
          expect(lists[0].every((value, i) => wave[Number(BigInt(times[i]) / 3_000_000n)] === value)).toBe(true);
      }
    },
  );
});

describe('rows that lie in a compacted shard, in flushed ones, in a spool file and in Postgres', () => {
  const SPOOLED = 150_000;
  const STEP_NS = 3_000_000n;

  /** Counts, extremes and sums, which are the same wherever rows lie, and means, which are nearly so. */
  async function told(series: Series): Promise<{ exact: unknown; means: unknown[] }> {
    const means: unknown[] = [];
    const exact: unknown[] = [];
    const every = { kind: 'fixed', ns: 7_000_000_000n } as const;
    const aggregates: Aggregate[] = ['count', 'sum', 'min', 'max', 'first', 'last', 'mean'];
    for (const wanted of [
      ...[1, 20, 1000].map((points): WantedBuckets => ({ by: 'points', points })),
      { by: 'every', every, zone: 'UTC', aggregates, fill: 'null' } as const,
    ]) {
      const { buckets, channels } = await ask(series, wanted);
      for (const { mean, ...others } of channels) {
        exact.push(others);
        means.push(mean);
      }
      exact.push(buckets);
    }
    return { exact, means };
  }

  test.each(['regular', 'irregular'])('of a %s series are told as if they were in one', async (kind) => {
    const isRegular = kind === 'regular';
    const make = () => (isRegular ? regular('int32', 1) : irregular('int32', 1, 'last'));
    const [mixed, single] = [await make(), await make()];
    let row = 0;
    const part = (rows: number, late = 0): { values: SampleArray; times: BigInt64Array | null } => {
      const times = BigInt64Array.from({ length: rows }, (_, i) => BigInt(row + i - late) * STEP_NS);
      row += rows;
      return { values: values('int32', rows, row), times: isRegular ? null : times };
    };
    const both = async (...batch: Parameters<typeof part>): Promise<void> => {
      const rows = part(...batch);
      for (const series of [mixed, single]) await store.append(series, rows);
    };
    const edit = { startNs: 9_990n * STEP_NS, endNs: 10_010n * STEP_NS };
    await both(30_000);
    await compact(mixed);
    await both(10_000, 500);
    await store.flush();
    await both(SPOOLED);
    for (const rows of [1, 1, 3000, 1]) await both(rows, rows);
    for (const series of [mixed, single]) await store.remove(series, edit);
    const { rows: fresh } = { rows: await store.db.selectFrom('fresh').selectAll().execute() };
    const own = fresh.filter(({ series_id: id }) => id === mixed.id);
    expect(own.some(({ spool_id: id }) => id !== null) && own.some(({ spool_id: id }) => id === null)).toBe(true);

    const before = await told(mixed);
    await compact(single);
    for (const after of [await told(single), await told(mixed)]) {
      expect(after.exact).toEqual(before.exact);
      after.means.flat().forEach((mean, i) => {
        const known = before.means.flat()[i] as number | null;
        if (known === null) expect(mean).toBeNull();
        else expect(Math.abs((mean as number) - known)).toBeLessThan(1e-3);
      });
    }
    expect(
      check(await ask(single, { by: 'points', points: 77 }), await rowsOf(single), -(2n ** 62n), 2n ** 62n),
    ).toBeGreaterThan(row / 2);
  });
});
