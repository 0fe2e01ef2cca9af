/** A link shows what it is to show, to whoever has it, for as long as it is valid, and never anything else. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { execute, testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, type Answer, type Problem, type SeriesJson } from './client.ts';

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;

beforeAll(async () => {
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url, VARVE_LOG: 'debug', VARVE_CORS_ORIGINS: '*' } });
  api = new ApiClient(service);
  expecting(201, await api.post('/v1/projects', { name: 'other' }));
});

afterAll(async () => {
  await service?.drop();
  await database?.drop();
});

interface ShareJson {
  readonly id: string;
  readonly url: string;
  readonly note: string | null;
  readonly state: string;
  readonly token: { readonly id: string };
  readonly expires_at: string;
}

const START = '2026-05-01T00:00:00Z';

async function recorded(fields: Record<string, unknown> = {}): Promise<SeriesJson> {
  const sampling = { kind: 'regular', rate_hz: 10, start: START };
  const series = await api.createSeries({ name: randomUUID(), dtype: 'int16', sampling, ...fields });
  await api.append(series.id, { values: [1, 2, 3, 4] });
  return series;
}

/** @param by who shares */
async function share(body: Record<string, unknown>, by = api): Promise<ShareJson> {
  return expecting(201, await by.post('/v1/shares', body)).json<ShareJson>();
}

/** Asks as whoever has the link does, without a token. */
function ask(
  url: string,
  path = '',
  headers: Record<string, string> = {},
  method = 'GET',
  body?: unknown,
): Promise<Answer> {
  return api.send(method, `${url}${path}`, {
    token: null,
    headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
}

async function names(url: string, query = ''): Promise<string[]> {
  const { items } = expecting(200, await ask(url, `/v1/series${query}`)).json<{ items: SeriesJson[] }>();
  return items.map(({ name }) => name);
}

async function holder(scopes: readonly string[], projects?: readonly string[]): Promise<ApiClient & { id: string }> {
  const made = expecting(201, await api.post('/v1/tokens', { name: randomUUID(), scopes, projects }));
  const { id, token } = made.json<{ id: string; token: string }>();
  return Object.assign(new ApiClient({ url: service.url, token }), { id });
}

function refusalOf(answer: Answer): [number, string] {
  return [answer.status, answer.json<Problem>().type.replace('urn:varve:problem:', '')];
}

describe('a link to series', () => {
  test('reads them in every way in which they can be read, by GET, HEAD, parts and a query', async () => {
    const shown = await recorded();
    const { url } = await share({ series: shown.id, note: 'for the reviewers' });
    expect(url).toMatch(new RegExp(`^${service.url}/s/[\\w-]{32}$`));
    expect(await names(url)).toEqual([shown.name]);
    for (const path of ['', '/segments', '/clock-marks', '/annotations', '/storage', '/history', '/samples?points=2']) {
      expect([path, (await ask(url, `/v1/series/${shown.id}${path}`)).status]).toEqual([path, 200]);
    }
    const byName = expecting(200, await ask(url, `/v1/series/by-name/${shown.name}/samples?rows=1:3&orient=rows`));
    expect(byName.json()).toMatchObject({ values: [2, 3] });
    const npy = `/v1/series/${shown.id}/samples?format=npy`;
    const head = expecting(200, await ask(url, npy, {}, 'HEAD'));
    expect(head.headers).toMatchObject({ 'accept-ranges': 'bytes', 'content-length': '136' });
    const part = expecting(206, await ask(url, npy, { range: 'bytes=128-', origin: 'https://anywhere.example' }));
    expect([...new Int16Array(part.body.buffer.slice(part.body.byteOffset, part.body.byteOffset + 8))]).toEqual([
      1, 2, 3, 4,
    ]);
    expect(part.headers['access-control-expose-headers']).toContain('Content-Range');
    expecting(304, await ask(url, npy, { 'if-none-match': String(head.headers.etag) }));
    const table = expecting(200, await ask(url, '/v1/query', {}, 'POST', { series: [shown.id], limit: 2 }));
    expect(table.json()).toMatchObject({ rows: 2 });
    expect(expecting(200, await ask(url)).json()).toMatchObject({ series: [shown.id], note: 'for the reviewers' });
    expect(expecting(200, await ask(url, '/v1/session')).json()).toMatchObject({ token: null, scopes: ['read'] });
  });

  test('pages with links that go on below it', async () => {
    const [one, two] = [await recorded(), await recorded()];
    const { url } = await share({ series: [one.id.toUpperCase(), two.id] });
    const first = expecting(200, await ask(url, '/v1/series?limit=1')).json<{ next: string }>();
    expect(first.next.startsWith(new URL(url).pathname)).toBe(true);
    expect(expecting(200, await ask(service.url, first.next)).json()).toMatchObject({
      items: [{ id: two.id }],
      next: null,
    });
    const cut = expecting(200, await ask(url, `/v1/series/${one.id}/samples?limit=1`)).json<{ next: string }>();
    expect(expecting(200, await ask(service.url, cut.next)).json()).toMatchObject({ values: [2] });
  });

  test('shows nothing of any other series, by no address, and tells not even whether there is one', async () => {
    const [shown, hidden] = [await recorded(), await recorded({ tags: { secret: 'hidden' } })];
    const { url } = await share({ series: [shown.id] });
    const nowhere = randomUUID();
    for (const id of [hidden.id, nowhere]) {
      for (const path of [
        '',
        '/samples',
        '/samples?latest=1',
        '/samples?points=2',
        '/history',
        '/storage',
        '/samples/live',
      ]) {
        expect([path, ...refusalOf(await ask(url, `/v1/series/${id}${path}`))]).toEqual([path, 403, 'not-shared']);
      }
      const query = { series: [shown.id, id] };
      expect(refusalOf(await ask(url, '/v1/query', {}, 'POST', query))).toEqual([403, 'not-shared']);
    }
    for (const name of [hidden.name, nowhere]) {
      const path = `/v1/series/by-name/${name}/samples`;
      expect(refusalOf(await ask(url, path))).toEqual([403, 'not-shared']);
    }
    const clock = { series: [shown.id], form: 'wide', as_of: { clock: hidden.id, tolerance: '1s' } };
    expect(refusalOf(await ask(url, '/v1/query', {}, 'POST', clock))).toEqual([403, 'not-shared']);
    expect(await names(url, '?tag.secret=hidden')).toEqual([]);
    const faceted = expecting(200, await ask(url, '/v1/series?facets=secret&explain=true'));
    expect(faceted.body.toString()).not.toContain('hidden');
    const found = await ask(url, '/v1/query', {}, 'POST', { where: { tag: 'secret', exists: true } });
    expect(expecting(200, found).headers['x-varve-series']).toBe('0');
  });

  test('lets nobody do anything but read, nor ask for anything else', async () => {
    const shown = await recorded();
    const { url } = await share({ series: [shown.id] });
    const wanted: [string, string, unknown?][] = [
      ['POST', '/v1/series', { name: randomUUID(), dtype: 'int8', sampling: { kind: 'irregular' } }],
      ['PATCH', `/v1/series/${shown.id}`, { tags: { a: 1 } }],
      ['DELETE', `/v1/series/${shown.id}`],
      ['POST', `/v1/series/${shown.id}/samples`, { values: [1] }],
      ['POST', `/v1/series/${shown.id}/seal`],
      ['POST', '/v1/series/search', {}],
      ['POST', '/v1/shares', { series: [shown.id] }],
      ['DELETE', '/v1/session'],
      ...['/v1/tokens', '/v1/shares', '/v1/projects', '/v1/changes', '/v1/shards', '/v1/tags', '/v1/retention'].map(
        (path): [string, string] => ['GET', path],
      ),
      ...['/metrics', '/readyz', '/v1', '/v1/seriesx', '/v1//series', '/v1/../metrics', '/query?q=SHOW+DATABASES'].map(
        (path): [string, string] => ['GET', path],
      ),
      ['POST', '/write?db=default', {}],
    ];
    for (const [method, path, body] of wanted) {
      const headers = { authorization: `Bearer ${service.token}` };
      const answer = await ask(url, path, headers, method, body);
      expect([method, path, answer.status]).toEqual([method, path, 403]);
    }
    expect((await api.series(shown.id)).rows).toBe(4);
  });
});

describe('a link to a search', () => {
  test('shows whatever meets it at the time, and no more than its maker may see', async () => {
    const tag = randomUUID();
    const maker = await holder(['read'], ['default']);
    const { url } = await share({ search: { tag: 'study', eq: tag } }, maker);
    expect(await names(url)).toEqual([]);
    const [seen, unseen] = [
      await recorded({ tags: { study: tag } }),
      await recorded({ tags: { study: tag }, project: 'other' }),
    ];
    expect(await names(url)).toEqual([seen.name]);
    expecting(200, await ask(url, `/v1/series/${seen.id}/samples`));
    expecting(403, await ask(url, `/v1/series/${unseen.id}/samples`));
    expect(
      (await ask(url, '/v1/query', {}, 'POST', { where: { field: 'rows', gte: 0 } })).headers['x-varve-series'],
    ).toBe('1');
    expect(await names((await share({ search: { tag: 'study', eq: tag } })).url)).toHaveLength(2);
    expecting(200, await api.patch(`/v1/series/${seen.id}`, { tags: { study: null } }));
    expecting(403, await ask(url, `/v1/series/${seen.id}/samples`));
  });
});

describe('the end of a link', () => {
  test('is its expiry, its revocation, or the end of the token that made it: 403, and the list says why', async () => {
    const shown = await recorded();
    const maker = await holder(['read']);
    const [expired, revoked, orphaned, valid] = [
      await share({ series: [shown.id] }),
      await share({ series: [shown.id] }),
      await share({ series: [shown.id] }, maker),
      await share({ series: [shown.id] }),
    ];
    for (const { url } of [expired, revoked, orphaned]) expecting(200, await ask(url, `/v1/series/${shown.id}`));
    expecting(204, await api.delete(`/v1/shares/${revoked.id}`));
    expect(refusalOf(await ask(revoked.url, `/v1/series/${shown.id}`))).toEqual([403, 'share-ended']);
    expecting(204, await api.delete(`/v1/tokens/${maker.id}`));
    expect(refusalOf(await ask(orphaned.url, `/v1/series/${shown.id}`))).toEqual([403, 'share-ended']);
    await execute(database.url, `update shares set ends_at = now() where id = '${expired.id}'`);
    while ((await ask(expired.url)).status !== 403);
    expecting(200, await ask(valid.url, `/v1/series/${shown.id}`));
    const { items } = expecting(200, await api.get('/v1/shares')).json<{ items: ShareJson[] }>();
    const states = [valid, orphaned, revoked, expired].map(({ id }) => items.find((each) => each.id === id)?.state);
    expect(states).toEqual(['valid', 'orphaned', 'revoked', 'expired']);
    expecting(204, await api.delete(`/v1/shares/${expired.id}`));
    expecting(404, await api.delete(`/v1/shares/${randomUUID()}`));
  });

  test('ends what is being followed over it', async () => {
    const shown = await recorded();
    const { id, url } = await share({ series: [shown.id] });
    const live = await api.open('GET', `${url}/v1/series/${shown.id}/samples/live`, { token: null });
    expect(live.statusCode).toBe(200);
    const ended = new Promise((resolve) => live.resume().once('close', resolve));
    expecting(204, await api.delete(`/v1/shares/${id}`));
    await ended;
  });
});

test('links are listed and revoked by the token that made them, and by administrators', async () => {
  const shown = await recorded();
  const [mine, other] = [await holder(['read']), await holder(['read'])];
  const { id, url } = await share({ series: [shown.id] }, mine);
  const listed = async (by: ApiClient): Promise<string[]> => {
    const answer = expecting(200, await by.get('/v1/shares'));
    expect(answer.body.toString()).not.toContain(url.split('/s/')[1]);
    return answer.json<{ items: ShareJson[] }>().items.map((each) => each.id);
  };
  expect(await listed(mine)).toEqual([id]);
  expect(await listed(other)).toEqual([]);
  expect(await listed(api)).toContain(id);
  expecting(404, await other.delete(`/v1/shares/${id}`));
  expecting(403, await (await holder(['write'])).post('/v1/shares', { series: [shown.id] }));
  expecting(204, await mine.delete(`/v1/shares/${id}`));
});

test('what cannot be shared is refused with its field, and makes no link', async () => {
  const [shown, unseen] = [await recorded(), await recorded({ project: 'other' })];
  const maker = await holder(['read'], ['default']);
  const days = (count: number): string => new Date(Date.now() + count * 86_400_000).toISOString();
  const wrong: [Record<string, unknown>, number, string][] = [
    [{}, 400, 'series'],
    [{ series: [] }, 400, 'series'],
    [{ series: ['x'] }, 400, 'series[0]'],
    [{ series: [shown.id, randomUUID()] }, 404, 'series[1]'],
    [{ series: [unseen.id] }, 404, 'series[0]'],
    [{ series: [shown.id], search: { tag: 'a', exists: true } }, 400, 'search'],
    [{ search: { tag: 'a', is: 1 } }, 400, 'search'],
    [{ search: { and: [{ tag: 'a', gte: { value: 1, unit: 'nonsense' } }] } }, 422, 'search.and[0].gte'],
    [{ series: [shown.id], expires_at: days(-1) }, 400, 'expires_at'],
    [{ series: [shown.id], expires_at: days(400) }, 400, 'expires_at'],
    [{ series: [shown.id], note: 1 }, 400, 'note'],
    [{ series: [shown.id], more: 1 }, 400, 'more'],
  ];
  for (const [body, status, field] of wrong) {
    const answer = await maker.post('/v1/shares', body);
    expect([body, answer.status, answer.json<Problem>().errors[0]?.field]).toEqual([
      body,
      status,
      expect.stringContaining(field),
    ]);
  }
  expect(expecting(200, await maker.get('/v1/shares')).json()).toEqual({ items: [] });
  const { expires_at } = await share({ series: shown.id, expires_at: days(2) }, maker);
  expect(Math.abs(Date.parse(expires_at) - Date.now() - 2 * 86_400_000)).toBeLessThan(60_000);
});

test('no secret of a link is in the log, in a problem, or in Postgres', async () => {
  const shown = await recorded();
  const { url } = await share({ series: [shown.id] });
  const secret = url.split('/s/')[1];
  await ask(url, `/v1/series/${shown.id}`);
  const refused = [
    await ask(url, '/v1/tokens'),
    await ask(url, `/v1/series/${randomUUID()}`),
    await ask(url, '/nothing'),
  ];
  for (const answer of refused) expect(answer.body.toString()).not.toContain(secret);
  expect(service.output()).toContain('/s/…');
  expect(service.output()).not.toContain(secret);
  await execute(
    database.url,
    `do $$ begin assert not exists (select from shares s where s::text like '%${secret}%'); end $$`,
  );
});

test('links that do not exist are 403, and so many of them 429 while those that do go on', async () => {
  const shown = await recorded();
  const { url } = await share({ series: [shown.id] });
  const guess = (): Promise<Answer> => ask(service.url, `/s/${randomUUID()}/v1/series`);
  expect(refusalOf(await guess())).toEqual([403, 'share-unknown']);
  const statuses = new Set<number>();
  for (let i = 0; i < 80; i++) {
    const answer = await guess();
    statuses.add(answer.status);
    if (answer.status === 429) expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
  }
  expect([...statuses]).toEqual([403, 429]);
  expecting(200, await ask(url, `/v1/series/${shown.id}/samples`));
});
