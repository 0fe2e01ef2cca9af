/** Parts of binary answers, as `Range` asks for them: of a file that is mapped from afar, or a download that goes on. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { statSync, truncateSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { compactAll, flushAll } from '../support/command.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { describePython } from '../support/python.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, type Problem } from './client.ts';

const T0 = 1_777_626_000_123_456_789n;
const S = 1_000_000_000n;

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;
/** Three channels at 4 Hz, in several chunks, with a gap, a replacement and a hole. */
let regular: string;
/** Two channels, with times out of order, and some that were replaced. */
let irregular: string;
/** Large enough that threads convert it. */
let large: string;

beforeAll(async () => {
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url } });
  api = new ApiClient(service);
  const row = (n: number): number[] => [n, -n, 7 * n];
  const rows = (from: number, count: number): number[][] => Array.from({ length: count }, (_, i) => row(from + i));
  const at = (row: number): string => String(T0 + (BigInt(row) * S) / 4n);
  regular = await create({ dtype: 'int16', channels: 3, scale: 0.1, sampling: { kind: 'regular', rate_hz: 4 } });
  await api.append(regular, { start: String(T0), values: rows(0, 40) });
  await api.append(regular, { values: rows(40, 40) });
  await api.append(regular, { start: at(1000), values: rows(80, 40) });
  const samples = `/v1/series/${regular}/samples`;
  const put = { headers: { 'content-type': 'application/json' }, body: JSON.stringify({ values: rows(500, 10) }) };
  expecting(200, await api.send('PUT', `${samples}?start=${at(35)}&end=${at(45)}`, put));
  expecting(200, await api.delete(`${samples}?start=${at(60)}&end=${at(65)}`));
  irregular = await create({ dtype: 'float32', channels: 2, sampling: { kind: 'irregular' } });
  for (let n = 0; n < 4; n++) {
    const times = Array.from({ length: 30 }, (_, i) => String(T0 + BigInt(((i * 7 + n) % 31) * 1000 + n)));
    await api.append(irregular, { times, values: times.map((_, i) => [n * 100 + i, null]) });
  }
  large = await create({ dtype: 'int32', channels: 2, sampling: { kind: 'regular', rate_hz: 1000 } });
  const values = Int32Array.from({ length: 1_000_000 }, (_, i) => Math.imul(i, 2_654_435_761));
  const headers = { 'content-type': 'application/octet-stream' };
  expecting(201, await api.send('POST', `/v1/series/${large}/samples`, { headers, body: Buffer.from(values.buffer) }));
});

afterAll(async () => {
  await service?.drop();
  await database?.drop();
});

async function create(fields: Readonly<Record<string, unknown>>): Promise<string> {
  return (await api.createSeries({ name: randomUUID(), ...fields })).id;
}

/** Compares parts of an answer with the whole. */
async function checkParts(
  path: string,
  cuts: (bytes: number) => readonly (readonly [number, number])[],
): Promise<void> {
  const whole = expecting(200, await api.get(path));
  const size = whole.body.length;
  expect(whole.headers).toMatchObject({ 'accept-ranges': 'bytes', 'content-length': String(size) });
  for (const [from, to] of cuts(size)) {
    const headers = { range: `bytes=${from}-${to - 1}`, 'if-range': String(whole.headers.etag) };
    const part = expecting(206, await api.get(path, headers));
    const end = Math.min(to, size);
    expect([path, from, to, part.body.toString('hex')]).toEqual([
      path,
      from,
      to,
      whole.body.toString('hex', from, end),
    ]);
    expect(part.headers).toMatchObject({
      etag: whole.headers.etag,
      'content-type': whole.headers['content-type'],
      'content-range': `bytes ${from}-${end - 1}/${size}`,
      'content-length': String(end - from),
      'accept-ranges': 'bytes',
    });
  }
}

const SELECTIONS = ['', 'rows=17:91', `start=${T0 + 5001n}&end=${T0 + 400n * S}`, 'channels=1', 'channels=1,0', 'physical=true', 'latest=50', 'limit=33']; // prettier-ignore

describe.each([['fresh chunks'], ['shards'], ['compacted shards']])('parts of what lies in %s', (stage) => {
  beforeAll(async () => {
    const env = { DATABASE_URL: database.url };
    if (stage === 'shards') expect(await flushAll(service.dataRoot, env)).not.toEqual([]);
    if (stage === 'compacted shards') expect(await compactAll(service.dataRoot, env)).not.toEqual([]);
  });

  test.each(['npy', 'octet'])('%s: any part is that of the whole, whatever was selected', async (format) => {
    for (const [s, selection] of SELECTIONS.entries()) {
      for (const id of [regular, irregular]) {
        await checkParts(
          `/v1/series/${id}/samples?format=${format}&${selection}`,
          (size) =>
          [[0, 1], [0, size], [127, 129], [64, 200 + s], [size - 1, size], [size - 77, size + 50], ...Array.from({ length: 6 }, (_, i) => [(i * 37 + s * 11) % (size - 90), (i * 37 + s * 11) % (size - 90) + 13 * (i + 1)])] as [number, number][], // prettier-ignore
        );
      }
    }
  });

  test('of large answers, too, which threads convert', async () => {
    for (const query of ['format=npy', 'format=npy&physical=true', 'format=octet&channels=1']) {
      await checkParts(`/v1/series/${large}/samples?${query}`, (size) => [
        [0, 100],
        [1_234_567, 1_234_569],
        [1_500_001, 2_900_002],
        [size - 3, size],
      ]);
    }
  });
});

describe('a Range', () => {
  const path = (format = 'npy'): string => `/v1/series/${regular}/samples?format=${format}`;

  test('that cannot be, or means several parts, or another version, is answered as RFC 9110 says', async () => {
    for (const format of ['npy', 'octet']) {
      const whole = expecting(200, await api.get(path(format)));
      const size = whole.body.length;
      for (const headers of [
        { range: 'bytes=0-9,20-29' },
        { range: 'bytes=9-0' },
        { range: 'rows=0-9' },
        { range: 'bytes=x' },
        { range: 'bytes=0-9', 'if-range': '"another"' },
        { range: 'bytes=0-9', 'if-range': `W/${whole.headers.etag}` },
        { range: 'bytes=0-9', 'if-range': 'Fri, 01 May 2026 09:00:00 GMT' },
      ] as Record<string, string>[]) {
        expect(expecting(200, await api.get(path(format), headers)).body.equals(whole.body)).toBe(true);
      }
      const last = expecting(206, await api.get(path(format), { range: 'bytes=-5' }));
      expect(last.body.equals(whole.body.subarray(-5))).toBe(true);
      const all = expecting(206, await api.get(path(format), { range: 'bytes=-999999' }));
      expect([all.headers['content-range'], all.body.equals(whole.body)]).toEqual([
        `bytes 0-${size - 1}/${size}`,
        true,
      ]);
      for (const range of [`bytes=${size}-`, 'bytes=-0']) {
        const beyond = expecting(416, await api.get(path(format), { range }));
        expect(beyond.headers['content-range']).toBe(`bytes */${size}`);
        expect(beyond.json<Problem>()).toMatchObject({ status: 416, errors: [{ field: 'Range' }] });
      }
      // HEAD tells of the whole.
      const head = await api.send('HEAD', path(format), { headers: { range: 'bytes=0-9' } });
      expect([head.status, head.headers['content-length'], head.headers['accept-ranges']]).toEqual([200, String(size), 'bytes']); // prettier-ignore
      const known = await api.get(path(format), { range: 'bytes=0-9', 'if-none-match': String(whole.headers.etag) });
      expecting(304, known);
    }
  });

  test('of an answer without rows: npy has a head, octets have nothing', async () => {
    const none = `&rows=0:0`;
    await checkParts(path() + none, (size) => [[0, 10], [size - 1, size]]); // prettier-ignore
    expect(expecting(416, await api.get(path('octet') + none, { range: 'bytes=0-9' })).headers['content-range']).toBe(
      'bytes */0',
    );
  });

  test('that was begun goes on with the old bytes or with all of the new ones', async () => {
    const id = await create({ dtype: 'int8', sampling: { kind: 'regular', rate_hz: 1 } });
    await api.append(id, { values: [1, 2, 3] });
    const samples = `/v1/series/${id}/samples?format=npy`;
    const { headers } = expecting(206, await api.get(samples, { range: 'bytes=0-127' }));
    await api.append(id, { values: [4] });
    const rest = await api.get(samples, { range: 'bytes=128-', 'if-range': String(headers.etag) });
    expect([rest.status, [...rest.body.subarray(-4)]]).toEqual([200, [1, 2, 3, 4]]);
  });
});

describePython('an array that is mapped from afar', ['numpy'], (python) => {
  test('gives the rows that are asked for, as NumPy reads them from the whole', () => {
    const script = `
import io, urllib.request, numpy as np
def get(url, **headers):
    request = urllib.request.Request(url, headers={"Authorization": "Bearer ${service.token}", **headers})
    with urllib.request.urlopen(request) as answer: return answer.status, answer.headers, answer.read()
def part(url, a, b, tag):
    status, headers, body = get(url, **{"Range": f"bytes={a}-{b - 1}", "If-Range": tag})
    assert status == 206 and len(body) == b - a and headers["ETag"] == tag
    return body
for series, physical in [("${large}", "false"), ("${regular}", "true"), ("${irregular}", "false")]:
    url = f"${service.url}/v1/series/{series}/samples?format=npy&physical={physical}"
    _, headers, body = get(url)
    whole, tag = np.load(io.BytesIO(body)), headers["ETag"]
    head = io.BytesIO(part(url, 0, 256, tag))
    assert np.lib.format.read_magic(head) == (1, 0)
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(head)
    assert (shape, fortran, dtype) == (whole.shape, False, whole.dtype)
    offset, row = head.tell(), dtype.itemsize * int(np.prod(shape[1:], dtype=int))
    for a, b in [(0, 1), (5, 19), (shape[0] // 2, shape[0] // 2 + 20), (shape[0] - 3, shape[0])]:
        rows = np.frombuffer(part(url, offset + a * row, offset + b * row, tag), dtype).reshape(-1, *shape[1:])
        assert rows.tobytes() == whole[a:b].tobytes(), (series, a, b)
print("alike")`;
    expect(python(script).toString().trim()).toBe('alike');
  });
});

// The last: it breaks what is stored.
test('only the rows that a part lies in are read: what is lost elsewhere does not matter', async () => {
  const shards = (await readdir(service.dataRoot, { recursive: true })).filter((name) => name.endsWith('.h5'));
  const id = await create({ dtype: 'int32', sampling: { kind: 'regular', rate_hz: 1000 } });
  const values = Int32Array.from({ length: 2_000_000 }, (_, i) => i);
  const headers = { 'content-type': 'application/octet-stream' };
  const body = Buffer.from(values.buffer);
  expecting(201, await api.send('POST', `/v1/series/${id}/samples`, { headers, body }));
  await flushAll(service.dataRoot, { DATABASE_URL: database.url });
  const now = (await readdir(service.dataRoot, { recursive: true })).filter((name) => name.endsWith('.h5'));
  const made = now.filter((name) => !shards.includes(name));
  expect(made.length).toBeGreaterThan(0);
  for (const name of made) {
    const path = join(service.dataRoot, name);
    truncateSync(path, Math.floor(statSync(path).size / 2));
  }
  const path = `/v1/series/${id}/samples?format=npy`;
  const part = expecting(206, await api.get(path, { range: `bytes=${128 + 4000}-${128 + 4000 + 399}` }));
  expect(part.body.readInt32LE(0)).toBe(1000);
  await expect(api.get(path)).rejects.toThrow();
});
