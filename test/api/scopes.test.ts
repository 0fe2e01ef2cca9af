/** What a token may not do it cannot do by another way either: every route is tried, as the document lists them. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, type Answer, type Problem, type SeriesJson } from './client.ts';

/** In everything that somebody else has stored. */
const SECRET = 'onlyreadersknow';
const SECRET_VALUE = 31337;
const PROJECT = 'guarded';
const TOKEN = 'the-token-of-the-environment';

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;

beforeAll(async () => {
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url, VARVE_TOKEN: TOKEN } });
  api = new ApiClient(service);
  expecting(201, await api.post('/v1/projects', { name: PROJECT }));
});

afterAll(async () => {
  await service?.drop();
  await database?.drop();
});

async function holder(scopes: readonly string[], projects?: readonly string[]): Promise<ApiClient> {
  const answer = await api.post('/v1/tokens', { name: randomUUID(), scopes, projects });
  const { token } = expecting(201, answer).json<{ token: string }>();
  return new ApiClient({
    token,
    get url() {
      return service.url;
    },
  });
}

interface Prepared {
  readonly id: string;
  readonly name: string;
  readonly annotation: string;
  readonly edit: string;
  readonly recording: string;
  /** One that is dry, and waits or has ended. */
  readonly import: string;
  readonly upload: string;
}

/** A series that says the secret wherever it can. */
async function secretSeries(): Promise<Prepared> {
  const name = randomUUID();
  const { id } = await api.createSeries({
    name,
    project: PROJECT,
    dtype: 'int32',
    description: SECRET,
    unit: SECRET,
    tags: { secret: SECRET },
    provenance: { subject: SECRET, operator: SECRET },
    external_ids: { lab: SECRET },
    recording: { name: `${SECRET} ${name}` },
    sampling: { kind: 'regular', rate_hz: 10, start: '2026-05-01T00:00:00Z' },
  });
  await api.append(id, { values: [SECRET_VALUE, SECRET_VALUE] });
  const marked = await api.post(`/v1/series/${id}/annotations`, { start: 1, label: SECRET });
  const where = { and: [{ field: 'name', eq: name }] };
  const edited = await api.post('/v1/series/tags', { where, set: { more: SECRET } });
  const recordings = await api.get(`/v1/recordings?name=${SECRET} ${name}`.replace(' ', '%20'));
  const upload = await newUpload();
  const uploads = [await newUpload()];
  const imported = await api.post('/v1/imports', { project: PROJECT, uploads, tags: { secret: SECRET } });
  return {
    id,
    name,
    annotation: expecting(201, marked).json<{ ids: string[] }>().ids[0],
    edit: expecting(200, edited).json<{ edit: string }>().edit,
    recording: expecting(200, recordings).json<{ items: { id: string }[] }>().items[0].id,
    import: expecting(202, imported).json<{ id: string }>().id,
    upload,
  };
}

async function newUpload(): Promise<string> {
  const path = `/v1/uploads?filename=${randomUUID()}.csv&project=${PROJECT}`;
  const answer = await api.send('POST', path, { body: 'time,a\n2026-05-01,1\n' });
  return expecting(201, answer).json<{ id: string }>().id;
}

/** A body that the operation takes; one of a change changes nothing that it need not. */
const BODIES: Readonly<Record<string, unknown>> = {
  'POST /v1/series': { name: 'given', project: PROJECT, dtype: 'int8', sampling: { kind: 'irregular' } },
  'PATCH /v1/series/{id}': {},
  'POST /v1/series/{id}/samples': { values: [1] },
  'PUT /v1/series/{id}/samples': { values: [1, 2] },
  'POST /v1/series/{id}/annotations': { start: 1, label: 'own' },
  'POST /v1/series/search': { where: { tag: 'secret', eq: SECRET } },
  'POST /v1/series/tags': { where: { tag: 'secret', exists: true }, set: { a: 1 }, dry_run: true },
  'POST /v1/tags/{key}/rename': { to: 'other', project: PROJECT },
  'POST /v1/query': { where: { tag: 'secret', exists: true } },
  'POST /v1/projects': { name: 'more' },
  'POST /v1/searches': { name: 'mine', project: PROJECT, where: { tag: 'secret', exists: true } },
  'PUT /v1/searches/{id}': { name: 'mine' },
  'POST /v1/shares': { search: { tag: 'secret', exists: true } },
  'POST /v1/tokens': { name: 'more', scopes: ['read'] },
  'POST /v1/retention': { project: PROJECT, keep: '1d' },
  'PUT /v1/projects/{name}/vocabulary': { keys: {} },
  'PUT /v1/projects/{project}/subjects/{id}': {},
  'POST /v1/imports': { project: PROJECT, uploads: ['UPLOAD'] },
  'PATCH /v1/recordings/{id}': {},
};
const QUERIES: Readonly<Record<string, string>> = {
  'PUT /v1/series/{id}/samples': 'start=2026-05-01T00:00:00Z&end=2026-05-01T00:00:00.2Z',
  'DELETE /v1/series/{id}/samples': 'start=2026-05-01T00:00:00Z',
  'POST /write': `db=${PROJECT}`,
  'POST /api/v2/write': `bucket=${PROJECT}`,
  'POST /v1/uploads': `filename=own.csv&project=${PROJECT}`,
};
/** Bodies that are no JSON. */
const TEXTS: Readonly<Record<string, string>> = { 'POST /write': 'm f=1', 'POST /api/v2/write': 'm f=2' };
/** What a token that only writes may do, and nothing else is. */
const WRITES: ReadonlySet<string> = new Set([
  'POST /v1/series',
  'POST /v1/series/bulk',
  'PATCH /v1/series/{id}',
  'DELETE /v1/series/{id}',
  'POST /v1/series/{id}/restore',
  'POST /v1/series/{id}/seal',
  'POST /v1/series/{id}/unseal',
  'POST /v1/samples',
  'POST /v1/samples/stream',
  'POST /write',
  'POST /api/v2/write',
  'POST /v1/series/{id}/samples',
  'PUT /v1/series/{id}/samples',
  'DELETE /v1/series/{id}/samples',
  'POST /v1/series/{id}/annotations',
  'DELETE /v1/series/{id}/annotations/{annotation}',
  'PATCH /v1/recordings/{id}',
  'POST /v1/imports',
  'DELETE /v1/imports/{id}',
  'POST /v1/uploads',
  'GET /v1/uploads/{id}',
  'PATCH /v1/uploads/{id}',
  'DELETE /v1/uploads/{id}',
]);
/** These tell everybody the same. */
const OPEN: ReadonlySet<string> = new Set([
  'GET /healthz',
  'GET /readyz',
  'GET /openapi.json',
  'GET /docs',
  'GET /',
  'GET /ping',
  'GET /health',
  // These tell whoever asks of himself alone.
  'POST /v1/session',
  'GET /v1/session',
  'DELETE /v1/session',
]);

function byId(operation: string): string {
  return operation.replace('/v1/series/by-name/{name}', '/v1/series/{id}');
}

async function operations(): Promise<string[]> {
  const { paths } = expecting(200, await api.get('/openapi.json')).json<{ paths: Record<string, object> }>();
  const found = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods)
      .filter((method) => /^(get|put|post|patch|delete)$/.test(method))
      .map((method) => `${method.toUpperCase()} ${path}`),
  );
  return found.filter((each) => !OPEN.has(each));
}

async function call(client: ApiClient, operation: string, known: Prepared): Promise<Answer> {
  const [method, template] = operation.split(' ');
  const key = byId(operation);
  const body = BODIES[key];
  const query = new URLSearchParams(QUERIES[key] ?? '');
  if (template.includes('by-name')) query.set('project', PROJECT);
  const path = template
    .replace('by-name/{name}', `by-name/${known.name}`)
    .replace('{annotation}', known.annotation)
    .replace('projects/{name}', `projects/${PROJECT}`)
    .replace('{project}', PROJECT)
    .replace('{key}', 'secret')
    .replace(/metadata-edits\/\{id\}/, `metadata-edits/${known.edit}`)
    .replace('recordings/{id}', `recordings/${known.recording}`)
    .replace('imports/{id}', `imports/${known.import}`)
    .replace('uploads/{id}', `uploads/${known.upload}`)
    .replace('{id}', known.id);
  const isLines = template.endsWith('/bulk') || template.startsWith('/v1/samples');
  const created = { name: randomUUID(), project: PROJECT, dtype: 'int8', sampling: { kind: 'irregular' } };
  const line = JSON.stringify(template.startsWith('/v1/samples') ? { series: known.id, values: [1] } : created);
  if (operation === 'PATCH /v1/uploads/{id}') {
    const headers = {
      'tus-resumable': '1.0.0',
      'upload-offset': '20',
      'content-type': 'application/offset+octet-stream',
    };
    return client.send(method, path, { headers, body: '' });
  }
  const text = TEXTS[operation];
  if (text !== undefined)
    return client.send(method, `${path}?${query.toString()}`, {
      headers: { 'content-type': 'text/plain' },
      body: text,
    });
  return client.send(method, `${path}?${query.toString()}`, {
    headers: { 'content-type': isLines ? 'application/x-ndjson' : 'application/json' },
    body: isLines ? line : body === undefined ? undefined : JSON.stringify(body).replace('UPLOAD', known.upload),
  });
}

describe('a token that only writes', () => {
  test('is told by no route what others have stored', async () => {
    const sensor = await holder(['write']);
    const all = await operations();
    expect(all.length).toBeGreaterThan(40);
    for (const operation of all) {
      const known = await secretSeries();
      if (operation.endsWith('/restore')) expecting(204, await api.delete(`/v1/series/${known.id}`));
      const answer = await call(sensor, operation, known);
      const said = `${answer.body.toString()} ${JSON.stringify(answer.headers)}`;
      const told = said.includes(SECRET) || said.includes(`${SECRET_VALUE}`);
      const became = answer.status === 403 ? 'refused' : answer.status < 300 ? 'done' : answer.status;
      const expected = WRITES.has(byId(operation)) ? 'done' : 'refused';
      expect({ operation, became, told }).toEqual({ operation, became: expected, told: false });
    }
  });

  test('is told of a change the id and the version alone, also by name and where nothing changes', async () => {
    const sensor = await holder(['write'], [PROJECT]);
    const { id, name } = await secretSeries();
    for (const path of [`/v1/series/${id}`, `/v1/series/by-name/${name}?project=${PROJECT}`]) {
      const answer = expecting(200, await sensor.patch(path, {}));
      expect(answer.json()).toEqual({ id, version: expect.any(Number) });
      expect(answer.headers.etag).toBeDefined();
    }
    expect((await api.series(id)).tags).toMatchObject({ secret: SECRET });
  });

  test('is told what it sent, again too', async () => {
    const sensor = await holder(['write'], [PROJECT]);
    const body = {
      name: randomUUID(),
      project: PROJECT,
      dtype: 'int8',
      tags: { a: 'b' },
      sampling: { kind: 'irregular' },
    };
    const key = { 'idempotency-key': randomUUID() };
    const created = expecting(201, await sensor.post('/v1/series', body, key));
    expect(created.json<SeriesJson>()).toMatchObject({ name: body.name, tags: body.tags });
    const replayed = expecting(201, await sensor.post('/v1/series', body, key));
    expect(replayed.headers['idempotency-replayed']).toBe('true');
    expect(replayed.json()).toEqual(created.json());
    // A key is one token's own: with another's it replays nothing.
    const other = await holder(['write'], [PROJECT]);
    const taken = expecting(409, await other.post('/v1/series', body, key));
    expect(taken.body.toString()).not.toContain(created.json<SeriesJson>().id);
  });

  test('finds nothing out by what an edit would find, dry or not', async () => {
    const sensor = await holder(['write']);
    const { id, edit } = await secretSeries();
    const where = { tag: 'secret', eq: SECRET };
    for (const dry_run of [true, false]) {
      const refused = expecting(403, await sensor.post('/v1/series/tags', { where, set: { a: 1 }, dry_run }));
      expect(refused.json<Problem>().type).toMatch(/scope-missing$/);
    }
    expecting(403, await sensor.post(`/v1/metadata-edits/${edit}/undo`, undefined));
    expect((await api.series(id)).tags).not.toHaveProperty('a');
  });
});

describe('a token that is limited to projects', () => {
  test.each([['read'], ['admin']])('with the scope %s sees no totals of the whole service', async (scope) => {
    const limited = await holder([scope], [PROJECT]);
    for (const path of ['/metrics', '/v1/shards', '/v1/retention', '/v1/tokens']) {
      const refused = expecting(403, await limited.get(path));
      expect(refused.headers['content-type']).toContain('application/problem+json');
      expect(refused.body.toString()).not.toContain('varve_series');
    }
    expecting(200, await api.get('/metrics'));
    expecting(200, await (await holder(['read'])).get('/metrics'));
  });

  test('is told of a plan which steps it has, not how many series all projects have', async () => {
    const limited = await holder(['read'], [PROJECT]);
    const plan = async (client: ApiClient): Promise<string> =>
      expecting(200, await client.get('/v1/series?explain=true&limit=1'))
        .json<{ explain: { plan: string[] } }>()
        .explain.plan.join('\n');
    expect(await plan(api)).toMatch(/\d+ rows/);
    expect(await plan(limited)).not.toMatch(/\d+ rows|cost/);
    expect(await plan(limited)).toMatch(/series/);
  });
});

describe('the token of the environment', () => {
  test('is kept nowhere in plain text, neither in the data folder nor in Postgres nor in the log', async () => {
    expecting(200, await api.get('/v1/tokens'));
    expect(filesWith(service.dataRoot, TOKEN)).toEqual([]);
    expect(service.output()).not.toContain(TOKEN);
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    const { rows } = await client.query<{ found: boolean }>(
      `select exists (select from tokens t where t::text like '%' || $1 || '%' or t.hash = $1::text::bytea) as found`,
      [TOKEN],
    );
    await client.end();
    expect(rows).toEqual([{ found: false }]);
  });

  test('replaces the one that the folder had, and the one before it', async () => {
    const other = await testDatabase();
    const plain = await startService({ env: { DATABASE_URL: other.url } });
    const at = (token: string, url: string) => new ApiClient({ token, url });
    const made = plain.token;
    expecting(200, await at(made, plain.url).get('/v1/tokens'));
    const path = join(plain.dataRoot, 'token');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await plain.stop();
    for (const token of ['a-token-that-is-given', 'and-another-that-follows']) {
      const given = await startService({
        env: { DATABASE_URL: other.url, VARVE_DATA: plain.dataRoot, VARVE_TOKEN: token },
      });
      expecting(200, await at(token, given.url).get('/v1/tokens'));
      expecting(401, await at(made, given.url).get('/v1/tokens'));
      if (token.startsWith('and')) expecting(401, await at('a-token-that-is-given', given.url).get('/v1/tokens'));
      expect(existsSync(path)).toBe(false);
      await given.stop();
    }
    await plain.drop();
    await other.drop();
  });
});

function filesWith(folder: string, text: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => readFileSync(path).includes(text));
}
