/** The page as files, and what other origins may read: of both the transport alone is asked. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, brotliDecompressSync } from 'node:zlib';
import { createApp, listen, type HttpServer } from '../../src/http/server.ts';
import { openPage } from '../../src/http/routes/page-routes.ts';
import { bodyOf } from '../api/client.ts';
import { keepingLog, SERIES, stubService } from './stub-service.ts';

const INDEX = '<!doctype html><title>Varve</title><script type="module" src="/assets/main-a1b2.js"></script>';
const SCRIPT = 'export const answer = 42;\n'.repeat(200);
const HTML = { Accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };
const ORIGIN = 'https://lab.example';

let folder: string;
let built: HttpServer;
let unbuilt: HttpServer;
let shared: HttpServer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-page-'));
  await mkdir(join(folder, 'assets/chunks'), { recursive: true });
  await writeFile(join(folder, 'index.html'), INDEX);
  await writeFile(join(folder, 'assets/main-a1b2.js'), SCRIPT);
  await writeFile(join(folder, 'assets/main-a1b2.js.br'), brotliCompressSync(SCRIPT));
  await writeFile(join(folder, 'assets/chunks/see-c3d4.css'), 'body { margin: 0 }');
  await writeFile(join(folder, 'secret.txt'), 'not for everybody');
  const serve = (page: string, origins: string[]): Promise<HttpServer> =>
    listen(
      createApp(stubService(), { log: keepingLog(), version: '0', origins, page: openPage(join(folder, page)) }),
      '127.0.0.1',
      0,
    );
  built = await serve('.', []);
  unbuilt = await serve('nowhere', ['*']);
  shared = await serve('.', [ORIGIN, 'http://localhost:5173']);
});

afterAll(async () => {
  for (const each of [built, unbuilt, shared]) await each?.close(0);
  await rm(folder, { recursive: true, force: true });
});

/** A path is sent as it is written, and nothing is unpacked. */
async function get(
  server: HttpServer,
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<{ status: number; headers: Record<string, string | string[] | undefined>; text: string; body: Buffer }> {
  const { hostname, port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    const outgoing = request({ hostname, port, path, method, headers }, (incoming) => {
      void bodyOf(incoming).then((body) =>
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body, text: body.toString() }),
      );
    });
    outgoing.once('error', reject).end();
  });
}

describe('the page', () => {
  test('is what a browser gets of every path that is no program’s, under a policy that lets nothing in from elsewhere', async () => {
    for (const path of ['/', '/find', '/series/0198c5e0-0000-7000-8000-000000000001', '/signin?to=%2Ffind']) {
      const { status, headers, text } = await get(built, path, HTML);
      expect([path, status, text]).toEqual([path, 200, INDEX]);
      expect(headers['content-type']).toBe('text/html; charset=utf-8');
      expect(headers['cache-control']).toBe('no-cache');
      const policy = String(headers['content-security-policy']).split(';');
      expect(policy).toEqual(
        expect.arrayContaining([
          "default-src 'none'",
          "script-src 'self'",
          "style-src 'self'",
          "connect-src 'self'",
          "frame-ancestors 'none'",
          "base-uri 'none'",
          "form-action 'self'",
        ]),
      );
      expect(policy.join()).not.toMatch(/unsafe|\*/);
    }
  });

  test('never stands in for the API, whatever a client accepts', async () => {
    for (const path of [
      '/v1/nothing',
      '/v1',
      '/metrics/x',
      '/healthz',
      '/docs/x',
      '/write',
      '/query',
      '/ping',
      '/health',
    ]) {
      const { headers, text } = await get(built, path, HTML);
      expect([path, text === INDEX]).toEqual([path, false]);
      expect([path, headers['content-type']]).not.toEqual([path, 'text/html; charset=utf-8']);
    }
    for (const accept of ['*/*', 'application/json', '']) {
      expect((await get(built, '/find', { Accept: accept })).status).toBe(404);
      expect(JSON.parse((await get(built, '/', { Accept: accept })).text)).toMatchObject({ name: 'varve' });
    }
    expect((await get(built, '/find', HTML, 'POST')).status).toBe(404);
  });

  test('has files whose names change with their content, and that were compressed once', async () => {
    const plain = await get(built, '/assets/main-a1b2.js');
    expect([plain.status, plain.text]).toEqual([200, SCRIPT]);
    expect(plain.headers['content-type']).toMatch(/^text\/javascript/);
    expect(plain.headers['cache-control']).toBe('public, max-age=31536000, immutable');
    const small = await get(built, '/assets/main-a1b2.js', { 'Accept-Encoding': 'gzip, br' });
    expect([small.headers['content-encoding'], small.headers.vary]).toEqual([
      'br',
      expect.stringContaining('Accept-Encoding'),
    ]);
    expect(small.headers['content-type']).toMatch(/^text\/javascript/);
    expect(brotliDecompressSync(small.body).toString()).toBe(SCRIPT);
    expect((await get(built, '/assets/chunks/see-c3d4.css')).headers['content-type']).toMatch(/^text\/css/);
    const part = await get(built, '/assets/main-a1b2.js', { Range: 'bytes=0-5' });
    expect([part.status, part.text]).toEqual([206, 'export']);
    expect((await get(built, '/assets/main-a1b2.js', {}, 'HEAD')).headers['content-length']).toBe(
      String(SCRIPT.length),
    );
  });

  test('has no other files', async () => {
    for (const path of [
      '/assets/nothing.js',
      '/assets/../secret.txt',
      '/assets/..%2Fsecret.txt',
      '/assets/%2e%2e/secret.txt',
      '/assets/chunks/../../secret.txt',
      '/assets/',
      '/secret.txt',
    ]) {
      const { status, text } = await get(built, path);
      expect([path, status, text.includes('not for everybody')]).toEqual([path, 404, false]);
    }
  });

  test('that was not built is a 404 with a sentence, and the welcome is there', async () => {
    const { status, text } = await get(unbuilt, '/find', HTML);
    expect([status, JSON.parse(text)]).toMatchObject([404, { detail: expect.stringContaining('not built') }]);
    expect((await get(unbuilt, '/', HTML)).status).toBe(200);
  });
});

describe('pages of other origins', () => {
  const path = `/v1/series/${SERIES.id}`;
  const preflight = (origin: string): Record<string, string> => ({
    Origin: origin,
    'Access-Control-Request-Method': 'GET',
    'Access-Control-Request-Headers': 'authorization,range',
  });
  const cors = (headers: object): string[] => Object.keys(headers).filter((name) => name.startsWith('access-control'));

  test('may read nothing unless they are named', async () => {
    const headers = { Origin: ORIGIN, Authorization: 'Bearer read' };
    expect(cors((await get(built, path, headers)).headers)).toEqual([]);
    expect(cors((await get(built, path, preflight(ORIGIN), 'OPTIONS')).headers)).toEqual([]);
    expect(cors((await get(shared, path, { ...headers, Origin: 'https://lab.example.evil' })).headers)).toEqual([]);
    expect(cors((await get(shared, path, preflight('null'), 'OPTIONS')).headers)).toEqual([]);
  });

  test('that are named may read, with the headers that readers of parts need, also of refusals, and never with cookies', async () => {
    for (const token of ['read', 'unknown']) {
      const { headers } = await get(shared, path, { Origin: ORIGIN, Authorization: `Bearer ${token}` });
      expect(headers).toMatchObject({ 'access-control-allow-origin': ORIGIN, vary: expect.stringContaining('Origin') });
      for (const name of ['Content-Length', 'Content-Range', 'Accept-Ranges', 'ETag', 'Link', 'X-Varve-Rows']) {
        expect(String(headers['access-control-expose-headers']).split(', ')).toContain(name);
      }
      expect(headers).not.toHaveProperty('access-control-allow-credentials');
    }
    const asked = await get(shared, path, preflight('http://localhost:5173'), 'OPTIONS');
    expect([asked.status, asked.headers]).toMatchObject([
      204,
      {
        'access-control-allow-origin': 'http://localhost:5173',
        'access-control-allow-headers': 'authorization,range',
        'access-control-allow-methods': expect.stringContaining('HEAD'),
      },
    ]);
    const any = await get(unbuilt, path, { Origin: 'https://anywhere.example', Authorization: 'Bearer read' });
    expect(any.headers['access-control-allow-origin']).toBe('*');
    expect(any.headers).not.toHaveProperty('access-control-allow-credentials');
  });
});
