/** Many series as one table, over HTTP. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { tableFromIPC } from '@uwdata/flechette';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { describePython } from '../support/python.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, type Answer, type Problem } from './client.ts';

const START = '2026-05-01T09:00:00Z';
const START_NS = 1_777_626_000_000_000_000n;
const at = (seconds: number): string => String(START_NS + BigInt(Math.round(seconds * 1e9)));

interface Table {
  readonly series: ReadonlyArray<{ id: string; name: string; unit: string | null; tags: Record<string, unknown> }>;
  readonly columns: ReadonlyArray<{ name: string; type: string; unit?: string; channel?: string; aggregate?: string }>;
  readonly rows: number;
  readonly data: Readonly<Record<string, (number | string | null)[]>>;
}

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;
/** Regular, 1 Hz, two channels, int16, gain 2: 0 … 9. */
let ecg: string;
/** Irregular, float32, °C, out of order. */
let temperature: string;
/** Irregular, int64, with values beyond 2^53. */
let counter: string;
/** Nothing in it. */
let empty: string;

beforeAll(async () => {
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url } });
  api = new ApiClient(service);
  const irregular = { kind: 'irregular' };
  const create = async (fields: Record<string, unknown>): Promise<string> => (await api.createSeries(fields)).id;
  ecg = await create({
    name: 'ecg',
    dtype: 'int16',
    unit: 'mV',
    scale: 2,
    channels: [{ label: 'I' }, { label: 'II', unit: 'V' }],
    tags: { species: 'mouse', room: 'a' },
    sampling: { kind: 'regular', rate_hz: 1, start: START },
  });
  temperature = await create({
    name: 'temperature',
    dtype: 'float32',
    unit: 'degC',
    tags: { species: 'mouse', room: 'b' },
    sampling: irregular,
  });
  counter = await create({ name: 'counter', dtype: 'int64', tags: { room: 'b' }, sampling: irregular });
  empty = await create({ name: 'empty', dtype: 'int16', tags: { species: 'none' }, sampling: irregular });
  await api.append(ecg, { values: Array.from({ length: 10 }, (_, i) => [i, 100 - i]) });
  await api.append(temperature, { times: [at(4.5), at(0.25)], values: [21.5, 20] });
  await api.append(temperature, { times: [at(2), at(9)], values: [null, 22.25] });
  await api.append(counter, { times: [at(1), at(5)], values: ['9007199254740993', 7] });
});

afterAll(async () => {
  await service?.drop();
  await database?.drop();
});

async function ask(body: object, headers: Record<string, string> = {}): Promise<Answer> {
  return expecting(200, await api.post('/v1/query', body, headers));
}

async function table(body: object): Promise<Table> {
  return (await ask(body)).json<Table>();
}

async function refused(status: number, body: object, headers: Record<string, string> = {}): Promise<Problem> {
  return expecting(status, await api.post('/v1/query', body, headers)).json<Problem>();
}

describe('the long form', () => {
  test('has a row a value, series after series, each in order of time', async () => {
    const answer = await ask({ series: [temperature, ecg], end: at(3) });
    expect(answer.headers['x-varve-series']).toBe('2');
    const { series, columns, rows, data } = answer.json<Table>();
    expect(series.map(({ id, name, unit, tags }) => [id, name, unit, tags.room])).toEqual([
      [temperature, 'temperature', 'degC', 'b'],
      [ecg, 'ecg', 'mV', 'a'],
    ]);
    expect(columns.map(({ name, type }) => [name, type])).toEqual([
      ['time', 'time'],
      ['series', 'text'],
      ['name', 'text'],
      ['channel', 'text'],
      ['value', 'float32'],
    ]);
    expect(rows).toBe(8);
    expect(data).toEqual({
      time: [0.25, 2, 0, 0, 1, 1, 2, 2].map(at),
      series: [temperature, temperature, ...Array.from({ length: 6 }, () => ecg)],
      name: ['temperature', 'temperature', 'ecg', 'ecg', 'ecg', 'ecg', 'ecg', 'ecg'],
      channel: ['value', 'value', 'I', 'II', 'I', 'II', 'I', 'II'],
      value: [20, null, 0, 100, 1, 99, 2, 98],
    });
  });

  test('takes what a search finds, in its order, and channels and physical values of each', async () => {
    const where = { tag: 'species', eq: 'mouse' };
    const { data } = await table({ where, sort: ['-name'], start: at(8), physical: true });
    expect(data.name).toEqual(['temperature', 'ecg', 'ecg', 'ecg', 'ecg']);
    expect(data.value).toEqual([22.25, 16, 184, 18, 182]);
    const one = await table({ where: { field: 'name', eq: 'ecg' }, channels: ['II'], limit: 2 });
    expect(one.data.value).toEqual([100, 99]);
    expect(one.columns.at(-1)).toMatchObject({ type: 'int16', unit: 'V' });
    expect(await table({ where: { tag: 'species', eq: 'unicorn' } })).toMatchObject({ series: [], rows: 0 });
    expect(await table({ series: [empty] })).toMatchObject({ rows: 0, data: { value: [] } });
  });

  test('keeps 64-bit integers', async () => {
    expect((await table({ series: [counter] })).data.value).toEqual(['9007199254740993', 7]);
    const both = await table({ series: [counter, ecg], end: at(2), channels: ['0'] });
    expect(both.columns.at(-1)!.type).toBe('int64');
    expect(both.data.value).toEqual(['9007199254740993', 0, 1]);
    expect(await refused(422, { series: [counter, temperature] })).toMatchObject({
      type: expect.stringContaining('dtypes-mixed'),
      errors: [{ field: 'physical' }],
    });
    expect((await table({ series: [counter, temperature], physical: true })).rows).toBe(6);
  });

  test('of the newest rows of each', async () => {
    const { data } = await table({ series: [ecg, temperature, empty], latest: 1 });
    expect(data).toMatchObject({ time: [9, 9, 9].map(at), value: [9, 91, 22.25] });
  });

  test('of buckets has a row a bucket and channel', async () => {
    const { columns, data } = await table({
      series: [ecg, temperature],
      every: '5s',
      agg: ['count', 'mean', 'max'],
    });
    expect(columns.map(({ name, type }) => `${name} ${type}`).slice(2)).toEqual([
      'series text',
      'name text',
      'channel text',
      'count int64',
      'mean float64',
      'max float32',
    ]);
    expect(data.start).toEqual([0, 5, 0, 5, 0, 5].map(at));
    expect(data.channel).toEqual(['I', 'I', 'II', 'II', 'value', 'value']);
    expect(data.count).toEqual([5, 5, 5, 5, 2, 1]);
    expect(data.mean).toEqual([2, 7, 98, 93, 20.75, 22.25]);
    expect(data.max).toEqual([4, 9, 100, 95, 21.5, 22.25]);
  });

  test('comes as NDJSON, CSV and Arrow, too', async () => {
    const question = { series: [temperature, ecg], end: at(1) };
    const lines = (await ask({ ...question, format: 'ndjson' })).body.toString().trim().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { time: at(0.25), series: temperature, name: 'temperature', channel: 'value', value: 20 },
      { time: at(0), series: ecg, name: 'ecg', channel: 'I', value: 0 },
      { time: at(0), series: ecg, name: 'ecg', channel: 'II', value: 100 },
    ]);
    const csv = await ask({ ...question, epoch: 's' }, { accept: 'text/csv' });
    expect(csv.headers['content-type']).toMatch(/^text\/csv/);
    expect(csv.body.toString().split('\n')).toEqual([
      'time,series,name,channel,value',
      `1777626000.25,${temperature},temperature,value,20`,
      `1777626000,${ecg},ecg,I,0`,
      `1777626000,${ecg},ecg,II,100`,
      '',
    ]);
    for (const format of ['arrow', 'arrow-stream']) {
      const arrow = tableFromIPC((await ask({ ...question, format })).body, { useBigInt: true, useDate: false });
      expect(arrow.toArray().map((row) => [row.series, row.name, row.channel, row.value])).toEqual([
        [temperature, 'temperature', 'value', 20],
        [ecg, 'ecg', 'I', 0],
        [ecg, 'ecg', 'II', 100],
      ]);
      const about = JSON.parse(arrow.schema.metadata!.get('series')!) as Table['series'];
      expect(about[1]).toMatchObject({ id: ecg, tags: { species: 'mouse' } });
    }
    const none = await ask({ where: { tag: 'species', eq: 'unicorn' }, format: 'arrow' });
    expect(tableFromIPC(none.body).numRows).toBe(0);
  });
});

describe('the wide form in buckets', () => {
  test('has one clock for all series', async () => {
    const { columns, data } = await table({
      series: [ecg, temperature, counter, empty],
      form: 'wide',
      every: '3s',
      agg: ['max'],
      fill: 'null',
    });
    expect(columns).toMatchObject([
      { name: 'time' },
      { name: 'ecg:I', type: 'int16', unit: 'mV', aggregate: 'max' },
      { name: 'ecg:II', unit: 'V', channel: 'II' },
      { name: 'temperature', unit: 'degC', type: 'float32' },
      { name: 'counter', type: 'int64' },
      { name: 'empty' },
    ]);
    expect(data).toEqual({
      time: [0, 3, 6, 9].map(at),
      'ecg:I': [2, 5, 8, 9],
      'ecg:II': [100, 97, 94, 91],
      temperature: [20, 21.5, null, 22.25],
      counter: ['9007199254740993', 7, null, null],
      empty: [null, null, null, null],
    });
  });

  test('leaves out times at which no series has a row, fills, and takes several aggregates', async () => {
    const wide = { form: 'wide', every: '1s', agg: ['count', 'last'], start: at(0), end: at(6) };
    const { data } = await table({ ...wide, series: [temperature, counter] });
    expect(data).toEqual({
      time: [0, 1, 4, 5].map(at),
      'temperature.count': [1, 0, 1, 0],
      'temperature.last': [20, null, 21.5, null],
      'counter.count': [0, 1, 0, 1],
      'counter.last': [null, '9007199254740993', null, 7],
    });
    const filled = await table({ ...wide, agg: ['last'], fill: 'previous', series: [temperature, counter] });
    expect(filled.data.temperature).toEqual([20, 20, 20, 20, 21.5, 21.5]);
    expect(filled.data.counter).toEqual([null, ...Array.from({ length: 4 }, () => '9007199254740993'), 7]);
  });

  test('by the calendar, and says what each series alone would say', async () => {
    const query = 'every=1d&agg=mean&tz=Asia/Kolkata&fill=null&start=2026-05-01T00:00:00Z&end=2026-05-02T00:00:00Z';
    const alone = (await api.get(`/v1/series/${ecg}/samples?${query}`)).json<{
      buckets: { start: string[] };
      channels: { mean: number[] }[];
    }>();
    const { data } = await table({
      series: [ecg],
      form: 'wide',
      every: '1d',
      agg: ['mean'],
      tz: 'Asia/Kolkata',
      fill: 'null',
      start: '2026-05-01T00:00:00Z',
      end: '2026-05-02T00:00:00Z',
    });
    expect(data).toEqual({
      time: alone.buckets.start,
      'ecg:I': alone.channels[0].mean,
      'ecg:II': alone.channels[1].mean,
    });
  });

  test('names columns by id where names clash', async () => {
    expecting(201, await api.post('/v1/projects', { name: 'other' }));
    const spec = { project: 'other', dtype: 'int16', sampling: { kind: 'irregular' } };
    const twin = (await api.createSeries({ ...spec, name: 'temperature' })).id;
    const time = (await api.createSeries({ ...spec, name: 'time' })).id;
    const { data } = await table({
      series: [temperature, twin, time, counter],
      form: 'wide',
      every: '1h',
      agg: ['count'],
    });
    expect(Object.keys(data)).toEqual(['time', temperature, twin, time, 'counter']);
  });

  test('comes as npy and Arrow, too', async () => {
    const question = { series: [ecg, temperature], form: 'wide', every: '5s', agg: ['mean'], physical: true };
    const { body } = await ask({ ...question, format: 'npy' });
    const head = 10 + body.readUInt16LE(8);
    expect(body.subarray(10, head).toString('latin1').trim()).toBe(
      "{'descr': [('time', '<i8'), ('values', '<f8', (3,))], 'fortran_order': False, 'shape': (2,), }",
    );
    expect(body.readBigInt64LE(head)).toBe(START_NS);
    expect([0, 1, 2].map((c) => body.readDoubleLE(head + 8 + c * 8))).toEqual([4, 196, 20.75]);
    const arrow = tableFromIPC((await ask({ ...question, format: 'arrow' })).body);
    expect(arrow.getChild('ecg:II').toArray()).toEqual(Float64Array.of(196, 186));
    expect(arrow.schema.fields[2].metadata.get('unit')).toBe('V');
  });
});

describe('the wide form as of a clock', () => {
  const asOf = (direction: string, tolerance: string): object => ({
    series: [temperature, counter],
    form: 'wide',
    as_of: { clock: ecg, direction, tolerance },
    start: at(0),
    end: at(7),
  });

  test.each([
    ['backward', '1h', [null, 20, null, null, null, 21.5, 21.5], [null, 1, 1, 1, 1, 7, 7]],
    ['backward', '500ms', [null, null, null, null, null, 21.5, null], [null, 1, null, null, null, 7, null]],
    ['forward', '1h', [20, null, null, 21.5, 21.5, 22.25, 22.25], [1, 1, 7, 7, 7, 7, null]],
    ['nearest', '500ms', [20, null, null, null, 21.5, 21.5, null], [null, 1, null, null, null, 7, null]],
    ['nearest', '0s', [null, null, null, null, null, null, null], [null, 1, null, null, null, 7, null]],
  ])('%s within %s', async (direction, tolerance, expected, counts) => {
    const { data } = await table(asOf(direction, tolerance));
    expect(data.time).toEqual([0, 1, 2, 3, 4, 5, 6].map(at));
    expect(data.temperature).toEqual(expected);
    expect(data.counter).toEqual(counts.map((count) => (count === 1 ? '9007199254740993' : count)));
  });

  test('a clock of ticks, in a column a channel, and one value that is NaN is not one that is missing', async () => {
    const question = {
      series: [ecg, temperature],
      form: 'wide',
      as_of: { every: '2s', tolerance: '1s' },
      start: at(0.5),
      end: at(6),
    };
    const { data } = await table(question);
    expect(data).toEqual({
      time: [2, 4].map(at),
      'ecg:I': [2, 4],
      'ecg:II': [98, 96],
      temperature: [null, null],
    });
    const arrow = tableFromIPC((await ask({ ...question, format: 'arrow-stream' })).body);
    const column = arrow.getChild('temperature');
    expect([column.at(0), column.at(1)]).toEqual([NaN, null]);
    const { body } = await ask({ ...question, format: 'npy' });
    expect(body.subarray(10, 138).toString('latin1')).toContain("'shape': (2,)");
  });

  test('looks back past the start, and ahead past the end', async () => {
    const question = { series: [counter], form: 'wide', start: at(3), end: at(5) };
    const around = async (direction: string, tolerance: string): Promise<unknown> =>
      (await table({ ...question, as_of: { every: '1s', tolerance, direction } })).data.counter;
    expect(await around('backward', '2s')).toEqual(['9007199254740993', null]);
    expect(await around('forward', '1s')).toEqual([null, 7]);
    expect(await around('nearest', '2s')).toEqual(['9007199254740993', 7]);
  });

  test('is empty where the clock is', async () => {
    const { rows } = await table({
      series: [ecg],
      form: 'wide',
      as_of: { clock: empty, tolerance: '1s' },
    });
    expect(rows).toBe(0);
    expect((await table({ series: [empty], form: 'wide', as_of: { every: '1s', tolerance: '1s' } })).rows).toBe(0);
  });
});

describe('bad input', () => {
  const wide = { form: 'wide', every: '1s', agg: ['mean'] };
  test.each<[string, number, string, () => object]>([
    ['nothing is named', 400, 'series', () => ({})],
    ['both ids and an expression', 400, 'where', () => ({ series: [ecg], where: { tag: 'a', exists: true } })],
    ['no id', 400, 'series[0]', () => ({ series: ['ecg'] })],
    ['no series', 400, 'series', () => ({ series: [] })],
    ['too many', 400, 'series', () => ({ series: Array.from({ length: 1001 }, () => ecg) })],
    ['a series twice', 400, 'series[1]', () => ({ series: [ecg, ecg] })],
    ['an unknown series', 404, 'series[1]', () => ({ series: [ecg, '0198c5e0-0000-7000-8000-000000000001'] })],
    ['a bad expression', 400, 'where.and[0].gte', () => ({ where: { and: [{ tag: 'a', gte: [] }] } })],
    ['a sort without a search', 400, 'sort', () => ({ series: [ecg], sort: ['name'] })],
    ['a bad sort', 400, 'sort[0]', () => ({ where: { tag: 'a', exists: true }, sort: ['nonsense'] })],
    ['a bad time', 400, 'start', () => ({ series: [ecg], start: 'yesterday' })],
    ['a reversed range', 400, 'start', () => ({ series: [ecg], start: at(2), end: at(1) })],
    ['an unknown channel', 400, 'channels', () => ({ series: [ecg], channels: ['III'] })],
    ['an unknown field', 400, 'points', () => ({ series: [ecg], points: 10 })],
    ['wide without a clock', 400, 'form', () => ({ series: [ecg], form: 'wide' })],
    ['as_of in the long form', 400, 'as_of', () => ({ series: [ecg], as_of: { every: '1s', tolerance: '1s' } })],
    ['every and as_of', 400, 'as_of', () => ({ ...wide, series: [ecg], as_of: { every: '1s', tolerance: '1s' } })],
    ['no aggregate', 400, 'agg', () => ({ series: [ecg], every: '1s' })],
    ['an unknown aggregate', 400, 'agg[0]', () => ({ series: [ecg], every: '1s', agg: ['median'] })],
    ['an aggregate of nothing', 400, 'agg', () => ({ series: [ecg], agg: ['mean'] })],
    ['a bad length', 400, 'every', () => ({ ...wide, series: [ecg], every: '1 hour' })],
    ['too many buckets', 400, 'every', () => ({ ...wide, series: [ecg], every: '1ns' })],
    [
      'too many ticks',
      400,
      'as_of.every',
      () => ({ form: 'wide', series: [ecg], as_of: { every: '1ns', tolerance: '0s' } }),
    ],
    ['a bad zone', 400, 'tz', () => ({ ...wide, series: [ecg], tz: 'Mars' })],
    [
      'a clock and ticks',
      400,
      'as_of.clock',
      () => ({ form: 'wide', series: [ecg], as_of: { clock: ecg, every: '1s', tolerance: '1s' } }),
    ],
    ['neither', 400, 'as_of.clock', () => ({ form: 'wide', series: [ecg], as_of: { tolerance: '1s' } })],
    ['no tolerance', 400, 'as_of.tolerance', () => ({ form: 'wide', series: [ecg], as_of: { clock: ecg } })],
    [
      'a negative tolerance',
      400,
      'as_of.tolerance',
      () => ({ form: 'wide', series: [ecg], as_of: { clock: ecg, tolerance: '-1s' } }),
    ],
    [
      'an unknown clock',
      404,
      'as_of.clock',
      () => ({
        form: 'wide',
        series: [ecg],
        as_of: { clock: '0198c5e0-0000-7000-8000-000000000001', tolerance: '1s' },
      }),
    ],
    ['latest of a range', 400, 'start', () => ({ series: [ecg], latest: 1, start: at(1) })],
    ['latest and limit', 400, 'limit', () => ({ series: [ecg], latest: 1, limit: 1 })],
    ['no row', 400, 'limit', () => ({ series: [ecg], limit: 0 })],
    ['npy in the long form', 400, 'format', () => ({ series: [ecg], format: 'npy' })],
    [
      'npy of 64-bit integers',
      422,
      'format',
      () => ({ form: 'wide', series: [counter], as_of: { every: '1s', tolerance: '1s' }, format: 'npy' }),
    ],
    ['epochs in JSON', 400, 'epoch', () => ({ series: [ecg], epoch: 's' })],
    ['a format that tables have not', 400, 'format', () => ({ series: [ecg], format: 'hdf5' })],
  ])('%s: %i naming %s', async (_, status, field, body) => {
    expect((await refused(status, body())).errors[0].field).toBe(field);
  });

  test('an unacceptable format lists what is offered', async () => {
    const { errors } = await refused(406, { series: [ecg] }, { accept: 'application/x-hdf5' });
    expect(errors).toMatchObject([{ field: 'Accept', message: expect.stringContaining('text/csv') }]);
  });

  test('times that count from different points are not put side by side', async () => {
    const relative = await api.createSeries({
      name: 'relative',
      dtype: 'int16',
      time_reference: 'relative',
      sampling: { kind: 'irregular' },
    });
    expect(await refused(422, { ...wide, series: [ecg, relative.id] })).toMatchObject({
      type: expect.stringContaining('time-reference-mixed'),
      errors: [{ field: 'series' }],
    });
    const clock = { form: 'wide', series: [ecg], as_of: { clock: relative.id, tolerance: '1s' } };
    expect((await refused(422, clock)).errors).toMatchObject([{ field: 'as_of.clock' }]);
  });

  test('series of other projects are not there', async () => {
    expecting(201, await api.post('/v1/projects', { name: 'secret' }));
    const created = expecting(
      201,
      await api.post('/v1/tokens', { name: 'reader', scopes: ['read'], projects: ['secret'] }),
    );
    const { token } = created.json<{ token: string }>();
    const asReader = async (body: object): Promise<Answer> =>
      api.send('POST', '/v1/query', {
        token,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    expect(expecting(404, await asReader({ series: [ecg] })).json<Problem>().errors).toMatchObject([
      { field: 'series[0]' },
    ]);
    const found = expecting(200, await asReader({ where: { tag: 'species', exists: true } }));
    expect(found.json<Table>().series).toEqual([]);
    expecting(401, await api.send('POST', '/v1/query', { token: null }));
  });
});

describe('an answer of any length', () => {
  const ROWS = 450_000;
  let long: string;
  beforeAll(async () => {
    const { id } = await api.createSeries({
      name: 'long',
      dtype: 'int32',
      sampling: { kind: 'regular', rate_hz: 1000, start: START },
    });
    const body = Buffer.from(Int32Array.from({ length: ROWS }, (_, i) => i).buffer);
    const headers = { 'content-type': 'application/octet-stream' };
    expecting(201, await api.send('POST', `/v1/series/${id}/samples`, { headers, body }));
    long = id;
  });

  test('streams', async () => {
    const { body } = await ask({ series: [long, ecg], format: 'arrow-stream' });
    const values = tableFromIPC(body).getChild('value').toArray() as Int32Array;
    expect(values.length).toBe(ROWS + 20);
    expect(values.subarray(0, ROWS).every((value, i) => value === i)).toBe(true);
  });

  test('is gone through side by side, chunk after chunk', async () => {
    const { body } = await ask({
      series: [long, ecg],
      form: 'wide',
      as_of: { every: '2ms', tolerance: '999999us' },
      format: 'arrow-stream',
    });
    const answered = tableFromIPC(body);
    const values = answered.getChild('long').toArray() as Int32Array;
    expect(values.length).toBe(ROWS / 2);
    expect(values.every((value, i) => value === 2 * i)).toBe(true);
    const seconds = [...answered.getChild('ecg:I')] as (number | null)[];
    expect(seconds.every((value, i) => value === (i < 5000 ? Math.floor(i / 500) : null))).toBe(true);
  });

  test('is refused as JSON beyond two million values', async () => {
    const where = { field: 'name', in: ['long', 'ecg'] };
    expect((await refused(413, { where })).errors).toMatchObject([{ field: 'format' }]);
  });

  test('is given up when nobody reads it any more', async () => {
    const incoming = await api.open('POST', '/v1/query', {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ where: { field: 'name', eq: 'long' }, format: 'csv' }),
    });
    incoming.destroy();
    // The thread is free for the next one.
    expect((await table({ series: [ecg], limit: 1 })).rows).toBe(2);
  });
});

describePython('pandas', ['pandas', 'numpy'], (python) => {
  test.each([
    ['of other times', 'last', 100_000],
    ['of equal times', 'keep', 3_000],
  ] as const)('finds the same with merge_asof, %s', async (_, duplicates, range) => {
    const spec = { dtype: 'float64', duplicates, sampling: { kind: 'irregular' } };
    const [left, right] = await Promise.all(
      ['left', 'right'].map(async (name) => (await api.createSeries({ ...spec, name: `${name} ${duplicates}` })).id),
    );
    let state = 7;
    const random = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const times = (count: number): string[] => Array.from({ length: count }, () => String(random(range)));
    for (const id of [left, right]) {
      for (let batch = 0; batch < 3; batch++) {
        const own = times(2_000);
        await api.append(id, { times: own, values: own.map((_, i) => i + batch * 10_000) });
      }
    }
    const cases = ['backward', 'forward', 'nearest'].flatMap((direction) =>
      [0, 1, 20].map((most) => [direction, most] as const),
    );
    for (const [direction, tolerance] of cases) {
      const asOf = { clock: left, tolerance: `${tolerance}ns`, direction };
      const question = { series: [right], form: 'wide', as_of: asOf };
      const answered = await ask({ ...question, format: 'csv', epoch: 'ns' });
      const read = async (id: string): Promise<string> =>
        (await api.get(`/v1/series/${id}/samples?format=csv&epoch=ns`)).body.toString();
      const script = `
import sys, io, json
import pandas as pd
left, right, answered = (pd.read_csv(io.StringIO(text)) for text in json.load(sys.stdin))
expected = pd.merge_asof(left[["time"]], right, on="time", direction="${direction}", tolerance=${tolerance})
same = expected["value"].equals(answered["right ${duplicates}"]) and expected["time"].equals(answered["time"])
print(same, len(answered), int(answered["right ${duplicates}"].notna().sum()))`;
      const input = JSON.stringify([await read(left), await read(right), answered.body.toString()]);
      const [same, rows, found] = python(script, input).toString().trim().split(' ');
      expect([direction, tolerance, same]).toEqual([direction, tolerance, 'True']);
      expect(Number(found)).toBeGreaterThan(100);
      expect(Number(rows)).toBeGreaterThanOrEqual(Number(found));
    }
  });
});
