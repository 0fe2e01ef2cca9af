/** Time on regular series: stamps that are heard, gaps that stay, rows that come late, clocks that are wrong or drift. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { compactAll, flushAll } from '../support/command.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { describePython } from '../support/python.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, type Answer, type Problem } from './client.ts';
import { encode, MEDIA_TYPES, type Format } from './sample-bodies.ts';

const S = 1_000_000_000n;
const T0 = 1_777_626_000n * S;
const at = (seconds: number): string => String(T0 + BigInt(Math.round(seconds * 1e9)));

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

const create = async (rate: number, fields: object = {}, sampling: object = {}): Promise<string> => {
  const regular = { kind: 'regular', rate_hz: rate, ...sampling };
  return (await api.createSeries({ name: randomUUID(), dtype: 'int32', sampling: regular, ...fields })).id;
};

const flush = (): Promise<unknown> => flushAll(service.dataRoot, { DATABASE_URL: database.url });
const compact = (): Promise<unknown> => compactAll(service.dataRoot, { DATABASE_URL: database.url });

/** Seconds and value of each row, as a read answers them. */
async function rows(id: string, query = ''): Promise<[number, unknown][]> {
  const { times, values } = await api.read(id, query);
  return times.map((ns, i) => [Number(BigInt(ns) - T0) / 1e9, values[0][i]]);
}

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

async function segments(id: string, query = ''): Promise<[start: number, end: number, rows: number, first: number][]> {
  const answer = await api.get(`/v1/series/${id}/segments${query}`);
  const { items } = expecting(200, answer).json<{
    items: { start: string; end: string; rows: number; first_row: number }[];
  }>();
  const seconds = (ns: string): number => Number(BigInt(ns) - T0) / 1e9;
  return items.map(({ start, end, rows: count, first_row: first }) => [seconds(start), seconds(end), count, first]);
}

async function marks(id: string): Promise<{ row: number; time: string }[]> {
  const all: { row: number; time: string }[] = [];
  for (let next: string | null = `/v1/series/${id}/clock-marks?limit=50`; next;) {
    const page: { items: { row: number; time: string }[]; next: string | null } = expecting(
      200,
      await api.get(next),
    ).json();
    all.push(...page.items);
    ({ next } = page);
  }
  return all;
}

const post = (
  id: string,
  format: Format,
  body: string | Uint8Array,
  method: 'POST' | 'PUT' = 'POST',
  query = '',
): Promise<Answer> =>
  api.send(method, `/v1/series/${id}/samples${query}`, { headers: { 'content-type': MEDIA_TYPES[format] }, body });

describe('rows that come late', () => {
  /** Rows 0–9 at 0–9 s, 10–19 at 100–109 s, and 20–24 at 50–54 s. */
  async function late(): Promise<string> {
    const id = await create(1);
    await api.append(id, { start: at(0), values: numbers(0, 10) });
    await api.append(id, { start: at(100), values: numbers(10, 20) });
    expect(await api.append(id, { start: at(50), values: numbers(20, 25) })).toMatchObject({
      first_row: 20,
      last_row: 24,
    });
    return id;
  }

  const IN_TIME = [
    ...numbers(0, 10).map((n) => [n, n]),
    ...numbers(0, 5).map((n) => [50 + n, 20 + n]),
    ...numbers(0, 10).map((n) => [100 + n, 10 + n]),
  ];

  test.each(['fresh', 'flushed', 'compacted'])('lie in their place in time, %s', async (state) => {
    const id = await late();
    if (state !== 'fresh') await flush();
    if (state === 'compacted') await compact();
    expect(await rows(id, `?start=${at(0)}`)).toEqual(IN_TIME);
    expect(await rows(id, '?rows=18:22')).toEqual([[108, 18], [109, 19], [50, 20], [51, 21]]); // prettier-ignore
    expect(await rows(id, `?start=${at(8)}&end=${at(101)}`)).toEqual(IN_TIME.slice(8, 16));
    expect(await rows(id, '?latest=12')).toEqual(IN_TIME.slice(-12));
    expect(await segments(id)).toEqual([[0, 10, 10, 0], [50, 55, 5, 20], [100, 110, 10, 10]]); // prettier-ignore
    expect(await segments(id, `?start=${at(10)}&end=${at(55)}&limit=1`)).toEqual([[50, 55, 5, 20]]);
    // Page after page, in order of time.
    const paged: [number, unknown][] = [];
    for (let next: string | null = `/v1/series/${id}/samples?start=${at(0)}&limit=4`; next;) {
      const page: { times: string[]; values: number[]; next: string | null } = expecting(
        200,
        await api.get(next),
      ).json();
      paged.push(...page.times.map((ns, i): [number, unknown] => [Number(BigInt(ns) - T0) / 1e9, page.values[i]]));
      ({ next } = page);
    }
    expect(paged).toEqual(IN_TIME);
    const series = expecting(200, await api.get(`/v1/series/${id}?include=last_value`)).json<{ last_value: unknown }>();
    expect(series.last_value).toMatchObject({ row: 19, values: [19] });
    // What goes on goes on after the last in time, whatever came last.
    expect(await api.append(id, { values: [99] })).toMatchObject({ first_row: 25 });
    expect((await rows(id)).at(-1)).toEqual([110, 99]);
  });

  test('are edited where they lie: a removal of 0 to 60 s does not touch those at 100 s', async () => {
    const id = await late();
    const removed = expecting(200, await api.delete(`/v1/series/${id}/samples?start=${at(5)}&end=${at(60)}`));
    expect(removed.json()).toMatchObject({ removed: 10 });
    expect(await rows(id)).toEqual(IN_TIME.filter(([second]) => second < 5 || second >= 60));
    // Filled again, over ranges of rows that lie apart.
    const body = JSON.stringify({ values: numbers(70, 80) });
    expecting(200, await post(id, 'json', body, 'PUT', `?start=${at(5)}&end=${at(60)}`));
    const filled = [5, 6, 7, 8, 9, 50, 51, 52, 53, 54].map((second, i) => [second, 70 + i]);
    expect((await rows(id)).filter(([second]) => second >= 5 && second < 60)).toEqual(filled);
    await flush();
    expect((await rows(id)).filter(([second]) => second >= 5 && second < 60)).toEqual(filled);
  });

  test('over others are refused with their range, and with what replaces them', async () => {
    const id = await late();
    for (const [start, count, from, to] of [
      [52, 1, '09:00:52Z', '09:00:53Z'],
      [48, 4, '09:00:50Z', '09:00:52Z'],
      [95, 20, '09:01:40Z', '09:01:50Z'],
      [-5, 6, '09:00:00Z', '09:00:01Z'],
    ] as const) {
      const answer = await api.post(`/v1/series/${id}/samples`, { start: at(start), values: numbers(0, count) });
      const problem = expecting(422, answer).json<Problem>();
      expect(problem).toMatchObject({ type: 'urn:varve:problem:overlap', errors: [{ field: 'start' }] });
      expect(problem.detail).toContain(`PUT …/samples?start=2026-05-01T${from}&end=2026-05-01T${to}`);
    }
    expect(await rows(id)).toEqual(IN_TIME);
    // Between them there is room, to the last row.
    for (const [start, count] of [
      [10, 40],
      [55, 45],
      [-3, 3],
    ] as const)
      // prettier-ignore
      await api.append(id, { start: at(start), values: numbers(0, count) });
    expect((await segments(id)).map(([, end]) => end)).toEqual([0, 10, 50, 55, 100, 110]);
  });
});

describe('a clock that was wrong', () => {
  test('of 2099 is forgotten once its rows are removed', async () => {
    const id = await create(10);
    await api.append(id, { start: '2099-01-01T00:00:00Z', values: [1, 2, 3] });
    expecting(200, await api.delete(`/v1/series/${id}/samples?start=2099-01-01`));
    await api.append(id, { start: at(0), values: [4, 5] });
    await api.append(id, { values: [6] });
    expect(await rows(id)).toEqual([[0, 4], [0.1, 5], [0.2, 6]]); // prettier-ignore
    expect(await api.series(id)).toMatchObject({ last_time: '2026-05-01T09:00:00.2Z' });
  });

  test('in the newest rows alone: what comes next goes on after those that are left', async () => {
    const id = await create(10);
    await api.append(id, { start: at(0), values: [1, 2] });
    await api.append(id, { start: '2099-01-01T00:00:00Z', values: [3, 4] });
    expecting(200, await api.delete(`/v1/series/${id}/samples?start=2099-01-01`));
    await api.append(id, { values: [5] });
    await api.append(id, { start: at(0.3), values: [6] });
    await flush();
    await compact();
    // And its time is free, even where the wrong rows were.
    await api.append(id, { start: '2099-01-01T00:00:00.1Z', values: [7] });
    expect((await api.read(id)).values).toEqual([[1, 2, 5, 6, 7]]);
  });
});

/** A body of one channel in each format that has times on rows. */
const STAMPED = {
  csv: (times: readonly number[]) => `time,value\n${times.map((t, i) => `${at(t)},${i}\n`).join('')}`,
  ndjson: (times: readonly number[]) => times.map((t, i) => `{"time":"${at(t)}","values":[${i}]}\n`).join(''),
  json: (times: readonly number[]) => JSON.stringify({ times: times.map(at), values: times.map((_, i) => i) }),
  arrow: (times: readonly number[]) => arrowBody(times, 'arrow'),
  'arrow-stream': (times: readonly number[]) => arrowBody(times, 'arrow-stream'),
} satisfies Partial<Record<Format, (times: readonly number[]) => string | Uint8Array>>;

const arrowBody = (times: readonly number[], format: 'arrow' | 'arrow-stream'): Uint8Array =>
  encode(format, {
    dtype: 'int32',
    labels: ['value'],
    values: Int32Array.from(times, (_, i) => i),
    times: times.map((t) => BigInt(at(t))),
  }).body;

describe.each(Object.keys(STAMPED) as (keyof typeof STAMPED)[])('times on rows in %s', (format) => {
  const body = STAMPED[format];

  test('are heard: a gap stays, several of them in one append', async () => {
    const id = await create(1);
    expecting(201, await post(id, format, body([0, 1, 2, 600, 601, 7200])));
    expect((await rows(id)).map(([second]) => second)).toEqual([0, 1, 2, 600, 601, 7200]);
    expect(await segments(id)).toEqual([[0, 3, 3, 0], [600, 602, 2, 3], [7200, 7201, 1, 5]]); // prettier-ignore
    // Another body goes on from there, and one comes before.
    expecting(201, await post(id, format, body([7201, 7202])));
    expecting(201, await post(id, format, body([-10, -9])));
    expect((await segments(id)).map(([start, , count]) => [start, count])).toEqual([[-10, 2], [0, 3], [600, 2], [7200, 3]]); // prettier-ignore
  });

  test.each<[string, number[], number]>([
    ['repeat', [0, 1, 1, 2], 2],
    ['go back', [0, 1, 2, 1.5], 3],
    ['come at half the rate', [0, 2, 4, 6, 8], 2],
    ['come at twice the rate', [0, 0.5, 1, 1.5, 2], 2],
  ])('that %s are refused with their row, and nothing is stored', async (_, times, row) => {
    const id = await create(1);
    const problem = expecting(422, await post(id, format, body(times))).json<Problem>();
    const place = { csv: `line ${row + 2} `, ndjson: `line ${row + 1} `, json: `times[${row}]` }[format as string];
    expect(problem.type).toBe('urn:varve:problem:time-contradicts');
    expect(problem.errors[0].field).toContain(place ?? `row ${row} `);
    expect(await api.series(id)).toMatchObject({ rows: 0 });
  });

  test('over data are refused with their row', async () => {
    const id = await create(1);
    await api.append(id, { start: at(100), values: [1, 2, 3] });
    const problem = expecting(422, await post(id, format, body([0, 1, 101]))).json<Problem>();
    expect(problem.type).toBe('urn:varve:problem:overlap');
    expect(problem.errors[0].field).not.toBe('start');
    expect(await api.series(id)).toMatchObject({ rows: 3 });
  });
});

test('times on rows are heard in a request of many series, too', async () => {
  const [a, b, c] = [await create(1), await create(1), await create(1)];
  const lines = [
    { series: a, times: [0, 1, 600].map(at), values: [1, 2, 3] },
    { series: b, times: [0, 2, 4].map(at), values: [1, 2, 3] },
    { series: c, times: [at(5), null, at(7)], values: [1, 2, 3] },
    { series: a, start: at(300), values: [4] },
  ];
  const answer = await api.send('POST', '/v1/samples', {
    headers: { 'content-type': MEDIA_TYPES.ndjson },
    body: lines.map((line) => JSON.stringify(line)).join('\n'),
  });
  const { items } = expecting(200, answer).json<{ items: { status: number; problem?: Problem }[] }>();
  expect(items.map(({ status }) => status)).toEqual([201, 422, 201, 201]);
  expect(items[1].problem!.errors[0].field).toBe('times[2]');
  expect(await rows(a)).toEqual([[0, 1], [1, 2], [300, 4], [600, 3]]); // prettier-ignore
  expect(await rows(c)).toEqual([[5, 1], [6, 2], [7, 3]]); // prettier-ignore
});

describe('rows before the first time of a body', () => {
  test('are counted back from it, whatever was stored before', async () => {
    const id = await create(1);
    expecting(201, await post(id, 'csv', `time,value\n,1\n${at(100)},2\n`));
    expecting(201, await post(id, 'json', JSON.stringify({ times: [null, null, at(52)], values: [3, 4, 5] })));
    expect(await rows(id)).toEqual([[50, 3], [51, 4], [52, 5], [99, 1], [100, 2]]); // prettier-ignore
    // What was not said is no mark.
    expect((await marks(id)).map(({ row }) => row)).toEqual([1, 4]);
    expecting(422, await post(id, 'csv', `time,value\n,1\n${at(53)},2\n`));
  });

  test.each(['csv', 'ndjson', 'json'] as const)(
    'do not contradict the start that the request says, in %s',
    async (format) => {
      const id = await create(1, {}, { start_tolerance: 3 });
      const body = {
        csv: `time,value\n,1\n${at(-3600)},2\n`,
        ndjson: `{"values":[1]}\n{"time":"${at(-3600)}","values":[2]}\n`,
        json: JSON.stringify({ times: [null, at(-3600)], values: [1, 2] }),
      }[format];
      const problem = expecting(422, await post(id, format, body, 'POST', `?start=${at(0)}`)).json<Problem>();
      expect(problem.type).toBe('urn:varve:problem:time-contradicts');
      expect(problem.errors[0].field).not.toBe('start');
      expect(await api.series(id)).toMatchObject({ rows: 0 });
    },
  );
});

describe('what is read, posted with gaps=exact, comes back as it was', () => {
  const TEXTS = { csv: 'csv', ndjson: 'ndjson', json: 'json', arrow: 'arrow', 'arrow-stream': 'arrow-stream' } as const;

  /** Series whose rows look like another rate, lie hours apart, have gaps within the tolerance, or gaps off the grid. */
  const HISTORIES: [string, number | string, object, (id: string) => Promise<unknown>][] = [
    ['every second row removed', 1, {}, async (id) => {
      await api.append(id, { start: at(0), values: numbers(0, 9) });
      for (const second of [1, 3, 5, 7]) expecting(200, await api.delete(`/v1/series/${id}/samples?start=${at(second)}&end=${at(second + 1)}`));
    }], // prettier-ignore
    ['rows an hour apart', 1, {}, async (id) => {
      for (const hour of numbers(0, 12)) await api.append(id, { start: at(hour * 3600), values: [hour] });
    }], // prettier-ignore
    ['gaps within a wide tolerance', 1, { start_tolerance: 3 }, async (id) => {
      await api.append(id, { start: at(0), values: numbers(0, 10) });
      expecting(200, await api.delete(`/v1/series/${id}/samples?start=${at(3)}&end=${at(5)}`));
    }], // prettier-ignore
    ['gaps off the grid, of a rate that has no whole nanoseconds', '30000/1001', {}, async (id) => {
      await api.append(id, { start: at(0), values: numbers(0, 100) });
      expecting(200, await api.delete(`/v1/series/${id}/samples?start=${at(1)}&end=${at(1.2)}`));
      await api.append(id, { start: at(50.7), values: numbers(100, 200) });
      await api.append(id, { start: at(3.34), values: numbers(200, 300) });
    }], // prettier-ignore
  ];

  test.each(HISTORIES)('%s', async (_, rate, sampling, make) => {
    const id = await create(rate as number, {}, sampling);
    await make(id);
    const wanted = (await api.read(id)).times;
    for (const format of Object.values(TEXTS)) {
      const copy = await create(rate as number, {}, sampling);
      const { body } = expecting(200, await api.get(`/v1/series/${id}/samples?format=${format}`));
      expecting(201, await post(copy, format, body, 'POST', '?gaps=exact'));
      expect([format, (await api.read(copy)).times]).toEqual([format, wanted]);
    }
    expecting(400, await post(id, 'csv', 'value\n1\n', 'POST', '?gaps=none'));
  });

  test.each([-2, -1, 1, 2, 3])('gaps of %d ns', async (ns) => {
    const id = await create(1);
    const [first, second] = [T0, T0 + 2n * S + BigInt(ns)];
    await api.append(id, { start: String(second), values: [3, 4] });
    await api.append(id, { start: String(first), values: [1, 2] });
    const copy = await create(1);
    const { body } = expecting(200, await api.get(`/v1/series/${id}/samples?format=csv`));
    expecting(201, await post(copy, 'csv', body, 'POST', '?gaps=exact'));
    expect((await api.read(copy)).times).toEqual([first, first + S, second, second + S].map(String));
  });

  test('and takes the place of what it is, by PUT', async () => {
    const id = await create(1);
    for (const n of numbers(0, 5)) await api.append(id, { start: at(n * 10), values: [n] });
    for (const format of ['csv', 'ndjson', 'json', 'arrow', 'arrow-stream'] as const) {
      const { body } = expecting(200, await api.get(`/v1/series/${id}/samples?format=${format}`));
      expecting(200, await post(id, format, body, 'PUT', `?start=${at(0)}&end=${at(100)}`));
    }
    const wrong = STAMPED.csv([0, 10, 20, 31, 40]);
    expecting(422, await post(id, 'csv', wrong, 'PUT', `?start=${at(0)}&end=${at(100)}`));
  });

  test('in a request of many series, too', async () => {
    const id = await create(1);
    const line = JSON.stringify({ series: id, times: [0, 2, 4, 6].map(at), values: [1, 2, 3, 4] });
    const headers = { 'content-type': MEDIA_TYPES.ndjson };
    const refused = expecting(200, await api.send('POST', '/v1/samples', { headers, body: line }));
    expect(refused.body.toString()).toContain('gaps=exact');
    expecting(200, await api.send('POST', '/v1/samples?gaps=exact', { headers, body: line }));
    expect(await rows(id)).toEqual([[0, 1], [2, 2], [4, 3], [6, 4]]); // prettier-ignore
  });
});

describe('a clock that drifts', () => {
  /** Rows that a device counts 1,000 a second of its own, whose clock is so much off. */
  async function record(id: string, ppm: number, chunks: number, count = 1000): Promise<void> {
    const headers = { 'content-type': MEDIA_TYPES.octet };
    for (let chunk = 0; chunk < chunks; chunk++) {
      const start = T0 + (BigInt(chunk * count) * (1_000_000n - BigInt(ppm))) / 1n;
      const path = `/v1/series/${id}/samples?start=${start}`;
      expecting(201, await api.send('POST', path, { headers, body: new Uint8Array(count * 4) }));
    }
  }

  test.each([50, 500, -1000])('by %d ppm is never refused, and its marks tell the truth', async (ppm) => {
    const id = await create(1000);
    await record(id, ppm, 40);
    expect(await api.series(id)).toMatchObject({ rows: 40_000 });
    expect(await segments(id)).toHaveLength(1);
    const said = await marks(id);
    expect(said.map(({ row }) => row)).toEqual(numbers(0, 40).map((chunk) => chunk * 1000));
    expect(BigInt(said[39].time) - T0).toBe(39_000n * (1_000_000n - BigInt(ppm)));
    await flush();
    const { times } = await api.read(id, '?time=marks');
    const worst = times.map((ns, row) => Math.abs(Number(BigInt(ns) - T0) / 1e6 - row * (1 - ppm / 1e6)));
    expect(Math.max(...worst)).toBeLessThanOrEqual(1);
    // On the grid they are where the rate says.
    expect((await api.read(id, '?rows=39999:')).times).toEqual([at(39.999)]);
  });

  test('beyond the tolerance leaves a gap ahead, and is refused behind with what helps', async () => {
    const id = await create(100, {}, { start_tolerance: 3 });
    expect(await api.series(id)).toMatchObject({ sampling: { start_tolerance: 3 } });
    await api.append(id, { start: at(0), values: numbers(0, 100) });
    await api.append(id, { start: at(1.03), values: numbers(0, 100) });
    await api.append(id, { start: at(2.06), values: numbers(0, 100) });
    expect(await segments(id)).toHaveLength(1);
    await api.append(id, { start: at(3.1), values: numbers(0, 100) });
    expect((await segments(id)).map(([start]) => start)).toEqual([0, 3.1]);
    const answer = await api.post(`/v1/series/${id}/samples`, { start: at(4.06), values: [1] });
    expect(expecting(422, answer).json<Problem>().detail).toContain('start_tolerance');
    for (const [tolerance, status] of [[-1, 400], ['x', 400], [0, 201]] as const) // prettier-ignore
      expecting(status, await api.post('/v1/series', { name: randomUUID(), dtype: 'int8', sampling: { kind: 'regular', rate_hz: 1, start_tolerance: tolerance } })); // prettier-ignore
  });

  test('and goes back within a wide tolerance gives no mark, so that times between marks do not go back', async () => {
    const id = await create(1, {}, { start_tolerance: 3 });
    for (const second of [0, 1, 4, 2.5, 6]) await api.append(id, { start: at(second), values: [second * 10] });
    expect((await marks(id)).map(({ row }) => row)).toEqual([0, 1, 2, 4]);
    const seconds = (await rows(id, '?time=marks')).map(([second]) => second);
    expect(seconds).toEqual([0, 1, 4, 5, 6]);
  });

  test.each([9.7, 10.3])(
    'has its rows again where they were removed, of chunks that take %d s by its clock',
    async (took) => {
      for (const [removed, again] of [
        [[took * 2 - 1, took * 3 - 1], 2],
        [[took * 3 - 1, took * 5], 3],
      ] as const) {
        const id = await create(1);
        const chunk = (c: number): Promise<unknown> =>
          api.append(id, { start: at(took * c), values: numbers(c * 10, c * 10 + 10) });
        for (const c of [0, 1, 2, 3]) await chunk(c);
        const before = await rows(id);
        const [{ start }] = [before.find(([, value]) => value === again * 10)!].map(([second]) => ({ start: second }));
        expecting(200, await api.delete(`/v1/series/${id}/samples?start=${at(start)}&end=${at(start + 10)}`));
        expect(removed).toHaveLength(2);
        await chunk(again);
        expect(await rows(id)).toEqual(before);
      }
    },
  );

  test('that is set back behind what it said is refused, so that times between marks do not go back', async () => {
    const id = await create(1);
    for (const k of numbers(0, 7)) await api.append(id, { start: at(k * 1.4), values: [k] });
    const answer = await api.post(`/v1/series/${id}/samples`, { start: at(7), values: [7] });
    expect(expecting(422, answer).json<Problem>().detail).toContain('by their own clock');
    await api.append(id, { start: at(9.8), values: [7] });
    const seconds = (await rows(id, '?time=marks')).map(([second]) => second);
    expect(seconds).toEqual([...seconds].sort((a, b) => a - b));
  });

  test('leaves the same marks in every format', async () => {
    for (const [stamp, kept] of [
      [1, [0]],
      [1.2, [0, 1]],
    ] as const) {
      const bodies: [Format, string][] = [
        ['csv', `time,value\n,1\n${at(stamp)},2\n,3\n`],
        ['ndjson', `{"values":[1]}\n{"time":"${at(stamp)}","values":[2]}\n{"values":[3]}\n`],
        ['json', JSON.stringify({ times: [null, at(stamp), null], values: [1, 2, 3] })],
      ];
      for (const [format, body] of bodies) {
        const id = await create(1);
        expecting(201, await post(id, format, body, 'POST', `?start=${at(0)}`));
        expect([format, (await marks(id)).map(({ row }) => row)]).toEqual([format, kept]);
      }
      const id = await create(1);
      const body = JSON.stringify({ start: at(0), times: [null, at(stamp), null], values: [1, 2, 3] });
      expecting(201, await post(id, 'json', body));
      expect((await marks(id)).map(({ row }) => row)).toEqual(kept);
    }
  });

  test('beyond the tolerance is let in once the series has a wider one', async () => {
    const id = await create(100);
    await api.append(id, { start: at(0), values: numbers(0, 100) });
    const late = { start: at(0.97), values: numbers(0, 100) };
    expecting(422, await api.post(`/v1/series/${id}/samples`, late));
    const patch = (sampling: object, series = id): Promise<Answer> => api.patch(`/v1/series/${series}`, { sampling });
    expect(expecting(200, await patch({ start_tolerance: 5 })).json()).toMatchObject({
      sampling: { start_tolerance: 5 },
    });
    await api.append(id, late);
    expect(await segments(id)).toHaveLength(1);
    expect(expecting(200, await patch({ start_tolerance: null })).json()).toMatchObject({
      sampling: { start_tolerance: null },
    });
    expecting(422, await api.post(`/v1/series/${id}/samples`, { start: at(1.93), values: [1] }));
    const { items } = expecting(200, await api.get(`/v1/series/${id}/history`)).json<{
      items: { changes: object[] }[];
    }>();
    expect(items[0].changes).toEqual([{ field: 'sampling.start_tolerance', old: 5, new: null }]);
    for (const wrong of [{ rate_hz: 5 }, { start_tolerance: -1 }, { start_tolerance: '1' }])
      expecting(400, await patch(wrong));
    const irregular = await api.createSeries({ name: randomUUID(), dtype: 'int8', sampling: { kind: 'irregular' } });
    const problem = expecting(422, await patch({ start_tolerance: 5 }, irregular.id)).json<Problem>();
    expect(problem.errors[0].field).toBe('sampling.start_tolerance');
  });

  test('is asked for where there are clocks alone', async () => {
    const id = await create(1000);
    await record(id, 50, 2);
    const irregular = (await api.createSeries({ name: randomUUID(), dtype: 'int8', sampling: { kind: 'irregular' } }))
      .id;
    for (const [series, query] of [
      [id, 'time=marks&format=npy'],
      [irregular, 'time=marks'],
    ] as const)
      // prettier-ignore
      expecting(422, await api.get(`/v1/series/${series}/samples?${query}`));
    for (const list of ['segments', 'clock-marks']) {
      expecting(422, await api.get(`/v1/series/${irregular}/${list}`));
      expecting(404, await api.get(`/v1/series/${randomUUID()}/${list}`));
      expecting(400, await api.get(`/v1/series/${id}/${list}?limit=0`));
      expecting(400, await api.get(`/v1/series/${id}/${list}?cursor=x`));
    }
    expecting(400, await api.get(`/v1/series/${id}/segments?start=2026-05-02&end=2026-05-01`));
  });
});

describePython('pandas', ['pandas', 'numpy', 'h5py'], (python) => {
  test('finds the same in overviews and aggregates of rows that came late', async () => {
    const id = await create(100, { dtype: 'float64' });
    // Pieces of 40 s, the second of each pair before the first, some removed.
    const order = [3, 2, 7, 6, 1, 0, 5, 4, 9, 8];
    for (const [i, piece] of order.entries()) {
      const values = numbers(0, 4000).map((n) => Math.sin((piece * 4000 + n) / 300) * 1000 + (n % 7));
      await api.append(id, { start: at(piece * 50 + 0.0025), values });
      if (i === 3) await flush();
    }
    expecting(200, await api.delete(`/v1/series/${id}/samples?start=${at(120)}&end=${at(130)}`));
    for (const state of ['fresh', 'compacted']) {
      if (state === 'compacted') {
        await flush();
        await compact();
      }
      const input: Record<string, unknown> = {
        csv: (await api.get(`/v1/series/${id}/samples?format=csv&epoch=ns`)).body.toString(),
      };
      const agg = 'agg=count,sum,min,max,first,last,std';
      input.every = expecting(200, await api.get(`/v1/series/${id}/samples?every=7s&${agg}`)).json();
      input.points = expecting(200, await api.get(`/v1/series/${id}/samples?points=90`)).json();
      const line = expecting(200, await api.get(`/v1/series/${id}/samples?points=200&method=lttb`)).json<{
        times: string[];
      }>();
      expect(line.times).toEqual([...line.times].sort());
      const script = `
import sys, io, json
import numpy as np, pandas as pd
data = json.load(sys.stdin)
rows = pd.read_csv(io.StringIO(data["csv"]), float_precision="round_trip")
assert rows["time"].is_monotonic_increasing and len(rows) == 39000, len(rows)
for name in ("every", "points"):
    answer = data[name]
    start = np.array([int(t) for t in answer["buckets"]["start"]])
    place = np.searchsorted(start, rows["time"].to_numpy(), side="right") - 1
    groups = rows["value"].groupby(place)
    channel = answer["channels"][0]
    counts = channel.get("count", answer["buckets"].get("count"))
    found = {i: n for i, n in enumerate(counts) if n}
    assert found == groups.count().to_dict(), (name, "count")
    for key in ("min", "max", "first", "last"):
        if key in channel:
            wanted = getattr(groups, key)().to_dict()
            assert {i: channel[key][i] for i in found} == wanted, (name, key)
    for key in ("sum", "mean", "std"):
        if key in channel:
            wanted = getattr(groups, key)()
            got = np.array([channel[key][i] for i in found], dtype=float)
            assert np.allclose(got, wanted.to_numpy(), rtol=1e-9, atol=1e-9, equal_nan=True), (name, key)
print("same")`;
      expect([state, python(script, JSON.stringify(input)).toString().trim()]).toEqual([state, 'same']);
    }
  });

  test('reads segments and clock marks in an exported file', async () => {
    const id = await create(10);
    await api.append(id, { start: at(0), values: numbers(0, 10) });
    await api.append(id, { start: at(100), values: numbers(10, 20) });
    await api.append(id, { start: at(50.01), values: numbers(20, 30) });
    await api.append(id, { start: at(51.03), values: numbers(30, 40) });
    const { body } = expecting(200, await api.get(`/v1/series/${id}/samples?format=hdf5&start=${at(0)}&time=marks`));
    const script = `
import sys, io, json, h5py
with h5py.File(io.BytesIO(sys.stdin.buffer.read())) as f:
    g = f[f.attrs["group"]]
    print(json.dumps([g["segments"][:].tolist(), g["clock_marks"][:].tolist(), g["time"][15:25].tolist()]))`;
    const [starts, said, times] = JSON.parse(python(script, body).toString()) as [number[][], number[][], number[]];
    const pairs = (list: readonly (readonly [number, number])[]): number[][] =>
      list.map(([row, s]) => [row, Number(at(s))]);
    expect(starts.map(([row]) => row)).toEqual([0, 10, 30]);
    expect(said).toEqual(pairs([[0, 0], [10, 50.01], [20, 51.03], [30, 100]])); // prettier-ignore
    expect(times[0]).toBe(Number(at(50.52)));
  });
});
