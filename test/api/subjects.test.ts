import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { flushAll } from '../support/command.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, tally, type Answer, type Call, type Problem } from './client.ts';

interface Subject {
  readonly project: string;
  readonly id: string;
  readonly content: Readonly<Record<string, unknown>>;
  readonly updated_at: string;
}

interface Page {
  readonly items: readonly Subject[];
  readonly next: string | null;
}

const JSON_TYPE = { 'content-type': 'application/json' };
const MOUSE = {
  species: 'Mus musculus',
  sex: 'F',
  strain: 'C57BL/6J',
  genotype: 'wt',
  date_of_birth: '2026-01-17',
  age: 'P90D',
  weight: { value: 23.5, unit: 'g', scales: 2 },
  handedness: 'left',
  description: '',
  litter: { number: 4, of: [null, true] },
};

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;
let sql: pg.Client;

beforeAll(async () => {
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url, VARVE_LOG: 'debug' } });
  api = new ApiClient(service);
  sql = new pg.Client({ connectionString: database.url });
  await sql.connect();
});

afterAll(async () => {
  await sql?.end();
  await service?.drop();
  await database?.drop();
});

async function lab(): Promise<string> {
  const name = `lab-${randomUUID()}`;
  expecting(201, await api.post('/v1/projects', { name }));
  return name;
}

async function tokenFor(scopes: readonly string[], projects?: readonly string[]): Promise<string> {
  const created = expecting(201, await api.post('/v1/tokens', { name: 'someone', scopes, projects }));
  expect(created.json<{ scopes: string[] }>().scopes).toEqual(scopes);
  return created.json<{ token: string }>().token;
}

function put(path: string, content: unknown, call: Call = {}): Promise<Answer> {
  const headers = { ...JSON_TYPE, ...call.headers };
  return api.send('PUT', path, { ...call, headers, body: JSON.stringify(content) });
}

describe('a subject', () => {
  test('is created, shown, replaced as a whole and deleted', async () => {
    const project = await lab();
    const path = `/v1/projects/${project}/subjects/m-12`;
    expecting(404, await api.get(path));
    const created = expecting(201, await put(path, MOUSE));
    expect(created.json()).toEqual({ project, id: 'm-12', content: MOUSE, updated_at: expect.any(String) });
    const shown = expecting(200, await api.get(path));
    expect(shown.json()).toEqual(created.json());
    expect([shown.headers.etag, shown.headers['cache-control']]).toEqual([created.headers.etag, 'no-store']);
    const replaced = expecting(200, await put(path, { sex: 'M' }));
    expect(replaced.json<Subject>().content).toEqual({ sex: 'M' });
    expect(expecting(200, await api.get(path)).json()).toEqual(replaced.json());
    expecting(204, await api.delete(path));
    expecting(404, await api.get(path));
    expecting(404, await api.delete(path));
    expecting(201, await put(path, {}));
  });

  test('has any identifier that a name may be, and is of one project only', async () => {
    const [project, other] = [await lab(), await lab()];
    const id = 'Ω 12/b?#';
    const path = (of: string): string => `/v1/projects/${of}/subjects/${encodeURIComponent(id)}`;
    expect(expecting(201, await put(path(project), { age: 'old' })).json()).toMatchObject({ id, project });
    expecting(404, await api.get(path(other)));
    expecting(201, await put(path(other), { age: 'young' }));
    expecting(204, await api.delete(path(other)));
    expect(expecting(200, await api.get(path(project))).json<Subject>().content).toEqual({ age: 'old' });
  });

  test('is listed by identifier, page by page', async () => {
    const project = await lab();
    const ids = ['B', 'a', 'a b', 'b', 'ä'];
    for (const id of [...ids].reverse()) {
      expecting(201, await put(`/v1/projects/${project}/subjects/${encodeURIComponent(id)}`, { number: id }));
    }
    const all = expecting(200, await api.get(`/v1/projects/${project}/subjects`)).json<Page>();
    expect(all.items.map(({ id, content }) => [id, content])).toEqual(ids.map((id) => [id, { number: id }]));
    expect(all.next).toBeNull();
    const walked: Subject[] = [];
    for (let next: string | null = `/v1/projects/${project}/subjects?limit=2`; next !== null;) {
      const page: Page = expecting(200, await api.get(next)).json<Page>();
      expect(page.items.length).toBeLessThanOrEqual(2);
      walked.push(...page.items);
      ({ next } = page);
    }
    expect(walked).toEqual(all.items);
    expect(expecting(200, await api.get(`/v1/projects/${await lab()}/subjects`)).json()).toEqual({
      items: [],
      next: null,
    });
  });

  test('is overwritten and deleted only as it was seen, if one insists', async () => {
    const path = `/v1/projects/${await lab()}/subjects/m-1`;
    const refused = async (answer: Promise<Answer>): Promise<void> => {
      expect(expecting(412, await answer).json<Problem>().errors[0].field).toBe('If-Match');
    };
    await refused(put(path, { n: 1 }, { headers: { 'if-match': '*' } }));
    const first = expecting(201, await put(path, { n: 1 })).headers.etag!;
    const second = expecting(200, await put(path, { n: 2 }, { headers: { 'if-match': `"x", ${first}` } })).headers
      .etag!;
    expect(second).not.toBe(first);
    for (const tag of [first, `W/${second}`, '"x"']) {
      await refused(put(path, { n: 3 }, { headers: { 'if-match': tag } }));
      await refused(api.delete(path, { 'if-match': tag }));
    }
    const shown = expecting(200, await api.get(path));
    expect([shown.headers.etag, shown.json<Subject>().content]).toEqual([second, { n: 2 }]);
    const both = await Promise.all([4, 5].map((n) => put(path, { n }, { headers: { 'if-match': second } })));
    expect(tally(both)).toEqual({ 200: 1, 412: 1 });
    expecting(204, await api.delete(path, { 'if-match': '*' }));
  });

  test('of a project that is not there is a 404', async () => {
    for (const path of ['/v1/projects/nowhere/subjects', '/v1/projects/nowhere/subjects/m-1']) {
      expecting(404, await api.get(path));
    }
    expecting(404, await put('/v1/projects/nowhere/subjects/m-1', {}));
    expecting(404, await api.delete('/v1/projects/nowhere/subjects/m-1'));
  });
});

describe('what is personal', () => {
  const calls: [string, (path: string, token: string) => Promise<Answer>][] = [
    ['shown', (path, token) => api.send('GET', path, { token })],
    ['listed', (path, token) => api.send('GET', path.replace(/\/[^/]+$/, ''), { token })],
    ['set', (path, token) => put(path, { sex: 'F' }, { token })],
    ['deleted', (path, token) => api.send('DELETE', path, { token })],
  ];

  test.each(calls)('is not %s to who may read and write series, who learns nothing', async (_, call) => {
    const project = await lab();
    const path = `/v1/projects/${project}/subjects`;
    expecting(201, await put(`${path}/known`, MOUSE));
    const said = async (each: string, token: string): Promise<object> => {
      const { status, type, detail, errors } = expecting(403, await call(each, token)).json<Problem>();
      return { status, type, detail, errors };
    };
    const token = await tokenFor(['read', 'write']);
    const known = await said(`${path}/known`, token);
    expect(known).toMatchObject({ type: 'urn:varve:problem:scope-missing', errors: [] });
    expect(JSON.stringify(known)).not.toContain('known');
    expect(await said(`${path}/unknown`, token)).toEqual(known);
    expect(await said('/v1/projects/nowhere/subjects/unknown', token)).toEqual(known);
    expect(await said(`${path}/known`, await tokenFor(['read'], [project]))).toEqual(known);
    expect(expecting(200, await api.get(`${path}/known`)).json<Subject>().content).toEqual(MOUSE);
  });

  test.each(calls)('is %s to the scope subjects, and to an administrator of the project', async (_, call) => {
    const [project, other] = [await lab(), await lab()];
    for (const token of [await tokenFor(['subjects'], [project]), await tokenFor(['admin'], [project])]) {
      const [own, foreign] = [project, other].map((of) => `/v1/projects/${of}/subjects/m-1`);
      await put(own, MOUSE);
      await put(foreign, MOUSE);
      expect((await call(own, token)).status).toBeLessThan(300);
      const problem = expecting(404, await call(foreign, token)).json<Problem>();
      expect(problem).toEqual({
        ...expecting(404, await call(foreign.replace(other, 'nowhere'), token)).json<Problem>(),
        instance: problem.instance,
        detail: `no project ${other}`,
        request_id: expect.anything(),
      });
      expect(expecting(200, await api.get(foreign)).json<Subject>().content).toEqual(MOUSE);
    }
  });

  test('is all that the scope subjects opens', async () => {
    const token = await tokenFor(['subjects']);
    for (const path of ['/v1/series', '/v1/projects', '/v1/tokens', '/v1/tags']) {
      expecting(403, await api.send('GET', path, { token }));
    }
  });

  /** Tables of all schemas, statistics among them, and running statements: those in which a text is found. */
  async function holding(text: string): Promise<string[]> {
    const { rows } = await sql.query<{ name: string }>(
      `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.relkind in ('r', 'm', 'p') and n.nspname not like 'pg_toast%'`,
    );
    expect(rows.length).toBeGreaterThan(80);
    const found: string[] = [];
    for (const { name } of [...rows, { name: 'pg_stat_activity' }]) {
      const { rows: holders } = await sql.query(`select 1 from ${name} t where position($1 in t::text) > 0 limit 1`, [
        text,
      ]);
      if (holders.length > 0) found.push(name);
    }
    return found;
  }

  function filesHolding(text: string): string[] {
    const files = readdirSync(service.dataRoot, { recursive: true, encoding: 'utf8' });
    return files.filter((file) => {
      const path = join(service.dataRoot, file);
      return statSync(path).isFile() && readFileSync(path).includes(text);
    });
  }

  test('is gone from every table, file and log once it is deleted', async () => {
    const secret = `Maria-${randomUUID()}`;
    const project = await lab();
    const id = `p-${randomUUID()}`;
    const path = `/v1/projects/${project}/subjects`;
    const token = await tokenFor(['subjects'], [project]);
    // Several, so that there would be statistics to make of them.
    for (const n of [1, 2, 3]) expecting(201, await put(`${path}/${id}-${n}`, { name: `${secret} ${n}` }, { token }));
    const whole = { description: secret, [secret]: 'key', names: [secret], litter: { father: secret } };
    const { etag } = expecting(200, await put(`${path}/${id}-1`, whole, { token })).headers;

    const name = `recording-${randomUUID()}`;
    const fields = { name, project, dtype: 'int16', sampling: { kind: 'regular', rate_hz: 10 } };
    const provenance = { subject: `${id}-1`, operator: 'jd' };
    const series = await api.createSeries({ ...fields, tags: { a: 1 }, provenance });
    await api.append(series.id, { values: [1, 2, 3] });
    expecting(200, await api.patch(`/v1/series/${series.id}`, { provenance: { operator: null } }));
    for (const body of [
      { weight: { value: 1, unit: secret } },
      { date_of_birth: secret },
      { species: [secret] },
      [secret],
    ]) {
      expect(expecting(400, await put(`${path}/${id}-1`, body, { token })).body.toString()).not.toContain(secret);
    }
    const broken = { token, headers: JSON_TYPE, body: `{"name": ${secret}, "species": "Homo sapiens"}` };
    const unread = expecting(400, await api.send('PUT', `${path}/${id}-1`, broken));
    expect(unread.body.toString()).not.toContain(secret.slice(0, 5));
    const stale = await put(`${path}/${id}-1`, { name: secret }, { token, headers: { 'if-match': '"x"' } });
    expect(expecting(412, stale).body.toString()).not.toContain(secret);
    expect(expecting(200, await api.get(path)).body.toString()).toContain(secret);
    const exported = expecting(200, await api.get(`/v1/series/${series.id}/samples?format=hdf5`));
    expect([exported.body.includes(name), exported.body.includes(secret)]).toEqual([true, false]);
    await sql.query('analyze');

    expect(await holding(secret)).toEqual(['public.subjects']);
    for (const n of [1, 2, 3]) {
      const headers: Record<string, string> = n === 1 ? { 'if-match': etag! } : {};
      expecting(204, await api.delete(`${path}/${id}-${n}`, headers));
    }
    expect(await holding(secret)).toEqual([]);
    await flushAll(service.dataRoot, { DATABASE_URL: database.url });
    expect(filesHolding(name).length).toBeGreaterThan(0);
    expect(filesHolding(secret)).toEqual([]);
    expect(service.output()).toContain(`${path}/${id}-1`);
    expect(service.output()).not.toContain(secret);

    expect(await api.series(series.id)).toMatchObject({ provenance: { subject: `${id}-1` } });
    const where = { field: 'subject', eq: `${id}-1` };
    const found = expecting(200, await api.post('/v1/series/search', { where })).json<{ items: { id: string }[] }>();
    expect(found.items.map((each) => each.id)).toEqual([series.id]);
  });
});
