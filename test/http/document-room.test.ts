/** JSON documents are bounded in bytes, from their first byte to their answer. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import express from 'express';
import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { DocumentRoom, MAX_DOCUMENT_BYTES } from '../../src/http/body/document-room.ts';
import { jsonBody } from '../../src/http/body/json-body.ts';
import { answerProblems } from '../../src/http/request/problem.ts';

const MOST = 2000;
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
let server: Server;
/** Lets the request that waits be answered; null: there is none. */
let answer: (() => void) | null = null;

beforeAll(async () => {
  const app = express();
  app.post('/', jsonBody(1500, new DocumentRoom(MOST)), async (req, res) => {
    if ((req.body as { waits?: boolean }).waits) await new Promise<void>((resolve) => (answer = resolve));
    res.end();
  });
  app.use(answerProblems(SILENT as never));
  server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterAll(() => void server.close());

async function post(document: object, bytes: number, isPacked = false): Promise<number> {
  const text = JSON.stringify(document).padEnd(bytes);
  const { port } = server.address() as AddressInfo;
  const headers = { 'content-type': 'application/json', ...(isPacked && { 'content-encoding': 'gzip' }) };
  const asked = request({ port, host: '127.0.0.1', method: 'POST', headers, agent: false });
  asked.end(isPacked ? gzipSync(text) : text);
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  response.resume();
  await once(response, 'end');
  return response.statusCode!;
}

test('documents beyond the room are answered 503 until others are answered, however they are sent', async () => {
  const first = post({ waits: true }, 1200);
  while (!answer) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(await post({}, 900)).toBe(503);
  expect(await post({}, 20, true)).toBe(503);
  expect(await post({}, 500)).toBe(200);
  answer();
  expect(await first).toBe(200);
  expect(await post({}, 900)).toBe(200);
  expect(await post({}, 900, true)).toBe(200);
});

test.each([MAX_DOCUMENT_BYTES, MAX_DOCUMENT_BYTES / 2])(
  '%i bytes fit, and what is too large has the room alone',
  (most) => {
    const room = new DocumentRoom(most);
    const ends: (() => void)[] = [];
    const counter = (): ((bytes: number) => void) =>
      room.counterFor({ closed: false, once: (_event: string, end: () => void) => void ends.push(end) } as never);
    const first = counter();
    first(most);
    first(1);
    expect(() => counter()(1)).toThrow(expect.objectContaining({ slug: 'too-many-documents' }));
    for (const end of ends) end();
    const [second, third] = [counter(), counter()];
    second(most / 2);
    third(most / 2);
    expect(() => third(1)).toThrow(expect.objectContaining({ slug: 'too-many-documents' }));
  },
);
