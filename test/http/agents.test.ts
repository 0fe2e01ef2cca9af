/** What clients of InfluxDB are answered, whatever becomes of their lines. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { gzipSync } from 'node:zlib';
import { VarveError } from '../../src/core/errors.ts';
import type { LinesOutcome, LinesRequest } from '../../src/flows/ingest/ingest-service.ts';
import { createApp, listen, type HttpServer } from '../../src/http/server.ts';
import { keepingLog, stubService } from './stub-service.ts';

let server: HttpServer;
let answer: (request: LinesRequest) => Promise<LinesOutcome>;
let seen: { request: LinesRequest; body: string } | null;
let isReady = true;

beforeAll(async () => {
  const service = stubService({
    ingest: {
      lines: async (request) => {
        const pieces: Uint8Array[] = [];
        for await (const piece of request.body) pieces.push(piece);
        seen = { request, body: Buffer.concat(pieces).toString() };
        return answer(request);
      },
    },
    health: { ready: async () => ({ ok: isReady, checks: {} }) },
  });
  const limits = { stallMs: 30_000, maxConnections: 100, maxRequestsPerToken: 2 };
  server = await listen(createApp(service, { log: keepingLog(), version: '1.2.3', limits }), '127.0.0.1', 0, limits);
});

afterAll(() => server.close(1_000));

const STORED: LinesOutcome = { refused: 0, first: [] };

async function send(
  path: string,
  {
    method = 'POST',
    headers = { authorization: 'Token write' },
    body = 'm f=1',
  }: {
    method?: string;
    headers?: Record<string, string>;
    body?: string | Buffer;
  } = {},
): Promise<{ status: number; headers: Headers; text: string }> {
  seen = null;
  const response = await fetch(server.url + path, { method, headers, ...(method === 'POST' && { body }) });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString('base64')}`;

describe('a write', () => {
  test.each(['/write?db=lab', '/api/v2/write?bucket=lab'])(
    'to %s that is stored is 204 with nothing in it',
    async (path) => {
      answer = async () => STORED;
      const { status, headers, text } = await send(path);
      expect([status, text]).toEqual([204, '']);
      expect(headers.get('content-type')).toBeNull();
      expect(headers.get('content-length')).toBeNull();
      expect(seen).toMatchObject({ request: { project: 'lab', precision: 'ns' }, body: 'm f=1' });
    },
  );

  test('is read whatever its type, compressed or not, and parameters that are not needed are not looked at', async () => {
    answer = async () => STORED;
    const headers = {
      authorization: 'Bearer write',
      'content-encoding': 'gzip',
      'content-type': 'text/plain; charset=utf-8',
    };
    const path = '/write?db=lab&rp=autogen&consistency=any&u=x&p=y&pretty=true&precision=ms';
    expect((await send(path, { headers, body: gzipSync('m f=2') })).status).toBe(204);
    expect(seen).toMatchObject({ request: { precision: 'ms', principal: { tokenId: 'write' } }, body: 'm f=2' });
    const form = { authorization: 'Token write', 'content-type': 'application/x-www-form-urlencoded' };
    expect((await send('/api/v2/write?bucket=lab&org=x&orgID=1&precision=s', { headers: form })).status).toBe(204);
    expect(seen).toMatchObject({ request: { precision: 's' } });
  });

  test.each([
    ['n', 'ns'],
    ['ns', 'ns'],
    ['u', 'us'],
    ['us', 'us'],
    ['%C2%B5', 'us'],
    ['ms', 'ms'],
    ['s', 's'],
    ['m', 'm'],
    ['h', 'h'],
  ])('has times in %s', async (given, precision) => {
    answer = async () => STORED;
    expect((await send(`/write?db=lab&precision=${given}`)).status).toBe(204);
    expect(seen!.request.precision).toBe(precision);
  });

  test.each([
    [{ authorization: 'Token write' }, ''],
    [{ authorization: 'token  write ' }, ''],
    [{ authorization: 'Bearer write' }, ''],
    [{ authorization: basic('anybody:write') }, ''],
    [{ authorization: basic(':write') }, ''],
    [{ authorization: basic('anybody:write') }, '&u=anybody&p=unknown'],
    [{}, '&u=anybody&p=write'],
    [{}, '&p=write'],
  ])('is known by its token: %j %s', async (headers, query) => {
    answer = async () => STORED;
    expect((await send(`/write?db=lab${query}`, { headers: { ...headers } })).status).toBe(204);
    expect(seen!.request.principal.tokenId).toBe('write');
  });

  test.each([
    [{}, ''],
    [{}, '&u=write'],
    [{}, '&u=anybody&p='],
    [{}, '&p=write&p=write'],
    [{}, '&u=anybody&p=unknown'],
    [{ authorization: 'write' }, ''],
    [{ authorization: 'Digest write' }, ''],
    [{ authorization: 'Token' }, ''],
    [{ authorization: 'Token unknown' }, '&p=write'],
    [{ authorization: 'Basic write' }, ''],
    [{ authorization: 'Basic !!!' }, ''],
    [{ authorization: basic('write') }, ''],
    [{ authorization: basic('write:') }, ''],
    [{ authorization: basic('write:unknown') }, ''],
  ])('of nobody is 401: %j %s', async (headers, query) => {
    for (const path of ['/write?db=lab', '/api/v2/write?bucket=lab']) {
      const { status, headers: answered, text } = await send(path + query, { headers: { ...headers } });
      expect({ path, status }).toEqual({ path, status: 401 });
      expect(answered.get('www-authenticate')).toMatch(/^Basic/);
      expect(Object.keys(JSON.parse(text))).toEqual(path.startsWith('/api') ? ['code', 'message'] : ['error']);
    }
    expect(seen).toBeNull();
  });

  test.each([
    ['/write', 'db'],
    ['/write?db=', 'db'],
    ['/write?db=a&db=b', 'db'],
    ['/write?db=%00', 'db'],
    ['/write?db=lab&precision=d', 'precision'],
    ['/write?db=lab&precision=', 'precision'],
  ])('to %s is 400 and names %s', async (path, field) => {
    const v1 = await send(path);
    expect([v1.status, JSON.parse(v1.text)]).toEqual([400, { error: expect.stringContaining(field) }]);
    const v2 = await send(path.replace('/write', '/api/v2/write').replaceAll('db=', 'bucket='));
    expect([v2.status, JSON.parse(v2.text)]).toEqual([
      400,
      { code: 'invalid', message: expect.stringContaining(field.replace('db', 'bucket')) },
    ]);
    expect(seen).toBeNull();
  });

  test('of a token that may not write is 403', async () => {
    const { status, text } = await send('/api/v2/write?bucket=lab', { headers: { authorization: 'Token read' } });
    expect([status, JSON.parse(text).code]).toEqual([403, 'forbidden']);
  });

  test('with broken lines names them', async () => {
    answer = async () => ({
      refused: 13,
      first: [
        { line: 2, text: 'm f=', reason: 'missing field value' },
        { line: 5, text: '', reason: 'm f: sealed' },
      ],
    });
    const message =
      "partial write: line 2: unable to parse 'm f=': missing field value; line 5: m f: sealed; and 11 more dropped=13";
    const v1 = await send('/write?db=lab');
    expect([v1.status, JSON.parse(v1.text)]).toEqual([400, { error: message }]);
    const v2 = await send('/api/v2/write?bucket=lab');
    expect([v2.status, JSON.parse(v2.text)]).toEqual([
      400,
      {
        code: 'invalid',
        message,
        dropped: 13,
        lines: [
          { line: 2, reason: 'missing field value' },
          { line: 5, reason: 'm f: sealed' },
        ],
      },
    ]);
  });

  test.each([
    ['not-found', 404, 'not found', /database not found: "lab"|bucket "lab" not found/],
    ['forbidden', 403, 'forbidden', /why/],
    ['limit-exceeded', 413, 'request too large', /why/],
    ['unavailable', 503, 'unavailable', /why/],
    ['too-many-requests', 503, 'unavailable', /why/],
    ['storage-full', 503, 'unavailable', /why/],
    ['request-timeout', 503, 'unavailable', /why/],
  ] as const)('that fails for %s is %i', async (code, expected, word, said) => {
    answer = async () => {
      throw new VarveError(code, 'why');
    };
    const v1 = await send('/write?db=lab');
    const v2 = await send('/api/v2/write?bucket=lab');
    for (const { status, headers, text } of [v1, v2]) {
      expect(status).toBe(expected);
      expect(text).not.toContain('partial write');
      if (expected === 503) expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
      expect(headers.get('content-type')).toMatch(/^application\/json/);
    }
    expect(JSON.parse(v1.text)).toEqual({ error: expect.stringMatching(said) });
    expect(JSON.parse(v2.text)).toEqual({ code: word, message: expect.stringMatching(said) });
  });

  test('that finds too many others of its token is 503, and never 429', async () => {
    let let_go = (): void => {};
    const gate = new Promise<void>((resolve) => (let_go = resolve));
    answer = async () => gate.then(() => STORED);
    const waiting = [send('/write?db=lab'), send('/write?db=lab')];
    let third = await send('/write?db=lab', { body: '' });
    for (let tries = 0; tries < 50 && third.status !== 503; tries++) third = await send('/write?db=lab', { body: '' });
    expect([third.status, third.headers.get('retry-after')]).toEqual([503, '1']);
    let_go();
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([204, 204]);
  });

  test('larger than is read is 413, announced or not, and compressed a thousand times, too', async () => {
    answer = async () => STORED;
    const large = Buffer.alloc(33 * 1024 * 1024, 'm f=1 1\n');
    const headers = { authorization: 'Token write', 'content-encoding': 'gzip' };
    const sent = [
      await send('/write?db=lab', { body: large }),
      await send('/write?db=lab', { headers, body: gzipSync(large) }),
    ];
    for (const { status, text } of sent)
      expect([status, JSON.parse(text).error]).toEqual([413, expect.stringContaining('33554432')]);
    const broken = await send('/api/v2/write?bucket=lab', { headers, body: 'no gzip' });
    expect([broken.status, JSON.parse(broken.text).code]).toEqual([400, 'invalid']);
    const other = await send('/write?db=lab', { headers: { ...headers, 'content-encoding': 'snappy' } });
    expect([other.status, JSON.parse(other.text).error]).toEqual([415, expect.stringContaining('gzip')]);
  });
});

describe('whoever looks whether somebody is there', () => {
  test('finds one at /ping, with the version of a protocol', async () => {
    for (const method of ['GET', 'HEAD']) {
      const { status, headers, text } = await send('/ping', { method, headers: {} });
      expect([status, text]).toEqual([204, '']);
      expect(headers.get('x-influxdb-version')).toMatch(/^1\.8\.\d+-varve\.1\.2\.3$/);
    }
    const { status, text } = await send('/ping?verbose=true&wait_for_leader=1s', { method: 'GET', headers: {} });
    expect([status, JSON.parse(text)]).toEqual([200, { version: '1.8.10-varve.1.2.3' }]);
  });

  test('is told at /health whether it can serve', async () => {
    const ready = await send('/health', { method: 'GET', headers: {} });
    expect([ready.status, JSON.parse(ready.text).status]).toEqual([200, 'pass']);
    isReady = false;
    const away = await send('/health', { method: 'GET', headers: {} });
    expect([away.status, JSON.parse(away.text).status]).toEqual([503, 'fail']);
    isReady = true;
  });
});
