/** Aggregates over HTTP, beside exact rational arithmetic. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { tableFromIPC } from '@uwdata/flechette';
import { randomUUID } from 'node:crypto';
import { DTYPE_NAMES, DTYPES, isBigDtype, parseNumber, type Dtype } from '../../src/core/numbers/dtype.ts';
import { exactly, sumOf, wholeSumOf } from '../core/exact.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting } from './client.ts';

const ALL = 'count,sum,mean,min,max,first,last,std';

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;

beforeAll(async () => {
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url } });
  api = new ApiClient(service);
});

afterAll(async () => {
  await service?.drop();
  await database?.drop();
});

type Cell = number | string | null;
type Buckets = Record<string, Cell[]>;

async function aggregates(id: string, query: string): Promise<Buckets> {
  const answer = await api.get(`/v1/series/${id}/samples?${query}`);
  const [channel] = expecting(200, answer).json<{ channels: Buckets[] }>().channels;
  return channel;
}

const written = (value: number | bigint): number | string => (typeof value === 'bigint' ? String(value) : value);
/** JSON has the shortest digits that are the same float32. */
function read(dtype: Dtype, cell: Cell): number | bigint {
  const value = parseNumber(dtype, String(cell));
  return dtype === 'float32' ? Math.fround(Number(value)) : value;
}

/** Hostile to sums: both ends, large values beside a small spread, and values that cancel each other. */
function hostile(dtype: Dtype): (number | bigint)[] {
  const { range } = DTYPES[dtype];
  if (range) {
    const { min, max } = range;
    const wholes = [max, max, min, max - 1n, max - 2n, max, min, min + 1n, 0n, 1n, max / 3n, max / 7n];
    return isBigDtype(dtype) ? wholes : wholes.map(Number);
  }
  const floats = [1e12 + 1, 1e12 + 2, 1e12 + 3, 1e16, 1, -1e16, -0.1, 0.2, 1 / 3, 1e-9, -1e12, 5];
  return dtype === 'float64' ? floats : floats.map(Math.fround);
}

describe.each(['regular', 'irregular'] as const)('of a %s series', (kind) => {
  test.each(DTYPE_NAMES)('all aggregates of %s are those of exact arithmetic', async (dtype) => {
    const values = hostile(dtype);
    const sampling = kind === 'regular' ? { kind, rate_hz: 1 } : { kind };
    const { id } = await api.createSeries({ name: randomUUID(), dtype, sampling });
    const times = values.map((_, i) => String(BigInt(i) * 10n ** 9n));
    // Some in one append and some in their own, so that chunks grow and are merged.
    for (const [from, to] of [
      [0, 5],
      [5, 6],
      [6, 7],
      [7, 12],
    ] as const) {
      const body = {
        values: values.slice(from, to).map(written),
        ...(kind === 'irregular' && { times: times.slice(from, to) }),
      };
      await api.append(id, body);
    }
    for (const [every, size] of [
      ['1d', 12],
      ['4s', 4],
      ['3s', 3],
      ['1s', 1],
    ] as const) {
      for (const agg of [ALL, 'sum,mean', 'min,max,count', 'mean']) {
        const found = await aggregates(id, `every=${every}&agg=${agg}`);
        for (let b = 0; b * size < values.length; b++) {
          const own = values.slice(b * size, (b + 1) * size);
          const exact = exactly(own);
          const sorted = [...own].sort((x, y) => (x < y ? -1 : x > y ? 1 : 0));
          const most = Math.max(...own.map((value) => Math.abs(Number(value))));
          const check = (name: string, isRight: (cell: Cell) => boolean): void => {
            if (found[name])
              expect([name, every, agg, found[name][b], isRight(found[name][b])]).toEqual([
                name,
                every,
                agg,
                found[name][b],
                true,
              ]);
          };
          check('count', (cell) => cell === own.length);
          check('min', (cell) => read(dtype, cell) === sorted[0]);
          check('max', (cell) => read(dtype, cell) === sorted.at(-1));
          check('first', (cell) => read(dtype, cell) === own[0]);
          check('last', (cell) => read(dtype, cell) === own.at(-1));
          if (DTYPES[dtype].kind === 'int') {
            check('sum', (cell) => BigInt(cell!) === wholeSumOf(exact));
            check('sum', (cell) => (typeof cell === 'string') === !Number.isSafeInteger(Number(cell)));
            check('mean', (cell) => cell === exact.mean);
          } else {
            check('sum', (cell) => cell === sumOf(exact));
            check('mean', (cell) => Math.abs(Number(cell) - exact.mean) <= most * 2 ** -52);
          }
          check('mean', (cell) => Number(cell) >= Number(sorted[0]) && Number(cell) <= Number(sorted.at(-1)));
          check('std', (cell) =>
            own.length < 2 ? cell === null : Math.abs(Number(cell) - exact.std) <= exact.std * 1e-12,
          );
        }
      }
    }
    const overview = await aggregates(id, 'points=2');
    for (const [b, mean] of overview.mean.entries()) {
      if (mean === null) continue;
      expect(Number(mean)).toBeGreaterThanOrEqual(Number(overview.min[b]));
      expect(Number(mean)).toBeLessThanOrEqual(Number(overview.max[b]));
    }
  });
});

test('int64 of one value has its mean, no deviation, and a sum of every digit', async () => {
  const { id } = await api.createSeries({
    name: randomUUID(),
    dtype: 'int64',
    sampling: { kind: 'regular', rate_hz: 1000 },
  });
  const values = new BigInt64Array(100_000).fill(1_702_878_157_125_929_618n);
  const octets = { 'content-type': 'application/octet-stream' };
  expecting(
    201,
    await api.send('POST', `/v1/series/${id}/samples`, { headers: octets, body: new Uint8Array(values.buffer) }),
  );
  const path = `/v1/series/${id}/samples?every=1d&agg=sum,mean,std`;
  const found = await aggregates(id, 'every=1d&agg=sum,mean,std');
  expect(found).toMatchObject({ sum: ['170287815712592961800000'], mean: [Number(values[0])], std: [0] });
  const query = { series: [id], every: '1d', agg: ['sum'], format: 'csv' };
  expect(expecting(200, await api.post('/v1/query', query)).body.toString()).toContain(',170287815712592961800000\n');
  const wide = expecting(200, await api.post('/v1/query', { ...query, form: 'wide', format: 'json' }));
  expect(Object.values(wide.json<{ data: Buckets }>().data)[1]).toEqual(['170287815712592961800000']);
  // Columns of a fixed width have the nearest double.
  const arrow = tableFromIPC(expecting(200, await api.get(`${path}&format=arrow-stream`)).body);
  expect([...arrow.getChildAt(3)]).toEqual([Number(170_287_815_712_592_961_800_000n)]);
  expecting(200, await api.get(`${path}&format=npy`));
});

test('float64 that is large beside its spread has its deviation, raw and physical', async () => {
  const { id } = await api.createSeries({
    name: randomUUID(),
    dtype: 'float64',
    scale: -0.5,
    offset: 3,
    sampling: { kind: 'regular', rate_hz: 1000 },
  });
  const values = Float64Array.from({ length: 100_000 }, (_, i) => 1e12 + 1 + (i % 5));
  const octets = { 'content-type': 'application/octet-stream' };
  expecting(
    201,
    await api.send('POST', `/v1/series/${id}/samples`, { headers: octets, body: new Uint8Array(values.buffer) }),
  );
  const std = Math.sqrt(200_000 / 99_999);
  const raw = await aggregates(id, 'every=1d&agg=mean,std');
  expect([raw.mean[0], raw.std[0]]).toEqual([1e12 + 3, expect.closeTo(std, 12)]);
  const physical = await aggregates(id, 'every=1d&agg=mean,std,sum,min,max&physical=true');
  expect(physical).toEqual({
    label: physical.label,
    unit: null,
    sum: [(1e12 + 3) * -0.5 * 1e5 + 3e5],
    mean: [(1e12 + 3) * -0.5 + 3],
    min: [(1e12 + 5) * -0.5 + 3],
    max: [(1e12 + 1) * -0.5 + 3],
    std: [expect.closeTo(std / 2, 12)],
  });
});
