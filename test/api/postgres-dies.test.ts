/** The embedded Postgres ends by itself, and the service starts it again: nothing is to be done, nothing acknowledged is lost. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { isAlive, postgresPid, startService, type RunningService } from '../support/service.ts';
import { mountSmallDisk } from '../support/small-disk.ts';
import { ApiClient, expecting, pause, type Answer } from './client.ts';

const SAMPLING = { kind: 'regular', rate_hz: 100 };
const OCTETS = { 'content-type': 'application/octet-stream' };
const ROWS = 50;
const MB = 1024 * 1024;
/** Three outages. */
const LOAD_LIMIT_MS = 180_000;
const TOKEN = 'token-of-the-small-disk';

let service: RunningService;
let api: ApiClient;
beforeAll(async () => {
  service = await startService();
  api = new ApiClient(service);
});
afterAll(() => service?.drop());

/** Each test gives back what it takes away, also when it fails. */
let giveBack = (): void => {};
afterEach(() => {
  giveBack();
  giveBack = () => {};
});

async function eventually(what: () => Promise<boolean> | boolean, limitMs = 60_000): Promise<void> {
  for (const end = Date.now() + limitMs; !(await what()); await pause(50)) {
    if (Date.now() > end)
      throw new Error(
        `not within ${limitMs} ms: ${what.toString()}\n${service.output().replaceAll(/^.*"msg":"(request|not ready)".*\n/gm, '')}`,
      );
  }
}

const isReady = async (): Promise<boolean> => (await api.get('/readyz')).status === 200;

const isHealthy = async (): Promise<boolean> => (await api.get('/healthz')).json<{ status: string }>().status === 'ok';

/** Sessions of a server that was killed may answer for another moment: a new one must be there. */
async function isBack(): Promise<boolean> {
  const pid = postgresPid(service.dataRoot);
  return pid !== null && isAlive(pid) && (await isReady());
}

/** @returns the pid of the server that was killed */
async function killPostgres(folder = service.dataRoot): Promise<number> {
  const pid = postgresPid(folder) ?? 0;
  process.kill(pid, 'SIGKILL');
  await eventually(() => !isAlive(pid) || postgresPid(folder) !== pid);
  return pid;
}

/** Takes a file away without which Postgres does not start. */
function breakCluster(): void {
  const file = join(service.dataRoot, 'postgres', 'cluster', 'global', 'pg_control');
  renameSync(file, `${file}.away`);
  giveBack = () => renameSync(`${file}.away`, file);
}

function ramp(from: number, rows: number): Buffer {
  return Buffer.from(Int32Array.from({ length: rows }, (_, i) => from + i).buffer);
}

interface Writer {
  readonly id: string;
  /** Rows that are acknowledged by now. */
  readonly rows: number;
  stop(): Promise<void>;
}

/** Appends block after block to a series of its own until it is told to stop; a block is sent again until it is acknowledged. */
async function startWriter(statuses: Set<number>): Promise<Writer> {
  const { id } = await api.createSeries({ name: randomUUID(), dtype: 'int32', sampling: SAMPLING });
  let isOn = true;
  let rows = 0;
  const running = (async () => {
    while (isOn) {
      const headers = { ...OCTETS, 'idempotency-key': `${id}-${rows}` };
      const answer = await api.send('POST', `/v1/series/${id}/samples`, { headers, body: ramp(rows, ROWS) });
      statuses.add(answer.status);
      if (answer.status === 201) rows += ROWS;
      else await pause(20);
    }
  })();
  return {
    id,
    get rows() {
      return rows;
    },
    async stop() {
      isOn = false;
      await running;
    },
  };
}

/** What was acknowledged is there, once and in order; of the last block, whose answer was not awaited, all or nothing. */
async function expectRamp(client: ApiClient, { id, rows }: { id: string; rows: number }): Promise<void> {
  let answer: Answer | undefined;
  await eventually(async () => (answer = await client.get(`/v1/series/${id}/samples?format=octet`)).status === 200);
  expect([rows, rows + ROWS]).toContain(answer!.body.length / 4);
  expect(answer!.body.equals(ramp(0, answer!.body.length / 4))).toBe(true);
}

describe('an embedded Postgres that is killed', () => {
  test(
    'again and again under load is started again, and nothing acknowledged is lost',
    async () => {
      const statuses = new Set<number>();
      const writers = await Promise.all([1, 2, 3, 4].map(() => startWriter(statuses)));
      const allGoOn = async (): Promise<void> => {
        const before = writers.map(({ rows }) => rows);
        await eventually(() => writers.every(({ rows }, i) => rows > before[i]));
      };
      const killed = new Set<number>();
      for (let round = 0; round < 3; round++) {
        await allGoOn();
        killed.add(await killPostgres());
        await eventually(isBack);
      }
      await allGoOn();
      await Promise.all(writers.map((each) => each.stop()));
      expect(killed.size).toBe(3);
      expect([...statuses].filter((status) => ![201, 503].includes(status))).toEqual([]);
      for (const each of writers) await expectRamp(api, each);
      expect(service.output()).toMatch(
        /"level":50[^\n]*"how":"SIGKILL"[^\n]*Postgres ended by itself: starting it again/,
      );
      await eventually(isHealthy);
    },
    LOAD_LIMIT_MS,
  );

  test('and does not start again is told by /healthz and /readyz, and served again once it can', async () => {
    breakCluster();
    await killPostgres();
    await eventually(async () => (await api.get('/healthz')).status === 503);
    expect((await api.get('/healthz')).json()).toEqual({ status: 'failing' });
    expect(expecting(503, await api.get('/readyz')).json()).toMatchObject({ checks: { postgres: { ok: false } } });
    const refused = expecting(503, await api.get('/v1/series'));
    expect(refused.headers['retry-after']).toBeDefined();
    expect(service.output()).toMatch(/"level":50[^\n]*could not be started again: trying once more/);
    giveBack();
    giveBack = () => {};
    await eventually(isReady);
    await eventually(isHealthy);
    expecting(200, await api.get('/v1/series'));
  });

  test(
    'after it was adopted from a service that was killed is started again, too',
    async () => {
      const writer = await startWriter(new Set());
      await eventually(() => writer.rows > 0);
      await writer.stop();
      const left = postgresPid(service.dataRoot);
      await service.kill9();
      await service.restart();
      expect(await killPostgres()).toBe(left);
      await eventually(async () => (await isReady()) && postgresPid(service.dataRoot) !== left);
      await expectRamp(api, writer);
    },
    LOAD_LIMIT_MS,
  );
});

describe('a service that is told to stop ends, and leaves no Postgres', () => {
  test('while it cannot start one', async () => {
    breakCluster();
    await killPostgres();
    await eventually(async () => (await api.get('/healthz')).status === 503);
    expect(await service.stop()).toBe(0);
    giveBack();
    giveBack = () => {};
    await service.restart();
    expect(await isReady()).toBe(true);
  });

  test('while it starts one', async () => {
    process.kill(postgresPid(service.dataRoot) ?? 0, 'SIGKILL');
    expect(await service.stop()).toBe(0);
    expect(postgresPid(service.dataRoot)).toBeNull();
    await service.restart();
    expect(await isReady()).toBe(true);
  });
});

test('a Postgres that panics on a full disk is back when there is room', async () => {
  const disk = await mountSmallDisk(160 * MB);
  if (!disk) {
    console.warn('SKIPPED: a Postgres that panics on a full disk: this process may not mount a tmpfs');
    return;
  }
  let other: RunningService | undefined;
  try {
    const env = { VARVE_DATA: disk.folder, VARVE_TOKEN: TOKEN, VARVE_MIN_FREE_BYTES: '0' };
    other = await startService({ env });
    const client = new ApiClient({ url: other.url, token: TOKEN });
    const { id } = await client.createSeries({ name: 'before', dtype: 'int32', sampling: SAMPLING });
    expecting(201, await client.send('POST', `/v1/series/${id}/samples`, { headers: OCTETS, body: ramp(0, ROWS) }));
    await disk.fill();
    await fillLog(disk.folder);
    await eventually(async () => (await client.get('/healthz')).status === 503);
    expecting(503, await client.get('/v1/series'));
    expect(readFileSync(join(disk.folder, 'postgres', 'server.log'), 'utf8')).toContain('PANIC');
    await disk.free();
    await eventually(async () => (await client.get('/readyz')).status === 200);
    await expectRamp(client, { id, rows: ROWS });
  } finally {
    await other?.drop();
    await disk.drop();
  }
});

/** Writes until the server that serves this folder has no room for its write-ahead log. */
async function fillLog(folder: string): Promise<void> {
  const [password, port] = ['password', 'port'].map((name) =>
    readFileSync(join(folder, 'postgres', name), 'utf8').trim(),
  );
  const client = new pg.Client({ connectionString: `postgres://varve:${password}@127.0.0.1:${port}/varve` });
  client.on('error', () => {});
  await client.connect();
  try {
    for (;;) await client.query(`select pg_logical_emit_message(false, 'fill', repeat('x', 1000000))`);
  } catch {
    // It has ended, or refuses.
  } finally {
    await client.end().catch(() => {});
  }
}
