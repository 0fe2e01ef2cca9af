import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { request } from 'node:http';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { flushAll } from '../support/command.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { hasRedisServer, startRedis, type TestRedis } from '../support/redis.ts';
import {
  isAlive,
  postgresPid,
  runCli,
  startService,
  type CliProcess,
  type RunningService,
} from '../support/service.ts';
import { ApiClient, expecting, pause, type AppendJson } from './client.ts';

const REGULAR = { kind: 'regular', rate_hz: 1000 };
const OCTET = { 'content-type': 'application/octet-stream' };

async function create(api: ApiClient, sampling: object = REGULAR): Promise<string> {
  return (await api.createSeries({ name: randomUUID(), dtype: 'int32', sampling })).id;
}

function octets(rows: number, of: number): Buffer {
  return Buffer.from(Int32Array.from({ length: rows }, (_, i) => of + i).buffer);
}

describe('kill -9', () => {
  let service: RunningService;
  let api: ApiClient;

  beforeAll(async () => {
    service = await startService();
    api = new ApiClient(service);
  });
  afterAll(() => service?.drop());

  test('right after an append was answered loses none of it, and goes on where it was', async () => {
    const small = await create(api);
    const large = await create(api);
    const irregular = await create(api, { kind: 'irregular' });
    const whole = octets(300_000, 7);
    const answers = await Promise.all([
      api.post(`/v1/series/${small}/samples`, { values: [1, 2, 3], start: '2026-05-01T00:00:00Z' }),
      api.send('POST', `/v1/series/${large}/samples`, { headers: OCTET, body: whole }),
      api.post(`/v1/series/${irregular}/samples`, { times: [30, 10], values: [3, 1] }),
    ]);
    const writes = answers.map((answer) => expecting(201, answer).json<AppendJson>().write);
    const told = await Promise.all(writes.map((write) => api.write(write)));
    const before = [await api.series(small), await api.series(large), await api.series(irregular)];
    const { token } = service;
    await api.append(small, { values: [4] });
    await service.kill9();
    await service.restart();
    expect(service.token).toBe(token);
    expect(await Promise.all(writes.map((write) => api.write(write)))).toEqual(told);
    expect([await api.series(large), await api.series(irregular)]).toEqual(before.slice(1));
    const expectAll = async (): Promise<void> => {
      expect((await api.read(small)).values).toEqual([[1, 2, 3, 4, 5]]);
      expect((await api.get(`/v1/series/${large}/samples?format=octet`)).body.equals(whole)).toBe(true);
      expect(await api.read(irregular)).toMatchObject({ times: ['10', '30'], values: [[1, 3]] });
    };
    expect(await api.append(small, { values: [5] })).toMatchObject({ first_row: 4 });
    await expectAll();
    expect(await flushAll(service.dataRoot, {})).not.toEqual([]);
    await service.kill9();
    await service.restart();
    await expectAll();
  });

  test('right after an edit was answered keeps it, also once it is in a shard', async () => {
    const id = await create(api);
    await api.append(id, { values: [0, 1, 2, 3, 4, 5], start: '0' });
    await flushAll(service.dataRoot, {});
    const body = JSON.stringify({ values: [20, 30] });
    const json = { 'content-type': 'application/json' };
    const path = (from: number, to: number): string => `/v1/series/${id}/samples?start=${from}000000&end=${to}000000`;
    const [replaced, removed] = await Promise.all([
      api.send('PUT', path(2, 4), { headers: json, body }),
      api.delete(path(0, 1)),
    ]);
    for (const answer of [replaced, removed]) expecting(200, answer);
    await service.kill9();
    await service.restart();
    expect((await api.read(id)).values).toEqual([[1, 20, 30, 4, 5]]);
    await flushAll(service.dataRoot, {});
    expect((await api.read(id)).values).toEqual([[1, 20, 30, 4, 5]]);
  });

  test('of Postgres as well, at the same time, loses nothing that was acknowledged', async () => {
    const small = await create(api);
    const large = await create(api);
    const whole = octets(300_000, 11);
    const answers = await Promise.all([
      api.post(`/v1/series/${small}/samples`, { values: [5, 6] }),
      api.send('POST', `/v1/series/${large}/samples`, { headers: OCTET, body: whole }),
    ]);
    const postgres = postgresPid(service.dataRoot) ?? 0;
    process.kill(postgres, 'SIGKILL');
    await service.kill9();
    for (const answer of answers) expecting(201, answer);
    await service.restart();
    expect((await api.read(small)).values).toEqual([[5, 6]]);
    expect((await api.get(`/v1/series/${large}/samples?format=octet`)).body.equals(whole)).toBe(true);
    expect(postgresPid(service.dataRoot)).not.toBe(postgres);
  });

  test('of Postgres alone, while it commits: each acknowledged row is there once, in order, and retries fill in the rest', async () => {
    const ids = await Promise.all([1, 2, 3].map(() => create(api)));
    const ROWS = 10;
    const rows = ids.map(() => 0);
    let isOn = true;
    const writers = ids.map(async (id, i) => {
      while (isOn) {
        const headers = { ...OCTET, 'idempotency-key': `${rows[i]}` };
        const answer = await api.send('POST', `/v1/series/${id}/samples`, { headers, body: octets(ROWS, rows[i]) });
        expect([201, 503]).toContain(answer.status);
        if (answer.status === 201) rows[i] += ROWS;
        else await pause(20);
      }
    });
    const allBeyond = async (least: readonly number[]): Promise<void> => {
      while (!rows.every((count, i) => count > least[i])) await pause(20);
    };
    await allBeyond(rows.map(() => 100));
    process.kill(postgresPid(service.dataRoot) ?? 0, 'SIGKILL');
    await allBeyond(rows.map((count) => count + 50));
    isOn = false;
    await Promise.all(writers);
    for (const [i, id] of ids.entries()) {
      const { body } = expecting(200, await api.get(`/v1/series/${id}/samples?format=octet`));
      expect(body.equals(octets(rows[i], 0))).toBe(true);
    }
  });

  test('in the middle of many appends: each acknowledged one is there exactly once, and retries fill in the rest', async () => {
    const ROWS = 20;
    interface Sent {
      readonly series: string;
      readonly key: number;
      readonly body: Buffer;
      write: string | null;
    }
    const series = await Promise.all(Array.from({ length: 6 }, () => create(api)));
    const sent: Sent[] = [];
    let key = 0;
    const send = async (each: Sent): Promise<void> => {
      const headers = { ...OCTET, 'idempotency-key': `batch-${each.key}` };
      const answer = await api.send('POST', `/v1/series/${each.series}/samples`, { headers, body: each.body });
      each.write = expecting(201, answer).json<AppendJson>().write;
    };
    let killed = false;
    const writer = async (id: string): Promise<void> => {
      while (!killed) {
        const each: Sent = { series: id, key, body: octets(ROWS, ROWS * key++), write: null };
        sent.push(each);
        // What is cut off by the kill has no answer: its client cannot know.
        await send(each).catch((error: NodeJS.ErrnoException) => {
          if (!killed || !/^(ECONN|EPIPE)/.test(error.code ?? '')) throw error;
        });
      }
    };
    /** How often each batch is stored, by its key; a torn one would throw. */
    const stored = async (): Promise<Map<number, number>> => {
      const counts = new Map<number, number>();
      for (const id of series) {
        const { body } = expecting(200, await api.get(`/v1/series/${id}/samples?format=octet`));
        const values = new Int32Array(new Uint8Array(body).buffer);
        for (let row = 0; row < values.length; row += ROWS) {
          const found = values[row] / ROWS;
          if (!values.subarray(row, row + ROWS).every((value, i) => value === found * ROWS + i)) {
            throw new Error(`a torn batch at row ${row}: ${values.subarray(row, row + ROWS).join()}`);
          }
          counts.set(found, (counts.get(found) ?? 0) + 1);
        }
      }
      return counts;
    };

    const writers = Promise.all([...series, ...series].map(writer));
    const answered = (): Sent[] => sent.filter(({ write }) => write !== null);
    while (answered().length < 100) await pause(20);
    killed = true;
    await Promise.all([service.kill9(), writers]);
    await service.restart();

    const acknowledged = answered();
    const unknown = sent.filter(({ write }) => write === null);
    for (const { write, series: id } of acknowledged) {
      expect(await api.write(write ?? '')).toMatchObject({ series: id, kind: 'append', rows: ROWS });
    }
    const counts = await stored();
    expect(acknowledged.filter((each) => counts.get(each.key) !== 1)).toEqual([]);
    expect(unknown.filter((each) => (counts.get(each.key) ?? 0) > 1)).toEqual([]);

    for (const each of unknown) await send(each);
    const after = await stored();
    expect(sent.filter((each) => after.get(each.key) !== 1)).toEqual([]);
    expect(after.size).toBe(sent.length);
    for (const id of series) {
      const { rows } = await api.series(id);
      expect(rows).toBe(sent.filter((each) => each.series === id).length * ROWS);
    }
  });
});

describe('starting and stopping', () => {
  let service: RunningService;
  let database: TestDatabase;
  const folders: string[] = [];

  beforeAll(async () => {
    database = await testDatabase();
    service = await startService({ env: { VARVE_LOG: 'debug' } });
  });
  afterAll(async () => {
    await service?.drop();
    await database?.drop();
    for (const folder of folders) rmSync(folder, { recursive: true });
  });

  function freshFolder(): string {
    const folder = mkdtempSync(join(tmpdir(), 'varve-test-'));
    folders.push(folder);
    return folder;
  }

  test('the token is for its owner alone, and in no line of the log', async () => {
    const api = new ApiClient(service);
    const path = join(service.dataRoot, 'token');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(service.token.length).toBeGreaterThanOrEqual(32);
    const created = expecting(201, await api.post('/v1/tokens', { name: 'a', scopes: ['read'] }));
    const { token } = created.json<{ token: string }>();
    expecting(403, await api.send('POST', '/v1/series', { token }));
    expecting(401, await api.send('GET', '/v1/series', { token: 'a-wrong-token-of-somebody' }));
    expecting(401, await api.send('GET', `/v1/series?token=${token}`, { token: null }));
    expect(service.output()).toContain('"path":"/v1/series"');
    for (const secret of [service.token, token, 'a-wrong-token-of-somebody']) {
      expect(service.output()).not.toContain(secret);
    }
    const password = readFileSync(join(service.dataRoot, 'postgres', 'password'), 'utf8').trim();
    expect(service.output()).not.toContain(password);
  });

  test('a second service in the same folder is refused, and told who has it', async () => {
    const second = runCli(['serve'], { VARVE_DATA: service.dataRoot, VARVE_PORT: '0' });
    expect(await second.exited).toBe(1);
    expect(second.output()).toContain(`process ${service.pid} `);
    expect(second.output()).toContain(service.dataRoot);
    expect(second.output()).not.toMatch(/^ {4}at /m);
    expecting(200, await new ApiClient(service).get('/readyz'));
  });

  test('a port that is taken is named, and nothing stays behind', async () => {
    const { port } = new URL(service.url);
    const env = { VARVE_DATA: freshFolder(), VARVE_PORT: port, DATABASE_URL: database.url };
    const second = runCli(['serve'], env);
    expect(await second.exited).toBe(1);
    expect(second.output()).toContain(`cannot listen on 127.0.0.1:${port}: the address is already in use`);
    expect(second.output()).not.toMatch(/^ {4}at /m);
    expecting(200, await new ApiClient(service).get('/readyz'));
  });

  test('settings that are wrong are named, and their values kept', async () => {
    const wrong = {
      VARVE_PORT: 'http',
      VARVE_TOKEN: 'secret',
      DATABASE_URL: 'mysql://secret@localhost/x',
      REDIS_URL: 'secret',
    };
    const refused = runCli(['serve'], { VARVE_DATA: freshFolder(), ...wrong });
    expect(await refused.exited).toBe(1);
    for (const name of Object.keys(wrong)) expect(refused.output()).toContain(name);
    expect(refused.output()).not.toMatch(/secret|^ {4}at /m);
  });

  test('SIGTERM lets a running append finish, ends with 0 and takes Postgres along', async () => {
    const api = new ApiClient(service);
    const id = await create(api);
    const postgres = postgresPid(service.dataRoot) ?? 0;
    expect(isAlive(postgres)).toBe(true);
    const body = octets(100_000, 3);
    const running = request(new URL(`/v1/series/${id}/samples`, service.url), {
      method: 'POST',
      headers: { ...OCTET, authorization: `Bearer ${service.token}`, 'content-length': body.length },
    });
    running.write(body.subarray(0, body.length / 2));
    await pause(200);
    const began = Date.now();
    const stopped = service.stop();
    await pause(200);
    running.end(body.subarray(body.length / 2));
    const [answer] = await once(running, 'response');
    expect(answer.statusCode).toBe(201);
    answer.resume();
    expect(await stopped).toBe(0);
    expect(Date.now() - began).toBeLessThan(8_000);
    expect(isAlive(postgres)).toBe(false);
    expect(postgresPid(service.dataRoot)).toBeNull();

    await service.restart();
    expect((await api.get(`/v1/series/${id}/samples?format=octet`)).body.equals(body)).toBe(true);
  });

  test('what a killed service has left does not keep the next one from starting', async () => {
    await service.kill9();
    writeFileSync(join(service.dataRoot, 'varve.lock'), `process ${process.pid} on ${hostname()}\n`);
    await service.restart();
    expecting(200, await new ApiClient(service).get('/readyz'));
  });
});

const describeRedis = hasRedisServer() || process.env.VARVE_TEST_NO_SKIP === '1' ? describe : describe.skip;
if (!hasRedisServer()) console.warn('SKIPPED: durability with Redis: no redis-server on the PATH');

/** A flush that a killed worker left half done is taken up again after a minute. */
const REDIS_LIMIT_MS = 180_000;

describeRedis('with Redis and a worker of its own', () => {
  let database: TestDatabase;
  let redis: TestRedis;
  let service: RunningService;
  let api: ApiClient;
  let env: Record<string, string>;
  const workers: CliProcess[] = [];

  beforeAll(async () => {
    database = await testDatabase();
    redis = await startRedis();
    env = { DATABASE_URL: database.url, REDIS_URL: redis.url, VARVE_FLUSH_AGE_S: '1' };
    service = await startService({ env, args: ['--no-worker'] });
    api = new ApiClient(service);
  });
  afterAll(async () => {
    for (const worker of workers) worker.signal('SIGKILL');
    await Promise.all(workers.map((worker) => worker.exited));
    await service?.drop();
    await redis?.drop();
    await database?.drop();
  });

  async function startWorker(): Promise<CliProcess> {
    const worker = runCli(['worker'], { VARVE_DATA: service.dataRoot, ...env });
    workers.push(worker);
    await worker.line('varve worker is ready');
    return worker;
  }

  async function append(id: string, body: Buffer): Promise<void> {
    expecting(201, await api.send('POST', `/v1/series/${id}/samples`, { headers: OCTET, body }));
  }

  const freshChunks = async (): Promise<number> => {
    const text = expecting(200, await api.get('/metrics')).body.toString();
    return Number(/^varve_fresh_chunks (\d+)$/m.exec(text)?.[1]);
  };

  /** All that was appended is in shards: the workers have been told, or have looked by themselves. */
  async function flushed(): Promise<void> {
    while ((await freshChunks()) > 0) await pause(50);
  }

  async function expectStored(id: string, whole: Buffer): Promise<void> {
    const back = expecting(200, await api.get(`/v1/series/${id}/samples?format=octet`));
    expect(back.body.equals(whole)).toBe(true);
  }

  test('what was acknowledged before Redis forgot everything is flushed all the same', async () => {
    const id = await create(api);
    const bodies = [octets(10, 1), octets(200_000, 100)];
    for (const body of bodies) await append(id, body);
    // Nobody flushes: the service has no worker. Readers do not care.
    await expectStored(id, Buffer.concat(bodies));
    expect(await freshChunks()).toBe(2);
    await redis.flushall();
    const worker = await startWorker();
    await flushed();
    await redis.flushall();
    await append(id, octets(10, 5));
    await flushed();
    await expectStored(id, Buffer.concat([...bodies, octets(10, 5)]));
    worker.signal('SIGTERM');
    expect(await worker.exited).toBe(0);
  });

  test('while Redis is away appends are readable as ever, and are flushed when it is back', async () => {
    const id = await create(api);
    const worker = await startWorker();
    await api.append(id, { values: [1] });
    await redis.stop();
    await append(id, octets(5, 2));
    expect((await api.read(id)).values).toEqual([[1, 2, 3, 4, 5, 6]]);
    expect(expecting(503, await api.get('/readyz')).json()).toMatchObject({ checks: { queue: { ok: false } } });
    expecting(200, await api.get('/healthz'));
    await redis.restart();
    await flushed();
    expect((await api.read(id)).values).toEqual([[1, 2, 3, 4, 5, 6]]);
    worker.signal('SIGTERM');
    expect(await worker.exited).toBe(0);
  });

  test(
    'two workers share the work, and one that is killed is replaced by the other',
    async () => {
      const ids = await Promise.all(Array.from({ length: 6 }, () => create(api)));
      const [victim, other] = await Promise.all([startWorker(), startWorker()]);
      for (let n = 0; n < 20; n++) {
        await Promise.all(ids.map((id) => append(id, octets(50, n * 50))));
        if (n === 10) victim.signal('SIGKILL');
        await pause(100);
      }
      await flushed();
      for (const id of ids) await expectStored(id, octets(1000, 0));
      other.signal('SIGTERM');
      expect(await other.exited).toBe(0);
    },
    REDIS_LIMIT_MS,
  );
});
