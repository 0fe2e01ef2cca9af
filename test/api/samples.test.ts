import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { brotliCompressSync, deflateSync, gunzipSync, gzipSync } from 'node:zlib';
import { startService, type RunningService } from '../support/service.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { describePython } from '../support/python.ts';
import { ApiClient, bodyOf, expecting, type Problem, type SamplesJson } from './client.ts';
import { bytesOf, DTYPE_NAMES, DTYPES, type NumberType } from './number-types.ts';
import { decode, encode, FORMATS, MEDIA_TYPES, nsOf, type Format, type Samples } from './sample-bodies.ts';

/** Past 2^53, and not a whole number of microseconds. */
const T0 = 1_777_626_000_123_456_789n;
const S = 1_000_000_000n;
const IRREGULAR = { kind: 'irregular' };
const COPIES: readonly Format[] = ['npy', 'octet'];
const ARROW: readonly Format[] = ['arrow', 'arrow-stream'];

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

function regular(rate: number): object {
  return { kind: 'regular', rate_hz: rate };
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** @returns the id of a new series */
async function create(fields: Readonly<Record<string, unknown>>): Promise<string> {
  return (await api.createSeries({ name: randomUUID(), ...fields })).id;
}

async function append(id: string, format: Format, samples: Samples): Promise<void> {
  const { contentType, body, query } = encode(format, samples);
  const path = `/v1/series/${id}/samples${query}`;
  expecting(201, await api.send('POST', path, { headers: { 'content-type': contentType }, body }));
}

/** @param query without its question mark */
function read(id: string, format: Format, query = ''): ReturnType<ApiClient['get']> {
  return api.get(`/v1/series/${id}/samples?${query}`, { accept: MEDIA_TYPES[format] });
}

describe('what is appended is read back', () => {
  const cases = DTYPE_NAMES.flatMap((dtype) => [
    { dtype, kind: 'regular' },
    { dtype, kind: 'irregular' },
  ]);

  test.each(cases)('$dtype, $kind: what came in any format goes out in it, bit for bit', async ({ dtype, kind }) => {
    const irregular = kind === 'irregular';
    const values = DTYPES[dtype].of(DTYPES[dtype].hard);
    const times = Array.from({ length: values.length / 2 }, (_, row) => T0 + BigInt(row * row) * 1_000_003n);
    const samples: Samples = {
      dtype,
      labels: ['a', 'b "quoted", ä'],
      values,
      ...(irregular ? { times } : { times: null, startNs: T0 }),
    };
    const expectedTimes = irregular ? times : times.map((_, row) => T0 + (BigInt(row) * S) / 7n);
    // The header of CSV quotes a label like this one.
    const csv = { ...samples, labels: ['a', '"b ""quoted"", ä"'] };
    await Promise.all(
      FORMATS.map(async (format) => {
        const channels = samples.labels.map((label) => ({ label }));
        const id = await create({ dtype, channels, sampling: irregular ? IRREGULAR : regular(7) });
        await append(id, format, format === 'csv' ? csv : samples);
        for (const out of new Set<Format>([format, 'json', 'octet'])) {
          const answer = expecting(200, await read(id, out));
          const decoded = decode(out, answer.body, { dtype, channels: 2, irregular });
          expect({ format, out, bits: bytesOf(decoded.values).toString('hex') }).toEqual({
            format,
            out,
            bits: bytesOf(values).toString('hex'),
          });
          if (decoded.times)
            expect({ format, out, times: decoded.times }).toEqual({ format, out, times: expectedTimes });
        }
      }),
    );
  });

  const shapes = cases.flatMap(({ dtype, kind }) => [1, 2, 3].map((channels) => ({ dtype, kind, channels })));

  test.each(shapes)(
    '$dtype, $kind, $channels channels: an answer in JSON posted back as it came gives the same rows, bit for bit',
    async ({ dtype, kind, channels }) => {
      const sampling = kind === 'irregular' ? IRREGULAR : regular(7);
      const rows = 3; // as many as there are channels, in one of the cases
      const { hard } = DTYPES[dtype];
      const values = DTYPES[dtype].of(Array.from({ length: rows * channels }, (_, i) => hard[i % hard.length]));
      const times = Array.from({ length: rows }, (_, row) => T0 + BigInt(row * row) * 1_000_003n);
      const from = await create({ dtype, channels, sampling });
      const labels = Array.from({ length: channels }, (_, c) => `ch${c}`);
      const stated = kind === 'irregular' ? { times } : { times: null, startNs: T0 };
      await append(from, 'octet', { dtype, labels, values, ...stated });
      const headers = { 'content-type': MEDIA_TYPES.json };
      const whole = (await read(from, 'octet')).body;
      const timesOf = async (id: string): Promise<unknown> => (await api.read(id)).times;
      for (const query of ['', 'orient=rows', 'orient=channels', 'latest=3']) {
        const { body } = expecting(200, await read(from, 'json', query));
        const to = await create({ dtype, channels, sampling });
        expecting(201, await api.send('POST', `/v1/series/${to}/samples`, { headers, body }));
        expect([query, (await read(to, 'octet')).body.toString('hex')]).toEqual([query, whole.toString('hex')]);
        expect([query, await timesOf(to)]).toEqual([query, await timesOf(from)]);
        // In the place of what is there, too.
        const path = `/v1/series/${to}/samples?start=${T0}&end=${T0 + S}`;
        expecting(200, await api.send('PUT', path, { headers, body }));
        expect([query, (await read(to, 'octet')).body.toString('hex')]).toEqual([query, whole.toString('hex')]);
      }
    },
  );

  test.each(['json', 'ndjson', 'csv', 'arrow', 'arrow-stream'] as const)(
    'an answer over gaps of a regular series comes back equal, gaps included: %s',
    async (format) => {
      // Rows are not a whole number of nanoseconds apart.
      const from = await create({ dtype: 'int16', sampling: regular(30) });
      await api.append(from, { values: [1, 2, 3, 4], start: '2026-05-01T09:00:00Z' });
      await api.append(from, { values: [5], start: '2026-05-01T09:10:00Z' });
      await api.append(from, { values: [6, 7], start: '2026-05-01T09:20:00.123456789Z' });
      // This one comes late, into the first gap.
      await api.append(from, { values: [8, 9, 10], start: '2026-05-01T09:05:00Z' });
      expecting(
        200,
        await api.delete(`/v1/series/${from}/samples?start=2026-05-01T09:00:00.05Z&end=2026-05-01T09:00:00.08Z`),
      );
      const to = await create({ dtype: 'int16', sampling: regular(30) });
      const { body } = expecting(200, await read(from, format));
      const headers = { 'content-type': MEDIA_TYPES[format] };
      expecting(201, await api.send('POST', `/v1/series/${to}/samples`, { headers, body }));
      const [wanted, got] = [await api.read(from), await api.read(to)];
      expect(wanted.values[0]).toEqual([1, 2, 4, 8, 9, 10, 5, 6, 7]);
      expect([got.values, got.times]).toEqual([wanted.values, wanted.times]);
      const path = `/v1/series/${to}/segments`;
      const segments = expecting(200, await api.get(path)).json<{ items: { rows: number }[] }>();
      expect(segments.items.map(({ rows }) => rows)).toEqual([2, 1, 3, 1, 2]);
      // In the place of what is there, too; and never in the place of rows that lie elsewhere.
      const whole = `/v1/series/${to}/samples?start=2026-05-01`;
      expecting(200, await api.send('PUT', whole, { headers, body }));
      expect((await api.read(to)).times).toEqual(wanted.times);
      const late = expecting(200, await read(from, format, 'start=2026-05-01T09:05:00Z')).body;
      const other = await create({ dtype: 'int16', sampling: regular(30) });
      await api.append(other, { values: [0, 0, 0, 0, 0, 0], start: '2026-05-01T09:05:00Z' });
      const path6 = `/v1/series/${other}/samples?start=2026-05-01T09:05:00Z`;
      const refused = expecting(422, await api.send('PUT', path6, { headers, body: late })).json<Problem>();
      expect(refused.type).toBe('urn:varve:problem:time-contradicts');
    },
  );

  test('one channel may be sent as a plain list, and lines with a plain number', async () => {
    const id = await create({ dtype: 'float64', sampling: regular(1) });
    await api.append(id, { values: [1, null, 'Infinity'] });
    const lines = { headers: { 'content-type': 'application/x-ndjson' }, body: '{"values":4}\n\n{"values":[5]}\r\n' };
    expecting(201, await api.send('POST', `/v1/series/${id}/samples`, lines));
    const npy = encode('npy', { dtype: 'float64', labels: ['value'], values: Float64Array.of(6), times: null });
    const flat = Buffer.from(npy.body.toString('latin1').replace('(1, 1)', '(1,)  '), 'latin1');
    const plain = { headers: { 'content-type': npy.contentType }, body: flat };
    expecting(201, await api.send('POST', `/v1/series/${id}/samples`, plain));
    expect((await api.read(id)).values).toEqual([[1, null, 'Infinity', 4, 5, 6]]);
  });

  test('bare integers past 2^53 as times keep their digits', async () => {
    const id = await create({ dtype: 'int8', sampling: IRREGULAR });
    const body = `{"times": [${T0}, ${T0 + 1n}, "2026-05-01T09:00:00.000000003Z"], "values": [1, 2, 3]}`;
    const headers = { 'content-type': 'application/json' };
    expecting(201, await api.send('POST', `/v1/series/${id}/samples`, { headers, body }));
    expect((await api.read(id)).times).toEqual([nsOf('2026-05-01T09:00:00.000000003Z'), T0, T0 + 1n].map(String));
  });

  test('columns of CSV are found by their names', async () => {
    const id = await create({ dtype: 'int16', channels: [{ label: 'a' }, { label: 'b' }], sampling: IRREGULAR });
    const headers = { 'content-type': 'text/csv; charset=utf-8' };
    const body = '\uFEFFb,time,a\r\n2,1970-01-01T00:00:01Z,1\r\n4,2000000000,3\r\n';
    expecting(201, await api.send('POST', `/v1/series/${id}/samples`, { headers, body }));
    expect(await api.read(id)).toMatchObject({
      times: ['1000000000', '2000000000'],
      values: [
        [1, 3],
        [2, 4],
      ],
    });
  });
});

describe('the time axis of a regular series', () => {
  test('appends go on from each other, and a later start leaves a gap that is no rows', async () => {
    const id = await create({ dtype: 'int16', sampling: { ...regular(10), start: '2026-05-01T09:00:00Z' } });
    const start = nsOf('2026-05-01T09:00:00Z');
    expect(await api.append(id, { values: [0, 1] })).toMatchObject({ rows: 2, first_row: 0, last_row: 1 });
    expect(await api.append(id, { values: [2] })).toMatchObject({ rows: 1, first_row: 2, last_row: 2 });
    expect(await api.append(id, { values: [3, 4], start: '2026-05-01T09:00:10Z' })).toMatchObject({ first_row: 3 });
    expect(await api.append(id, { values: [5] })).toMatchObject({ first_row: 5 });
    // Within half a period of where the data end, a start is only a clock's jitter.
    await api.append(id, { values: [6], start: String(start + 10n * S + 320_000_000n) });
    const offsets = [0n, 100n, 200n, 10_000n, 10_100n, 10_200n, 10_300n];
    expect(await api.read(id)).toEqual({
      series: id,
      first_row: 0,
      times: offsets.map((ms) => String(start + ms * 1_000_000n)),
      orient: 'channels',
      values: [[0, 1, 2, 3, 4, 5, 6]],
      next: null,
    });
    expect(await api.series(id)).toMatchObject({
      rows: 7,
      first_time: '2026-05-01T09:00:00Z',
      last_time: '2026-05-01T09:00:10.3Z',
    });
    const inGap = await api.read(id, '?start=2026-05-01T09:00:01Z&end=2026-05-01T09:00:10Z');
    expect([inGap.times, inGap.values]).toEqual([[], [[]]]);
  });

  test('without any start, times count from 1970', async () => {
    const id = await create({ dtype: 'int16', sampling: regular(4) });
    await api.append(id, { values: [1, 2] });
    expect((await api.read(id)).times).toEqual(['0', '250000000']);
  });

  test('a rate that is no whole period does not drift', async () => {
    const id = await create({ dtype: 'int8', sampling: { kind: 'regular', rate_hz: '30000/1001' } });
    const headers = { 'content-type': MEDIA_TYPES.octet };
    for (const rows of [30_000, 1, 29_999]) {
      const path = `/v1/series/${id}/samples`;
      expecting(201, await api.send('POST', path, { headers, body: new Uint8Array(rows) }));
    }
    expect((await api.read(id, '?rows=30000:30002')).times).toEqual(['1001000000000', '1001033366666']);
    expect((await api.read(id, '?rows=-1:')).times).toEqual([String((59_999n * 1001n * S) / 30_000n)]);
  });
});

describe('selecting', () => {
  const T = 1_777_626_000n * S;
  const at = (tenths: number): string => String(T + BigInt(tenths) * 100_000_000n);
  let id: string;

  beforeAll(async () => {
    const channels = [{ label: 'a' }, { label: 'b', scale: 2, offset: 5 }, { label: 'c', gain: 200, baseline: 12 }];
    id = await create({ dtype: 'int16', channels, scale: 0.5, offset: -1, sampling: regular(10) });
    const row = (n: number): number[] => [n, 100 + n, 200 + n];
    // Rows 0 to 4 at T, 5 to 9 ten seconds later.
    await api.append(id, { start: at(0), values: [0, 1, 2, 3, 4].map(row) });
    await api.append(id, { start: at(100), values: [5, 6, 7, 8, 9].map(row) });
  });

  const all = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
  test.each([
    ['nothing in particular', '', all],
    ['from a time on', `start=${at(2)}`, all.slice(2)],
    ['up to a time, which is not in it', `end=${at(2)}`, [0, 1]],
    ['between two times', `start=${at(2)}&end=${at(4)}`, [2, 3]],
    ['between RFC 3339 times', 'start=2026-05-01T09:00:00.2Z&end=2026-05-01T11:00:00.4%2B02:00', [2, 3]],
    ['from between two samples', `start=${T + 150_000_000n}`, all.slice(2)],
    ['within the gap', `start=${at(10)}&end=${at(90)}`, []],
    ['across the gap', `start=${at(4)}&end=${at(101)}`, [4, 5]],
    ['an empty range', `start=${at(2)}&end=${at(2)}`, []],
    ['before everything', `end=${at(0)}`, []],
    ['after everything', `start=${at(200)}`, []],
    ['the whole of int64', `start=${-(2n ** 63n)}&end=${2n ** 63n - 1n}`, all],
    ['rows', 'rows=2:5', [2, 3, 4]],
    ['rows up to', 'rows=:3', [0, 1, 2]],
    ['rows from', 'rows=7:', [7, 8, 9]],
    ['rows counted from the end', 'rows=-3:', [7, 8, 9]],
    ['rows up to some from the end', 'rows=:-8', [0, 1]],
    ['rows between two counts from the end', 'rows=-3:-1', [7, 8]],
    ['rows from both sides', 'rows=1:-8', [1]],
    ['rows that cross', 'rows=-2:3', []],
    ['all rows', 'rows=:', all],
    ['rows past the end', 'rows=8:100', [8, 9]],
    ['rows from before the start', 'rows=-100:2', [0, 1]],
    ['rows beyond the end', 'rows=20:30', []],
    ['no rows', 'rows=5:5', []],
    ['rows across the gap', 'rows=4:6', [4, 5]],
  ])('%s', async (_, query, expected) => {
    const { values, times, first_row: firstRow, next } = await api.read(id, `?${query}`);
    expect([values[0], values[1], next]).toEqual([expected, expected.map((row) => row + 100), null]);
    expect(times).toEqual(expected.map((row) => at(row < 5 ? row : row + 95)));
    if (expected.length > 0) expect(firstRow).toBe(expected[0]);
    for (const format of COPIES) {
      const answer = expecting(200, await read(id, format, query));
      const decoded = decode(format, answer.body, { dtype: 'int16', channels: 3, irregular: false });
      expect([...decoded.values].filter((_value, i) => i % 3 === 0)).toEqual(expected);
      expect(answer.headers['x-varve-rows']).toBe(String(expected.length));
    }
  });

  test.each([
    ['channels=b', [[100, 101]]],
    [
      'channels=c,a',
      [
        [200, 201],
        [0, 1],
      ],
    ],
    [
      'channels=b&channels=a',
      [
        [100, 101],
        [0, 1],
      ],
    ],
    ['channels=2', [[200, 201]]],
    [
      'channels=a,%20c',
      [
        [0, 1],
        [200, 201],
      ],
    ],
  ])('%s answers these, in this order', async (query, expected) => {
    expect((await api.read(id, `?rows=:2&${query}`)).values).toEqual(expected);
    for (const format of FORMATS) {
      const answer = expecting(200, await read(id, format, `rows=:2&${query}`));
      const decoded = decode(format, answer.body, { dtype: 'int16', channels: expected.length, irregular: false });
      expect([...decoded.values]).toEqual([0, 1].flatMap((row) => expected.map((column) => column[row])));
    }
  });

  test('physical values have scale and offset, or gain and baseline, applied', async () => {
    const expected = [
      [-1, 1 * 0.5 - 1],
      [100 * 0.5 * 2 + 5, 101 * 0.5 * 2 + 5],
      [(200 - 12) / 200, (201 - 12) / 200],
    ];
    expect((await api.read(id, '?rows=:2&physical=true')).values).toEqual(expected);
    expect((await api.read(id, '?rows=:2&physical=true&channels=c')).values).toEqual([expected[2]]);
    expect((await api.read(id, '?rows=:2&physical=false&channels=c')).values).toEqual([[200, 201]]);
    for (const format of FORMATS) {
      const answer = expecting(200, await read(id, format, 'rows=:2&physical=true'));
      const decoded = decode(format, answer.body, { dtype: 'float64', channels: 3, irregular: false });
      expect([...decoded.values]).toEqual([0, 1].flatMap((row) => expected.map((column) => column[row])));
      expect(answer.headers['x-varve-dtype']).toBe('float64');
    }
  });

  test('a series without rows answers none in every format', async () => {
    for (const sampling of [IRREGULAR, regular(1)]) {
      const empty = await create({ dtype: 'uint16', channels: 2, sampling });
      const first_row = sampling === IRREGULAR ? null : 0;
      const none = { series: empty, first_row, times: [], orient: 'channels', values: [[], []], next: null };
      expect(await api.read(empty)).toEqual(none);
      for (const format of FORMATS) {
        const answer = expecting(200, await read(empty, format));
        expect(answer.headers['x-varve-rows']).toBe('0');
        if (format === 'csv') expect(answer.body.toString()).toBe('time,ch0,ch1\n');
      }
    }
  });

  test.each(FORMATS)('%s: pages of three, followed to the end, make the whole', async (format) => {
    const irregular = await create({ dtype: 'int16', channels: 3, sampling: IRREGULAR });
    for (const rows of [
      [5, 1, 4],
      [2, 9, 0, 8],
      [7, 3, 6],
    ]) {
      await api.append(irregular, {
        times: rows.map((n) => at(n)),
        values: rows.map((n) => [n, n + 100, n + 200]),
      });
    }
    for (const [series, query] of [
      [id, ''],
      [id, `start=${at(1)}&end=${at(104)}&`],
      [id, 'rows=1:-1&'],
      [irregular, ''],
      [irregular, `start=${at(1)}&end=${at(9)}&`],
      [irregular, 'rows=1:-1&'],
    ]) {
      const shape = { dtype: 'int16', channels: 3, irregular: series === irregular } as const;
      const whole = decode(format, (await read(series, format, query)).body, shape);
      const pages: number[] = [];
      let links = 0;
      let link: string | null = `/v1/series/${series}/samples?${query}limit=3`;
      while (link !== null) {
        const answer = expecting(200, await api.get(link, { accept: MEDIA_TYPES[format] }));
        const page = [...decode(format, answer.body, shape).values].map(Number);
        expect(page.length / 3).toBeLessThanOrEqual(3);
        pages.push(...page);
        const next: string | null = /^<(.*)>; rel="next"$/.exec(String(answer.headers.link))?.[1] ?? null;
        if (format === 'json') expect(answer.json<SamplesJson>().next).toBe(next);
        link = next;
        links++;
      }
      expect({ query, pages, links }).toEqual({
        query,
        pages: [...whole.values],
        links: Math.ceil(whole.values.length / 9),
      });
    }
  });
});

describe('irregular series', () => {
  async function expectRows(
    id: string,
    query: string,
    expected: readonly (readonly [number, number])[],
  ): Promise<void> {
    for (const format of FORMATS) {
      const answer = expecting(200, await read(id, format, query));
      const decoded = decode(format, answer.body, { dtype: 'int32', channels: 1, irregular: true });
      const rows = (decoded.times ?? []).map((ns, row) => [Number(ns), Number(decoded.values[row])]);
      expect({ format, rows }).toEqual({ format, rows: expected });
    }
  }

  test('rows that came out of order are answered in order of time', async () => {
    const id = await create({ dtype: 'int32', sampling: IRREGULAR });
    await api.append(id, { times: [50, 10, 30], values: [5, 1, 3] });
    await expectRows(id, '', [
      [10, 1],
      [30, 3],
      [50, 5],
    ]);
    await api.append(id, { times: [40, 20], values: [4, 2] });
    await expectRows(id, '', [
      [10, 1],
      [20, 2],
      [30, 3],
      [40, 4],
      [50, 5],
    ]);
    await expectRows(id, 'start=20&end=50', [
      [20, 2],
      [30, 3],
      [40, 4],
    ]);
    await expectRows(id, 'start=11&end=20', []);
    await expectRows(id, 'start=31', [
      [40, 4],
      [50, 5],
    ]);
    expect(await api.series(id)).toMatchObject({
      rows: 5,
      first_time: '1970-01-01T00:00:00.00000001Z',
      last_time: '1970-01-01T00:00:00.00000005Z',
    });
  });

  test('times before 1970 are times like others', async () => {
    const id = await create({ dtype: 'int32', sampling: IRREGULAR });
    await api.append(id, { times: [-5, '1969-12-31T23:59:59.999999998Z', 3], values: [1, 2, 3] });
    await expectRows(id, '', [
      [-5, 1],
      [-2, 2],
      [3, 3],
    ]);
    await expectRows(id, 'start=-4&end=0', [[-2, 2]]);
  });

  test('rule last: of rows of one time the one that came last is answered', async () => {
    const id = await create({ dtype: 'int32', sampling: IRREGULAR, duplicates: 'last' });
    await api.append(id, { times: [10, 20, 20, 30], values: [1, 2, 3, 4] });
    await expectRows(id, '', [
      [10, 1],
      [20, 3],
      [30, 4],
    ]);
    await api.append(id, { times: [10, 15], values: [5, 6] });
    await expectRows(id, '', [
      [10, 5],
      [15, 6],
      [20, 3],
      [30, 4],
    ]);
    await api.append(id, { times: [30], values: [7] });
    await expectRows(id, 'start=20', [
      [20, 3],
      [30, 7],
    ]);
  });

  test('rule keep: all of them are answered, in the order they came', async () => {
    const id = await create({ dtype: 'int32', sampling: IRREGULAR, duplicates: 'keep' });
    await api.append(id, { times: [10, 20, 20], values: [1, 2, 3] });
    await api.append(id, { times: [20, 10, 30], values: [4, 5, 6] });
    await expectRows(id, '', [
      [10, 1],
      [10, 5],
      [20, 2],
      [20, 3],
      [20, 4],
      [30, 6],
    ]);
  });

  test('rule keep: pages end where the limit says, between rows of one time, too, and lose none', async () => {
    // Wide rows, so that a few of them fill a chunk, and pages end in the middle of chunks and between them.
    const id = await create({ dtype: 'float64', channels: 256, sampling: IRREGULAR, duplicates: 'keep' });
    const times = Array.from({ length: 60 }, (_, i) => (i % 11 < 8 ? i : i - (i % 11) + 8));
    const row = (n: number): number[] => Array.from({ length: 256 }, () => n);
    await api.append(id, { times: times.slice(0, 1), values: [row(0)] });
    await api.append(id, { times: times.slice(1), values: times.slice(1).map((_, i) => row(i + 1)) });
    for (let limit = 1; limit <= 14; limit++) {
      const seen: unknown[] = [];
      for (let link: string | null = `/v1/series/${id}/samples?channels=0&limit=${limit}`; link !== null;) {
        const page: SamplesJson = expecting(200, await api.get(link)).json<SamplesJson>();
        seen.push(...page.values); // of one channel
        if (page.next !== null) expect(page.values).toHaveLength(limit);
        link = page.next;
      }
      expect({ limit, seen }).toEqual({ limit, seen: times.map((_, n) => n) });
    }
  });

  test.each(FORMATS)('%s: pages go on by time and place among thousands of rows of one time', async (format) => {
    const id = await create({ dtype: 'int32', sampling: IRREGULAR, duplicates: 'keep' });
    const times = [...range(5), ...Array.from({ length: 3_000 }, () => 5), ...range(3).map((i) => 6 + i)];
    await api.append(id, { times, values: times.map((_, i) => i) });
    const shape = { dtype: 'int32', channels: 1, irregular: true } as const;
    const wanted: Record<string, [from: number, to: number]> = {
      '': [0, times.length],
      'start=5&end=8&': [5, times.length - 1],
      'rows=3:2500&': [3, 2500],
      'rows=-2000:-1&': [times.length - 2000, times.length - 1],
    };
    for (const [query, [from, to]] of Object.entries(wanted)) {
      const values: number[] = [];
      for (let link: string | null = `/v1/series/${id}/samples?${query}limit=700`; link !== null;) {
        const answer = expecting(200, await api.get(link, { accept: MEDIA_TYPES[format] }));
        values.push(...[...decode(format, answer.body, shape).values].map(Number));
        link = /^<(.*)>; rel="next"$/.exec(String(answer.headers.link))?.[1] ?? null;
      }
      expect({ query, values }).toEqual({ query, values: range(to - from).map((i) => from + i) });
    }
  });

  test('rows that come late between two pages shift none of those that follow', async () => {
    const page = async (link: string): Promise<SamplesJson> => expecting(200, await api.get(link)).json<SamplesJson>();
    for (const query of ['limit=3', 'rows=0:6&limit=3']) {
      const id = await create({ dtype: 'int32', sampling: IRREGULAR, duplicates: 'keep' });
      await api.append(id, { times: [10, 20, 20, 20, 20, 30], values: [1, 2, 3, 4, 5, 6] });
      const first = await page(`/v1/series/${id}/samples?${query}`);
      expect(first.values).toEqual([1, 2, 3]);
      await api.append(id, { times: [5, 10, 15, 40], values: [90, 91, 92, 93] });
      const second = await page(first.next!);
      expect(second.values).toEqual([4, 5, 6]);
      // Only who asked for no certain number of rows goes on to what is new.
      const third = second.next && (await page(second.next)).values;
      expect(third).toEqual(query.startsWith('rows') ? null : [93]);
    }
  });

  test('only an irregular series is gone on with by skip and count, and only its rows', async () => {
    const id = await create({ dtype: 'int32', sampling: IRREGULAR });
    const regular = await create({ dtype: 'int32', sampling: { kind: 'regular', rate_hz: 10 } });
    for (const [status, series, query, field] of [
      [422, regular, 'start=0&skip=1', 'skip'],
      [422, regular, 'count=1', 'count'],
      [400, id, 'skip=1', 'skip'],
      [400, id, 'start=0&skip=-1', 'skip'],
      [400, id, 'start=0&skip=1.5', 'skip'],
      [400, id, 'rows=0:2&count=1', 'count'],
      [400, id, 'rows=0:2&skip=1', 'skip'],
      [400, id, 'start=0&count=0', 'count'],
      [400, id, 'start=0&points=2&skip=1', 'skip'],
      [400, id, 'latest=2&count=1', 'count'],
    ] as const) {
      const answer = await api.get(`/v1/series/${series}/samples?${query}`);
      expect([query, answer.status, answer.json<Problem>().errors?.[0]?.field]).toEqual([query, status, field]);
    }
  });

  test('no answer claims numbers of its rows', async () => {
    const name = randomUUID();
    const id = await create({ name, dtype: 'int32', sampling: IRREGULAR });
    const path = `/v1/series/${id}/samples`;
    const appended = await api.append(id, { times: [10, 20], values: [1, 2] });
    const json = { headers: { 'content-type': MEDIA_TYPES.json }, body: JSON.stringify({ times: [21], values: [3] }) };
    const put = expecting(200, await api.send('PUT', `${path}?start=20&end=30`, json));
    const removed = expecting(200, await api.send('DELETE', `${path}?start=20&end=30`));
    const many = expecting(
      200,
      await api.send('POST', '/v1/samples?project=default', {
        headers: { 'content-type': MEDIA_TYPES.ndjson },
        body: JSON.stringify({ series: name, times: [5], values: [4] }),
      }),
    );
    for (const claim of [appended, put.json(), removed.json(), many.json<{ items: object[] }>().items[0]]) {
      expect(Object.keys(claim as object).filter((key) => key.endsWith('_row'))).toEqual([]);
    }
    for (const query of ['rows=1:2', 'latest=1', 'start=6&limit=1']) {
      const answer = expecting(200, await read(id, 'json', query));
      expect(answer.headers['x-varve-first-row']).toBeUndefined();
      expect(answer.json<SamplesJson>()).toMatchObject({ first_row: null, values: [1] });
    }
    expect((await api.get(`/v1/series/${id}?include=last_value`)).json()).toMatchObject({ last_value: { row: null } });
  });

  test('rule error: rows must come in order, and each time once', async () => {
    const id = await create({ dtype: 'int32', sampling: IRREGULAR, duplicates: 'error' });
    await api.append(id, { times: [10, 20], values: [1, 2] });
    const path = `/v1/series/${id}/samples`;
    for (const [status, times] of [
      [409, [20]],
      [409, [15, 30]],
      [422, [30, 30]],
      [422, [40, 30]],
    ] as const) {
      const answer = expecting(status, await api.post(path, { times, values: times.map(() => 0) }));
      expect(answer.json<Problem>().type).toBe('urn:varve:problem:time-not-increasing');
    }
    await api.append(id, { times: [21], values: [3] });
    await expectRows(id, '', [
      [10, 1],
      [20, 2],
      [21, 3],
    ]);
  });
});

describe('formats', () => {
  let id: string;

  beforeAll(async () => {
    id = await create({ dtype: 'int16', channels: 2, sampling: regular(10) });
    const values = Int16Array.from({ length: 2000 }, (_, i) => i % 7);
    await append(id, 'octet', { dtype: 'int16', labels: ['ch0', 'ch1'], values, times: null });
  });

  test.each([
    ['*/*', 'json'],
    ['application/json', 'json'],
    ['application/x-ndjson', 'ndjson'],
    ['text/csv', 'csv'],
    ['text/*', 'csv'],
    ['application/x-npy', 'npy'],
    ['application/octet-stream', 'octet'],
    ['text/csv;q=0.5, application/x-npy', 'npy'],
    ['application/json;q=0.1, */*;q=0.01, text/csv;q=0.2', 'csv'],
    ['image/png, application/octet-stream;q=0.1', 'octet'],
  ] as [string, Format][])('Accept: %s is answered with %s', async (accept, format) => {
    const answer = expecting(200, await api.get(`/v1/series/${id}/samples?rows=:2`, { accept }));
    expect(answer.headers['content-type']?.split(';')[0]).toBe(MEDIA_TYPES[format]);
    expect(answer.headers.vary).toMatch(/accept/i);
  });

  test('without Accept it is JSON, and ?format= goes before Accept', async () => {
    expect((await api.get(`/v1/series/${id}/samples?rows=:2`)).headers['content-type']).toMatch(/json/);
    const answer = await api.get(`/v1/series/${id}/samples?rows=:2&format=csv`, { accept: 'application/x-npy' });
    expect(expecting(200, answer).headers['content-type']).toMatch(/csv/);
  });

  test('what cannot be made is not acceptable', async () => {
    const answer = expecting(406, await api.get(`/v1/series/${id}/samples`, { accept: 'image/png' }));
    expect(answer.json<Problem>()).toMatchObject({ status: 406, errors: [{ field: 'Accept' }] });
  });

  test('text is compressed for who asks, binary never', async () => {
    for (const format of FORMATS) {
      const path = `/v1/series/${id}/samples?format=${format}`;
      const plain = expecting(200, await api.get(path));
      const answer = expecting(200, await api.get(path, { 'accept-encoding': 'gzip' }));
      expect(plain.headers['content-encoding']).toBeUndefined();
      if (COPIES.includes(format) || ARROW.includes(format)) {
        expect(answer.headers['content-encoding']).toBeUndefined();
        expect(answer.body.equals(plain.body)).toBe(true);
      } else {
        expect(answer.headers['content-encoding']).toBe('gzip');
        expect(answer.body.length).toBeLessThan(plain.body.length / 3);
        expect(gunzipSync(answer.body).equals(plain.body)).toBe(true);
      }
    }
  });

  test.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['deflate', deflateSync],
  ] as const)('bodies may come compressed with %s, in every format', async (encoding, compress) => {
    const values = Int16Array.from({ length: 400 }, (_, i) => i);
    for (const format of FORMATS) {
      const target = await create({ dtype: 'int16', channels: 2, sampling: regular(1) });
      const encoded = encode(format, { dtype: 'int16', labels: ['ch0', 'ch1'], values, times: null });
      const headers = { 'content-type': encoded.contentType, 'content-encoding': encoding };
      const answer = await api.send('POST', `/v1/series/${target}/samples`, { headers, body: compress(encoded.body) });
      expecting(201, answer);
      expect((await read(target, 'octet')).body.equals(bytesOf(values))).toBe(true);
    }
  });

  test('Content-Length of binary answers is that of the body, also to HEAD', async () => {
    const irregular = await create({ dtype: 'float32', channels: 3, sampling: IRREGULAR });
    await api.append(irregular, {
      times: [3, 1, 2],
      values: [
        [1, 2, 3],
        [4, 5, 6],
        [7, 8, 9],
      ],
    });
    for (const series of [id, irregular]) {
      for (const query of ['', 'rows=1:2', 'channels=ch1', 'physical=true', 'limit=2', 'start=2', 'rows=0:0']) {
        for (const format of COPIES) {
          const path = `/v1/series/${series}/samples?format=${format}&${query}`;
          const answer = expecting(200, await api.get(path));
          expect(answer.headers['content-length']).toBe(String(answer.body.length));
          const head = expecting(200, await api.send('HEAD', path));
          expect([head.headers['content-length'], head.body.length]).toEqual([answer.headers['content-length'], 0]);
        }
      }
    }
  });
});

describe('large bodies', () => {
  /** Pieces of sizes that fit no row and no block. */
  async function* pieces(whole: Buffer, bytes = 65_521): AsyncGenerator<Buffer> {
    for (let at = 0; at < whole.length; at += bytes) yield whole.subarray(at, at + bytes);
  }

  const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

  test('20 MB of octets without a Content-Length come and go unchanged', async () => {
    const id = await create({ dtype: 'int32', channels: 5, sampling: regular(30_000) });
    const whole = bytesOf(Int32Array.from({ length: 5_000_000 }, (_, i) => Math.imul(i, 2_654_435_761)));
    const headers = { 'content-type': MEDIA_TYPES.octet };
    const answer = await api.send('POST', `/v1/series/${id}/samples`, { headers, body: pieces(whole) });
    expect(expecting(201, answer).json()).toMatchObject({ rows: 1_000_000, first_row: 0, last_row: 999_999 });
    const back = expecting(200, await read(id, 'octet'));
    expect([back.headers['content-length'], sha256(back.body)]).toEqual(['20000000', sha256(whole)]);
    const part = expecting(200, await read(id, 'octet', 'rows=123456:654321'));
    expect(sha256(part.body)).toBe(sha256(whole.subarray(123_456 * 20, 654_321 * 20)));
    const column = expecting(200, await read(id, 'octet', 'channels=3'));
    const all = new Int32Array(whole.buffer, whole.byteOffset, 5_000_000);
    expect(sha256(column.body)).toBe(
      sha256(bytesOf(Int32Array.from({ length: 1_000_000 }, (_, row) => all[row * 5 + 3]))),
    );

    // A reader that leaves in the middle, and one that is slow, do no harm.
    const left = await api.open('GET', `/v1/series/${id}/samples?format=octet`);
    await once(left, 'data');
    left.destroy();
    const slow = await api.open('GET', `/v1/series/${id}/samples?format=octet`);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(sha256(await bodyOf(slow))).toBe(sha256(whole));
    const csv = expecting(200, await read(id, 'csv', 'rows=:200000'));
    const text = decode('csv', csv.body, { dtype: 'int32', channels: 5, irregular: false });
    expect(sha256(bytesOf(text.values))).toBe(sha256(whole.subarray(0, 200_000 * 20)));
  });

  test('5 MB of CSV', async () => {
    const id = await create({ dtype: 'float64', channels: 2, sampling: regular(1000) });
    const values = Float64Array.from({ length: 260_000 }, (_, i) => Math.sin(i) * 1e-3);
    const { body, contentType } = encode('csv', { dtype: 'float64', labels: ['ch0', 'ch1'], values, times: null });
    expect(body.length).toBeGreaterThan(5_000_000);
    const path = `/v1/series/${id}/samples`;
    expecting(201, await api.send('POST', path, { headers: { 'content-type': contentType }, body: pieces(body) }));
    expect(sha256((await read(id, 'octet')).body)).toBe(sha256(bytesOf(values)));
  });

  test('200,000 lines of NDJSON, and back', async () => {
    const id = await create({ dtype: 'int16', sampling: IRREGULAR });
    const values = Int16Array.from({ length: 200_000 }, (_, i) => i % 30_000);
    const times = Array.from({ length: 200_000 }, (_, i) => T0 + BigInt(i) * 1000n);
    const { body, contentType } = encode('ndjson', { dtype: 'int16', labels: ['value'], values, times });
    const path = `/v1/series/${id}/samples`;
    expecting(201, await api.send('POST', path, { headers: { 'content-type': contentType }, body: pieces(body) }));
    const back = expecting(200, await read(id, 'ndjson'));
    const decoded = decode('ndjson', back.body, { dtype: 'int16', channels: 1, irregular: true });
    expect(sha256(bytesOf(decoded.values))).toBe(sha256(bytesOf(values)));
    expect([decoded.times?.length, decoded.times?.[0], decoded.times?.at(-1)]).toEqual([200_000, T0, times.at(-1)]);
    expect((await api.read(id, `?start=${times[150_000]}&limit=1`)).values).toEqual([[0]]);
  });
});

describe('physical values in a unit that the reader names', () => {
  const channels = [{ label: 'v', unit: 'uV', gain: 2, baseline: 1 }, { label: 't', unit: '°C' }, { label: 'x' }];
  let id: string;
  beforeAll(async () => {
    id = await create({ dtype: 'int16', channels, sampling: regular(1), missing_value: -9 });
    const values = [
      [3, 20, 1],
      [-9, 25, 1],
      [7, 30, 1],
    ];
    await api.append(id, { values, start: '2026-05-01' });
  });

  test('samples, overviews, aggregates, tables and files are converted, the missing value is none in any', async () => {
    expect((await api.read(id, '?channels=v&unit=mV')).values).toEqual([[1 / 1000, null, 3 / 1000]]);
    expect((await api.read(id, '?channels=v&unit=nV&physical=true')).values).toEqual([[1000, null, 3000]]);
    expect((await api.read(id, '?channels=t&unit=K')).values).toEqual([[293.15, 298.15, 303.15]]);
    expect((await api.read(id, '?channels=v&unit=mV&latest=1')).values).toEqual([[3 / 1000]]);
    const bucket = async (query: string): Promise<unknown> =>
      expecting(200, await api.get(`/v1/series/${id}/samples?${query}`)).json<{ channels: unknown[] }>().channels[0];
    expect(await bucket('channels=v&unit=mV&points=1')).toMatchObject({
      unit: 'mV',
      min: [1 / 1000],
      max: [3 / 1000],
      mean: [2 / 1000],
    });
    expect(await bucket('channels=t&unit=[degF]&every=1h&agg=min,mean,sum,std')).toMatchObject({
      unit: '[degF]',
      min: [68],
      mean: [77],
      sum: [231],
      std: [9],
    });
    const query = { series: [id], channels: ['v'], unit: 'mV', every: '1h', agg: ['max'], format: 'csv' };
    expect(expecting(200, await api.post('/v1/query', query)).body.toString()).toContain(',0.003');
    expect((await api.get(`/v1/series/${id}/samples?channels=v&unit=mV&format=hdf5`)).status).toBe(200);
  });

  test.each([
    ['channels=v&unit=mA', 422, 'uV'],
    ['channels=x&unit=mV', 422, 'has no unit'],
    ['unit=mV', 422, '°C'],
    ['channels=v&unit=smoot', 422, 'smoot'],
    ['channels=v&unit=mV&physical=false', 400, 'physical'],
    ['channels=v&unit=', 400, 'unit'],
    ['channels=v&unit=mA&points=2', 422, 'uV'],
    ['channels=v&unit=mA&every=1s&agg=mean', 422, 'uV'],
    ['channels=v&unit=mA&latest=1', 422, 'uV'],
  ])('%s is refused', async (query, status, word) => {
    const answer = await api.get(`/v1/series/${id}/samples?${query}`);
    const { errors, detail } = answer.json<Problem & { detail: string }>();
    expect([answer.status, errors?.[0]?.field, detail]).toEqual([status, 'unit', expect.stringContaining(word)]);
  });
});

describePython('NumPy', ['numpy'], (python) => {
  const load = (body: Buffer, expression: string): string =>
    python(
      `import io, sys, numpy as np; a = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False); print(${expression})`,
      body,
    )
      .toString()
      .trim();

  test('reads what we write', async () => {
    const id = await create({ dtype: 'uint64', channels: 2, sampling: regular(1) });
    await append(id, 'npy', {
      dtype: 'uint64',
      labels: ['ch0', 'ch1'],
      values: BigUint64Array.of(1n, 2n ** 64n - 1n, 3n, 4n),
      times: null,
    });
    const answer = await read(id, 'npy');
    expect(load(answer.body, 'a.dtype.str, a.shape, a.tolist()')).toBe(
      '<u8 (2, 2) [[1, 18446744073709551615], [3, 4]]',
    );
    const irregular = await create({ dtype: 'float32', channels: 2, sampling: IRREGULAR });
    await api.append(irregular, {
      times: [20, 10],
      values: [
        [1, 2],
        [3, 4.5],
      ],
    });
    const rows = await read(irregular, 'npy');
    expect(load(rows.body, "a.dtype.names, a['time'].tolist(), a['values'].tolist(), a['values'].dtype")).toBe(
      "('time', 'values') [10, 20] [[3.0, 4.5], [1.0, 2.0]] float32",
    );
    const empty = await read(id, 'npy', 'rows=0:0');
    expect(load(empty.body, 'a.shape')).toBe('(0, 2)');
  });

  test('writes what we read', async () => {
    const cases: [NumberType, object, string, unknown][] = [
      ['int16', regular(1), 'np.array([1, -2], dtype="<i2")', [[1, -2]]],
      ['int16', regular(1), 'np.array([[1], [-2]], dtype=">i2")', [[1, -2]]],
      ['int8', regular(1), 'np.array([1, -2], dtype="i1")', [[1, -2]]],
      [
        'float64',
        IRREGULAR,
        'np.array([("2026-05-01", 1.5), ("2026-05-02", 2.5)], dtype=[("time", "M8[ns]"), ("values", "f8")])',
        [[1.5, 2.5]],
      ],
      ['float64', IRREGULAR, 'np.array([(1.5, 7)], dtype=[("values", ">f8"), ("time", ">i8")])', [[1.5]]],
    ];
    for (const [dtype, sampling, expression, expected] of cases) {
      const id = await create({ dtype, sampling });
      const body = python(`import sys, numpy as np; np.save(sys.stdout.buffer, ${expression})`);
      const headers = { 'content-type': MEDIA_TYPES.npy };
      expecting(201, await api.send('POST', `/v1/series/${id}/samples`, { headers, body }));
      expect([expression, (await api.read(id)).values]).toEqual([expression, expected]);
    }
  });
});
