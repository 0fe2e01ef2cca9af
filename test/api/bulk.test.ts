import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, tally, type Answer, type Problem, type SeriesJson } from './client.ts';

interface BulkItem {
  readonly line: number;
  readonly status: number;
  readonly id?: string;
  readonly problem?: Problem;
}

const SAMPLING = { kind: 'irregular' };

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

function line(name: string, more: object = {}): string {
  return JSON.stringify({ name, dtype: 'int16', sampling: SAMPLING, ...more });
}

function send(body: string, headers: Record<string, string> = {}): Promise<Answer> {
  return api.send('POST', '/v1/series/bulk', { headers: { 'content-type': 'application/x-ndjson', ...headers }, body });
}

async function items(body: string, headers: Record<string, string> = {}): Promise<readonly BulkItem[]> {
  return expecting(200, await send(body, headers)).json<{ items: BulkItem[] }>().items;
}

async function found(tag: string): Promise<number> {
  const page = await api.post('/v1/series/search', { where: { tag: 'set', eq: tag }, limit: 1000 });
  return expecting(200, page).json<{ items: SeriesJson[] }>().items.length;
}

describe('creating many series', () => {
  test('answers each line in order, and a bad one spoils no other', async () => {
    const name = randomUUID();
    const answers = await items(
      [
        line(`${name}/a`, { tags: { set: name, depth: { value: 2, unit: 'mm' } } }),
        '{"name": "no',
        line(`${name}/b`, { dtype: 'int7' }),
        '',
        line(`${name}/a`),
        line(`${name}/c`, { project: 'nowhere' }),
        line(`${name}/d`, { tags: { depth: { value: 1, unit: 'smoot' } } }),
        '[]',
        `{"name": "${name}/nul\\u0000", "dtype": "int8", "sampling": {"kind": "irregular"}}`,
        line(`${name}/e`, { tags: { set: name } }),
      ].join('\n'),
    );
    expect(answers.map(({ line, status }) => [line, status])).toEqual([
      [1, 201],
      [2, 400],
      [3, 400],
      [5, 409],
      [6, 404],
      [7, 422],
      [8, 400],
      [9, 400],
      [10, 201], // prettier-ignore
    ]);
    const fields = answers.map(({ problem }) => problem?.errors[0]?.field);
    expect(fields).toEqual([undefined, 'line', 'dtype', 'name', undefined, 'tags.depth', 'line', 'name', undefined]);
    expect(answers[3].problem).toMatchObject({ type: 'urn:varve:problem:name-taken', instance: '/v1/series/bulk' });
    expect(await found(name)).toBe(2);
    expect(await api.series(answers[0].id!)).toMatchObject({ name: `${name}/a`, rows: 0, version: 1 });
    const byDepth = {
      where: {
        and: [
          { tag: 'set', eq: name },
          { tag: 'depth', gt: { value: 1999, unit: 'um' } },
        ],
      },
    };
    expect((await api.post('/v1/series/search', byDepth)).json<{ items: unknown[] }>().items).toHaveLength(1);
  });

  test('takes appends in all of them, spread over lanes', async () => {
    const name = randomUUID();
    const created = await items(Array.from({ length: 8 }, (_, n) => line(`${name}/${n}`)).join('\n'));
    for (const { id } of created) await api.append(id!, { times: [1], values: [7] });
    expect((await api.read(created[7].id!)).values).toEqual([[7]]);
  });

  test('takes 10,000 at once, once', async () => {
    const name = randomUUID();
    const body = Array.from({ length: 10_000 }, (_, n) => line(`${name}/${n}`, { tags: { set: name, n } })).join('\n');
    const key = { 'idempotency-key': name };
    const first = await send(body, key);
    expect(tally(first.json<{ items: Answer[] }>().items)).toEqual({ 201: 10_000 });
    const again = await send(body, key);
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(again.body.equals(first.body)).toBe(true);
    const without = await items(body);
    expect(without.every(({ status }) => status === 409)).toBe(true);
  });

  test('counts the places of lanes by the series that they have', async () => {
    const pg = (await import('pg')).default;
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    const { rows } = await client.query(`
      select l.series_count as counted, count(s.series_id)::int as there from lanes l left join heads s on s.lane_id = l.id
      group by l.id`);
    await client.end();
    expect(rows.length).toBeGreaterThanOrEqual(10);
    for (const { counted, there } of rows) {
      expect(counted).toBe(there);
      expect(there).toBeLessThanOrEqual(1000);
    }
  });

  test('refuses whole what is too much, or nothing', async () => {
    const name = randomUUID();
    const many = Array.from({ length: 10_001 }, (_, n) => line(`${name}/${n}`, { tags: { set: name } })).join('\n');
    expect(expecting(413, await send(many)).json<Problem>().detail).toContain('10000');
    const wide = `${line(`${name}/a`, { tags: { set: name } })}\n${line(`${name}/b`, { description: 'x'.repeat(2 ** 20) })}`;
    expect(expecting(413, await send(wide)).json<Problem>().detail).toContain('line 2');
    expect(await found(name)).toBe(0);
    for (const body of ['', '\n\n']) expecting(400, await send(body));
    expecting(415, await api.post('/v1/series/bulk', {}));
    expecting(400, await send(line(name), { 'idempotency-key': 'two words' }));
    expecting(400, await api.send('POST', '/v1/series/bulk?x=1', { body: line(name) }));
  });

  test('needs a token that may write, and reaches the project', async () => {
    const project = `p-${randomUUID()}`;
    expecting(201, await api.post('/v1/projects', { name: project }));
    const token = async (scopes: string[]): Promise<string> =>
      (await api.post('/v1/tokens', { name: 'x', scopes, projects: [project] })).json<{ token: string }>().token;
    const call = {
      headers: { 'content-type': 'application/x-ndjson' },
      body: `${line('a', { project })}\n${line('b')}`,
    };
    expecting(403, await api.send('POST', '/v1/series/bulk', { ...call, token: await token(['read']) }));
    const answer = await api.send('POST', '/v1/series/bulk', { ...call, token: await token(['write']) });
    expect(answer.json<{ items: BulkItem[] }>().items.map(({ status }) => status)).toEqual([201, 403]);
  });
});

describe('a key of the client', () => {
  test('creates a series once, and gives the first answer again', async () => {
    const fields = { name: randomUUID(), dtype: 'int16', sampling: SAMPLING, tags: { n: 1 } };
    const key = { 'idempotency-key': randomUUID() };
    const [first, second] = await Promise.all([
      api.post('/v1/series', fields, key),
      api.post('/v1/series', fields, key),
    ]);
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(second.json()).toEqual(first.json());
    expecting(204, await api.delete(`/v1/series/${first.json<SeriesJson>().id}`));
    const third = expecting(201, await api.post('/v1/series', fields, key));
    expect(third.json()).toEqual(first.json());
    expect(third.headers).toMatchObject({ 'idempotency-replayed': 'true', etag: first.headers.etag });
  });

  test('of other content is refused', async () => {
    const fields = { name: randomUUID(), dtype: 'int16', sampling: SAMPLING };
    const key = { 'idempotency-key': randomUUID() };
    expecting(201, await api.post('/v1/series', fields, key));
    const problem = expecting(422, await api.post('/v1/series', { ...fields, name: randomUUID() }, key));
    expect(problem.json()).toMatchObject({
      type: 'urn:varve:problem:key-reused',
      errors: [{ field: 'Idempotency-Key' }],
    });
    expecting(422, await send(line(randomUUID()), key));
  });

  test('of a request that failed may be used again', async () => {
    const name = randomUUID();
    const { id } = await api.createSeries({ name, dtype: 'int16', sampling: SAMPLING });
    const key = { 'idempotency-key': randomUUID() };
    expecting(409, await api.post('/v1/series', { name, dtype: 'int16', sampling: SAMPLING }, key));
    expecting(204, await api.delete(`/v1/series/${id}`));
    expecting(201, await api.post('/v1/series', { name, dtype: 'int16', sampling: SAMPLING }, key));
  });
});
