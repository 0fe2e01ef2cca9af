import { afterEach, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { gzipSync, brotliCompressSync, deflateSync } from 'node:zlib';
import { VarveError } from '../../src/core/errors.ts';
import type { AppendRequest } from '../../src/flows/append/append-service.ts';
import type { SampleStream } from '../../src/flows/read/read-service.ts';
import { cutStalled, STALLED } from '../../src/http/body/stalled.ts';
import { DEFAULT_HTTP_LIMITS } from '../../src/http/request/limits.ts';
import { openPage } from '../../src/http/routes/page-routes.ts';
import { createApp, listen, type HttpServer } from '../../src/http/server.ts';
import { keepingLog, SERIES, SERIES_ID, stubService, type Choices } from './stub-service.ts';

const SAMPLES = `/v1/series/${SERIES_ID}/samples`;
const UPLOAD_HEAD = `POST ${SAMPLES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Type: application/octet-stream\r\n`;
const servers: HttpServer[] = [];

async function start(
  choices: Choices = {},
  stallMs = DEFAULT_HTTP_LIMITS.stallMs,
  maxConnections = DEFAULT_HTTP_LIMITS.maxConnections,
) {
  const log = keepingLog();
  const app = createApp(stubService(choices), { log, version: '0', page: openPage('nowhere') });
  const server = await listen(app, '127.0.0.1', 0, { ...DEFAULT_HTTP_LIMITS, stallMs, maxConnections });
  servers.push(server);
  const call = (path: string, { token = 'admin', ...init }: RequestInit & { token?: string | null } = {}) =>
    fetch(`${server.url}${path}`, {
      ...init,
      headers: { ...(token !== null && { Authorization: `Bearer ${token}` }), ...(init.headers as object) },
    });
  return { server, log, call };
}

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close(0)));
});

const WRITE_ID = '5-0';

/** The append of a service that reads the body and keeps it. */
function collecting() {
  const seen: { bytes: Buffer; request?: AppendRequest; error?: unknown; read: Promise<void> } = {
    bytes: Buffer.alloc(0),
    read: Promise.resolve(),
  };
  const done = deferred();
  seen.read = done.promise as Promise<void>;
  const append = async (request: AppendRequest) => {
    seen.request = request;
    try {
      for await (const block of request.body) seen.bytes = Buffer.concat([seen.bytes, block]);
    } catch (error) {
      seen.error = error;
      throw error;
    } finally {
      done.resolve(undefined);
    }
    const rows = seen.bytes.length / 2;
    return { write: WRITE_ID, rows, firstRow: 0, commit: 5n, replayed: false };
  };
  return { seen, append };
}

function deferred() {
  let resolve: (value: unknown) => void = () => {};
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}

function streamOf(body: AsyncIterable<Uint8Array>, more: Partial<SampleStream> = {}): SampleStream {
  return {
    mediaType: 'application/octet-stream',
    contentLength: null,
    rows: 3,
    firstRow: 7,
    dtype: 'int16',
    channelLabels: ['MLII', 'V 5,a'],
    commit: 9n,
    version: 2,
    next: null,
    body,
    part: null,
    ...more,
  };
}

async function* pieces(...list: string[]): AsyncGenerator<Uint8Array> {
  for (const piece of list) yield Buffer.from(piece);
}

describe('who may ask', () => {
  test.each<[string, string | null, number]>([
    ['/v1/series', null, 401],
    ['/v1/series', 'unknown', 401],
    ['/v1/nothing', null, 401],
    ['/metrics', null, 401],
    ['/v1/series', 'write', 403],
    ['/v1/tokens', 'read,write', 403],
    ['/v1/tokens', 'admin@lab', 403],
    ['/v1/tokens', 'admin', 200],
    ['/healthz', null, 200],
    ['/readyz', null, 200],
    ['/openapi.json', null, 200],
    ['/', null, 200],
    ['/docs', null, 200],
    ['/docs/swagger-ui-bundle.js', null, 200],
    ['/docs/index.html', null, 404],
  ])('GET %s with the token %s is a %i', async (path, token, status) => {
    const { call } = await start({
      access: { listTokens: async () => [] },
      health: { ready: async () => ({ ok: true, checks: {} }) },
    });
    const answer = await call(path, { token });
    expect(answer.status).toBe(status);
    if (status === 401) expect(answer.headers.get('WWW-Authenticate')).toMatch(/^Bearer/);
    if (status >= 400) expect(answer.headers.get('Content-Type')).toContain('application/problem+json');
    await answer.arrayBuffer();
  });

  test('no token reaches the log, wherever it was put', async () => {
    const { call, log } = await start();
    await call('/v1/series?token=s3cret', { token: 's3cret' });
    await call(`${SAMPLES}?start=s3cret`, { token: 'admin,s3cret' });
    expect(log.lines.length).toBeGreaterThan(0);
    expect(log.lines.join('\n')).not.toContain('s3cret');
  });
});

describe('the root', () => {
  test('says what this is and where it is described: a page for browsers, JSON for everybody else, without a token', async () => {
    const { call } = await start();
    const browser = { Accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' };
    const page = await call('/', { token: null, headers: browser });
    expect([page.status, page.headers.get('Content-Type')]).toEqual([200, 'text/html; charset=utf-8']);
    const html = await page.text();
    expect(html).toContain('<a href="/docs">');
    expect(html).toContain('time-series service');
    for (const accept of [undefined, '*/*', 'application/json']) {
      const answer = await call('/', { token: null, headers: accept === undefined ? {} : { Accept: accept } });
      expect(answer.headers.get('Content-Type')).toContain('application/json');
      expect(await answer.json()).toMatchObject({ name: 'varve', docs: '/docs', openapi: '/openapi.json' });
    }
  });
});

describe('problems', () => {
  test.each<[string, string, RequestInit, number, string[]]>([
    ['an unknown route', '/nothing', {}, 404, []],
    ['a method a route does not have', '/v1/series', { method: 'PUT' }, 405, []],
    ['an id that is none', '/v1/series/1', {}, 404, []],
    ['a path that is not UTF-8', '/v1/series/%ff', {}, 400, []],
    ['an unknown parameter', `/v1/series/${SERIES_ID}?a=1`, {}, 400, ['a']],
    ['a wrong tag operator', '/v1/series?tag.a[like]=1', {}, 400, ['tag.a[like]']],
    ['a cursor that is none', '/v1/series?cursor=x', {}, 400, ['cursor']],
    ['a body that is no JSON', '/v1/series', jsonPost('{"name": '), 400, ['body']],
    ['no body', '/v1/series', { method: 'POST' }, 415, ['Content-Type']],
    ['an empty body', '/v1/series', jsonPost(''), 400, ['name', 'dtype', 'sampling']],
    ['a form', '/v1/series', { method: 'POST', body: new URLSearchParams({ name: 'a' }) }, 415, ['Content-Type']],
    ['a body past its limit', '/v1/series', jsonPost(JSON.stringify('x'.repeat(1024 * 1024))), 413, ['body']],
    ['a NUL character', '/v1/series', jsonPost('{"tags": {"a": "\\u0000"}}'), 400, ['tags.a']],
    ['half a surrogate pair', '/v1/series', jsonPost('{"name": "\\ud800"}'), 400, ['name']],
    ['a prototype', '/v1/series', jsonPost('{"tags": {"__proto__": 1}}'), 400, ['tags.__proto__']],
    [
      'deep nesting',
      '/v1/series',
      jsonPost(`{"provenance": ${'['.repeat(400_000)}${']'.repeat(400_000)}}`),
      400,
      ['provenance[0][0][0]'],
    ],
  ])('%s is a problem that names it', async (_what, path, init, status, fields) => {
    const { call } = await start();
    const answer = await call(path, init);
    expect(answer.status).toBe(status);
    expect(answer.headers.get('Content-Type')).toContain('application/problem+json');
    const problem = (await answer.json()) as { errors: { field: string }[]; request_id: string; status: number };
    expect(problem.errors.map(({ field }) => field)).toEqual(fields);
    expect(problem.status).toBe(status);
    expect(problem.request_id).toBe(answer.headers.get('X-Request-Id'));
  });

  test('a fault is logged with its stack and told without it', async () => {
    const { call, log } = await start({ series: { get: async () => Promise.reject(new Error('secret internals')) } });
    const answer = await call(`/v1/series/${SERIES_ID}`);
    expect(answer.status).toBe(500);
    expect(await answer.text()).not.toContain('secret');
    expect(log.lines.join('\n')).toMatch(/secret internals[\s\S]*stub|secret internals[\s\S]*transport/);
  });

  test('a client is told that a part is away, and when to come back', async () => {
    const { call } = await start({
      series: { get: async () => Promise.reject(Object.assign(new Error(), { code: '57P01' })) },
    });
    const answer = await call(`/v1/series/${SERIES_ID}`);
    expect([answer.status, answer.headers.get('Retry-After')]).toEqual([503, '2']);
  });
});

function jsonPost(body: string): RequestInit {
  return { method: 'POST', body, headers: { 'Content-Type': 'application/json' } };
}

describe('the address of a series', () => {
  test.each([
    [`/v1/series/${SERIES_ID}`, { id: SERIES_ID }],
    ['/v1/series/by-name/ecg', { project: 'default', name: 'ecg' }],
    ['/v1/series/by-name/mouse-12/ecg?project=lab', { project: 'lab', name: 'mouse-12/ecg' }],
    ['/v1/series/by-name/mouse-12%2Fecg', { project: 'default', name: 'mouse-12/ecg' }],
    ['/v1/series/by-name/50%25%20%C3%A9', { project: 'default', name: '50% é' }],
    ['/v1/series/by-name/samples', { project: 'default', name: 'samples' }],
    ['/v1/series/by-name/a%2Fsamples', { project: 'default', name: 'a/samples' }],
  ])('%s means %j', async (path, ref) => {
    const seen: unknown[] = [];
    const { call } = await start({
      series: {
        get: async (_principal, given) => {
          seen.push(given);
          return SERIES;
        },
      },
    });
    const answer = await call(path);
    expect(answer.status).toBe(200);
    expect(((await answer.json()) as { id: string }).id).toBe(SERIES_ID);
    expect(seen).toEqual([ref]);
  });

  test('samples and annotations are found by name as well', async () => {
    const refs: unknown[] = [];
    const { call } = await start({
      series: {
        get: async (_principal, ref) => {
          refs.push(ref);
          return SERIES;
        },
        annotations: async () => ({ items: [], after: null }),
      },
      samples: {
        read: async ({ ref }) => {
          refs.push(ref);
          return streamOf(pieces('abc'));
        },
      },
    });
    expect(await (await call('/v1/series/by-name/a/b/samples?rows=0:3&project=lab')).text()).toBe('abc');
    expect(await (await call('/v1/series/by-name/a%2Fb/annotations')).json()).toEqual({ items: [], next: null });
    expect(refs).toEqual([
      { project: 'lab', name: 'a/b' },
      { project: 'default', name: 'a/b' },
    ]);
  });
});

describe('series', () => {
  test('an entity tag that still holds is answered 304, one that does not 412', async () => {
    const updates: unknown[] = [];
    const { call } = await start({
      series: {
        update: async (_principal, _id, patch, version) => {
          updates.push([patch, version]);
          return { ...SERIES, version: 3 };
        },
      },
    });
    const path = `/v1/series/${SERIES_ID}`;
    const etag = (await call(path)).headers.get('ETag') as string;
    expect((await call(path, { headers: { 'If-None-Match': etag } })).status).toBe(304);
    const patch = { method: 'PATCH', body: '{"unit": "mV"}' };
    const headers = { 'Content-Type': 'application/json' };
    expect((await call(path, { ...patch, headers: { ...headers, 'If-Match': '"1-4"' } })).status).toBe(412);
    const changed = await call(path, { ...patch, headers: { ...headers, 'If-Match': etag } });
    expect([changed.status, changed.headers.get('ETag')]).toEqual([200, '"3-4"']);
    expect(updates).toEqual([[{ unit: 'mV' }, 2]]);
  });

  test('a search hands over its conditions and links to the next page', async () => {
    const asked: unknown[] = [];
    const { call } = await start({
      series: {
        search: async (_principal, request) => {
          asked.push(request);
          const after = request.after === null ? { id: SERIES_ID, values: [] } : null;
          return { items: [SERIES], after, facets: null, explain: null };
        },
      },
    });
    const first = (await (await call('/v1/series?tag.age[gte]=60&unit=mV&limit=1')).json()) as { next: string };
    const second = (await (await call(first.next)).json()) as { next: null };
    expect(second.next).toBeNull();
    const age = { op: 'range', bounds: [{ bound: 'gte', value: { type: 'number', number: 60 } }] };
    const unit = { op: 'any', values: [{ type: 'text', text: 'mV' }] };
    const request = {
      where: {
        kind: 'and',
        of: [
          { kind: 'tag', key: 'age', test: age },
          { kind: 'field', field: 'unit', test: unit },
        ],
      },
      sort: [],
      facets: [],
      limit: 1,
      after: null,
      explain: false,
    };
    expect(asked).toEqual([request, { ...request, after: { id: SERIES_ID, values: [] } }]);
  });
});

describe('uploads', () => {
  const octets = { method: 'POST', headers: { 'Content-Type': 'application/octet-stream' } };

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ])('a body in %s arrives decompressed', async (encoding, compress) => {
    const { seen, append } = collecting();
    const { call } = await start({ samples: { append } });
    const bytes = Buffer.alloc(300_000, 'varve');
    const headers = { ...octets.headers, 'Content-Encoding': encoding };
    const answer = await call(SAMPLES, { ...octets, headers, body: compress(bytes) });
    expect(answer.status).toBe(201);
    expect(seen.bytes.equals(bytes)).toBe(true);
    expect(await answer.json()).toEqual({
      write: WRITE_ID,
      rows: 150_000,
      first_row: 0,
      last_row: 149_999,
      level: 'visible',
      commit: 5,
    });
  });

  test.each([
    ['is no gzip', 'no gzip'],
    ['ends early', gzipSync(Buffer.alloc(100_000, 'varve')).subarray(0, 100)],
  ])('a gzip body that %s is a 400 that names the body', async (_what, body) => {
    const { seen, append } = collecting();
    const { call } = await start({ samples: { append } });
    const answer = await call(SAMPLES, { ...octets, headers: { ...octets.headers, 'Content-Encoding': 'gzip' }, body });
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as { errors: object[] }).errors).toEqual([
      { field: 'body', message: 'is not valid gzip' },
    ]);
    expect(seen.error).toBeDefined();
  });

  test.each<[string, Record<string, string>, number]>([
    ['an unknown encoding', { 'Content-Encoding': 'zstd' }, 415],
    ['an unknown format', { 'Content-Type': 'image/png' }, 415],
    ['a key of two words', { 'Idempotency-Key': 'a b' }, 400],
  ])('%s is refused before the body is read', async (_what, headers, status) => {
    const { call } = await start();
    const answer = await call(SAMPLES, { ...octets, headers: { ...octets.headers, ...headers }, body: 'abcd' });
    expect(answer.status).toBe(status);
  });

  test('an append is acknowledged when it is durable and readable, whatever it prefers, and says if it was answered before', async () => {
    const asked: AppendRequest[] = [];
    const { call } = await start({
      samples: {
        append: async (request) => {
          asked.push(request);
          return { write: WRITE_ID, rows: 2, firstRow: null, commit: 5n, replayed: true };
        },
      },
    });
    const headers = { ...octets.headers, Prefer: 'respond-async', 'Idempotency-Key': 'k1' };
    const answer = await call(`${SAMPLES}?start=5`, { ...octets, headers, body: 'abcd' });
    expect(answer.status).toBe(201);
    // Rows without numbers of their own: the series is irregular.
    expect(await answer.json()).toEqual({ write: WRITE_ID, level: 'visible', rows: 2, commit: 5 });
    expect(answer.headers.get('Preference-Applied')).toBeNull();
    expect(answer.headers.get('Idempotency-Replayed')).toBe('true');
    expect(asked[0]).toMatchObject({ startNs: 5n, idempotencyKey: 'k1', format: 'octet' });
  });

  test.each([
    ['with a length', 'Content-Length: 1000\r\n\r\nabcd'],
    ['in pieces', 'Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n'],
    ['compressed', 'Content-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03'],
  ])('a body %s that is cut off never looks complete', async (_what, rest) => {
    const { seen, append } = collecting();
    const { server } = await start({ samples: { append } });
    const { port } = new URL(server.url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(`${UPLOAD_HEAD}${rest}`, 'latin1');
    while (!seen.request) await new Promise((resolve) => setTimeout(resolve, 5));
    socket.destroy();
    await seen.read;
    expect(seen.error).toBeDefined();
    expect(seen.error).not.toMatchObject({ code: 'invalid-input' });
  });

  test.each([
    ['plain', ''],
    ['compressed', 'Content-Encoding: gzip\r\n'],
  ])('a %s body that was cut off before anyone read it throws when it is read', async (_what, encoding) => {
    const { seen, append } = collecting();
    const gone = deferred();
    const { server } = await start({
      samples: { append: async (request) => gone.promise.then(() => append(request)) },
    });
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    socket.write(`${UPLOAD_HEAD}${encoding}Content-Length: 9\r\n\r\nab`);
    await new Promise((resolve) => setTimeout(resolve, 30));
    socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 30));
    gone.resolve(undefined);
    await seen.read;
    expect(seen.error).toBeDefined();
    expect(seen.error).not.toMatchObject({ code: 'invalid-input' });
  });

  test('a refusal in the middle of a large body reaches a client that sends all before it reads', async () => {
    const { server } = await start({
      samples: {
        append: async ({ body }) => {
          for await (const _ of body) throw new VarveError('unprocessable', 'values: too early', { slug: 'early' });
          throw new Error('no body');
        },
      },
    });
    const bytes = 20 * 1024 * 1024;
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    const sent = once(socket, 'drain');
    socket.write(`${UPLOAD_HEAD}Content-Length: ${bytes}\r\n\r\n`);
    socket.write(Buffer.alloc(bytes));
    await sent;
    socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    let text = '';
    for await (const block of socket) text += String(block);
    expect(text).toMatch(/^HTTP\/1.1 422 [\s\S]*urn:varve:problem:early[\s\S]*HTTP\/1.1 200 OK/);
  });
});

describe('a client that stands still', () => {
  const STALL_MS = 200;

  async function* endless(left: () => void): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield Buffer.alloc(256 * 1024, 'varve');
    } finally {
      left();
    }
  }

  test.each(['octet', 'csv'])('and does not read is cut off, and its %s answer given up', async (format) => {
    const left = deferred();
    const read = async () => streamOf(endless(() => left.resolve(undefined)));
    const { server } = await start({ samples: { read } }, STALL_MS);
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1').on('error', () => {});
    socket.write(
      `GET ${SAMPLES}?format=${format} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nAccept-Encoding: gzip\r\n\r\n`,
    );
    await left.promise;
    socket.destroy();
  });

  test('is not one that waits for us', async () => {
    const read = async () => {
      await new Promise((resolve) => setTimeout(resolve, 5 * STALL_MS));
      return streamOf(pieces('abc'));
    };
    const append = async ({ body }: AppendRequest) => {
      await new Promise((resolve) => setTimeout(resolve, 5 * STALL_MS));
      return collecting().append({ body } as AppendRequest);
    };
    const { call } = await start({ samples: { read, append } }, STALL_MS);
    expect(await (await call(SAMPLES)).text()).toBe('abc');
    const headers = { 'Content-Type': 'application/octet-stream' };
    const answer = await call(SAMPLES, { method: 'POST', headers, body: Buffer.alloc(1024 * 1024) });
    expect(answer.status).toBe(201);
  });

  test('is not one whose bytes we take in the very tick in which we look', async () => {
    const taken = deferred();
    const refused: unknown[] = [];
    const server = createServer((request, response) => {
      request.on(STALLED, (error) => refused.push(error));
      server.prependOnceListener('timeout', () => {
        expect(request.read()).not.toBeNull();
        request.on('end', () => response.end(() => taken.resolve(undefined))).resume();
      });
    });
    cutStalled(server, STALL_MS);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const answer = await fetch(`http://127.0.0.1:${port}`, { method: 'POST', body: Buffer.alloc(1024 * 1024) });
    await answer.arrayBuffer();
    await taken.promise;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect(refused).toEqual([]);
  });
});

describe('downloads', () => {
  test('the headers say what the bytes are', async () => {
    const { call } = await start({
      samples: {
        read: async ({ linkTo }) =>
          streamOf(pieces('ab', 'cdef'), { contentLength: 6, next: linkTo({ by: 'rows', from: 10, to: 12 }) }),
      },
    });
    const answer = await call(`${SAMPLES}?start=1&end=99&channels=MLII&limit=3`);
    expect(await answer.text()).toBe('abcdef');
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-length': '6',
      'x-varve-rows': '3',
      'x-varve-first-row': '7',
      'x-varve-dtype': 'int16',
      'x-varve-channels': 'MLII,V%205%2Ca',
      'x-varve-commit': '9',
      link: `<${SAMPLES}?channels=MLII&limit=3&rows=10%3A12>; rel="next"`,
    });
  });

  test('HEAD has the headers and reads no sample', async () => {
    let read = false;
    async function* body(): AsyncGenerator<Uint8Array> {
      read = true;
      yield Buffer.from('ab');
    }
    const { call } = await start({ samples: { read: async () => streamOf(body(), { contentLength: 2 }) } });
    const answer = await call(SAMPLES, { method: 'HEAD' });
    expect([answer.status, answer.headers.get('Content-Length'), answer.headers.get('X-Varve-Rows')]).toEqual([
      200,
      '2',
      '3',
    ]);
    expect(read).toBe(false);
  });

  test('text is compressed, binary is not', async () => {
    const long = 'x'.repeat(5000);
    const { call } = await start({
      samples: {
        read: async ({ format }) =>
          streamOf(pieces(long), {
            mediaType: format === 'ndjson' ? 'application/x-ndjson' : 'application/x-npy',
            contentLength: format === 'ndjson' ? null : 5000,
          }),
      },
    });
    const headers = { 'Accept-Encoding': 'gzip' };
    const text = await call(`${SAMPLES}?format=ndjson`, { headers });
    expect([text.headers.get('Content-Encoding'), await text.text()]).toEqual(['gzip', long]);
    const binary = await call(SAMPLES, { headers: { ...headers, Accept: 'application/x-npy' } });
    expect([binary.headers.get('Content-Encoding'), await binary.text()]).toEqual([null, long]);
  });

  test('an Accept that nothing satisfies is a 406 that lists what is offered', async () => {
    const { call } = await start();
    const answer = await call(SAMPLES, { headers: { Accept: 'image/png' } });
    expect(answer.status).toBe(406);
    expect(((await answer.json()) as { detail: string }).detail).toContain('application/x-npy');
  });

  test('what fails before the first byte is a problem, without the headers of the samples that never came', async () => {
    const error = new VarveError('corrupt', 'chunk 5 of shard 7 is damaged', { slug: 'chunk-corrupt' });
    const body = { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }) };
    const { call } = await start({ samples: { read: async () => streamOf(body, { contentLength: 6 }) } });
    const answer = await call(SAMPLES);
    expect(answer.status).toBe(500);
    expect(await answer.json()).toMatchObject({
      type: 'urn:varve:problem:chunk-corrupt',
      detail: expect.stringContaining('shard 7'),
    });
    expect(answer.headers.get('X-Varve-Rows')).toBeNull();
  });

  test.each<[string, boolean, Partial<SampleStream>]>([
    ['fails, binary', true, { contentLength: 6 }],
    ['fails, chunked', true, {}],
    ['fails, compressed', true, { mediaType: 'application/x-ndjson' }],
    ['ends short of its length', false, { contentLength: 6 }],
  ])('an answer that %s in the middle is cut, not ended', async (_what, fails, more) => {
    async function* body(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('ab'.repeat(2));
      await new Promise((resolve) => setTimeout(resolve, 20));
      if (fails) throw new Error('lost the file');
    }
    const { call, log } = await start({ samples: { read: async () => streamOf(body(), more) } });
    const read = async (): Promise<string> => (await call(SAMPLES)).text();
    await expect(read()).rejects.toMatchObject({ name: 'TypeError' });
    expect(log.lines.join('\n')).toMatch(/^error a request failed .*(lost the file|promised)/m);
  });

  test('a client that goes away aborts the signal and ends the source', async () => {
    const ended = deferred();
    let signal: AbortSignal | undefined;
    async function* body(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield Buffer.alloc(64 * 1024);
      } finally {
        ended.resolve(undefined);
      }
    }
    const { server, log } = await start({
      samples: {
        read: async (request) => {
          signal = request.signal;
          return streamOf(body());
        },
      },
    });
    const request = httpRequest(`${server.url}${SAMPLES}`, { headers: { Authorization: 'Bearer admin' } }).end();
    const [answer] = await once(request, 'response');
    await once(answer, 'data');
    request.destroy();
    await ended.promise;
    expect(signal?.aborted).toBe(true);
    expect(log.lines.join('\n')).not.toMatch(/^(error|warn)/m);
  });

  test('a source may use the memory of a large piece again once it is asked for the next', async () => {
    const length = 64 * 1024;
    async function* body(): AsyncGenerator<Uint8Array> {
      const memory = Buffer.alloc(length);
      yield Buffer.from('small');
      for (let i = 0; i < 200; i++) yield memory.fill(i);
    }
    const { server } = await start({ samples: { read: async () => streamOf(body()) } });
    const request = httpRequest(`${server.url}${SAMPLES}`, { headers: { Authorization: 'Bearer admin' } }).end();
    const [answer] = await once(request, 'response');
    const received: Buffer[] = [];
    for await (const bytes of answer) {
      received.push(bytes);
      if (received.length % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const sent = Array.from({ length: 200 }, (_, i) => Buffer.alloc(length, i));
    expect(Buffer.concat(received).equals(Buffer.concat([Buffer.from('small'), ...sent]))).toBe(true);
  });

  test('a slow client holds the source back', async () => {
    let sent = 0;
    async function* body(): AsyncGenerator<Uint8Array> {
      for (; sent < 500; sent++) yield Buffer.alloc(1024 * 1024);
    }
    const { server } = await start({ samples: { read: async () => streamOf(body()) } });
    const request = httpRequest(`${server.url}${SAMPLES}`, { headers: { Authorization: 'Bearer admin' } }).end();
    const [answer] = await once(request, 'response');
    answer.pause();
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(sent).toBeLessThan(50);
    request.destroy();
  });
});

describe('the server', () => {
  test('a port that is taken is refused by its name', async () => {
    const { server } = await start();
    const port = Number(new URL(server.url).port);
    const app = createApp(stubService(), { log: keepingLog(), version: '0' });
    await expect(listen(app, '127.0.0.1', port)).rejects.toThrow(`127.0.0.1:${port}: the address is already in use`);
  });

  test('closing lets a running request end and then takes no other', async () => {
    const release = deferred();
    const begun = deferred();
    const { server, call } = await start({
      series: {
        get: async () => {
          begun.resolve(undefined);
          await release.promise;
          return SERIES;
        },
      },
    });
    const running = call(`/v1/series/${SERIES_ID}`);
    await begun.promise;
    const closed = server.close(10_000);
    setTimeout(() => release.resolve(undefined), 50);
    expect((await running).status).toBe(200);
    await closed;
    await expect(call('/healthz')).rejects.toThrow();
  });

  test('closing breaks what does not end in time', async () => {
    const begun = deferred();
    const { server, call } = await start({
      series: {
        get: () => {
          begun.resolve(undefined);
          return new Promise(() => {});
        },
      },
    });
    const stuck = expect(call(`/v1/series/${SERIES_ID}`)).rejects.toThrow();
    await begun.promise;
    await server.close(50);
    await stuck;
  });

  test('probes tell which part is away, but not why', async () => {
    const { call, log } = await start({
      health: {
        ready: async () => ({
          ok: false,
          checks: { postgres: { ok: false, detail: 'at 10.0.0.5' }, queue: { ok: true } },
        }),
      },
    });
    const answer = await call('/readyz', { token: null });
    expect([answer.status, answer.headers.get('Retry-After')]).toEqual([503, '2']);
    expect(await answer.json()).toEqual({
      status: 'not ready',
      checks: { postgres: { ok: false }, queue: { ok: true } },
    });
    expect(log.lines.join('\n')).toContain('10.0.0.5');
  });

  test('answers carry the headers that keep browsers careful, and none that names the software', async () => {
    const { call } = await start();
    const { headers } = await call('/healthz', { headers: { 'X-Request-Id': 'from-proxy-1' } });
    expect(headers.get('X-Powered-By')).toBeNull();
    expect(headers.get('X-Content-Type-Options')).toBe('nosniff');
    expect(headers.get('Content-Security-Policy')).toContain("default-src 'none'");
    expect(headers.get('X-Request-Id')).toBe('from-proxy-1');
    expect((await call('/docs')).headers.get('Content-Security-Policy')).toContain("script-src 'self'");
  });
});

test('connections beyond the limit are closed at once, and taken again when others have ended', async () => {
  const { server } = await start({}, undefined, 2);
  const { hostname, port } = new URL(server.url);
  const open = (): ReturnType<typeof connect> => connect(Number(port), hostname).on('error', () => {});
  const ask = async (socket: ReturnType<typeof connect>): Promise<string> => {
    let text = '';
    socket.on('data', (piece) => (text += String(piece))).write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
    await Promise.race([once(socket, 'data'), once(socket, 'close')]);
    return text.slice(0, 12);
  };
  const taken = [open(), open()];
  for (const socket of taken) expect(await ask(socket)).toBe('HTTP/1.1 200');
  expect(await ask(open())).toBe('');
  taken[0].destroy();
  let answer = '';
  while (answer === '') answer = await ask(open());
  expect(answer).toBe('HTTP/1.1 200');
  taken[1].destroy();
});
