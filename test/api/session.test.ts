/** A browser signs in once, and then has a cookie that its scripts cannot read and other sites cannot use. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { execute, testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, type Answer, type Problem } from './client.ts';

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;
/** Sends what a test says, and no token. */
let browser: ApiClient;

const SAME_ORIGIN = { 'sec-fetch-site': 'same-origin' };

beforeAll(async () => {
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url, VARVE_LOG: 'debug' } });
  api = new ApiClient(service);
  browser = new ApiClient({
    token: '',
    get url() {
      return service.url;
    },
  });
});

afterAll(async () => {
  await service?.drop();
  await database?.drop();
});

interface SessionJson {
  readonly token: { readonly id: string; readonly name: string };
  readonly scopes: readonly string[];
  readonly projects: readonly string[] | null;
  readonly expires_at: string;
}

function send(method: string, path: string, headers: Record<string, string>, body?: unknown): Promise<Answer> {
  return browser.send(method, path, {
    token: null,
    headers: { 'content-type': 'application/json', ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
}

async function makeToken(
  scopes: readonly string[],
  projects?: readonly string[],
): Promise<{ id: string; token: string }> {
  return expecting(201, await api.post('/v1/tokens', { name: randomUUID(), scopes, projects })).json();
}

/** Signs in. @returns the cookie as a browser sends it back */
async function cookieOf(token: string, headers: Record<string, string> = {}): Promise<string> {
  const answer = expecting(201, await send('POST', '/v1/session', headers, { token }));
  return String(answer.headers['set-cookie']).split(';')[0];
}

describe('a session', () => {
  test('stands for its token, in a cookie that is HttpOnly, SameSite=Strict and of this host and port alone', async () => {
    const { id, token } = await makeToken(['read', 'write'], ['default']);
    const answer = expecting(201, await send('POST', '/v1/session', {}, { token }));
    const [set = ''] = answer.headers['set-cookie'] ?? [];
    const port = new URL(service.url).port;
    expect(set).toMatch(new RegExp(`^varve-${port}=[\\w-]{32,}; Path=/; HttpOnly; SameSite=Strict; Expires=`));
    expect(`${set} ${answer.body.toString()}`).not.toContain(token);
    const cookie = set.split(';')[0];
    const said = { token: { id }, scopes: ['read', 'write'], projects: ['default'] };
    expect(answer.json()).toMatchObject(said);
    const asked = expecting(200, await send('GET', '/v1/session', { cookie: `other=1; ${cookie}; more=2` }));
    expect(asked.json()).toMatchObject(said);
    expect(Date.parse(asked.json<SessionJson>().expires_at)).toBeGreaterThan(Date.now());
    expecting(200, await send('GET', '/v1/series', { cookie }));
    expecting(403, await send('GET', '/v1/tokens', { cookie }));
    expect(expecting(200, await api.get('/v1/session')).json()).toMatchObject({ scopes: ['admin'], expires_at: null });
  });

  test('has a __Host- cookie that is sent over TLS alone, where TLS ends in front of the service', async () => {
    const overTls: Record<string, string>[] = [
      { 'x-forwarded-proto': 'https' },
      { origin: 'https://127.0.0.1', 'sec-fetch-site': 'same-origin' },
    ];
    for (const headers of overTls) {
      const answer = await send('POST', '/v1/session', headers, { token: service.token });
      const [set = ''] = expecting(201, answer).headers['set-cookie'] ?? [];
      expect(set).toMatch(/^__Host-varve=[\w-]{32,}; Path=\/; HttpOnly; SameSite=Strict; Secure; Expires=/);
      expecting(200, await send('GET', '/v1/series', { cookie: set.split(';')[0] }));
    }
  });

  test('is taken wherever a token is: metrics, lines, queries of dashboards', async () => {
    const cookie = await cookieOf(service.token);
    expecting(200, await send('GET', '/metrics', { cookie }));
    const lines = { cookie, ...SAME_ORIGIN, 'content-type': 'text/plain' };
    expecting(
      204,
      await browser.send('POST', '/write?db=default', { token: null, headers: lines, body: 'm,a=b f=1 1' }),
    );
    expecting(200, await send('GET', `/query?q=${encodeURIComponent('SHOW DATABASES')}`, { cookie }));
  });

  test('ends for everybody when somebody signs out, and signing out twice is no fault', async () => {
    const cookie = await cookieOf(service.token);
    const out = expecting(204, await send('DELETE', '/v1/session', { cookie, ...SAME_ORIGIN }));
    expect(String(out.headers['set-cookie'])).toMatch(/^varve-\d+=; Path=\/; .*Max-Age=0/);
    const refused = expecting(401, await send('GET', '/v1/session', { cookie }));
    expect(refused.json<Problem>().type).toBe('urn:varve:problem:session-ended');
    expecting(204, await send('DELETE', '/v1/session', { cookie, ...SAME_ORIGIN }));
    expecting(204, await send('DELETE', '/v1/session', {}));
  });

  test('ends with its token', async () => {
    const { id, token } = await makeToken(['read']);
    const cookie = await cookieOf(token);
    expecting(200, await send('GET', '/v1/series', { cookie }));
    expecting(204, await api.delete(`/v1/tokens/${id}`));
    expecting(401, await send('GET', '/v1/series', { cookie }));
    expecting(401, await send('POST', '/v1/session', {}, { token }));
  });

  test('ends by itself', async () => {
    const { id, token } = await makeToken(['read']);
    const cookie = await cookieOf(token);
    await execute(database.url, `update sessions set ends_at = now() where token_id = '${id}'`);
    while ((await send('GET', '/v1/series', { cookie })).status !== 401);
  });

  test('is no token, and a token is no session', async () => {
    const cookie = await cookieOf(service.token);
    const [name, secret] = cookie.split('=');
    expecting(401, await browser.send('GET', '/v1/series', { token: secret }));
    expecting(401, await send('GET', '/v1/series', { cookie: `${name}=${service.token}` }));
  });

  test('is opened by nothing but a valid token or code, and a refusal names the field', async () => {
    const wrong: [unknown, number, string][] = [
      [{}, 400, 'token'],
      [{ token: 'unknown' }, 401, 'token'],
      [{ code: 'unknown' }, 401, 'code'],
      [{ token: 'a', code: 'b' }, 400, 'token'],
      [{ token: 1 }, 400, 'token'],
      [{ token: service.token, more: 1 }, 400, 'more'],
    ];
    for (const [body, status, field] of wrong) {
      const answer = expecting(status, await send('POST', '/v1/session', {}, body));
      expect([body, answer.json<Problem>().errors[0].field]).toEqual([body, field]);
      expect(answer.headers['set-cookie']).toBeUndefined();
    }
    expecting(
      415,
      await browser.send('POST', '/v1/session', { token: null, headers: { 'content-type': 'text/plain' }, body: '{}' }),
    );
  });
});

describe('another site that makes a browser send its cookie', () => {
  const create = (headers: Record<string, string>): Promise<Answer> =>
    send('POST', '/v1/series', headers, { name: randomUUID(), dtype: 'int8', sampling: { kind: 'irregular' } });

  test('changes nothing', async () => {
    const cookie = await cookieOf(service.token);
    const foreign: Record<string, string>[] = [
      {},
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: 'http://127.0.0.1:1' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { 'sec-fetch-site': 'none' },
    ];
    for (const headers of foreign) {
      for (const answer of [
        await create({ cookie, ...headers }),
        await send('DELETE', '/v1/session', { cookie, ...headers }),
        await send('POST', '/write?db=default', { cookie, ...headers }),
      ]) {
        expect([headers, expecting(403, answer).status]).toEqual([headers, 403]);
      }
    }
    expect((await create({ cookie })).json<Problem>().type).toBe('urn:varve:problem:cross-origin');
    for (const headers of [SAME_ORIGIN, { origin: service.url }]) expecting(201, await create({ cookie, ...headers }));
  });

  test('does not sign anybody in, and does not concern requests that bring a token', async () => {
    const signIn = await send('POST', '/v1/session', { origin: 'https://evil.example' }, { token: service.token });
    expecting(403, signIn);
    const cookie = await cookieOf(service.token);
    const withToken = { authorization: `Bearer ${service.token}`, origin: 'https://evil.example' };
    expecting(201, await create(withToken));
    expecting(201, await create({ ...withToken, cookie }));
  });
});

test('neither token nor cookie is in the log', async () => {
  const cookie = await cookieOf(service.token);
  await send('GET', '/v1/session', { cookie });
  await send('POST', '/v1/session', {}, { token: 'a-token-that-is-unknown' });
  expect(service.output()).toContain('/v1/session');
  for (const secret of [cookie.split('=')[1], service.token, 'a-token-that-is-unknown']) {
    expect(service.output()).not.toContain(secret);
  }
});

test('the link that the service prints signs in once, and shows no token; without a page there is none', async () => {
  const link = /^ {2}open {3}(\S+)$/m.exec(service.output())?.[1];
  const shown = await send('GET', '/signin', { accept: 'text/html' });
  expect([shown.status, link !== undefined]).toEqual(link === undefined ? [404, false] : [200, true]);
  if (link === undefined) return;
  expect(link).not.toContain(service.token);
  const { pathname, hash } = new URL(link);
  expect(pathname).toBe('/signin');
  const code = hash.slice(1);
  expect(expecting(201, await send('POST', '/v1/session', {}, { code })).json()).toMatchObject({ scopes: ['admin'] });
  expecting(401, await send('POST', '/v1/session', {}, { code }));
});
