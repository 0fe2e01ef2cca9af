import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  Dictionary,
  Float64,
  Int32,
  RecordBatchStreamWriter,
  Table,
  tableFromArrays,
  tableToIPC,
  Utf8,
  vectorFromArray,
} from 'apache-arrow';
import { randomUUID } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import pg from 'pg';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, tally, type Answer, type Problem, type SeriesJson } from './client.ts';

interface Item {
  readonly line: number;
  readonly series?: string;
  readonly status: number;
  readonly rows?: number;
  readonly first_row?: number;
  readonly replayed?: boolean;
  readonly problem?: Problem;
}
interface Many {
  readonly commit: number | null;
  readonly items: readonly Item[];
}

const NDJSON = 'application/x-ndjson';
const ARROW = 'application/vnd.apache.arrow.stream';
const IRREGULAR = { dtype: 'float64', sampling: { kind: 'irregular' } };
const REGULAR = { dtype: 'int16', sampling: { kind: 'regular', rate_hz: 10 } };
const NOBODY = '0190b5a0-0000-7000-8000-000000000000';

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;
let sql: pg.Client;

beforeAll(async () => {
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url } });
  api = new ApiClient(service);
  sql = new pg.Client({ connectionString: database.url });
  await sql.connect();
});

afterAll(async () => {
  await sql?.end();
  await service?.drop();
  await database?.drop();
});

function post(body: string | Uint8Array, query = '', headers: Record<string, string> = {}, token?: string) {
  return api.send('POST', `/v1/samples${query}`, { headers: { 'content-type': NDJSON, ...headers }, body, token });
}

const lines = (...items: (object | string)[]): string =>
  items.map((item) => (typeof item === 'string' ? item : JSON.stringify(item))).join('\n');

async function many(body: string | Uint8Array, query = '', headers: Record<string, string> = {}): Promise<Many> {
  return expecting(200, await post(body, query, headers)).json<Many>();
}

async function make(spec: object = IRREGULAR, name: string = randomUUID()): Promise<string> {
  return (await api.createSeries({ name, ...spec })).id;
}

const valuesOf = async (id: string): Promise<unknown> => (await api.read(id)).values[0];

async function isThere(name: string): Promise<boolean> {
  return (await api.get(`/v1/series/by-name/${name}`)).status === 200;
}

/** Everything that a refused body must leave as it was. */
async function state(): Promise<unknown> {
  const { rows } =
    await sql.query(`select (select value from commit_counter) as commit, (select count(*) from fresh) as fresh,
    (select count(*) from series) as series, (select count(*) from append_keys) as keys, (select count(*) from spool_files) as spools`);
  return rows[0];
}

async function leavesNothing(send: () => Promise<Answer>, status: number): Promise<Problem> {
  const before = await state();
  const problem = expecting(status, await send()).json<Problem>();
  expect(await state()).toEqual(before);
  return problem;
}

describe('rows of many series in one request', () => {
  test('are stored by one commit, which is told, and readable when it is answered', async () => {
    const [regular, irregular] = [await make(REGULAR), await make()];
    const name = randomUUID();
    await make({ ...IRREGULAR, channels: 2 }, name);
    const { commit, items } = await many(
      lines(
        { series: regular, start: '2026-05-01T00:00:00Z', values: [1, 2, 3] },
        { series: irregular, times: ['1970-01-01T00:00:01Z', '2000000000'], values: [1.5, null] },
        '',
        { series: name, times: [1], values: [[1, 2]] },
        { series: regular, values: [[4]] },
      ),
    );
    expect(items).toEqual([
      { line: 1, status: 201, rows: 3, first_row: 0 },
      { line: 2, status: 201, rows: 2 },
      { line: 4, status: 201, rows: 1 },
      { line: 5, status: 201, rows: 1, first_row: 3 },
    ]);
    expect(await valuesOf(regular)).toEqual([1, 2, 3, 4]);
    expect(await valuesOf(irregular)).toEqual([1.5, null]);
    const { rows } = await sql.query('select series, first_rows, rows from commits where commit = $1', [commit]);
    expect(rows[0].series).toHaveLength(4);
    for (const id of [regular, irregular]) expect(await api.series(id)).toMatchObject({ commit });
  });

  test('apply in the order of their lines, also where a series is called by its id and by its name', async () => {
    const name = randomUUID();
    const id = await make(REGULAR, name);
    const items = Array.from({ length: 400 }, (_, n) => ({ series: n % 2 ? id : name, values: [n] }));
    const answer = await many(lines(...items));
    expect(answer.items.map(({ first_row: row }) => row)).toEqual(items.map((_, n) => n));
    expect(await valuesOf(id)).toEqual(items.map((_, n) => n));
    const upper = await many(lines({ series: id.toUpperCase(), values: [400] }));
    expect(upper.items[0]).toMatchObject({ status: 201, first_row: 400 });
  });

  test('keep 64-bit integers exact, whichever way they are written', async () => {
    const id = await make({ dtype: 'int64', sampling: { kind: 'irregular' } });
    const { items } = await many(
      `{"series":"${id}","times":[1777626000000000001,"1777626000000000002"],"values":["9223372036854775807","-9223372036854775808"]}`,
    );
    expect(items[0]).toEqual({ line: 1, status: 201, rows: 2 });
    const read = await api.read(id);
    expect(read.times).toEqual(['1777626000000000001', '1777626000000000002']);
    expect(read.values[0]).toEqual(['9223372036854775807', '-9223372036854775808']);
  });

  test('of 10,000 series are one commit, and one item more is too much', async () => {
    const prefix = randomUUID();
    const item = (n: number): object => ({
      series: `${prefix}/${n}`,
      times: [n],
      values: [n],
      create: { ...IRREGULAR, tags: { set: prefix } },
    });
    const all = Array.from({ length: 10_001 }, (_, n) => item(n));
    expect((await leavesNothing(() => post(lines(...all)), 413)).detail).toContain('10000');
    const { commit, items } = await many(lines(...all.slice(0, 10_000)));
    expect(tally(items as never)).toEqual({ 201: 10_000 });
    const { rows } = await sql.query('select cardinality(series) as n from commits where commit = $1', [commit]);
    expect(rows).toEqual([{ n: 10_000 }]);
    const again = await many(lines(...all.slice(0, 10_000)));
    const { rows: after } = await sql.query('select kinds from commits where commit > $1', [commit]);
    expect(after).toHaveLength(1);
    expect(new Set(after[0].kinds)).toEqual(new Set(['append']));
    expect(again.commit).toBe(commit! + 1);
  }, 60_000);

  test('come compressed, and in pieces that cut characters', async () => {
    const name = `grün/${randomUUID()}`;
    const id = await make(REGULAR, name);
    const body = Buffer.from(lines({ series: name, values: [1] }, { series: name, values: [2] }));
    expect((await many(gzipSync(body), '', { 'content-encoding': 'gzip' })).items).toHaveLength(2);
    const at = body.indexOf('ü') + 1;
    const cut = async function* (): AsyncGenerator<Uint8Array> {
      yield body.subarray(0, at);
      yield body.subarray(at);
    };
    const answer = await api.send('POST', '/v1/samples', { headers: { 'content-type': NDJSON }, body: cut() });
    expect(expecting(200, answer).json<Many>().items).toHaveLength(2);
    expect(await valuesOf(id)).toEqual([1, 2, 1, 2]);
  });

  test('answer keys that were used with the first answer, and other content with a problem', async () => {
    const [a, b] = [await make(REGULAR), await make()];
    const key = randomUUID();
    const first = lines(
      { series: a, values: [1, 2], idempotency_key: key },
      { series: b, times: [5], values: [7], idempotency_key: key },
    );
    expect((await many(first)).items.map(({ replayed }) => replayed)).toEqual([undefined, undefined]);
    const second = await many(lines(...first.split('\n'), { series: a, values: [3] }));
    expect(second.items).toEqual([
      { line: 1, status: 201, rows: 2, first_row: 0, replayed: true },
      { line: 2, status: 201, rows: 1, replayed: true },
      { line: 3, status: 201, rows: 1, first_row: 2 },
    ]);
    expect(await many(first)).toMatchObject({ commit: null, items: [{ replayed: true }, { replayed: true }] });
    const other = await many(lines({ series: a, values: [9], idempotency_key: key }));
    expect(other.items[0]).toMatchObject({
      status: 422,
      problem: { type: 'urn:varve:problem:key-reused', errors: [{ field: 'idempotency_key' }] },
    });
    // The key is that of the series, whichever route it comes by.
    const single = await api.post(`/v1/series/${a}/samples`, { values: [1, 2] }, { 'idempotency-key': key });
    expect(expecting(201, single).headers['idempotency-replayed']).toBe('true');
    const twice = { series: b, times: [6], values: [8], idempotency_key: randomUUID() };
    expect((await many(lines(twice, twice))).items.map(({ replayed }) => replayed)).toEqual([undefined, true]);
    expect(await valuesOf(b)).toEqual([7, 8]);
  });
});

describe('times that drift', () => {
  test('leave the same clock marks, whichever format they come in', async () => {
    const spec = { ...REGULAR, dtype: 'float64' };
    const [a, b] = [await make(spec), await make(spec)];
    const startNs = 1_800_000_000_000_000_000n;
    // The second row is late by a fifth of a sample, and goes on.
    const rate = BigInt(REGULAR.sampling.rate_hz);
    const times = [startNs, startNs + 1_200_000_000n / rate];
    expect((await many(lines({ series: a, times: times.map(String), values: [1, 2] }))).items[0].status).toBe(201);
    expect((await many(stream([b, b], times, [1, 2]), '', { 'content-type': ARROW })).items[0].status).toBe(201);
    const marks = await Promise.all(
      [a, b].map(async (id) =>
        expecting(200, await api.get(`/v1/series/${id}/clock-marks`)).json<{ items: object[] }>(),
      ),
    );
    expect(marks[0].items).toHaveLength(2);
    expect(marks[1].items).toEqual(marks[0].items);
  });
});

describe('a key of the whole request', () => {
  test('makes a retry store only what the first request did not', async () => {
    const [a, b] = [await make(REGULAR), await make()];
    const header = { 'idempotency-key': randomUUID() };
    const own = randomUUID();
    const body = lines(
      { series: a, values: [1, 2] },
      { series: 'not made yet', values: [5], idempotency_key: own },
      { series: b, times: [5], values: [7] },
      { series: a, values: [1, 2] },
    );
    expect((await many(body, '', header)).items.map(({ status }) => status)).toEqual([201, 404, 201, 201]);
    await make({ ...REGULAR, name: 'not made yet' });
    const { items } = await many(body, '', header);
    expect(items.map(({ status, replayed }) => [status, replayed])).toEqual([
      [201, true],
      [201, undefined],
      [201, true],
      [201, true],
    ]);
    expect(await valuesOf(a)).toEqual([1, 2, 1, 2]);
    const other = await many(lines({ series: a, values: [9] }), '', header);
    expect(other.items[0]).toMatchObject({
      status: 422,
      problem: { type: 'urn:varve:problem:key-reused', errors: [{ field: 'Idempotency-Key' }] },
    });
    const arrow = { ...header, 'content-type': ARROW };
    const rows = stream([b, b], [8n, 9n], [1, 2]);
    for (const replayed of [undefined, true]) expect((await many(rows, '', arrow)).items[0].replayed).toBe(replayed);
  });
});

describe('an item that is wrong', () => {
  test('is refused with its line and field, as the route of one series refuses it, and the good ones stand', async () => {
    const [int16, int64, strict] = [
      await make(REGULAR),
      await make({ dtype: 'int64', sampling: { kind: 'irregular' } }),
      await make({ ...IRREGULAR, duplicates: 'error' }),
    ];
    const two = await make({ ...REGULAR, channels: 2 });
    await api.append(int16, { start: '2026-05-01T00:00:00Z', values: [1] });
    const bodies: [string, string][] = [
      [int16, '{"values": [1, 2, 3, 40000]}'],
      [int16, '{"values": [1.5]}'],
      [int16, '{"values": [null]}'],
      [int16, '{"values": ["1"]}'],
      [int16, '{"values": []}'],
      [int16, '{}'],
      [int16, '{"values": 7}'],
      [int16, '{"values": [1], "start": "soon"}'],
      [int16, '{"values": [1], "start": "2026-05-01T00:00:00Z"}'],
      [int16, '{"values": [1], "times": ["2026-05-01T00:00:00Z"]}'],
      [int16, '{"values": [1], "times": ["soon"]}'],
      [int16, '{"values": [1, 2], "times": [2, 1]}'],
      [int16, '{"values": [1], "start": 1, "times": [2]}'],
      [int16, '{"values": [1], "orient": "sideways"}'],
      [int64, '{"values": [1]}'],
      [int64, '{"values": [1], "times": [1], "start": 1}'],
      [int64, '{"values": [1, 2], "times": [1]}'],
      [int64, '{"values": [1e17], "times": [1]}'],
      [int64, '{"values": ["9223372036854775808"], "times": [1]}'],
      [int64, '{"values": [1], "times": ["9999-01-01"]}'],
      [strict, '{"values": [1, 2], "times": [2, 1]}'],
      [two, '{"values": [[1, 2], [3]]}'],
      [two, '{"values": [1, 2]}'],
      [NOBODY, '{"values": [1]}'],
    ];
    const good = await make(REGULAR);
    const body = bodies.flatMap(([series, text]) => [
      `{"series": "${series}", ${text.slice(1)}`.replace(', }', '}'),
      JSON.stringify({ series: good, values: [1] }),
    ]);
    const { items } = await many(lines(...body));
    const wanted: [number, string, unknown][] = [];
    for (const [series, text] of bodies) {
      const single = await api.send('POST', `/v1/series/${series}/samples`, {
        headers: { 'content-type': 'application/json' },
        body: text,
      });
      const { type, errors } = single.json<Problem>();
      wanted.push([single.status, type, errors]);
    }
    const refused = items.filter(({ status }) => status !== 201);
    expect(refused.map(({ status, problem }) => [status, problem!.type, problem!.errors])).toEqual(wanted);
    expect(refused.map(({ line }) => line)).toEqual(bodies.map((_, n) => 2 * n + 1));
    expect(refused[0].problem).toMatchObject({ errors: [{ field: 'values[3]' }], instance: '/v1/samples' });
    expect(await valuesOf(good)).toEqual(bodies.map(() => 1));
    expect(await valuesOf(int16)).toEqual([1]);
  });

  test.each([
    ['{"series": "no', 'line'],
    ['[]', 'line'],
    ['"text"', 'line'],
    ['{"values": [1]}', 'series'],
    ['{"series": 7, "values": [1]}', 'series'],
    ['{"series": "x", "values": [1], "unit": "mV"}', 'unit'],
    ['{"series": "x", "values": [1], "values": [2]}', 'values'],
    ['{"series": "x", "values": [1], "idempotency_key": "a b"}', 'idempotency_key'],
    ['{"series": "x", "values": [1], "idempotency_key": 7}', 'idempotency_key'],
    ['{"series": "x", "values": [1], "create": 7}', 'create'],
    ['{"series": "x", "values": [1], "first_row": 7}', 'first_row'],
    ['{"series": "x", "values": [1], "__proto__": 7}', '__proto__'],
    [
      '{"series": "new-one", "values": [1], "create": {"dtype": "int7", "sampling": {"kind": "irregular"}}}',
      'create.dtype',
    ],
    ['{"series": "new-one", "values": [1], "create": {"dtype": "int8", "name": "y"}}', 'create.name'],
    ['{"series": "new-one", "values": [1], "create": {"dtype": "int8", "project": "y"}}', 'create.project'],
    [
      '{"series": " new-one", "times": [1], "values": [1], "create": {"dtype": "int8", "sampling": {"kind": "irregular"}}}',
      'series',
    ],
    [
      '{"series": "new\\u0000", "times": [1], "values": [1], "create": {"dtype": "int8", "sampling": {"kind": "irregular"}}}',
      'series',
    ],
    [
      '{"series": "new-one", "times": [1], "values": [1000], "create": {"dtype": "int8", "sampling": {"kind": "irregular"}}}',
      'values[0]',
    ],
    [
      '{"series": "new-one", "times": [1], "values": [1], "create": {"dtype": "int8", "sampling": {"kind": "irregular"}, "tags": {"d": {"value": 1, "unit": "smoot"}}}}',
      'create.tags.d',
    ],
  ])('as a line is told: %s', async (text, field) => {
    const good = await make(REGULAR);
    const { items } = await many(lines(text, { series: good, values: [1] }));
    expect(items[0]).toMatchObject({ line: 1, problem: { errors: [{ field }] } });
    expect([400, 422]).toContain(items[0].status);
    expect(items[1]).toMatchObject({ line: 2, status: 201 });
    expect(await isThere('new-one')).toBe(false);
  });

  test('by a name that nobody can have is not there', async () => {
    const { items } = await many(
      lines('{"series":"a\\u0000","values":[1]}', '{"series":"\\ud800","values":[1]}', { series: '', values: [1] }),
    );
    expect(items.map(({ status }) => status)).toEqual([404, 404, 404]);
  });

  test('of a series out of reach is not there, and none is made where the token does not reach', async () => {
    const project = randomUUID();
    expecting(201, await api.post('/v1/projects', { name: project }));
    const created = await api.post('/v1/tokens', { name: project, scopes: ['write'], projects: [project] });
    const { token } = expecting(201, created).json<{ token: string }>();
    const [name, id] = [randomUUID(), await make(REGULAR)];
    await make({ ...REGULAR, project }, name);
    const create = { dtype: 'int16', sampling: { kind: 'irregular' } };
    const body = lines({ series: id, values: [1] }, { series: name, values: [1] });
    // Twice: the second time the series are remembered.
    for (const query of [`?project=${project}`, `?project=${project}`]) {
      const { items } = expecting(200, await post(body, query, {}, token)).json<Many>();
      expect(items.map(({ status }) => status)).toEqual([404, 201]);
    }
    const elsewhere = lines({ series: randomUUID(), times: [1], values: [1], create });
    const { items } = expecting(200, await post(elsewhere, '', {}, token)).json<Many>();
    expect(items[0]).toMatchObject({ status: 403, problem: { errors: [{ field: 'project' }] } });
    expecting(200, await post(elsewhere, `?project=${project}`, {}, token));
    expect((await many(elsewhere, '?project=nowhere')).items[0].status).toBe(404);
    const read = await api.post('/v1/tokens', { name: randomUUID(), scopes: ['read'] });
    expecting(403, await post(body, '', {}, expecting(201, read).json<{ token: string }>().token));
  });

  test('of a series that was sealed, deleted or given another name meanwhile is told as if asked anew', async () => {
    const [sealed, deleted, renamed] = [randomUUID(), randomUUID(), randomUUID()];
    const ids = [await make(REGULAR, sealed), await make(REGULAR, deleted), await make(REGULAR, renamed)];
    const body = lines(...[sealed, deleted, renamed].map((series) => ({ series, values: [1] })));
    expect((await many(body)).items.map(({ status }) => status)).toEqual([201, 201, 201]);
    expecting(200, await api.post(`/v1/series/${ids[0]}/seal`, {}));
    expecting(204, await api.delete(`/v1/series/${ids[1]}`));
    await make({ dtype: 'float64', sampling: { kind: 'regular', rate_hz: 1 } }, deleted);
    expecting(200, await api.patch(`/v1/series/${ids[2]}`, { name: randomUUID() }));
    const before = await state();
    const { items, commit } = await many(body);
    expect(items.map(({ status }) => status)).toEqual([409, 201, 404]);
    expect(await state()).toMatchObject({ commit: String(BigInt((before as { commit: string }).commit) + 1n) });
    expect(commit).not.toBeNull();
  });
});

describe('a body that is wrong as a whole', () => {
  test('stores nothing', async () => {
    const id = await make(REGULAR);
    const good = lines({ series: id, values: [1] });
    const latin1 = Buffer.concat([Buffer.from(`${good}\n{"series": "gr`), Buffer.from([0xfc]), Buffer.from('n"}')]);
    expect((await leavesNothing(() => post(latin1), 400)).errors[0].field).toBe('body');
    for (const empty of ['', '\n \n']) await leavesNothing(() => post(empty), 400);
    const gzip = { 'content-encoding': 'gzip' };
    await leavesNothing(() => post(gzipSync(good).subarray(0, -9), '', gzip), 400);
    await leavesNothing(() => post(good, '', gzip), 400);
    await leavesNothing(() => post(good, '', { 'content-type': 'application/json' }), 415);
    await leavesNothing(() => post(good, '', { 'content-type': `${NDJSON}; charset=latin1` }), 415);
    expect((await leavesNothing(() => post(good, '?atomic=yes'), 400)).errors[0].field).toBe('atomic');
    expect((await leavesNothing(() => post(good, '?start=1'), 400)).errors[0].field).toBe('start');
    const keyed = await leavesNothing(() => post(good, '', { 'idempotency-key': 'x y' }), 400);
    expect(keyed.errors[0].field).toBe('Idempotency-Key');
    const long = `{"series":"${id}","values":[${'1,'.repeat(600_000)}1]}`;
    expect((await leavesNothing(() => post(lines(good, long)), 413)).detail).toContain('line 2');
    const large = lines(...Array.from({ length: 44 }, () => ({ series: id, values: new Array(400_000).fill(1) })));
    await leavesNothing(() => post(gzipSync(large), '', gzip), 413);
    const arrow = { 'content-type': ARROW };
    for (const bytes of [new Uint8Array(), Buffer.from('ARROW?'), stream([id], [1n], [1]).subarray(0, -30)]) {
      await leavesNothing(() => post(bytes, '', arrow), 400);
    }
  });
});

describe('an atomic request', () => {
  test('stores nothing if one item is refused, and lists those that are', async () => {
    const [a, b, name] = [await make(REGULAR), await make(), randomUUID()];
    await many(lines({ series: a, start: '2026-05-01T00:00:00Z', values: [1] }));
    const create = { dtype: 'int16', sampling: { kind: 'irregular' } };
    const good = { series: b, times: [1], values: [1], idempotency_key: randomUUID() };
    const made = { series: name, times: [1], values: [1], create };
    const wrong: (object | string)[][] = [
      [good, { series: a, values: [70_000] }],
      [good, made, { series: a, start: '2026-05-01T00:00:00Z', values: [1] }],
      [good, made, { series: NOBODY, values: [1] }],
      [made, good, '{'],
      [good, { ...made, create: { ...create, tags: { d: { value: 1, unit: 'smoot' } } } }],
    ];
    for (const items of wrong) {
      const problem = (await leavesNothing(() => post(lines(...items), '?atomic=true'), 422)) as Problem & Many;
      expect(problem.type).toBe('urn:varve:problem:items-refused');
      expect(problem.items).toHaveLength(1);
      expect(problem.items[0]).toMatchObject({ line: items.length, problem: { instance: '/v1/samples' } });
      expect(problem.items[0].status).toBeGreaterThanOrEqual(400);
    }
    expect(await isThere(name)).toBe(false);
    expect(await valuesOf(a)).toEqual([1]);
    const { commit, items } = await many(lines(good, made, { series: a, values: [2] }), '?atomic=true');
    expect(items.map(({ status }) => status)).toEqual([201, 201, 201]);
    const { rows } = await sql.query('select kinds from commits where commit = $1', [commit]);
    expect(rows).toEqual([{ kinds: ['create', 'append', 'append', 'append'] }]);
    expect((await many(lines(good, { series: a, values: [3] }), '?atomic=true')).items[0].replayed).toBe(true);
  });
});

describe('a series that is not there', () => {
  test('is made by the first item that says what it is to be; items before it are refused', async () => {
    const name = `é/${randomUUID()}`;
    const create = {
      dtype: 'int64',
      unit: 'mV',
      sampling: { kind: 'irregular' },
      missing_value: '-9223372036854775808',
      tags: { n: 7 },
    };
    const spec = `"create":${JSON.stringify(create).replace('"-9223372036854775808"', '-9223372036854775808')}`;
    const { items } = await many(
      lines(
        { series: name, times: [1], values: [1] },
        `{"series":${JSON.stringify(name)},"times":[2],"values":[2],${spec}}`,
        { series: name.normalize('NFD'), times: [3], values: [3] },
        `{"series":${JSON.stringify(name)},"times":[4],"values":[4],${spec}}`,
      ),
    );
    expect(items.map(({ status }) => status)).toEqual([404, 201, 201, 201]);
    const series = expecting(200, await api.get(`/v1/series/by-name/${encodeURIComponent(name)}`)).json<SeriesJson>();
    expect(series).toMatchObject({ unit: 'mV', tags: { n: 7 }, missing_value: '-9223372036854775808' });
    expect(await valuesOf(series.id)).toEqual([2, 3, 4]);
  });

  test.each(['', '?atomic=true'])('is made once in a race, and takes the rows of all (%s)', async (query) => {
    for (let round = 0; round < 5; round++) {
      const names = [randomUUID(), randomUUID(), randomUUID()];
      const create = { dtype: 'int16', sampling: { kind: 'irregular' } };
      const answers = await Promise.all(
        Array.from({ length: 6 }, (_, n) => {
          const items = names.map((series) => ({ series, times: [n], values: [n], create }));
          return many(lines(...(n % 2 ? items : items.reverse())), query);
        }),
      );
      for (const { items } of answers) expect(items.map(({ status }) => status)).toEqual([201, 201, 201]);
      for (const name of names) {
        const { id } = expecting(200, await api.get(`/v1/series/by-name/${name}`)).json<SeriesJson>();
        expect(await valuesOf(id)).toEqual([0, 1, 2, 3, 4, 5]);
      }
    }
  });
});

/** An Arrow stream with a dictionary-encoded column of series. */
function stream(series: string[], time: bigint[], value: number[]): Uint8Array {
  return tableToIPC(
    new Table({
      series: vectorFromArray(series, new Dictionary(new Utf8(), new Int32())),
      time: vectorFromArray(time),
      value: vectorFromArray(value, new Float64()),
    }),
    'stream',
  );
}

describe('an Arrow stream', () => {
  const arrow = { 'content-type': ARROW };

  test.each(['dictionary', 'text'])('gives each series its rows in order (%s)', async (kind) => {
    const [a, b, name] = [await make(), await make(), randomUUID()];
    await make(IRREGULAR, name);
    const series = [a, b, name, a, a, b, NOBODY, a];
    const time = series.map((_, n) => 1_777_626_000_000_000_000n + BigInt(n));
    const value = series.map((_, n) => n + 0.5);
    const body =
      kind === 'dictionary'
        ? stream(series, time, value)
        : tableToIPC(
            new Table({
              value: vectorFromArray(value, new Float64()),
              series: vectorFromArray(series, new Utf8()),
              time: vectorFromArray(time),
            }),
            'stream',
          );
    const { items, commit } = await many(body, '', arrow);
    expect(items.map(({ line, series: called, status, rows }) => [line, called, status, rows])).toEqual([
      [1, a, 201, 4],
      [2, b, 201, 2],
      [3, name, 201, 1],
      [4, NOBODY, 404, undefined],
    ]);
    expect(await api.read(a)).toMatchObject({
      values: [[0.5, 3.5, 4.5, 7.5]],
      times: [0, 3, 4, 7].map((n) => String(time[n])),
    });
    expect(await api.series(b)).toMatchObject({ commit, rows: 2 });
  });

  test('has a column a channel, of 64-bit integers exactly, over several record batches', async () => {
    const spec = {
      dtype: 'int64',
      channels: [{ label: 'x' }, { label: 'y' }],
      sampling: { kind: 'regular', rate_hz: 1000 },
    };
    const [a, b, other] = [await make(spec), await make(spec), await make(REGULAR)];
    const rows = 70_000;
    const big = 2n ** 62n;
    const texts = new Dictionary(new Utf8(), new Int32());
    const table = (from: number, count: number): Table =>
      new Table({
        series: vectorFromArray(
          Array.from({ length: count }, (_, n) => [a, b, other][(from + n) % 3]),
          texts,
        ),
        y: vectorFromArray(BigInt64Array.from({ length: count }, (_, n) => -big - BigInt(from + n))),
        // Every third row is of one series, at 1 kHz.
        time: vectorFromArray(
          BigInt64Array.from({ length: count }, (_, n) => BigInt(Math.floor((from + n) / 3)) * 1_000_000n),
        ),
        x: vectorFromArray(BigInt64Array.from({ length: count }, (_, n) => big + BigInt(from + n))),
      });
    const writer = new RecordBatchStreamWriter();
    for (const [from, count] of [
      [0, 30_000],
      [30_000, rows - 30_000],
    ])
      for (const batch of table(from, count).batches) writer.write(batch);
    const body = await writer.finish().toUint8Array();
    const { items } = await many(body, '', arrow);
    expect(items.map(({ status, rows: stored }) => [status, stored])).toEqual([
      [201, Math.ceil(rows / 3)],
      [201, Math.ceil((rows - 1) / 3)],
      [400, undefined],
    ]);
    expect(items[2].problem!.errors[0].field).toMatch(/^column /);
    const last = await api.read(b, '?rows=-1:');
    const n = 1 + 3 * (Math.ceil((rows - 1) / 3) - 1);
    expect(last.values).toEqual([[String(big + BigInt(n))], [String(-big - BigInt(n))]]);
  });

  test('is refused where it says no series, or values of another kind', async () => {
    const [id, int16] = [await make(), await make({ dtype: 'int16', sampling: { kind: 'irregular' } })];
    const value = vectorFromArray([1, null], new Float64());
    const time = vectorFromArray([1n, 2n]);
    const ipc = (columns: object): Uint8Array => tableToIPC(new Table(columns as never), 'stream');
    const nobody = vectorFromArray([id, null], new Utf8());
    for (const columns of [
      { time, value },
      { series: nobody, time, value },
    ]) {
      expect((await leavesNothing(() => post(ipc(columns), '', arrow), 400)).detail).toContain('column series');
    }
    const numbers = tableFromArrays({ series: new Float64Array([1, 2]), value: new Float64Array(2) });
    await leavesNothing(() => post(tableToIPC(numbers, 'stream'), '', arrow), 422);
    const named = (first: string): object => vectorFromArray([first, first], new Utf8());
    const bare = await many(ipc({ series: named(id), value }), '', arrow);
    expect(bare.items[0]).toMatchObject({ status: 400, problem: { errors: [{ field: 'column time' }] } });
    const wrong = await many(ipc({ series: named(int16), time, value }), '', arrow);
    expect(wrong.items[0]).toMatchObject({ status: 422, problem: { errors: [{ field: 'column value' }] } });
    await many(ipc({ series: named(id), time, value }), '', arrow);
    expect(await valuesOf(id)).toEqual([1, null]);
  });
});

test('a request for many series does what the same appends do one by one', async () => {
  const rows = fc.array(fc.integer({ min: -40_000, max: 40_000 }), { minLength: 0, maxLength: 4 });
  const item = fc.record({
    series: fc.nat(3),
    values: rows,
    at: fc.option(fc.nat(20), { nil: null }),
    key: fc.option(fc.nat(2), { nil: null }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(item, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 3 }),
      async (requests) => {
        const specs = [REGULAR, { ...REGULAR, dtype: 'float32' }, IRREGULAR, { ...IRREGULAR, duplicates: 'error' }];
        const together = await Promise.all(specs.map((spec) => make(spec)));
        const alone = await Promise.all(specs.map((spec) => make(spec)));
        for (const request of requests) {
          const bodies = request.map(({ series, values, at, key }) => {
            const times = values.map((_, n) => String((at ?? 0) + n));
            const when = series > 1 ? { times } : at === null ? {} : { start: `2026-05-01T00:00:${10 + at}Z` };
            return { series, body: { values, ...when }, key: key === null ? null : `k${key}` };
          });
          const { items } = await many(
            lines(
              ...bodies.map(({ series, body, key }) => ({
                series: together[series],
                ...body,
                ...(key && { idempotency_key: key }),
              })),
            ),
          );
          const wanted: unknown[] = [];
          for (const { series, body, key } of bodies) {
            const answer = await api.post(
              `/v1/series/${alone[series]}/samples`,
              body,
              key ? { 'idempotency-key': key } : {},
            );
            const { rows: stored, first_row: firstRow, type } = answer.json<Record<string, unknown>>();
            wanted.push([answer.status, stored, firstRow, answer.headers['idempotency-replayed'] === 'true', type]);
          }
          expect(
            items.map(({ status, rows: stored, first_row: firstRow, replayed, problem }) => [
              status,
              stored,
              firstRow,
              replayed === true,
              problem?.type,
            ]),
          ).toEqual(wanted);
        }
        for (const [n, id] of together.entries()) {
          const { times, values } = await api.read(id);
          expect(await api.read(alone[n])).toMatchObject({ times, values });
        }
      },
    ),
    { numRuns: 30 },
  );
}, 120_000);
