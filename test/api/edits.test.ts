import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { startService, type RunningService } from '../support/service.ts';
import { compactAll, flushAll } from '../support/command.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { ApiClient, expecting, type Answer, type AppendJson, type Call, type Problem } from './client.ts';

const REGULAR = { kind: 'regular', rate_hz: 100, start: '0' };
const IRREGULAR = { kind: 'irregular' };
/** Between two rows. */
const STEP = 10_000_000;
const at = (row: number): string => String(Math.round(row * STEP));

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

interface RemoveJson {
  readonly write: string;
  readonly removed: number;
  readonly level: string;
  readonly commit: number;
}

interface SeriesState {
  readonly rows: number;
  readonly removed: number;
  readonly first_time: string | null;
  readonly last_time: string | null;
}

const create = async (fields: Readonly<Record<string, unknown>> = {}): Promise<string> =>
  (await api.createSeries({ name: randomUUID(), dtype: 'int32', sampling: REGULAR, ...fields })).id;

const path = (id: string, range: Readonly<Record<string, string>>): string =>
  `/v1/series/${id}/samples?${new URLSearchParams(range).toString()}`;

const put = (
  id: string,
  range: Readonly<Record<string, string>>,
  body: Readonly<Record<string, unknown>>,
  headers: Call['headers'] = {},
): Promise<Answer> =>
  api.send('PUT', path(id, range), {
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });

const remove = (id: string, range: Readonly<Record<string, string>>, headers: Call['headers'] = {}): Promise<Answer> =>
  api.delete(path(id, range), headers);

const removed = async (id: string, range: Readonly<Record<string, string>>): Promise<number> =>
  expecting(200, await remove(id, range)).json<RemoveJson>().removed;

/** What is read, by time: times in rows of the grid, and values. */
async function rows(id: string): Promise<[number, unknown][]> {
  const { times, values } = await api.read(id);
  return times.map((ns, i) => [Number(ns) / STEP, values[0][i]]);
}

const state = async (id: string): Promise<SeriesState> => (await api.series(id)) as unknown as SeriesState;

/** What is fresh is in a shard then, and every edit is told by one. */
async function newShard(): Promise<void> {
  expect(await flushAll(service.dataRoot, { DATABASE_URL: database.url })).not.toEqual([]);
}

function fieldsOf(answer: Answer): string[] {
  return answer.json<Problem>().errors.map(({ field }) => field);
}

describe('replacing a range of a regular series', () => {
  test('gives its rows new values, and answers as an append does', async () => {
    const id = await create();
    await api.append(id, { values: [0, 1, 2, 3, 4, 5] });
    const answer = expecting(200, await put(id, { start: at(2), end: at(4) }, { values: [20, 30] }));
    expect(answer.json()).toEqual({
      write: expect.any(String),
      rows: 2,
      first_row: 2,
      last_row: 3,
      level: 'visible',
      commit: expect.any(Number),
    });
    expect(await rows(id)).toEqual([0, 1, 20, 30, 4, 5].map((value, row) => [row, value]));
    const { write, commit } = answer.json<AppendJson>();
    expect(await api.write(write)).toEqual({
      write,
      series: id,
      kind: 'replace',
      level: 'visible',
      rows: 2,
      first_row: 2,
      last_row: 3,
      commit,
      at: expect.any(String),
    });
  });

  test('reaches over shards, gaps and earlier edits', async () => {
    const id = await create();
    await api.append(id, { values: [0, 1, 2] });
    await newShard();
    await api.append(id, { values: [3, 4, 5], start: at(10) });
    expecting(200, await put(id, { start: at(1), end: at(11) }, { values: [10, 20, 30] }));
    await newShard();
    expecting(200, await put(id, { start: at(2), end: at(12) }, { values: [200, 300, 400] }));
    const times = [0, 1, 2, 10, 11, 12];
    expect(await rows(id)).toEqual([0, 10, 200, 300, 400, 5].map((value, i) => [times[i], value]));
    expect((await api.read(id, '?rows=1:4')).values).toEqual([[10, 200, 300]]);
    const path = `/v1/series/${id}/samples`;
    const before = await api.get(path);
    await newShard();
    expect(await compactAll(service.dataRoot, { DATABASE_URL: database.url })).not.toEqual([]);
    const after = await api.get(path);
    expect([after.body.toString(), after.headers.etag]).toEqual([before.body.toString(), before.headers.etag]);
  });

  test('fills rows again that were removed', async () => {
    const id = await create();
    await api.append(id, { values: [0, 1, 2, 3] });
    expect(await removed(id, { start: at(1), end: at(4) })).toBe(3);
    expect(await state(id)).toMatchObject({ rows: 4, removed: 3, last_time: '1970-01-01T00:00:00Z' });
    expecting(200, await put(id, { start: at(2), end: at(3) }, { values: [22] }));
    expect(await rows(id)).toEqual([
      [0, 0],
      [2, 22],
    ]);
    expect(await state(id)).toMatchObject({ rows: 4, removed: 2, last_time: '1970-01-01T00:00:00.02Z' });
  });

  test('of appends and edits that come at the same time, each is before or after', async () => {
    const id = await create();
    await api.append(id, { values: [0, 1, 2, 3] });
    const range = { start: at(1), end: at(3) };
    const values = Array.from({ length: 10 }, (_, n) => [100 + n, 200 + n]);
    const answers = await Promise.all(
      values.flatMap((each, n) => [
        put(id, range, { values: each }, { prefer: 'respond-async' }),
        api.post(`/v1/series/${id}/samples`, { values: [n] }),
      ]),
    );
    const commits = answers.map((answer, i) => expecting(i % 2 === 0 ? 200 : 201, answer).json<AppendJson>().commit);
    const last = values.reduce((best, _, n) => (commits[2 * n] > commits[2 * best] ? n : best), 0);
    const { values: stored } = await api.read(id, '?rows=0:4');
    expect(stored).toEqual([[0, ...values[last], 3]]);
    expect((await api.series(id)).rows).toBe(14);
  });

  test('takes every format of an append; a first time that the body states is that of the first row', async () => {
    const id = await create();
    await api.append(id, { values: [0, 1, 2, 3] });
    const csv = (start: number): Promise<Answer> =>
      api.send('PUT', path(id, { start: String(STEP / 2), end: at(3) }), {
        headers: { 'content-type': 'text/csv' },
        body: `time,value\n${start * STEP},7\n${(start + 1) * STEP},8\n`,
      });
    expecting(200, await csv(1));
    expect(fieldsOf(expecting(400, await csv(2)))).toEqual(['start']);
    const octets = { headers: { 'content-type': 'application/octet-stream' }, body: Int32Array.of(9, 10) };
    const body = new Uint8Array(octets.body.buffer);
    expecting(200, await api.send('PUT', path(id, { start: at(2) }), { ...octets, body }));
    expect(await rows(id)).toEqual([0, 7, 9, 10].map((value, row) => [row, value]));
  });

  test('of many rows goes through the spool and into chunks of its own', async () => {
    const id = await create();
    const values = Array.from({ length: 40_000 }, (_, row) => row);
    await api.append(id, { values });
    const others = values.slice(1_000, 39_000).map((value) => -value);
    expecting(200, await put(id, { start: at(1_000), end: at(39_000) }, { values: others }));
    const expected = [...values.slice(0, 1_000), ...others, ...values.slice(39_000)];
    expect((await api.read(id)).values[0]).toEqual(expected);
    expect((await api.read(id, '?rows=20000:20003')).values).toEqual([[-20_000, -20_001, -20_002]]);
  });

  test.each([
    ['one too few', [1], 2],
    ['one too many', [1, 2, 3], 2],
  ])('needs as many rows as the range has: %s', async (_, values, count) => {
    const id = await create();
    await api.append(id, { values: [0, 1, 2, 3] });
    const answer = expecting(422, await put(id, { start: at(1), end: at(3) }, { values }));
    expect(answer.json<Problem>().errors).toEqual([
      { field: 'values', message: `has ${values.length} rows, the range has ${count}` },
    ]);
    expect(await rows(id)).toEqual([0, 1, 2, 3].map((value, row) => [row, value]));
  });
});

describe('removing a range of a regular series', () => {
  test('leaves the numbers and times of the other rows, and counts what was there', async () => {
    const id = await create();
    await api.append(id, { values: [0, 1, 2, 3, 4, 5] });
    const answer = expecting(200, await remove(id, { start: at(1), end: at(3) }));
    expect(answer.json()).toEqual({
      write: expect.any(String),
      removed: 2,
      level: 'visible',
      commit: expect.any(Number),
    });
    expect(await removed(id, { start: at(2), end: at(4) })).toBe(1);
    expect(await removed(id, { start: at(1), end: at(4) })).toBe(0);
    expect(await rows(id)).toEqual([0, 4, 5].map((row) => [row, row]));
    expect((await api.read(id, '?rows=3:5')).values).toEqual([[4]]);
    expect(await state(id)).toMatchObject({ rows: 6, removed: 3 });
    const { write, commit } = answer.json<RemoveJson>();
    expect(await api.write(write)).toEqual({
      write,
      series: id,
      kind: 'remove',
      level: 'visible',
      removed: 2,
      commit,
      at: expect.any(String),
    });
  });

  test('may be open at either end', async () => {
    const id = await create();
    await api.append(id, { values: [0, 1, 2, 3] });
    expect(await removed(id, { end: at(1) })).toBe(1);
    expect(await removed(id, { start: at(3) })).toBe(1);
    expect(await rows(id)).toEqual([
      [1, 1],
      [2, 2],
    ]);
    expect(await state(id)).toMatchObject({
      first_time: '1970-01-01T00:00:00.01Z',
      last_time: '1970-01-01T00:00:00.02Z',
    });
  });

  test('of all rows frees their time: the next append begins where it says, or where the series does', async () => {
    const id = await create();
    await api.append(id, { values: [0, 1, 2] });
    expect(await removed(id, { start: at(0) })).toBe(3);
    expect(await state(id)).toMatchObject({ rows: 3, removed: 3, first_time: null, last_time: null });
    expect(await api.append(id, { values: [3] })).toMatchObject({ first_row: 3 });
    expect(await rows(id)).toEqual([[0, 3]]);
    expect(await state(id)).toMatchObject({ rows: 4, removed: 3, first_time: '1970-01-01T00:00:00Z' });
    expect(await removed(id, { start: at(0) })).toBe(1);
    expect(await api.append(id, { start: at(100), values: [4] })).toMatchObject({ first_row: 4 });
    expect(await rows(id)).toEqual([[100, 4]]);
  });

  test('reaches over shards and earlier edits', async () => {
    const id = await create();
    await api.append(id, { values: [0, 1, 2] });
    await newShard();
    await api.append(id, { values: [3, 4, 5] });
    expecting(200, await put(id, { start: at(2), end: at(4) }, { values: [20, 30] }));
    await newShard();
    // The new shard learns of the series by this edit; the rows come after.
    expect(await removed(id, { start: at(3), end: at(5) })).toBe(2);
    await api.append(id, { values: [6, 7] });
    expect(await rows(id)).toEqual([
      [0, 0],
      [1, 1],
      [2, 20],
      [5, 5],
      [6, 6],
      [7, 7],
    ]);
  });
});

describe.each(['last', 'keep', 'error'])('an irregular series with duplicates: %s', (duplicates) => {
  const series = (): Promise<string> => create({ sampling: IRREGULAR, duplicates });
  const times = (...grid: number[]): string[] => grid.map(at);

  test('loses the rows of a range that is removed, and not those that come later', async () => {
    const id = await series();
    await api.append(id, { times: times(1, 2, 3, 4), values: [1, 2, 3, 4] });
    expect(await removed(id, { start: at(2), end: at(4) })).toBe(2);
    expect(await rows(id)).toEqual([
      [1, 1],
      [4, 4],
    ]);
    expect(await state(id)).toMatchObject({ rows: 4, removed: 2 });
    expect(await removed(id, { start: at(2), end: at(4) })).toBe(0);
    if (duplicates === 'error') return;
    await api.append(id, { times: times(2), values: [22] });
    expect(await rows(id)).toEqual([
      [1, 1],
      [2, 22],
      [4, 4],
    ]);
  });

  test('takes any number of rows in the place of a range', async () => {
    const id = await series();
    await api.append(id, { times: times(1, 2, 3, 4), values: [1, 2, 3, 4] });
    await newShard();
    const answer = await put(id, { start: at(2), end: at(4) }, { times: times(2, 2.5, 3.5), values: [20, 25, 35] });
    expect(expecting(200, answer).json()).toEqual({
      write: expect.any(String),
      rows: 3,
      level: 'visible',
      commit: expect.any(Number),
    });
    expect(await rows(id)).toEqual([
      [1, 1],
      [2, 20],
      [2.5, 25],
      [3.5, 35],
      [4, 4],
    ]);
    expect((await api.read(id, '?rows=0:')).values).toEqual([[1, 20, 25, 35, 4]]);
    expecting(200, await put(id, { start: at(2), end: at(3) }, { times: times(2.2), values: [22] }));
    expect((await api.read(id)).values).toEqual([[1, 22, 35, 4]]);
  });

  test('refuses rows outside of the range that is replaced, naming the first', async () => {
    const id = await series();
    await api.append(id, { times: times(1, 2), values: [1, 2] });
    const outside = { times: times(2, 4), values: [1, 2] };
    const answer = expecting(422, await put(id, { start: at(2), end: at(4) }, outside));
    expect(fieldsOf(answer)).toEqual(['times[1]']);
    const many = Array.from({ length: 20_000 }, (_, i) => at(2 + i / 10_000));
    const spooled = { times: [...many, at(1)], values: [...many.map((_, i) => i), 0] };
    if (duplicates !== 'error') {
      expect(fieldsOf(expecting(422, await put(id, { start: at(2), end: at(4) }, spooled)))).toEqual(['times[20000]']);
    }
    expect((await api.read(id)).values).toEqual([[1, 2]]);
  });

  test('can be emptied, and its times begin and end with what is left', async () => {
    const id = await series();
    await api.append(id, { times: times(1, 2), values: [1, 2] });
    await newShard();
    await api.append(id, { times: times(3, 4), values: [3, 4] });
    expect(await removed(id, { start: at(4), end: at(9) })).toBe(1);
    expect(await removed(id, { end: at(2) })).toBe(1);
    const [first_time, last_time] = ['1970-01-01T00:00:00.02Z', '1970-01-01T00:00:00.03Z'];
    expect(await state(id)).toMatchObject({ first_time, last_time });
    expect(await removed(id, { start: at(-5) })).toBe(2);
    expect(await state(id)).toMatchObject({ rows: 4, removed: 4, first_time: null, last_time: null });
    // With its tail removed, it may be appended to from there on.
    await api.append(id, { times: times(0, 6), values: [0, 6] });
    expect(await rows(id)).toEqual([
      [0, 0],
      [6, 6],
    ]);
  });
});

test('with duplicates, a reader saw fewer rows than are taken away: those are counted', async () => {
  for (const [duplicates, count] of [
    ['last', 2],
    ['keep', 3],
  ] as const) {
    const id = await create({ sampling: IRREGULAR, duplicates });
    await api.append(id, { times: [at(1), at(2)], values: [1, 2] });
    await api.append(id, { times: [at(1)], values: [10] });
    expect(await removed(id, { start: at(1), end: at(3) })).toBe(count);
    expect((await api.read(id, '?rows=0:')).values).toEqual([[]]);
  }
});

test('a series that must increase refuses rows that do not, and remembers its end after a removal inside', async () => {
  const id = await create({ sampling: IRREGULAR, duplicates: 'error' });
  await api.append(id, { times: [at(1), at(2), at(3)], values: [1, 2, 3] });
  const backwards = { times: [at(2), at(1)], values: [1, 2] };
  expect(fieldsOf(expecting(422, await put(id, { start: at(1), end: at(3) }, backwards)))).toEqual(['times[1]']);
  expect(await removed(id, { start: at(1), end: at(3) })).toBe(2);
  expecting(409, await api.post(`/v1/series/${id}/samples`, { times: [at(2)], values: [2] }));
  expect(await removed(id, { start: at(3) })).toBe(1);
  await api.append(id, { times: [at(3)], values: [33] });
  expect(await rows(id)).toEqual([[3, 33]]);
});

describe('an edit that is sent again', () => {
  test.each([
    ['Idempotency-Key', {}, { 'idempotency-key': 'e-1' }],
    ['source and sequence', { source: 'logger', sequence: '7' }, {}],
  ])('under the same %s happens once', async (_, query, headers) => {
    const id = await create();
    await api.append(id, { values: [0, 1, 2, 3] });
    const range = { start: at(1), end: at(3), ...query };
    const first = expecting(200, await remove(id, range, headers));
    expecting(200, await put(id, { start: at(1), end: at(3) }, { values: [10, 20] }));
    const again = expecting(200, await remove(id, range, headers));
    expect(again.json()).toEqual(first.json());
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(await rows(id)).toEqual([0, 10, 20, 3].map((value, row) => [row, value]));
  });

  test('as a replacement is answered as the first was', async () => {
    const id = await create();
    await api.append(id, { values: [0, 1] });
    const send = (): Promise<Answer> =>
      put(id, { start: at(1), end: at(2) }, { values: [10] }, { 'idempotency-key': 'k' });
    const first = expecting(200, await send());
    expect(await removed(id, { start: at(1) })).toBe(1);
    expect(expecting(200, await send()).json()).toEqual(first.json());
    expect(await rows(id)).toEqual([[0, 0]]);
  });

  test('as something else is refused', async () => {
    const id = await create();
    await api.append(id, { values: [0, 1, 2] });
    const key = { 'idempotency-key': 'k' };
    expecting(200, await put(id, { start: at(0), end: at(1) }, { values: [5] }, key));
    for (const other of [
      put(id, { start: at(1), end: at(2) }, { values: [5] }, key),
      put(id, { start: at(0), end: at(1) }, { values: [6] }, key),
      remove(id, { start: at(0), end: at(1) }, key),
      api.post(`/v1/series/${id}/samples`, { values: [5] }, key),
    ]) {
      expect(fieldsOf(expecting(422, await other))).toEqual(['Idempotency-Key']);
    }
  });
});

describe('a range that cannot be', () => {
  test.each([
    ['reversed', { start: at(3), end: at(1) }, 400, ['end']],
    ['empty', { start: at(1), end: at(1) }, 400, ['end']],
    ['no time', { start: 'yesterday', end: at(1) }, 400, ['start']],
    ['after the data', { start: at(50), end: at(60) }, 422, ['start', 'end']],
    ['before the data', { start: at(-9), end: at(0) }, 422, ['start', 'end']],
    ['between two rows', { start: String(STEP + 1), end: String(STEP + 2) }, 422, ['start', 'end']],
    ['misspelt', { start: at(0), ende: at(1) }, 400, ['ende']],
  ] as const)('%s is refused by both, and changes nothing', async (_, range, status, fields) => {
    const id = await create();
    await api.append(id, { values: [0, 1, 2, 3] });
    for (const answer of [await put(id, range, { values: [1] }), await remove(id, range)]) {
      expect(fieldsOf(expecting(status, answer)).sort()).toEqual([...fields].sort());
    }
    expect(await rows(id)).toEqual([0, 1, 2, 3].map((value, row) => [row, value]));
  });

  test('is needed: a removal without any would remove everything', async () => {
    const id = await create();
    await api.append(id, { values: [0] });
    expect(fieldsOf(expecting(400, await remove(id, {})))).toEqual(['start', 'end']);
    expect(fieldsOf(expecting(400, await put(id, { end: at(1) }, { values: [1] })))).toEqual(['start']);
    expect(await rows(id)).toEqual([[0, 0]]);
  });

  test('of a series that is not, or is deleted, is not found', async () => {
    const id = await create();
    await api.append(id, { values: [0] });
    expecting(204, await api.delete(`/v1/series/${id}`));
    for (const each of [id, randomUUID()]) {
      expecting(404, await put(each, { start: at(0), end: at(1) }, { values: [1] }));
      expecting(404, await remove(each, { start: at(0), end: at(1) }));
    }
  });
});

test('the change feed tells of edits in their order', async () => {
  const id = await create();
  await api.append(id, { values: [0, 1, 2] });
  await put(id, { start: at(1), end: at(2) }, { values: [10] });
  await remove(id, { start: at(0), end: at(2) });
  const pg = await import('pg');
  const client = new pg.default.Client(database.url);
  await client.connect();
  try {
    const { rows: changes } = await client.query<{ kind: string; first_row: string; rows: string }>(
      `select e.kind, e.first_row, e.rows from commits k, unnest(k.series, k.kinds, k.first_rows, k.rows) as e (series, kind, first_row, rows)
       where e.series = $1 order by k.commit`,
      [id],
    );
    expect(changes.map(({ kind, first_row, rows: n }) => [kind, Number(first_row), Number(n)]).slice(-3)).toEqual([
      ['append', 0, 3],
      ['replace', 1, 1],
      ['remove', 0, 2],
    ]);
  } finally {
    await client.end();
  }
});
