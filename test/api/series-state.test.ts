/** Sealing series, the hash of their content, and their last values, as clients see them. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createHash, randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { describePython } from '../support/python.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, tally, type Answer, type AppendJson, type Problem, type SeriesJson } from './client.ts';

interface LastJson {
  readonly time: string;
  readonly row: number;
  readonly values: readonly (number | string | null)[];
  readonly physical: readonly (number | string | null)[];
}

interface StateJson extends SeriesJson {
  readonly state: 'open' | 'sealed';
  readonly sealed_at: string | null;
  readonly content_hash: {
    readonly values: string;
    readonly times: string | null;
    readonly rows: number;
    readonly commit: number;
  } | null;
  readonly commit: number;
  readonly last_value?: LastJson | null;
}

const REGULAR = { kind: 'regular', rate_hz: 100, start: '2026-05-01T09:00:00Z' };
const IRREGULAR = { kind: 'irregular' };

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

const create = async (fields: Readonly<Record<string, unknown>> = {}): Promise<string> =>
  (await api.createSeries({ name: randomUUID(), dtype: 'int16', sampling: REGULAR, ...fields })).id;

const change = (id: string, to: 'seal' | 'unseal', headers: Record<string, string> = {}): Promise<Answer> =>
  api.send('POST', `/v1/series/${id}/${to}`, { headers });

const seal = async (id: string): Promise<StateJson> => expecting(200, await change(id, 'seal')).json<StateJson>();
const show = async (id: string): Promise<StateJson> => (await api.series(id)) as StateJson;

async function query(sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

describe('sealing', () => {
  test('hashes what a plain read gives, and refuses what would change it', async () => {
    const id = await create();
    await api.append(id, { values: [1, 2, 3] });
    await api.append(id, { values: [4], start: '2026-05-01T10:00:00Z' });
    const open = await show(id);
    expect(open).toMatchObject({ state: 'open', sealed_at: null, content_hash: null });

    const answer = expecting(200, await change(id, 'seal'));
    const sealed = answer.json<StateJson>();
    const body = expecting(200, await api.get(`/v1/series/${id}/samples?format=octet`)).body;
    expect(sealed).toMatchObject({
      state: 'sealed',
      content_hash: { values: sha256(body), times: null, rows: 4, commit: open.commit },
      commit: open.commit,
    });
    expect(Math.abs(Date.now() - Date.parse(sealed.sealed_at!))).toBeLessThan(60_000);
    expect(await show(id)).toEqual(sealed);
    expect((await api.get(`/v1/series/${id}`)).headers.etag).toBe(answer.headers.etag);
    expect(await seal(id)).toEqual(sealed);

    const samples = `/v1/series/${id}/samples`;
    const range = '?start=2026-05-01T09:00:00Z&end=2026-05-01T09:00:00.01Z';
    const big = Buffer.alloc(200_000); // goes to the spool
    const octets = { 'content-type': 'application/octet-stream' };
    const refused = [
      await api.post(samples, { values: [5] }),
      await api.send('POST', samples, { headers: octets, body: big }),
      await api.send('PUT', samples + range, { headers: octets, body: big.subarray(0, 2) }),
      await api.delete(samples + range),
    ];
    for (const each of refused) {
      expect(expecting(409, each).json<Problem>().type).toBe('urn:varve:problem:series-sealed');
    }
    expect(readdirSync(join(service.dataRoot, 'spool'))).toEqual([]);
    expect(await show(id)).toEqual(sealed);

    const described = expecting(200, await api.patch(`/v1/series/${id}`, { tags: { checked: true } }));
    expect(described.json<StateJson>()).toMatchObject({ tags: { checked: true }, content_hash: sealed.content_hash });
    const mark = { start: '2026-05-01T09:00:00Z', end: '2026-05-01T09:00:00Z', label: 'x' };
    expecting(201, await api.post(`/v1/series/${id}/annotations`, mark));
    expecting(204, await api.delete(`/v1/series/${id}`));
    expecting(404, await change(id, 'unseal'));
    const restored = expecting(200, await api.send('POST', `/v1/series/${id}/restore`)).json<StateJson>();
    expect(restored).toMatchObject({ state: 'sealed', content_hash: sealed.content_hash });
  });

  test('answers a retry of what was acknowledged before, and waits for what is on its way', async () => {
    const id = await create({ dtype: 'int32' });
    const key = { 'idempotency-key': randomUUID() };
    const first = await api.post(`/v1/series/${id}/samples`, { values: [1] }, key);
    const answers: Answer[] = [];
    const writer = async (): Promise<void> => {
      for (let n = 0; n < 25; n++) answers.push(await api.post(`/v1/series/${id}/samples`, { values: [n, n] }));
    };
    const writers = [writer(), writer(), writer(), writer()];
    while (answers.length < 20) await new Promise((resolve) => setTimeout(resolve, 1));
    const sealed = await seal(id);
    await Promise.all(writers);
    const counts = tally(answers);
    expect(Object.keys(counts)).toEqual(['201', '409']);
    expect(counts[201] + counts[409]).toBe(100);
    expect(sealed.content_hash!.rows).toBe(1 + 2 * counts[201]);
    const body = expecting(200, await api.get(`/v1/series/${id}/samples?format=octet`)).body;
    expect(sealed.content_hash!.values).toBe(sha256(body));
    expect(await show(id)).toEqual(sealed);
    const replay = expecting(201, await api.post(`/v1/series/${id}/samples`, { values: [1] }, key));
    expect(replay.headers['idempotency-replayed']).toBe('true');
    expect(replay.json<AppendJson>()).toEqual(first.json<AppendJson>());
  });

  test('is undone by unsealing, by name as well; both are in the history and the feed', async () => {
    const name = `lab/${randomUUID()}`;
    const id = await create({ name });
    await api.append(id, { values: [1] });
    const feed = (): Promise<unknown[]> =>
      query(`select unnest(kinds) as kind from commits where '${id}' = any(series) order by "commit"`);
    expect(await feed()).toEqual([{ kind: 'create' }, { kind: 'append' }]);
    const sealed = expecting(200, await api.send('POST', `/v1/series/by-name/${name}/seal`)).json<StateJson>();
    expect(sealed).toMatchObject({ id, state: 'sealed', version: 3 });
    const open = expecting(200, await api.send('POST', `/v1/series/by-name/${name}/unseal`)).json<StateJson>();
    expect(open).toMatchObject({ state: 'open', sealed_at: null, content_hash: null, version: 4 });
    expect(expecting(200, await change(id, 'unseal')).json()).toEqual(open);
    expect((await api.append(id, { values: [2] })).rows).toBe(1);
    expect((await seal(id)).content_hash).toMatchObject({ rows: 2, values: sha256(Uint8Array.of(1, 0, 2, 0)) });

    const { items } = expecting(200, await api.get(`/v1/series/${id}/history`)).json<{
      items: { action: string; token: object | null; changes: unknown[] }[];
    }>();
    expect(items.map(({ action }) => action)).toEqual(['seal', 'unseal', 'seal', 'create']);
    expect(items[0].token).toMatchObject({ id: expect.any(String) });
    expect(items[0].changes).toEqual([{ field: 'state', old: 'open', new: 'sealed' }]);
    expect(items[1].changes).toEqual([
      { field: 'state', old: 'sealed', new: 'open' },
      { field: 'content_hash', old: sealed.content_hash, new: null },
    ]);
    const kinds = ['create', 'append', 'seal', 'update', 'unseal', 'append', 'seal', 'update'];
    expect(await feed()).toEqual(kinds.map((kind) => ({ kind })));
  });

  test('honours If-Match and the entity tags of caches, and needs the scope write', async () => {
    const id = await create();
    const old = (await api.get(`/v1/series/${id}`)).headers.etag!;
    expecting(200, await api.patch(`/v1/series/${id}`, { description: 'x' }));
    for (const to of ['seal', 'unseal'] as const) {
      const refusal = expecting(412, await change(id, to, { 'if-match': old }));
      expect(refusal.json<Problem>().errors).toMatchObject([{ field: 'If-Match' }]);
    }
    expect((await show(id)).state).toBe('open');
    const current = (await api.get(`/v1/series/${id}`)).headers.etag!;
    expecting(200, await change(id, 'seal', { 'if-match': current }));
    expecting(412, await change(id, 'unseal', { 'if-match': current }));
    expecting(200, await api.get(`/v1/series/${id}`, { 'if-none-match': current }));
    expecting(200, await change(id, 'unseal', { 'if-match': '*' }));

    const reader = expecting(201, await api.post('/v1/tokens', { name: 'reader', scopes: ['read'] })).json<{
      token: string;
    }>();
    for (const to of ['seal', 'unseal']) {
      expecting(403, await api.send('POST', `/v1/series/${id}/${to}`, { token: reader.token }));
      expecting(404, await api.send('POST', `/v1/series/${randomUUID()}/${to}`));
      const stray = expecting(400, await api.send('POST', `/v1/series/${id}/${to}?force=true`));
      expect(stray.json<Problem>().errors).toMatchObject([{ field: 'force' }]);
    }
    expect((await show(id)).state).toBe('open');
  });

  test('can be searched for, and is seen in SQL', async () => {
    const tags = { batch: randomUUID() };
    const sealed = await create({ tags });
    const open = await create({ tags });
    const { content_hash: hash } = await seal(sealed);
    const search = async (state: string): Promise<string[]> => {
      const where = {
        and: [
          { tag: 'batch', eq: tags.batch },
          { field: 'state', eq: state },
        ],
      };
      const found = expecting(
        200,
        await api.post('/v1/series/search', { where, facets: ['field.state'], sort: ['state'] }),
      );
      const { items, facets } = found.json<{ items: SeriesJson[]; facets: Record<string, unknown> }>();
      expect(facets).toEqual({ 'field.state': [{ value: state, count: 1 }] });
      return items.map(({ id }) => id);
    };
    expect(await search('sealed')).toEqual([sealed]);
    expect(await search('open')).toEqual([open]);
    const rows = await query(
      `select state, sealed_at is null as never, content_hash from varve_series where id in ('${sealed}', '${open}') order by state`,
    );
    expect(rows).toEqual([
      { state: 'open', never: true, content_hash: null },
      { state: 'sealed', never: false, content_hash: hash },
    ]);
  });
});

describePython('the hash of a sealed series', ['numpy', 'h5py'], (python) => {
  test('is that of the arrays that NumPy and h5py read', async () => {
    const regular = await create({ dtype: 'float32', channels: 3 });
    await api.append(regular, { values: Array.from({ length: 50 }, (_, row) => [row / 3, null, -row]) });
    await api.append(regular, { values: [[1, 2, 3]], start: '2026-05-01T12:00:00Z' });
    expecting(
      200,
      await api.delete(`/v1/series/${regular}/samples?start=2026-05-01T09:00:00.1Z&end=2026-05-01T09:00:00.2Z`),
    );
    const irregular = await create({ dtype: 'uint64', sampling: IRREGULAR });
    const values = ['18446744073709551615', 2, 3, 4];
    await api.append(irregular, { times: ['9', '7', '1777626000123456789', '9'], values });
    await api.append(irregular, { times: ['8'], values: [5] });
    for (const [id, rows, field] of [
      [regular, 41, ''],
      [irregular, 4, "['values']"],
    ] as const) {
      const { content_hash: hash } = await seal(id);
      const npy = expecting(200, await api.get(`/v1/series/${id}/samples?format=npy`)).body;
      const hdf5 = expecting(200, await api.get(`/v1/series/${id}/samples?format=hdf5`)).body;
      const read = (script: string, bytes: Buffer): string =>
        python(`import hashlib, io, sys, numpy, h5py\nbytes = io.BytesIO(sys.stdin.buffer.read())\n${script}`, bytes)
          .toString()
          .trim();
      const digest = (array: string): string => `print('sha256:' + hashlib.sha256(${array}.tobytes()).hexdigest())`;
      const group = `group = (lambda file: file[file.attrs['group']])(h5py.File(bytes))`;
      expect(read(digest(`numpy.load(bytes)${field}`), npy)).toBe(hash!.values);
      expect(read(`${group}\n${digest("group['values'][()]")}`, hdf5)).toBe(hash!.values);
      expect(hash!.rows).toBe(rows);
      if (id === regular) expect(hash!.times).toBeNull();
      else {
        expect(read(digest("numpy.load(bytes)['time']"), npy)).toBe(hash!.times);
        expect(read(`${group}\n${digest("group['time'][()]")}`, hdf5)).toBe(hash!.times);
      }
    }
  });
});

describe('the last value', () => {
  const withLast = async (id: string): Promise<LastJson | null | undefined> =>
    expecting(200, await api.get(`/v1/series/${id}?include=last_value`)).json<StateJson>().last_value;

  test('is what the latest row of a series says', async () => {
    const empty = await create();
    expect(await withLast(empty)).toBeNull();
    expect(await show(empty)).not.toHaveProperty('last_value');

    const regular = await create({
      channels: [{ label: 'a' }, { label: 'b', gain: 200, baseline: 1024 }],
      scale: 0.5,
      offset: 1,
    });
    await api.append(regular, {
      values: [
        [1, 2],
        [3, 1224],
      ],
    });
    await api.append(regular, {
      values: [
        [5, 824],
        [9, 9],
      ],
      start: '2026-05-01T10:00:00Z',
    });
    expecting(
      200,
      await api.delete(`/v1/series/${regular}/samples?start=2026-05-01T10:00:00.01Z&end=2026-05-01T11:00:00Z`),
    );
    expect(await withLast(regular)).toEqual({
      time: '2026-05-01T10:00:00Z',
      row: 2,
      values: [5, 824],
      physical: [3.5, -1],
    });

    const irregular = await create({ dtype: 'float32', sampling: IRREGULAR });
    await api.append(irregular, { times: ['30', '10', '40', '20'], values: [0.1, 1, 2, 3] });
    expect(await withLast(irregular)).toEqual({
      time: '1970-01-01T00:00:00.00000004Z',
      row: null,
      values: [2],
      physical: [2],
    });
    await api.append(irregular, { times: ['50'], values: [null] });
    expect(await withLast(irregular)).toMatchObject({ row: null, values: [null], physical: [null] });
    await api.append(irregular, { times: ['50', '5'], values: ['-Infinity', 7] });
    expect(await withLast(irregular)).toMatchObject({ row: null, values: ['-Infinity'], physical: ['-Infinity'] });
    expecting(200, await api.delete(`/v1/series/${irregular}/samples?start=31&end=60`));
    const tenth = await withLast(irregular);
    expect(tenth).toMatchObject({ row: null, values: [0.1], physical: [Math.fround(0.1)] });

    const long = await create({ dtype: 'int64', sampling: { ...IRREGULAR }, duplicates: 'keep' });
    await api.append(long, { times: ['1', '1', '1'], values: [1, '-9223372036854775808', '9007199254740993'] });
    expect(await withLast(long)).toMatchObject({
      row: null,
      values: ['9007199254740993'],
      physical: [9007199254740992],
    });
    const { values, times } = await api.read(long, '?latest=1');
    expect([values[0].at(-1), times.at(-1)]).toEqual(['9007199254740993', '1']);
  });

  test('comes with each series of a page', async () => {
    const tags = { batch: randomUUID() };
    const ids: string[] = [];
    for (let n = 0; n < 7; n++) {
      const id = await create({ tags, sampling: n % 2 === 0 ? REGULAR : IRREGULAR });
      if (n > 1) await api.append(id, n % 2 === 0 ? { values: [n] } : { times: ['2', '1'], values: [n, 0] });
      ids.push(id);
    }
    const expected = ids.map((id, n) => [id, n > 1 ? [n] : null]);
    const told = (items: readonly StateJson[]): unknown[] =>
      items.map(({ id, last_value: last }) => [id, last && last.values]);
    const url = `/v1/series?tag.batch=${tags.batch}&include=last_value`;
    expect(told(expecting(200, await api.get(url)).json<{ items: StateJson[] }>().items)).toEqual(expected);
    const page = expecting(200, await api.get(`${url}&limit=4`)).json<{ items: StateJson[]; next: string }>();
    const rest = expecting(200, await api.get(page.next)).json<{ items: StateJson[] }>();
    expect(told([...page.items, ...rest.items])).toEqual(expected);
    const where = { tag: 'batch', eq: tags.batch };
    const found = expecting(200, await api.post('/v1/series/search', { where, include: ['last_value'] }));
    expect(told(found.json<{ items: StateJson[] }>().items)).toEqual(expected);
    const plain = expecting(200, await api.post('/v1/series/search', { where, include: [], limit: 1000 }));
    expect(plain.json<{ items: StateJson[] }>().items[0]).not.toHaveProperty('last_value');
  });

  test('is asked for by its name, of at most 100 series', async () => {
    const id = await create();
    const fieldOf = (answer: Answer): unknown =>
      expecting(400, answer)
        .json<Problem>()
        .errors.map(({ field }) => field);
    expect(fieldOf(await api.get(`/v1/series/${id}?include=first_value`))).toEqual(['include']);
    expect(fieldOf(await api.get(`/v1/series?include=last_value,x`))).toEqual(['include']);
    expect(fieldOf(await api.get(`/v1/series?include=last_value&limit=101`))).toEqual(['limit']);
    expect(fieldOf(await api.post('/v1/series/search', { include: ['tags'] }))).toEqual(['include[0]']);
    expect(fieldOf(await api.post('/v1/series/search', { include: 'last_value' }))).toEqual(['include']);
    expect(fieldOf(await api.post('/v1/series/search', { include: ['last_value'], limit: 101 }))).toEqual(['limit']);
    expecting(200, await api.get(`/v1/series?include=last_value&limit=100`));
  });
});
