/** The ends of time over HTTP: what is stored there is right, and what lies beyond is refused, in every format. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { tableFromArrays, tableToIPC, timestamp, float64, int64, TimeUnit } from '@uwdata/flechette';
import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, type Answer, type Problem } from './client.ts';

/** 1678-01-01, and the last nanosecond of 2261. */
const FIRST = -9_214_560_000_000_000_000n;
const LAST = 9_214_646_399_999_999_999n;
const INT64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };
const NAT = INT64.min;
/** Integer nanoseconds that no time has. */
const NO_TIMES = [NAT, NAT + 1n, FIRST - 1n, LAST + 1n, INT64.max - 1n, INT64.max];

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

async function irregular(fields: object = {}): Promise<string> {
  const sampling = { kind: 'irregular' };
  return (await api.createSeries({ name: randomUUID(), dtype: 'float64', sampling, ...fields })).id;
}

async function regular(rate: number | string = 1): Promise<string> {
  const sampling = { kind: 'regular', rate_hz: rate };
  return (await api.createSeries({ name: randomUUID(), dtype: 'float64', sampling })).id;
}

interface Body {
  readonly type: string;
  readonly body: string | Uint8Array;
}

/** Rows of times and of values 0, 1, 2 … in every format that has int64 times. */
function bodies(times: readonly bigint[]): Record<string, Body> {
  const values = times.map((_, i) => i);
  const packed = Buffer.alloc(times.length * 16);
  times.forEach((ns, i) => packed.writeDoubleLE(i, packed.writeBigInt64LE(ns, i * 16)));
  const npy = (time: string): Buffer => {
    const dict = `{'descr': [('time', '${time}'), ('values', '<f8')], 'fortran_order': False, 'shape': (${times.length},), }`;
    const length = Math.ceil((11 + dict.length) / 64) * 64 - 10;
    const head = Buffer.from(`\x93NUMPY\x01\x00${String.fromCharCode(length & 255, length >> 8)}`, 'latin1');
    return Buffer.concat([head, Buffer.from(`${dict.padEnd(length - 1)}\n`, 'latin1'), packed]);
  };
  const arrow = (type: ReturnType<typeof int64>): Uint8Array =>
    tableToIPC(
      tableFromArrays(
        { time: [...times], value: values },
        { types: { time: type, value: float64() }, useBigInt: true },
      ),
      { format: 'stream' },
    )!;
  return {
    json: { type: 'application/json', body: JSON.stringify({ times: times.map(String), values }) },
    'json with bare integers': {
      type: 'application/json',
      body: `{"times":[${times.join()}],"values":[${values.join()}]}`,
    },
    ndjson: {
      type: 'application/x-ndjson',
      body: times.map((ns, i) => `{"time":"${ns}","values":[${i}]}\n`).join(''),
    },
    csv: { type: 'text/csv', body: `time,value\n${times.map((ns, i) => `${ns},${i}\n`).join('')}` },
    octet: { type: 'application/octet-stream', body: packed },
    'npy int64': { type: 'application/x-npy', body: npy('<i8') },
    'npy datetime64': { type: 'application/x-npy', body: npy('<M8[ns]') },
    'arrow int64': { type: 'application/vnd.apache.arrow.stream', body: arrow(int64()) },
  };
}

const send = (method: string, path: string, { type, body }: Body): Promise<Answer> =>
  api.send(method, path, { headers: { 'content-type': type }, body });

const put = (path: string, json: unknown): Promise<Answer> =>
  send('PUT', path, { type: 'application/json', body: JSON.stringify(json) });

function refused(answer: Answer, field: RegExp): void {
  const { errors } = expecting(400, answer).json<Problem>();
  expect(errors[0].field).toMatch(field);
}

describe('a time that is none is refused with its row, and nothing is stored', () => {
  const place = /^(times\[1\]|line [23] (column )?time|row 1 column time|body)$/;

  test.each(Object.keys(bodies([0n])))('%s', async (format) => {
    const id = await irregular({ channels: [{ label: 'value' }] });
    await api.append(id, { times: ['5'], values: [5] });
    for (const ns of NO_TIMES) {
      refused(await send('POST', `/v1/series/${id}/samples`, bodies([0n, ns])[format]), place);
      refused(await send('PUT', `/v1/series/${id}/samples?start=0001-01-01`, bodies([0n, ns])[format]), place);
    }
    expect((await api.read(id)).times).toEqual(['5']);
    const ends = bodies([FIRST, LAST])[format];
    expecting(201, await send('POST', `/v1/series/${id}/samples`, ends));
    expect((await api.read(id)).times).toEqual([String(FIRST), '5', String(LAST)]);
  });

  test('a timestamp of Arrow of any unit', async () => {
    const id = await irregular({ channels: [{ label: 'value' }] });
    const units = [TimeUnit.SECOND, TimeUnit.MILLISECOND, TimeUnit.MICROSECOND, TimeUnit.NANOSECOND];
    for (const [i, unit] of units.entries()) {
      const perUnit = 10n ** BigInt(9 - 3 * i);
      const body = (time: bigint): Body => {
        // Its builders take a timestamp for milliseconds; the int64 below is the same bytes.
        const table = tableFromArrays(
          { time: BigInt64Array.of(0n, time), value: [0, 1] },
          { types: { time: int64(), value: float64() } },
        );
        table.schema.fields[0].type = timestamp(unit, 'UTC');
        return { type: 'application/vnd.apache.arrow.stream', body: tableToIPC(table, { format: 'stream' })! };
      };
      for (const time of [INT64.min, INT64.max, LAST / perUnit + 1n, FIRST / perUnit - 1n]) {
        refused(await send('POST', `/v1/series/${id}/samples`, body(time)), place);
      }
      expecting(201, await send('POST', `/v1/series/${id}/samples`, body(LAST / perUnit)));
    }
    expect((await api.read(id)).times.at(-1)).toBe(String(LAST));
  });

  test.each(['2016-12-31T23:59:60Z', '2026-02-30T00:00:00Z', '2026-05-01T24:00:00Z', '2026-13-01', '9999-12-31'])(
    '%s in a text',
    async (time) => {
      const texts: Record<string, Body> = {
        json: { type: 'application/json', body: JSON.stringify({ times: ['1', time], values: [0, 1] }) },
        ndjson: { type: 'application/x-ndjson', body: `{"time":"1","values":[0]}\n{"time":"${time}","values":[1]}\n` },
        csv: { type: 'text/csv', body: `time,value\n1,0\n${time},1\n` },
      };
      const channels = [{ label: 'value' }];
      const events = await irregular({ channels });
      const { id } = await api.createSeries({
        name: randomUUID(),
        dtype: 'float64',
        channels,
        sampling: { kind: 'regular', rate_hz: 1 },
      });
      for (const body of Object.values(texts)) refused(await send('POST', `/v1/series/${events}/samples`, body), place);
      // A regular series takes the first time alone, but the others have to be times as well.
      for (const body of [texts.ndjson, texts.csv])
        refused(await send('POST', `/v1/series/${id}/samples`, body), place);
      const started = { type: 'application/json', body: JSON.stringify({ start: time, values: [1] }) };
      refused(await send('POST', `/v1/series/${id}/samples`, started), /^start$/);
      const octets = { type: 'application/octet-stream', body: new Uint8Array(8) };
      refused(await send('POST', `/v1/series/${id}/samples?start=${time}`, octets), /^start$/);
      expect([(await api.series(events)).rows, (await api.series(id)).rows]).toEqual([0, 0]);
    },
  );

  test('of a series, an annotation or a tag', async () => {
    const id = await irregular();
    for (const time of [...NO_TIMES.map(String), '2016-12-31T23:59:60Z', '9999-12-31']) {
      const sampling = { kind: 'regular', rate_hz: 1, start: time };
      const fields = { name: randomUUID(), dtype: 'int8' };
      refused(await api.post('/v1/series', { ...fields, sampling }), /^sampling\.start$/);
      refused(await api.post(`/v1/series/${id}/annotations`, { start: time, label: 'x' }), /^start$/);
      refused(await api.post(`/v1/series/${id}/annotations`, { start: '0', end: time, label: 'x' }), /^end$/);
      const tagged = { ...fields, sampling: { kind: 'irregular' }, tags: { at: { time } } };
      expecting(400, await api.post('/v1/series', tagged));
    }
    expecting(
      201,
      await api.post(`/v1/series/${id}/annotations`, { start: String(FIRST), end: String(LAST), label: 'x' }),
    );
    const page = expecting(200, await api.get(`/v1/series/${id}/annotations?start=0001-01-01&end=9999-12-31`));
    expect(page.json<{ items: unknown[] }>().items).toHaveLength(1);
  });
});

describe('the rows of a regular series end within time', () => {
  test('whatever the rate', async () => {
    for (const [rate, periodNs] of [
      [1, 10n ** 9n],
      [1e9, 1n],
      [3e-10, 10n ** 19n / 3n],
    ] as const) {
      const id = await regular(rate);
      const lastStart = LAST + 1n - periodNs;
      const late = await api.post(`/v1/series/${id}/samples`, { start: String(lastStart + 1n), values: [1] });
      expect([400, 422]).toContain(late.status);
      expect(late.json<Problem>().errors[0].field).toBe('start');
      await api.append(id, { start: String(lastStart), values: [1] });
      expecting(422, await api.post(`/v1/series/${id}/samples`, { values: [2] }));
      expect((await api.read(id)).times).toEqual([String(lastStart)]);
      const { buckets } = expecting(200, await api.get(`/v1/series/${id}/samples?points=3`)).json<{
        buckets: { count: number[] };
      }>();
      expect(buckets.count.reduce((a, b) => a + b)).toBe(1);
      expecting(200, await put(`/v1/series/${id}/samples?start=${lastStart}`, { values: [7] }));
      expecting(200, await api.delete(`/v1/series/${id}/samples?start=${lastStart}`));
    }
  });
});

describe('bounds that no time can have leave a side open', () => {
  test('of reads, aggregates, lines, queries, removals and searches', async () => {
    const tag = randomUUID();
    const id = await irregular({ tags: { tag, born: { time: '1700-01-01T00:00:00Z' } } });
    await api.append(id, { times: [String(FIRST), '0', String(LAST)], values: [1, 2, 3] });
    const path = `/v1/series/${id}/samples`;
    const beyond = ['0001-01-01', '9999-12-31', '-99999999999999999999', '99999999999999999999'];
    for (const [start, end] of [beyond.slice(0, 2), beyond.slice(2)]) {
      expect((await api.read(id, `?start=${start}&end=${end}`)).values[0]).toEqual([1, 2, 3]);
      expect((await api.read(id, `?start=${end}`)).times).toEqual([]);
      expect((await api.read(id, `?end=${start}`)).times).toEqual([]);
      for (const more of [
        'points=2',
        'every=100000y&agg=count',
        'every=9000000000s&agg=count',
        'points=2&method=lttb',
      ]) {
        expecting(200, await api.get(`${path}?start=${start}&end=${end}&${more}`));
      }
      // Filled buckets reach from the first sample to the last.
      const filled = await api.get(`${path}?start=${start}&end=${end}&every=100y&agg=count&fill=null`);
      expect(expecting(200, filled).json<{ buckets: { count: number[] } }>().buckets.count).toEqual([1, 0, 0, 1, 0, 1]);
      const query = { series: [id], start, end, format: 'json' };
      expect(expecting(200, await api.post('/v1/query', query)).json<{ rows: number }>().rows).toBe(3);
      const found = await api.get(`/v1/series?tag.tag=${tag}&overlaps=${start},${end}&active_since=${start}`);
      expect(expecting(200, found).json<{ items: unknown[] }>().items).toHaveLength(1);
      const where = { and: [{ tag: 'tag', eq: tag }, { overlaps: [start, end] }, { active_since: start }] };
      const searched = expecting(200, await api.post('/v1/series/search', { where }));
      expect(searched.json<{ items: unknown[] }>().items).toHaveLength(1);
    }
    for (const [bounds, count] of [
      [{ gte: { time: '0001-01-01' }, lt: { time: '9999-12-31' } }, 1],
      [{ lte: { time: '0001-01-01' } }, 0],
      [{ gt: { time: '9999-12-31' } }, 0],
    ] as const) {
      const where = {
        and: [
          { tag: 'tag', eq: tag },
          { tag: 'born', ...bounds },
        ],
      };
      const searched = expecting(200, await api.post('/v1/series/search', { where }));
      expect(searched.json<{ items: unknown[] }>().items).toHaveLength(count);
    }
    const removed = expecting(200, await api.delete(`${path}?start=0001-01-01&end=9999-12-31`));
    expect(removed.json<{ removed: number }>().removed).toBe(3);
    await api.append(id, { times: [String(LAST)], values: [4] });
    expect((await api.read(id)).values[0]).toEqual([4]);
  });

  test('and what is no time stays none', async () => {
    const id = await irregular();
    for (const time of ['9999-02-30', '9999-12-31T23:59:60Z', 'never', '']) {
      refused(await api.get(`/v1/series/${id}/samples?start=${time}`), /^start$/);
    }
  });
});

test('no end of any domain is answered 5xx', async () => {
  const edge = fc.constantFrom(
    INT64.min,
    FIRST - 1n,
    FIRST,
    FIRST + 1n,
    -1n,
    0n,
    1n,
    LAST - 1n,
    LAST,
    LAST + 1n,
    INT64.max,
    10n ** 20n,
  );
  const rate = fc.constantFrom('3e-10', '1e9', '1', '0.1', '360', '30000/1001', '1e-9', '1e10', '0');
  const row = fc.constantFrom('0', '-1', '1', '999999999999999', '-999999999999999', '9007199254740992', '');
  const path = fc.constantFrom(
    'points=3',
    'points=20000&method=lttb',
    'every=1ns&agg=mean',
    'every=1d&agg=std,first',
    'every=100000y&agg=count&fill=null',
    'every=9223372036s&agg=sum&fill=linear',
    'limit=1',
    'latest=2',
  );
  const samples = fc.array(edge, { minLength: 1, maxLength: 3 });
  const tag = fc.constantFrom<number | string>(Number.MAX_VALUE, -0, 5e-324, 2 ** 53, '\u{10ffff}', 'x'.repeat(4096));
  await fc.assert(
    fc.asyncProperty(
      samples,
      edge,
      edge,
      rate,
      row,
      row,
      path,
      tag,
      async (times, start, end, hz, from, to, view, label) => {
        const answers: Answer[] = [];
        const does = async (answer: Promise<Answer>): Promise<Answer> => {
          answers.push(await answer);
          return answers.at(-1)!;
        };
        const { id } = await api.createSeries({
          name: randomUUID(),
          dtype: 'float64',
          sampling: { kind: 'irregular' },
          tags: { label },
        });
        const created = await does(
          api.post('/v1/series', { name: randomUUID(), dtype: 'int8', sampling: { kind: 'regular', rate_hz: hz } }),
        );
        const evenly = created.status === 201 ? created.json<{ id: string }>().id : id;
        const told = times.map(String);
        const accepted = await does(api.post(`/v1/series/${id}/samples`, { times: told, values: told.map(() => 1) }));
        const isTold = times.every((ns) => ns >= FIRST && ns <= LAST);
        expect(accepted.status).toBe(isTold ? 201 : 400);
        if (isTold) {
          const sorted = [...new Set(times)].sort((a, b) => (a < b ? -1 : 1)).map(String);
          expect((await api.read(id)).times).toEqual(sorted);
        }
        await does(api.post(`/v1/series/${evenly}/samples`, { start: told[0], values: [1, 2] }));
        await does(api.post(`/v1/series/${evenly}/samples`, { values: [3] }));
        for (const one of [id, evenly]) {
          const at = `/v1/series/${one}/samples`;
          await does(api.get(`${at}?start=${start}&end=${end}`));
          await does(api.get(`${at}?rows=${from}:${to}`));
          await does(api.get(`${at}?${view}`));
          await does(api.get(`${at}?${view}&start=${start}&end=${end}`));
          await does(
            put(`${at}?start=${start}&end=${end}`, { ...(one === id && { times: told.slice(0, 1) }), values: [5] }),
          );
          await does(api.delete(`${at}?start=${start}&end=${end}`));
          await does(api.get(at));
          const asOf = { every: '9223372036s', tolerance: '9223372036s', direction: 'nearest' };
          await does(
            api.post('/v1/query', { series: [one], form: 'wide', as_of: asOf, start: String(start), end: String(end) }),
          );
        }
        await does(api.get(`/v1/series?overlaps=${start},${end}&active_since=${start}&limit=1`));
        await does(api.post('/v1/series/search', { where: { tag: 'label', gte: label }, limit: 1 }));
        // What was accepted is not in the way of what follows.
        expecting(201, await api.post(`/v1/series/${id}/samples`, { times: ['0'], values: [9] }));
        expect(answers.map(({ status }) => status).filter((status) => status >= 500)).toEqual([]);
      },
    ),
    { numRuns: 40 },
  );
}, 120_000);
