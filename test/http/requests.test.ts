/** Requests that HTTP itself finds fault with, as bytes on a socket: no client of the test's own stands between. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { createApp, listen, type HttpServer } from '../../src/http/server.ts';
import { DOCS_FILES } from '../../src/http/routes/docs-routes.ts';
import { PATHS } from '../../src/http/openapi.ts';
import { keepingLog, SERIES, SERIES_ID, stubService } from './stub-service.ts';

const SAMPLES = `/v1/series/${SERIES_ID}/samples`;

interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly problem: { type: string; title: string; status: number; detail: string; errors: { field: string }[] };
}

let server: HttpServer;
/** What a route was asked. */
let asked: unknown[] = [];

beforeAll(async () => {
  const keep = (value: unknown): void => void asked.push(value);
  const service = stubService({
    series: {
      get: async () => SERIES,
      search: async (_, request) => {
        keep(request.where);
        return { items: [], after: null, facets: null, explain: null };
      },
      create: async (_, input) => {
        keep(input);
        return SERIES;
      },
      createMany: async (_principal, inputs, _once, print) => {
        keep(inputs);
        return { answer: print(inputs.map(() => ({ id: SERIES_ID }))), replayed: false };
      },
    },
    shares: { openShare: async () => ({ tokenId: 'link', scopes: ['read'], projects: null }) },
    samples: {
      append: async ({ body }) => {
        for await (const block of body) keep(block);
        return { write: '5-0', rows: 1, firstRow: 0, commit: 5n, replayed: false };
      },
    },
  });
  server = await listen(createApp(service, { log: keepingLog(), version: '0' }), '127.0.0.1', 0);
});

afterAll(() => server.close(0));

/** Sends bytes as they are, and reads one answer. */
async function exchange(...parts: (string | Uint8Array)[]): Promise<Reply> {
  asked = [];
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  const bytes: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    socket.on('data', (piece) => {
      bytes.push(piece);
      const text = Buffer.concat(bytes).toString('latin1');
      const length = /content-length: (\d+)/i.exec(text)?.[1] ?? (/^HTTP\/1.1 204/.test(text) ? '0' : undefined);
      const head = text.indexOf('\r\n\r\n');
      if (head >= 0 && length !== undefined && text.length >= head + 4 + Number(length)) socket.destroy();
    });
    socket.once('close', () => resolve());
    socket.once('error', reject);
    socket.write(Buffer.concat(parts.map((part) => Buffer.from(part as string, 'latin1'))));
  });
  const [head, body] = Buffer.concat(bytes).toString().split('\r\n\r\n');
  const [line, ...fields] = head.split('\r\n');
  const headers = fields.map((field) => field.split(': ')).map(([name, value]) => [name.toLowerCase(), value]);
  return {
    status: Number(line.split(' ')[1]),
    headers: Object.fromEntries(headers),
    problem: body ? JSON.parse(body) : undefined,
  };
}

function head(line: string, ...headers: string[]): string {
  return [`${line} HTTP/1.1`, 'Host: x', 'Authorization: Bearer admin', ...headers, '', ''].join('\r\n');
}

function expectProblem(reply: Reply, status: number, field?: string): void {
  expect({ status: reply.status, type: reply.headers['content-type'] }).toEqual({
    status,
    type: expect.stringContaining('application/problem+json'),
  });
  expect(reply.problem).toMatchObject({ type: expect.stringMatching(/^urn:varve:problem:/), status });
  if (field !== undefined) expect(reply.problem.errors.map((error) => error.field)).toEqual([field]);
  expect(asked).toEqual([]);
}

describe('what Node itself refuses is a problem document', () => {
  test.each<[string, number, () => (string | Uint8Array)[]]>([
    ['no HTTP at all', 400, () => ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n']],
    ['a request line that is none', 400, () => ['GET\r\n\r\n']],
    ['a method that is none', 400, () => ['FETCH / HTTP/1.1\r\nHost: x\r\n\r\n']],
    ['a header without a colon', 400, () => ['GET /healthz HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n']],
    [
      'both a length and chunks',
      400,
      () => [head(`POST ${SAMPLES}`, 'Content-Length: 3', 'Transfer-Encoding: chunked')],
    ],
    ['a length that is no number', 400, () => [head(`POST ${SAMPLES}`, 'Content-Length: many')]],
    [
      'a chunk whose length is no number',
      400,
      () => [head(`POST ${SAMPLES}`, 'Content-Type: application/octet-stream', 'Transfer-Encoding: chunked'), 'zz\r\n'],
    ],
    ['headers that are too large', 431, () => [head('GET /healthz', `X-Long: ${'x'.repeat(40_000)}`)]],
    ['a URL beyond what is read at all', 414, () => [`GET /v1/series?q=${'x'.repeat(60_000)} HTTP/1.1\r\n`]],
    ['a URL that is too long', 414, () => [head(`GET /v1/series?q=${'x'.repeat(20_000)}`)]],
    ['no Host', 400, () => ['GET /healthz HTTP/1.1\r\n\r\n']],
    ['an expectation', 417, () => [head(`POST ${SAMPLES}`, 'Expect: the-unexpected', 'Content-Length: 0')]],
  ])('%s', async (_, status, bytes) => {
    const reply = await exchange(...bytes());
    expectProblem(reply, status);
    expect(reply.headers['x-request-id']).toMatch(/./);
  });

  test('but a request of HTTP/1.0 needs no Host', async () => {
    expect(await exchange('GET /healthz HTTP/1.0\r\n\r\n')).toMatchObject({ status: 200 });
  });
});

describe('a body that is coded in a way that is not read is refused', () => {
  const compressed = gzipSync('1234');
  const chunk = Buffer.concat([
    Buffer.from(`${compressed.length.toString(16)}\r\n`),
    compressed,
    Buffer.from('\r\n0\r\n\r\n'),
  ]);
  test.each([
    'gzip, chunked',
    'gzip,chunked',
    'deflate, chunked',
    'identity, chunked',
    'x, gzip, chunked',
    'chunked, chunked',
  ])('Transfer-Encoding: %s is 501, and nothing of it is stored', async (coding) => {
    const type = 'Content-Type: application/octet-stream';
    const reply = await exchange(head(`POST ${SAMPLES}`, type, `Transfer-Encoding: ${coding}`), chunk);
    expectProblem(reply, reply.status === 400 ? 400 : 501);
    if (coding !== 'chunked, chunked') expectProblem(reply, 501, 'Transfer-Encoding');
    expect(reply.headers.connection).toBe('close');
  });

  test('in two headers, too', async () => {
    const headers = ['Content-Type: application/octet-stream', 'Transfer-Encoding: gzip', 'Transfer-Encoding: chunked'];
    expectProblem(await exchange(head(`POST ${SAMPLES}`, ...headers), chunk), 501, 'Transfer-Encoding');
  });

  test.each([
    [SAMPLES, 'application/octet-stream'],
    ['/v1/series', 'application/json'],
    ['/v1/series/bulk', 'application/x-ndjson'],
  ])('%s: a Content-Encoding that is not known is 415', async (path, type) => {
    const headers = [`Content-Type: ${type}`, 'Content-Encoding: compress', 'Content-Length: 2'];
    expectProblem(await exchange(head(`POST ${path}`, ...headers), '{}'), 415);
  });

  test.each(['iso-8859-1', '"latin1"', 'utf-16'])('a character set of %s is 415', async (charset) => {
    for (const [path, type] of [
      [SAMPLES, 'text/csv'],
      [SAMPLES, 'application/json'],
      ['/v1/series', 'application/json'],
    ]) {
      const headers = [`Content-Type: ${type}; charset=${charset}`, 'Content-Length: 2'];
      expectProblem(await exchange(head(`POST ${path}`, ...headers), '{}'), 415);
    }
  });
});

describe('a path tells its methods', () => {
  const known = [...Object.entries(PATHS), ...DOCS_FILES.map((path): [string, object] => [path, { get: {} }])];

  test.each(known)('%s', async (template, operations) => {
    const path = template.replace('by-name/{name}', 'by-name/a/b').replaceAll(/\{\w+\}/g, SERIES_ID);
    const methods = ['GET', 'PUT', 'POST', 'PATCH', 'DELETE'].filter((method) => method.toLowerCase() in operations);
    const allow = [...methods, ...(methods.includes('GET') ? ['HEAD'] : []), 'OPTIONS'].sort();
    const wrong = ['GET', 'PUT', 'POST', 'PATCH', 'DELETE', 'TRACE'].filter((method) => !methods.includes(method));
    for (const method of wrong) {
      const reply = await exchange(head(`${method} ${path}`, 'Content-Length: 0'));
      expectProblem(reply, 405);
      expect(reply.headers.allow.split(', ').sort()).toEqual(allow);
    }
    const options = await exchange(`OPTIONS ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect(options.status).toBe(204);
    expect(options.headers.allow.split(', ').sort()).toEqual(allow);
  });

  test('and none of them has CONNECT', async () => {
    expectProblem(await exchange(head('CONNECT example.org:443')), 405);
  });

  test('and one that is none is not there, whatever the method', async () => {
    for (const method of ['GET', 'POST', 'OPTIONS']) {
      expectProblem(await exchange(head(`${method} /v1/nothing`, 'Content-Length: 0')), 404);
    }
  });
});

describe('text that is not UTF-8 is refused with its place, never stored as something else', () => {
  /** Latin-1, a character cut short, one too long for what it says, half of a pair, beyond Unicode. */
  const wrong = ['Zo\xeb', 'a\xe2\x82', '\xc0\xaf', '\xed\xa0\x80', '\xf5\x80\x80\x80', '\xff'];
  const json = (text: string): string => `{"name":"${text}","dtype":"int8","sampling":{"kind":"irregular"}}`;
  const send = (path: string, type: string, body: string, ...headers: string[]): Promise<Reply> =>
    exchange(head(`POST ${path}`, `Content-Type: ${type}`, `Content-Length: ${body.length}`, ...headers), body);

  test.each(wrong)('%j in a JSON body', async (text) => {
    const reply = await send('/v1/series', 'application/json', json(text));
    expectProblem(reply, 400, 'body');
    expect(reply.problem.detail).toMatch(/byte \d+/);
    expectProblem(await send('/v1/series', 'application/json', `{"${text}":1}`), 400, 'body');
  });

  test.each(wrong)('%j in a line of series', async (text) => {
    const body = `${json('a')}\n${json('b')}\n${json(text)}\n${json('c')}\n`;
    const reply = await send('/v1/series/bulk', 'application/x-ndjson', body);
    expectProblem(reply, 400, 'body');
    expect(reply.problem.detail).toContain('line 3');
  });

  test.each(wrong)('%j in a query', async (text) => {
    const encoded = percentEncoded(text);
    expectProblem(await exchange(head(`GET /v1/series?tag.a=x&tag.name=${encoded}&limit=1`)), 400, 'tag.name');
    expectProblem(await exchange(head(`GET /v1/series?name=${encoded}`)), 400, 'name');
    expectProblem(await exchange(head(`GET /v1/series?name=${text}`)), 400);
    const named = await exchange(head(`GET /v1/series?tag.${encoded}=1`));
    expectProblem(named, 400);
    expect(JSON.stringify(named.problem)).not.toContain('\ufffd');
  });

  test.each(wrong)('%j in a path', async (text) => {
    for (const each of [percentEncoded(text), text]) {
      expectProblem(await exchange(head(`GET /v1/series/by-name/${each}`)), 400);
    }
  });

  test.each(['Zo\xeb', 'Zo\xc3\xab', 'a b'])('%j as an Idempotency-Key', async (text) => {
    const body = json('a');
    expectProblem(
      await send('/v1/series', 'application/json', body, `Idempotency-Key: ${text}`),
      400,
      'Idempotency-Key',
    );
  });

  test('but UTF-8 is what it is, and so is a replacement character that was sent', async () => {
    const utf8 = Buffer.from('Zoë 🐭 \ufffd').toString('latin1');
    expect((await send('/v1/series', 'application/json', json(utf8))).status).toBe(201);
    expect(asked).toMatchObject([{ name: 'Zoë 🐭 \ufffd' }]);
    expect((await exchange(head(`GET /v1/series?name=${encodeURIComponent('Zoë🐭\ufffd')}`))).status).toBe(200);
    expect(asked).toMatchObject([{ field: 'name', test: { values: [{ text: 'Zoë🐭\ufffd' }] } }]);
  });
});

/** Percent-encodes characters that stand for bytes. */
function percentEncoded(text: string): string {
  return text.replaceAll(/[^ -~]/g, (byte) => `%${byte.charCodeAt(0).toString(16)}`);
}

describe('what contradicts itself is refused', () => {
  test.each([
    ['name', '{"name":"a","name":"b"}'],
    ['name', String.raw`{"name":"a","dtype":"int8","n\u0061me":"b"}`],
    ['tags.a', '{"tags":{"a":1,"b":2,"a":3}}'],
    ['channels[1].label', '{"channels":[{"label":"x"},{"label":"y","label":"z"}]}'],
    ['provenance.deep[0].x', '{"provenance":{"deep":[{"x":"{\\"x\\":1}","x":2}]}}'],
  ])('a body that has %s twice', async (field, body) => {
    for (const path of ['/v1/series', '/v1/series/search']) {
      const headers = ['Content-Type: application/json', `Content-Length: ${body.length}`];
      expectProblem(await exchange(head(`POST ${path}`, ...headers), body), 400, field);
    }
  });

  test.each(['Authorization: Bearer read', 'Content-Type: text/csv', 'If-Match: "1"\r\nIf-Match: "2"'])(
    'a second header: %s',
    async (second) => {
      const headers = ['Content-Type: application/json', 'Content-Length: 2', second];
      expectProblem(await exchange(head('POST /v1/series', ...headers), '{}'), 400, second.split(':')[0]);
    },
  );
});
