/** Clients that read nothing, send nothing or ask too much at once, and what others notice of them. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { IncomingMessage } from 'node:http';
import { hasTestPostgres, testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, pause, tally, type Problem } from './client.ts';

const OCTETS = { 'content-type': 'application/octet-stream' };
const JSON_TYPE = { 'content-type': 'application/json' };
const suite = hasTestPostgres() ? describe : describe.skip;

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;
const sockets: Socket[] = [];
const unread: IncomingMessage[] = [];

function serving(env: Readonly<Record<string, string>>): void {
  beforeAll(async () => {
    database = await testDatabase();
    service = await startService({ env: { DATABASE_URL: database.url, ...env } });
    api = new ApiClient(service);
  });
  afterAll(async () => {
    await service?.drop();
    await database?.drop();
  });
}

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const answer of unread.splice(0)) answer.destroy();
});

/** Sends the head of a request and, perhaps, the beginning of its body. */
async function begin(method: string, path: string, headers: Record<string, string>, body = ''): Promise<Socket> {
  const { hostname, port } = new URL(service.url);
  const socket = connect(Number(port), hostname);
  sockets.push(socket);
  socket.on('error', () => {});
  const lines = Object.entries({ host: 'x', authorization: `Bearer ${service.token}`, ...headers });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  await new Promise<void>((resolve) =>
    socket.write(`${method} ${path} HTTP/1.1\r\n${head}\r\n${body}`, 'latin1', () => resolve()),
  );
  return socket;
}

async function textOf(socket: Socket): Promise<string> {
  let text = '';
  for await (const piece of socket.setEncoding('utf8')) text += String(piece);
  return text;
}

/** Asks, and leaves the answer unread. */
async function ask(path: string): Promise<void> {
  const answer = await api.open('GET', path);
  expect(answer.statusCode).toBe(200);
  unread.push(answer);
}

async function newSeries(rows: number, fields: object = {}): Promise<string> {
  const sampling = { kind: 'regular', rate_hz: 1000 };
  const { id } = await api.createSeries({ name: randomUUID(), dtype: 'float64', sampling, ...fields });
  const body = new Uint8Array(Float64Array.from({ length: rows }, (_, i) => Math.sin(i)).buffer);
  if (rows > 0) expecting(201, await api.send('POST', `/v1/series/${id}/samples`, { headers: OCTETS, body }));
  return `/v1/series/${id}/samples`;
}

/** Numbers of so many characters and more: too many to be parsed on the main thread. */
function jsonOf(values: number): string {
  return JSON.stringify({ values: Array.from({ length: values }, (_, i) => i + 0.5) });
}

/** What everybody does: reads and appends, small and large, in every way that takes a thread. */
async function expectServed(samples: string): Promise<void> {
  const own = await newSeries(0);
  for (const format of ['csv', 'json', 'ndjson', 'arrow', 'npy']) {
    const query = `?rows=0:50000&format=${format}`;
    expecting(200, await api.get(samples + query));
  }
  expecting(200, await api.get(`${samples}?points=2000`));
  for (const values of [10, 50_000]) {
    expecting(201, await api.send('POST', own, { headers: JSON_TYPE, body: jsonOf(values) }));
  }
  expect((await api.get('/readyz')).status).toBe(200);
}

suite('beside clients that stand still, for as long as they do', () => {
  serving({ VARVE_STALL_S: '3600' });

  test('answers that nobody reads keep no other waiting', async () => {
    const samples = await newSeries(1_000_000);
    for (let i = 0; i < 40; i++) await ask(`${samples}?format=${['csv', 'ndjson', 'arrow', 'json'][i % 4]}`);
    await expectServed(samples);
  });

  test('tables that nobody reads keep no other waiting', async () => {
    const samples = await newSeries(1_000_000);
    const question = JSON.stringify({ series: [samples.split('/')[3]], format: 'csv' });
    for (let i = 0; i < 40; i++) {
      unread.push(await api.open('POST', '/v1/query', { headers: JSON_TYPE, body: question }));
    }
    await expectServed(samples);
    expecting(
      200,
      await api.post('/v1/query', {
        series: [samples.split('/')[3]],
        start: '1970-01-01T00:00:00Z',
        end: '1970-01-01T00:00:50Z',
      }),
    );
  });

  test('uploads that bring nothing keep no other waiting, and none is refused for them', async () => {
    const samples = await newSeries(100_000);
    const announced = { ...JSON_TYPE, 'content-length': '100000', expect: '100-continue' };
    for (let i = 0; i < 600; i++) await once(await begin('POST', samples, announced), 'data');
    await expectServed(samples);
  });

  test('uploads that stop in the middle keep no other waiting', async () => {
    const samples = await newSeries(100_000);
    const announced = { ...JSON_TYPE, 'content-length': String(30 * 1024 * 1024), expect: '100-continue' };
    for (let i = 0; i < 40; i++) {
      const socket = await begin('POST', samples, announced);
      await once(socket, 'data');
      socket.write(jsonOf(30_000));
    }
    await expectServed(samples);
  });

  test('queries that put disordered rows in order all come to their end, however many', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 4; i++) {
      const samples = await newSeries(0, { sampling: { kind: 'irregular' } });
      ids.push(samples.split('/')[3]);
      const body = Array.from({ length: 20_000 }, (_, row) => {
        const ns = BigInt((row * 7919) % 20_000) * 1_000_000n;
        return `{"time":"${ns}","values":[${row}]}\n`;
      }).join('');
      expecting(201, await api.send('POST', samples, { headers: { 'content-type': 'application/x-ndjson' }, body }));
    }
    const answers = await Promise.all(
      Array.from({ length: 48 }, (_, i) =>
        api.post('/v1/query', { series: ids, ...(i % 2 === 0 && { every: '1s', agg: ['mean'] }), format: 'csv' }),
      ),
    );
    expect(tally(answers)).toEqual({ 200: 48 });
    const lines = answers[1].body.toString().trim().split('\n');
    expect(lines).toHaveLength(4 * 20_000 + 1);
  });
});

suite('a client that stands still', () => {
  serving({ VARVE_STALL_S: '1' });

  test.each<[string, Record<string, string>, string]>([
    ['with nothing', OCTETS, ''],
    ['in the middle', OCTETS, 'x'.repeat(1000)],
    ['in the middle of what a thread parses', JSON_TYPE, jsonOf(30_000)],
    ['in the middle of what is compressed', { ...OCTETS, 'content-encoding': 'gzip' }, '\x1f\x8b\x08\0\0\0\0\0\0\x03'],
  ])('%s of its samples is told so, and stores nothing', async (_what, headers, body) => {
    const samples = await newSeries(0);
    const socket = await begin('POST', samples, { ...headers, 'content-length': '10000000' }, body);
    const answer = await textOf(socket);
    expect(answer).toMatch(/^HTTP\/1.1 408 [\s\S]*connection: close/i);
    const problem = JSON.parse(answer.slice(answer.indexOf('{'))) as Problem;
    expect(problem).toMatchObject({ type: 'urn:varve:problem:request-timeout', errors: [{ field: 'body' }] });
    expect((await api.series(samples.split('/')[3])).rows).toBe(0);
  });

  test('in the middle of a JSON document is told so', async () => {
    const socket = await begin('POST', '/v1/series', { ...JSON_TYPE, 'content-length': '100' }, '{"name":');
    expect(await textOf(socket)).toMatch(/^HTTP\/1.1 408 /);
  });

  test('before it has asked anything is cut off', async () => {
    const { hostname, port } = new URL(service.url);
    const socket = connect(Number(port), hostname);
    sockets.push(socket);
    expect(await textOf(socket)).toBe('');
  });

  test('a body that comes slowly, but comes, is taken', async () => {
    const samples = await newSeries(0);
    async function* body(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 8; i++) {
        await pause(400);
        yield new Uint8Array(8);
      }
    }
    expecting(201, await api.send('POST', samples, { headers: OCTETS, body: body() }));
    expect((await api.series(samples.split('/')[3])).rows).toBe(8);
  });

  test('an answer that is read slowly, but read, is whole', async () => {
    const samples = await newSeries(200_000);
    const answer = await api.open('GET', `${samples}?format=csv`);
    let bytes = 0;
    let pieces = 0;
    for await (const piece of answer) {
      bytes += (piece as Buffer).length;
      if (pieces++ % 10 === 0) await pause(50);
    }
    expect(answer.complete).toBe(true);
    expect(bytes).toBe(expecting(200, await api.get(`${samples}?format=csv`)).body.length);
  });
});

suite('the requests of one token', () => {
  serving({ VARVE_MAX_REQUESTS_PER_TOKEN: '4' });

  test('are limited at a time: further ones are told when to come back, those of others pass', async () => {
    const samples = await newSeries(0);
    const { token } = expecting(201, await api.post('/v1/tokens', { name: 'other', scopes: ['read'] })).json<{
      token: string;
    }>();
    const announced = { ...OCTETS, 'content-length': '10', expect: '100-continue' };
    for (let i = 0; i < 4; i++) await once(await begin('POST', samples, announced), 'data');
    const refused = await api.get(samples);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(refused.json<Problem>().type).toBe('urn:varve:problem:too-many-requests');
    expecting(200, await api.send('GET', samples, { token }));
    for (const socket of sockets.splice(0)) socket.destroy();
    while ((await api.get(samples)).status === 429) await pause(20);
    expecting(200, await api.get(samples));
  });
});
