import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';
import { relayTo, type TcpRelay } from '../support/tcp-relay.ts';
import { ApiClient, expecting, pause, tally, type AppendJson, type Problem, type SeriesJson } from './client.ts';

interface Named {
  readonly id: string;
  readonly name: string;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const SAMPLING = { kind: 'regular', rate_hz: 10 };

let database: TestDatabase;
/** In front of the database, so that it can be taken away. */
let relay: TcpRelay;
let service: RunningService;
let api: ApiClient;

beforeAll(async () => {
  database = await testDatabase();
  relay = await relayTo(database.url);
  service = await startService({ env: { DATABASE_URL: relay.url, VARVE_LOG: 'debug' } });
  api = new ApiClient(service);
});

afterAll(async () => {
  await service?.drop();
  await relay?.cut();
  await database?.drop();
});

function fresh(prefix: string): string {
  return `${prefix}-${randomUUID()}`;
}

async function createProject(): Promise<string> {
  const name = fresh('project');
  expecting(201, await api.post('/v1/projects', { name }));
  return name;
}

/** A client that has a new token with these scopes, limited to the projects if there are any. */
async function holder(scopes: readonly string[], projects?: readonly string[]): Promise<ApiClient> {
  const created = expecting(201, await api.post('/v1/tokens', { name: fresh('token'), scopes, projects }));
  const { token } = created.json<{ token: string }>();
  return new ApiClient({
    token,
    get url() {
      return service.url;
    },
  });
}

describe('projects', () => {
  test('are created, listed by name, and there is a default one', async () => {
    const name = fresh('sleep lab');
    const created = expecting(201, await api.post('/v1/projects', { name })).json<Named>();
    expect(created).toEqual({ id: expect.stringMatching(UUID), name, created_at: expect.any(String) });
    const { items } = expecting(200, await api.get('/v1/projects')).json<{ items: Named[] }>();
    expect(items).toContainEqual(created);
    const names = items.map((each) => each.name);
    expect(names).toContain('default');
    expect(names).toEqual([...names].sort());
  });

  test('have names of their own, also where ten ask at once', async () => {
    const name = fresh('project');
    const answers = await Promise.all(Array.from({ length: 10 }, () => api.post('/v1/projects', { name })));
    expect(tally(answers)).toEqual({ 201: 1, 409: 9 });
    const conflict = answers.find(({ status }) => status === 409);
    expect(conflict?.json<Problem>().errors).toMatchObject([{ field: 'name' }]);
  });

  test.each([
    [{}, 'name'],
    [{ name: '' }, 'name'],
    [{ name: 5 }, 'name'],
    [{ name: 'a', colour: 1 }, 'colour'],
  ])('%j is refused', async (body, field) => {
    expect(expecting(400, await api.post('/v1/projects', body)).json<Problem>().errors).toMatchObject([{ field }]);
  });
});

describe('tokens', () => {
  test('are shown once, listed without their text, and work until they are revoked', async () => {
    const name = fresh('incubator');
    const created = expecting(201, await api.post('/v1/tokens', { name, scopes: ['read', 'write'] }));
    expect(created.headers['cache-control']).toBe('no-store');
    const record = created.json<Named & { token: string }>();
    expect(record).toEqual({
      id: expect.stringMatching(UUID),
      name,
      scopes: ['read', 'write'],
      project_ids: null,
      created_at: expect.any(String),
      token: expect.stringMatching(/^\S{32,}$/),
    });
    const { token, ...listed } = record;
    const list = expecting(200, await api.get('/v1/tokens'));
    expect(list.json<{ items: Named[] }>().items).toContainEqual(listed);
    expect(list.body.toString()).not.toContain(token);

    expecting(200, await api.send('GET', '/v1/series', { token }));
    expecting(204, await api.delete(`/v1/tokens/${record.id}`));
    const refused = expecting(401, await api.send('GET', '/v1/series', { token }));
    expect(refused.headers['www-authenticate']).toContain('error="invalid_token"');
    expect(expecting(200, await api.get('/v1/tokens')).body.toString()).not.toContain(record.id);
    expecting(404, await api.delete(`/v1/tokens/${record.id}`));
  });

  test.each([
    [{ name: 'a' }, 'scopes'],
    [{ scopes: ['read'] }, 'name'],
    [{ name: 'a', scopes: [] }, 'scopes'],
    [{ name: 'a', scopes: ['root'] }, 'scopes[0]'],
    [{ name: 'a', scopes: ['read', 'read'] }, 'scopes'],
    [{ name: 'a', scopes: ['read'], projects: [] }, 'projects'],
    [{ name: 'a', scopes: ['read'], expires: 1 }, 'expires'],
  ])('%j is refused', async (body, field) => {
    expect(expecting(400, await api.post('/v1/tokens', body)).json<Problem>().errors).toMatchObject([{ field }]);
  });

  test('for a project that is not there are not made', async () => {
    expecting(404, await api.post('/v1/tokens', { name: 'a', scopes: ['read'], projects: ['nowhere'] }));
  });

  test('with the scope write can write and not read, as a sensor does', async () => {
    const sensor = await holder(['write']);
    const created = expecting(
      201,
      await sensor.post('/v1/series', { name: fresh('s'), dtype: 'int16', sampling: SAMPLING }),
    );
    const { id } = created.json<SeriesJson>();
    expecting(201, await sensor.post(`/v1/series/${id}/samples`, { values: [1] }));
    expecting(403, await sensor.get(`/v1/series/${id}/samples`));
    expecting(403, await sensor.get(`/v1/series/${id}`));
  });

  test('with the scope admin can all', async () => {
    const admin = await holder(['admin']);
    const { id } = await admin.createSeries({ name: fresh('s'), dtype: 'int16', sampling: SAMPLING });
    await admin.append(id, { values: [1] });
    await admin.read(id);
    expecting(200, await admin.get('/v1/tokens'));
    expecting(200, await admin.get('/metrics'));
  });
});

describe('a token that is limited to a project', () => {
  let mine: string;
  let theirs: string;
  let member: ApiClient;
  let own: SeriesJson;
  let foreign: SeriesJson;
  let foreignWrite: string;

  beforeAll(async () => {
    mine = await createProject();
    theirs = await createProject();
    member = await holder(['read', 'write'], [mine]);
    own = await member.createSeries({ name: 'shared/name', project: mine, dtype: 'int16', sampling: SAMPLING });
    foreign = await api.createSeries({ name: 'shared/name', project: theirs, dtype: 'int16', sampling: SAMPLING });
    await member.append(own.id, { values: [1, 2] });
    foreignWrite = (await api.append(foreign.id, { values: [3, 4] })).write;
  });

  test('reaches what is in it', async () => {
    expect((await member.read(own.id)).values).toEqual([[1, 2]]);
    expecting(200, await member.get(`/v1/series/by-name/shared/name?project=${mine}`));
    expecting(200, await member.patch(`/v1/series/${own.id}`, { unit: 'mV' }));
    const written = expecting(201, await member.post(`/v1/series/${own.id}/samples`, { values: [3] }));
    expecting(200, await member.get(`/v1/writes/${written.json<AppendJson>().write}`));
  });

  test('finds nothing of others, whatever it asks for', async () => {
    const calls: [string, string, unknown?][] = [
      ['GET', `/v1/series/${foreign.id}`],
      ['GET', `/v1/series/by-name/shared/name?project=${theirs}`],
      ['GET', `/v1/series/${foreign.id}/samples`],
      ['GET', `/v1/series/by-name/shared/name/samples?project=${theirs}`],
      ['POST', `/v1/series/${foreign.id}/samples`, { values: [5] }],
      ['PATCH', `/v1/series/${foreign.id}`, { unit: 'V' }],
      ['DELETE', `/v1/series/${foreign.id}`],
      ['POST', `/v1/series/${foreign.id}/restore`],
      ['GET', `/v1/series/${foreign.id}/annotations`],
      ['POST', `/v1/series/${foreign.id}/annotations`, { start: 1, label: 'x' }],
      ['GET', `/v1/writes/${foreignWrite}`],
    ];
    const known = { headers: { 'content-type': 'application/json' } };
    for (const [method, path, json] of calls) {
      const answer = await member.send(method, path, {
        ...known,
        body: json === undefined ? undefined : JSON.stringify(json),
      });
      expect({ method, path, status: answer.status }).toEqual({ method, path, status: 404 });
      // Nor does the answer differ from that for what is nowhere.
      const nowhere = randomUUID();
      const ids = new RegExp(`${foreign.id}|${foreignWrite}|${theirs}`, 'g');
      const other = await member.send(method, path.replaceAll(ids, nowhere), {
        ...known,
        body: json === undefined ? undefined : JSON.stringify(json),
      });
      const said = ({ type, title, detail }: Problem): string =>
        JSON.stringify({ type, title, detail }).replaceAll(ids, nowhere);
      expect(said(answer.json<Problem>())).toBe(said(other.json<Problem>()));
    }
    expect((await api.series(foreign.id)).rows).toBe(2);
  });

  test('lists its own series and projects only', async () => {
    const names = async (query: string): Promise<string[]> =>
      expecting(200, await member.get(`/v1/series?${query}`))
        .json<{ items: SeriesJson[] }>()
        .items.map(({ id }) => id);
    expect(await names('')).toEqual([own.id]);
    expect(await names('name=shared/name')).toEqual([own.id]);
    expect(await names(`project=${theirs}`)).toEqual([]);
    expect(await names('project=default')).toEqual([]);
    const projects = expecting(200, await member.get('/v1/projects')).json<{ items: Named[] }>();
    expect(projects.items.map(({ name }) => name)).toEqual([mine]);
  });

  test('creates in no other', async () => {
    for (const project of [theirs, undefined, 'nowhere']) {
      const answer = await member.post('/v1/series', { name: 'x', project, dtype: 'int16', sampling: SAMPLING });
      expect(expecting(403, answer).json<Problem>().errors).toMatchObject([{ field: 'project' }]);
    }
  });

  test('cannot give itself more, even as admin of its project', async () => {
    const admin = await holder(['admin'], [mine]);
    expecting(200, await admin.get(`/v1/series/${own.id}`));
    expecting(404, await admin.get(`/v1/series/${foreign.id}`));
    expecting(403, await admin.post('/v1/tokens', { name: 'more', scopes: ['admin'] }));
    expecting(403, await admin.post('/v1/projects', { name: fresh('p') }));
    expecting(403, await admin.get('/v1/tokens'));
  });

  test('may have several', async () => {
    const both = await holder(['read'], [mine, theirs]);
    const { items } = expecting(200, await both.get('/v1/series')).json<{ items: SeriesJson[] }>();
    expect(items.map(({ id }) => id).sort()).toEqual([own.id, foreign.id].sort());
  });
});

describe('what operators and programs look at', () => {
  test('health is answered without a token', async () => {
    for (const [path, body] of [
      ['/healthz', { status: 'ok' }],
      ['/readyz', { status: 'ready', checks: { postgres: { ok: true }, queue: { ok: true }, storage: { ok: true } } }],
    ] as const) {
      const answer = expecting(200, await api.send('GET', path, { token: null }));
      expect(answer.json()).toMatchObject(body);
      expect(answer.headers['cache-control']).toBe('no-store');
    }
  });

  test('metrics are for Prometheus, and need a token', async () => {
    const { id } = await api.createSeries({ name: fresh('s'), dtype: 'int16', sampling: SAMPLING });
    await api.append(id, { values: [1] });
    const answer = expecting(200, await api.get('/metrics'));
    expect(answer.headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(answer.body.toString()).toMatch(/^varve_fresh_chunks [1-9]/m);
    expect(answer.body.toString()).toMatch(/^varve_shards\{state="live"\} 0$/m);
    expecting(401, await api.send('GET', '/metrics', { token: null }));
  });

  test('the API describes itself in OpenAPI 3.1, for programs and for people', async () => {
    const answer = expecting(200, await api.send('GET', '/openapi.json', { token: null }));
    const document = answer.json<{ openapi: string; paths: Record<string, Record<string, object>> }>();
    expect(document.openapi).toMatch(/^3\.1/);
    const operations = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(operations).toEqual(
      expect.arrayContaining([
        'POST /v1/series',
        'GET /v1/series',
        'GET /v1/series/{id}',
        'PATCH /v1/series/{id}',
        'DELETE /v1/series/{id}',
        'POST /v1/series/{id}/restore',
        'POST /v1/series/{id}/samples',
        'GET /v1/series/{id}/samples',
        'GET /v1/series/by-name/{name}',
        'GET /v1/writes/{id}',
        'GET /healthz',
        'GET /readyz',
        'GET /metrics',
      ]),
    );
    // Every operation that is described is there: without a token it asks for one, or answers.
    for (const operation of operations) {
      const [method, path] = operation.split(' ');
      const answered = await api.send(method, path.replaceAll(/\{\w+\}/g, randomUUID()), { token: null });
      const became = answered.status < 300 ? 'answered' : answered.status;
      const isClosed = /^\/(v1|metrics|write|query|api)\b/.test(path);
      // Signing in needs no token, but a body, and signing out nothing; a link that does not exist shows nothing.
      const others: Readonly<Record<string, number | string>> = {
        'DELETE /v1/session': 'answered',
        'POST /v1/session': 415,
        'GET /s/{share}': 403,
      };
      const expected = others[operation] ?? (isClosed ? 401 : 'answered');
      expect({ operation, became }).toEqual({ operation, became: expected });
    }
    const page = expecting(200, await api.send('GET', '/docs', { token: null }));
    expect(page.headers['content-type']).toMatch(/^text\/html/);
    const links = [...page.body.toString().matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]);
    expect(links.length).toBeGreaterThan(2);
    for (const link of links) {
      expect(link).toMatch(/^\/docs\//); // nothing comes from another host
      expecting(200, await api.send('GET', link, { token: null }));
    }
  });

  test('every answer has an id by which the log knows it', async () => {
    const answer = expecting(404, await api.get('/v1/nothing'));
    const id = String(answer.headers['x-request-id']);
    expect(answer.json()).toMatchObject({ request_id: id, instance: '/v1/nothing' });
    for (const end = Date.now() + 5_000; !service.output().includes(id) && Date.now() < end;) await pause(10);
    expect(
      service
        .output()
        .split('\n')
        .filter((line) => line.includes(id)),
    ).toHaveLength(1);
  });

  test('while Postgres is away the service is alive, not ready, and asks for patience', async () => {
    const { id } = await api.createSeries({ name: fresh('s'), dtype: 'int16', sampling: SAMPLING });
    await api.append(id, { values: [1] });
    await relay.cut();
    try {
      expecting(200, await api.get('/healthz'));
      const readiness = expecting(503, await api.get('/readyz'));
      expect(readiness.json()).toMatchObject({ status: 'not ready', checks: { postgres: { ok: false } } });
      expect(Number(readiness.headers['retry-after'])).toBeGreaterThan(0);
      for (const answer of [
        await api.get(`/v1/series/${id}/samples`),
        await api.post(`/v1/series/${id}/samples`, { values: [2] }),
      ]) {
        expect(Number(expecting(503, answer).headers['retry-after'])).toBeGreaterThan(0);
        expect(answer.json<Problem>().type).toBe('urn:varve:problem:unavailable');
      }
    } finally {
      await relay.restore();
    }
    for (const end = Date.now() + 20_000; (await api.get('/readyz')).status !== 200 && Date.now() < end;)
      await pause(100);
    await api.append(id, { values: [3] });
    expect((await api.read(id)).values).toEqual([[1, 3]]);
  });
});
