/** What clients and operators see when the world around the service fails. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { chown, mkdir, mkdtemp, readFile, rename, rm, stat, truncate, unlink, writeFile } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { flushAll } from '../support/command.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { runCli, startService, type RunningService } from '../support/service.ts';
import { mountSmallDisk, type SmallDisk } from '../support/small-disk.ts';
import { relayTo } from '../support/tcp-relay.ts';
import { ApiClient, bodyOf, expecting, pause, type AppendJson, type Problem } from './client.ts';

const SAMPLING = { kind: 'regular', rate_hz: 100 };
const OCTETS = { 'content-type': 'application/octet-stream' };
const MB = 1024 * 1024;

async function eventually(what: () => Promise<boolean>, limitMs = 60_000): Promise<void> {
  for (const end = Date.now() + limitMs; !(await what()); await pause(100)) {
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what.toString()}`);
  }
}

async function metric(api: ApiClient, name: string): Promise<number> {
  const text = expecting(200, await api.get('/metrics')).body.toString();
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  return Number(line?.split(' ').at(-1));
}

async function query<T extends pg.QueryResultRow>(url: string, sql: string, values: unknown[] = []): Promise<T[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<T>(sql, values)).rows;
  } finally {
    await client.end();
  }
}

/** A service with a database of its own. */
function serving(env: Readonly<Record<string, string>>, args: readonly string[] = []) {
  const running = {} as { api: ApiClient; service: RunningService; database: TestDatabase };
  beforeAll(async () => {
    running.database = await testDatabase();
    running.service = await startService({ env: { DATABASE_URL: running.database.url, ...env }, args });
    running.api = new ApiClient(running.service);
  });
  afterAll(async () => {
    await running.service?.drop();
    await running.database?.drop();
  });
  return running;
}

async function newSeries(api: ApiClient, fields: object = {}): Promise<{ id: string; samples: string }> {
  const { id } = await api.createSeries({ name: randomUUID(), dtype: 'int32', sampling: SAMPLING, ...fields });
  return { id, samples: `/v1/series/${id}/samples` };
}

describe('a source and its sequence numbers', () => {
  const at = serving({});

  test('stand in for an Idempotency-Key: a replay stores once and is answered alike', async () => {
    const { id, samples } = await newSeries(at.api);
    const send = (path: string) => at.api.post(samples + path, { values: [1, 2] });
    const first = expecting(201, await send('?source=logger%207&sequence=41'));
    const again = expecting(201, await send('?source=logger%207&sequence=041'));
    expect(again.json()).toEqual(first.json());
    expect(again.headers['idempotency-replayed']).toBe('true');
    for (const other of ['?source=logger%207&sequence=42', '?source=logger%208&sequence=41', '?source=7&sequence=-1']) {
      expect(expecting(201, await send(other)).headers['idempotency-replayed']).toBeUndefined();
    }
    expect((await at.api.series(id)).rows).toBe(8);
  });

  test('of other content are refused', async () => {
    const { id, samples } = await newSeries(at.api);
    expecting(201, await at.api.post(`${samples}?source=a&sequence=1`, { values: [1] }));
    const answer = expecting(422, await at.api.post(`${samples}?source=a&sequence=1`, { values: [2] }));
    expect(answer.json<Problem>()).toMatchObject({
      type: 'urn:varve:problem:key-reused',
      errors: [{ field: 'sequence' }],
    });
    expect((await at.api.series(id)).rows).toBe(1);
  });

  test('are no Idempotency-Key of the same text', async () => {
    const { id, samples } = await newSeries(at.api);
    expecting(201, await at.api.post(`${samples}?source=1&sequence=1`, { values: [1] }));
    expecting(201, await at.api.post(samples, { values: [2] }, { 'idempotency-key': '1:1' }));
    expecting(400, await at.api.post(samples, { values: [2] }, { 'idempotency-key': '1 1' }));
    expect((await at.api.series(id)).rows).toBe(2);
  });

  test.each([
    ['source=a', 'sequence', {}],
    ['sequence=1', 'source', {}],
    ['source=&sequence=1', 'source', {}],
    ['source=a&sequence=one', 'sequence', {}],
    ['source=a&sequence=1.5', 'sequence', {}],
    ['source=a&sequence=9223372036854775808', 'sequence', {}],
    ['source=a&sequence=1', 'Idempotency-Key', { 'idempotency-key': 'k' }],
  ])('%s is refused, naming %s', async (parameters, field, headers) => {
    const { id, samples } = await newSeries(at.api);
    const answer = expecting(400, await at.api.post(`${samples}?${parameters}`, { values: [1] }, headers));
    expect(answer.json<Problem>().errors.map((error) => error.field)).toContain(field);
    expect((await at.api.series(id)).rows).toBe(0);
  });
});

describe('an upload whose connection breaks', () => {
  const at = serving({});

  test('stores nothing and leaves nothing behind', async () => {
    const { id, samples } = await newSeries(at.api);
    const outgoing = request(new URL(samples, at.service.url), {
      method: 'POST',
      headers: { ...OCTETS, authorization: `Bearer ${at.service.token}`, 'content-length': String(64 * MB) },
    });
    outgoing.on('error', () => {});
    outgoing.write(Buffer.alloc(8 * MB));
    const spool = join(at.service.dataRoot, 'spool');
    await eventually(async () => readdirSync(spool).length > 0);
    outgoing.destroy();
    await eventually(async () => readdirSync(spool).length === 0);
    expect((await at.api.series(id)).rows).toBe(0);
    expect(await metric(at.api, 'varve_uploads')).toBe(0);
  });
});

describe('a payload that is deleted while it is received', () => {
  const at = serving({});

  test('is not acknowledged', async () => {
    const { id, samples } = await newSeries(at.api);
    const outgoing = request(new URL(samples, at.service.url), {
      method: 'POST',
      headers: { ...OCTETS, authorization: `Bearer ${at.service.token}` },
    });
    outgoing.write(Buffer.alloc(4 * MB));
    const spool = join(at.service.dataRoot, 'spool');
    await eventually(async () => readdirSync(spool).length > 0);
    for (const name of readdirSync(spool)) await unlink(join(spool, name));
    outgoing.end(Buffer.alloc(4 * MB));
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    expect([answer.statusCode, (await bodyOf(answer)).toString()]).toEqual([
      503,
      expect.stringContaining('urn:varve:problem:payload-removed'),
    ]);
    expect((await at.api.series(id)).rows).toBe(0);
  });
});

describe('a Postgres that is away when the service starts', () => {
  test('is waited for', async () => {
    const database = await testDatabase();
    const relay = await relayTo(database.url);
    await relay.cut();
    const dataRoot = await mkdtemp(join(tmpdir(), 'varve-test-'));
    const varve = runCli(['serve'], { VARVE_DATA: dataRoot, VARVE_PORT: '0', DATABASE_URL: relay.url });
    try {
      await eventually(() => Promise.resolve(varve.output().includes('waiting for Postgres')));
      await relay.restore();
      await varve.line('varve is ready at ');
    } finally {
      varve.signal('SIGTERM');
      await varve.exited;
      await relay.cut();
      await database.drop();
      await rm(dataRoot, { recursive: true });
    }
  });
});

describe('more than the workers flush', () => {
  const at = serving({ VARVE_MAX_FRESH_CHUNKS: '5' }, ['--no-worker']);

  test('is answered 503 with Retry-After and stored not at all, until there is room', async () => {
    const { id, samples } = await newSeries(at.api);
    for (let write = 0; write < 5; write++) expecting(201, await at.api.post(samples, { values: [write] }));
    const refused = expecting(503, await at.api.post(samples, { values: [9] }));
    expect(refused.headers['retry-after']).toBe('5');
    expect(refused.json<Problem>().type).toBe('urn:varve:problem:backlog-full');
    expect(await metric(at.api, 'varve_appends_refused_total{reason="backlog-full"}')).toBe(1);
    expect(await metric(at.api, 'varve_fresh_chunks')).toBe(5);
    expect(await metric(at.api, 'varve_fresh_bytes')).toBe(20);
    expect((await at.api.read(id)).values).toEqual([[0, 1, 2, 3, 4]]);

    // Refused before its body is read: the answer comes though the body never ends.
    const endless = request(new URL(samples, at.service.url), {
      method: 'POST',
      headers: { ...OCTETS, authorization: `Bearer ${at.service.token}`, 'content-length': String(64 * MB) },
    });
    endless.on('error', () => {});
    endless.write(Buffer.alloc(10));
    const [answer] = await once(endless, 'response');
    expect(answer.statusCode).toBe(503);
    endless.destroy();

    const env = { DATABASE_URL: at.database.url, VARVE_DATA: at.service.dataRoot, VARVE_FLUSH_AGE_S: '1' };
    const worker = runCli(['worker'], env);
    try {
      await eventually(async () => (await metric(at.api, 'varve_fresh_chunks')) === 0);
      await eventually(async () => (await at.api.post(samples, { values: [9] })).status === 201);
      expect((await at.api.read(id)).values).toEqual([[0, 1, 2, 3, 4, 9]]);
    } finally {
      worker.signal('SIGTERM');
      await worker.exited;
    }
  });
});

describe('a shard whose file is deleted', () => {
  const at = serving({});

  test('costs its own ranges; the service says so, serves the rest and goes on writing; the file may come back', async () => {
    const env = { DATABASE_URL: at.database.url };
    const { id } = await newSeries(at.api);
    await at.api.append(id, { values: [1, 2, 3] });
    await flushAll(at.service.dataRoot, env);
    const [{ path }] = await query<{ path: string }>(at.database.url, 'select path from shards');
    const file = join(at.service.dataRoot, path);
    await rename(file, `${file}.elsewhere`);
    expect(await at.api.append(id, { values: [4, 5] })).toMatchObject({ level: 'visible', first_row: 3 });
    expect((await at.api.read(id, '?rows=3:')).values).toEqual([[4, 5]]);
    await flushAll(at.service.dataRoot, env);
    expect((await at.api.read(id, '?rows=3:')).values).toEqual([[4, 5]]);
    const answer = expecting(500, await at.api.get(`/v1/series/${id}/samples?rows=0:2`));
    expect(answer.json<Problem>().type).toBe('urn:varve:problem:shard-missing');

    const recover = (...args: string[]) => runCli(['recover', ...args], { ...env, VARVE_DATA: at.service.dataRoot });
    const planned = recover('--dry-run');
    expect([await planned.exited, planned.output()]).toEqual([1, expect.stringContaining(`${path}: missing`)]);
    expect(expecting(200, await at.api.get('/readyz')).json()).toMatchObject({ checks: { shards: { ok: true } } });
    const done = recover();
    expect([await done.exited, done.output()]).toEqual([1, expect.stringContaining('a shard is lost')]);
    expect(expecting(200, await at.api.get('/readyz')).json()).toMatchObject({
      status: 'ready',
      checks: { shards: { ok: true, degraded: true } },
    });
    expect(await metric(at.api, 'varve_shards_lost')).toBe(1);

    await rename(`${file}.elsewhere`, file);
    const found = recover();
    expect([await found.exited, found.output()]).toEqual([0, expect.stringContaining('the file of a shard is back')]);
    expect(await metric(at.api, 'varve_shards_lost')).toBe(0);
    expect((await at.api.read(id)).values).toEqual([[1, 2, 3, 4, 5]]);
    const quiet = recover();
    expect([await quiet.exited, quiet.output()]).toEqual([0, 'rows and files agree\n']);
  });
});

describe('a shard whose file is cut short', () => {
  const at = serving({});

  test('costs what was cut off and nothing else: never zeros, and appends go on behind it', async () => {
    const env = { DATABASE_URL: at.database.url };
    const { id, samples } = await newSeries(at.api);
    const rows = Buffer.from(Int32Array.from({ length: 400_000 }, (_, i) => i).buffer);
    expecting(201, await at.api.send('POST', samples, { headers: OCTETS, body: rows }));
    await flushAll(at.service.dataRoot, env);
    const [{ path, bytes }] = await query<{ path: string; bytes: string }>(
      at.database.url,
      'select path, bytes from shards',
    );
    const file = join(at.service.dataRoot, path);
    const whole = await readFile(file);
    await truncate(file, Math.floor(Number(bytes) / 2));
    const recovered = runCli(['recover'], { ...env, VARVE_DATA: at.service.dataRoot });
    expect([await recovered.exited, recovered.output()]).toEqual([1, expect.stringContaining('a shard is damaged')]);
    expect(expecting(200, await at.api.get('/readyz')).json()).toMatchObject({
      status: 'ready',
      checks: { shards: { ok: true, degraded: true } },
    });
    const last = expecting(500, await at.api.get(`${samples}?rows=399990:400000&format=octet`));
    expect(last.json<Problem>().type).toMatch(/^urn:varve:problem:(shard-|chunk-corrupt)/);
    expect(await at.api.append(id, { values: [7] })).toMatchObject({ first_row: 400_000 });
    expect((await at.api.read(id, '?rows=400000:')).values).toEqual([[7]]);
    await writeFile(file, whole);
    const back = runCli(['recover'], { ...env, VARVE_DATA: at.service.dataRoot });
    expect([await back.exited, back.output()]).toEqual([0, expect.stringContaining('the file of a shard is back')]);
    const read = expecting(200, await at.api.get(`${samples}?rows=0:400000&format=octet`));
    expect(read.body.equals(rows)).toBe(true);
  });
});

describe('a data folder and a database that do not belong together', () => {
  test('are refused at the start, and nothing is touched', async () => {
    const [mine, other] = [await testDatabase(), await testDatabase()];
    await query(other.url, 'update catalog_identity set id = gen_random_uuid()');
    const service = await startService({ env: { DATABASE_URL: mine.url } });
    try {
      const api = new ApiClient(service);
      const { id } = await newSeries(api);
      await api.append(id, { values: [1] });
      for (const command of ['serve', 'worker', 'recover']) {
        const wrong = runCli([command], { DATABASE_URL: other.url, VARVE_DATA: service.dataRoot, VARVE_PORT: '0' });
        expect([await wrong.exited, wrong.output()]).toEqual([1, expect.stringContaining('belongs to catalog')]);
      }
      expect((await api.read(id)).values).toEqual([[1]]);
    } finally {
      await service.drop();
      await mine.drop();
      await other.drop();
    }
  });
});

/** A bijection of 32 bits that leaves no pattern. */
function mixed(n: number): number {
  const a = Math.imul(n ^ (n >>> 16), 0x7feb352d);
  const b = Math.imul(a ^ (a >>> 15), 0x846ca68b);
  return b ^ (b >>> 16);
}

describe('a full disk', () => {
  const DISK_BYTES = 48 * MB;
  /** A lane whose flush has failed rests for a while, the longer the more often it has. */
  const FLUSH_LIMIT_MS = 120_000;
  const TOKEN = 'token-of-the-full-disk-test';
  let disk: SmallDisk | null = null;
  let database: TestDatabase;
  let service: RunningService;
  let api: ApiClient;

  beforeAll(async () => {
    disk = await mountSmallDisk(DISK_BYTES);
    if (!disk) return;
    database = await testDatabase();
    const env = {
      DATABASE_URL: database.url,
      VARVE_DATA: disk.folder,
      VARVE_TOKEN: TOKEN,
      VARVE_MIN_FREE_BYTES: '0',
      VARVE_FLUSH_AGE_S: '1',
    };
    service = await startService({ env });
    const at = {
      get url() {
        return service.url;
      },
      token: TOKEN,
    };
    api = new ApiClient(at);
  });

  afterAll(async () => {
    await service?.drop();
    await database?.drop();
    await disk?.drop();
  });

  /** Mounting takes a permission that no package installs, so VARVE_TEST_NO_SKIP does not make this an error. */
  function onSmallDisk(name: string, run: (disk: SmallDisk) => Promise<void>): void {
    const runOrSkip = async (): Promise<void> => {
      if (disk) return run(disk);
      console.warn(`SKIPPED: a full disk ${name}: this process may not mount a tmpfs`);
    };
    test(name, runOrSkip, 2 * FLUSH_LIMIT_MS);
  }

  /** int32 values that tell the rows apart, and do not compress. */
  const noise = (from: number, rows: number): Buffer =>
    Buffer.from(Int32Array.from({ length: rows }, (_, i) => mixed(from + i)).buffer);

  async function expectNoise(id: string, rows: number): Promise<void> {
    const answer = expecting(200, await api.get(`/v1/series/${id}/samples?format=octet`));
    expect(answer.body.equals(noise(0, rows))).toBe(true);
  }

  onSmallDisk('refuses a large append with 507 and keeps nothing of it', async (disk) => {
    const { id, samples } = await newSeries(api);
    const answer = expecting(507, await api.send('POST', samples, { headers: OCTETS, body: noise(0, 15 * MB) }));
    expect(answer.json<Problem>().type).toBe('urn:varve:problem:storage-full');
    expect(readdirSync(join(disk.folder, 'spool'))).toEqual([]);
    expect((await api.series(id)).rows).toBe(0);
    // Text is parsed in another thread, from where the error has to come through, too.
    const irregular = await newSeries(api, { sampling: { kind: 'irregular' } });
    await disk.fill();
    const lines = Array.from({ length: 200_000 }, (_, i) => `${i},${i}\n`).join('');
    const csv = { headers: { 'content-type': 'text/csv' }, body: `time,value\n${lines}` };
    expecting(507, await api.send('POST', irregular.samples, csv));
    expect(readdirSync(join(disk.folder, 'spool'))).toEqual([]);
    await disk.free();
    expecting(201, await api.send('POST', irregular.samples, csv));
  });

  onSmallDisk(
    'loses nothing that was acknowledged, keeps small appends going, and flushes by itself once there is room',
    async (disk) => {
      const { id, samples } = await newSeries(api);
      const rows = 512 * 1024;
      // Room for the spool, not for the shard; small appends lie in Postgres and need no room here.
      await disk.fill(2.5 * MB);
      const large = { headers: OCTETS, body: noise(0, rows) };
      expecting(201, await api.send('POST', samples, large));
      for (let i = 0; i < 10; i++) {
        const small = { headers: OCTETS, body: noise(rows + 100 * i, 100) };
        expecting(201, await api.send('POST', samples, small));
      }
      await eventually(async () => (await failures(database.url)) >= 2);
      expecting(507, await api.send('POST', samples, large));
      expect(await metric(api, 'varve_lanes_resting')).toBeGreaterThanOrEqual(1);
      expect(await metric(api, 'varve_fresh_chunks')).toBeGreaterThan(10);
      expect(service.output()).toContain('a lane could not be flushed: what is fresh stays where it is');
      await expectNoise(id, rows + 1000);
      expecting(201, await api.send('POST', samples, { headers: OCTETS, body: noise(rows + 1000, 5) }));

      await disk.free();
      await flushed();
      await expectNoise(id, rows + 1005);
      await eventually(async () => (await failures(database.url)) === 0);
    },
  );

  onSmallDisk('leaves no shard behind for flushes that fail', async (disk) => {
    expect(existsSync(join(disk.folder, 'shards', 'orphans'))).toBe(false);
    const known = await query<{ path: string }>(database.url, 'select path from shards');
    expect(await query(database.url, `select path from shards where state = 'writing'`)).toEqual([]);
    const files = readdirSync(join(disk.folder, 'shards'), { recursive: true, encoding: 'utf8' }).filter((name) =>
      statSync(join(disk.folder, 'shards', name)).isFile(),
    );
    expect(files.map((name) => `shards/${name}`).sort()).toEqual(known.map(({ path }) => path).sort());
  });

  onSmallDisk('survives a kill and a restart while full, with everything acknowledged', async (disk) => {
    const { id, samples } = await newSeries(api);
    const rows = 512 * 1024;
    await disk.fill(2.5 * MB);
    expecting(201, await api.send('POST', samples, { headers: OCTETS, body: noise(0, rows) }));
    await eventually(async () => (await failures(database.url)) >= 1);
    await service.kill9();
    await service.restart();
    expecting(200, await api.get('/readyz'));
    await expectNoise(id, rows);
    await disk.free();
    await flushed();
    await expectNoise(id, rows);
  });

  /** Flushes in a row that failed. */
  async function failures(url: string): Promise<number> {
    return (await query<{ most: number }>(url, 'select max(failures) as most from lanes'))[0].most;
  }

  async function flushed(): Promise<void> {
    await eventually(async () => (await metric(api, 'varve_fresh_chunks')) === 0, FLUSH_LIMIT_MS);
  }
});

describe('a full disk under Postgres', () => {
  const at = serving({});

  test('is answered 507, and what was acknowledged stays', async () => {
    const disk = await mountSmallDisk(8 * MB);
    if (!disk) {
      console.warn('SKIPPED: a full disk under Postgres: this process may not mount a tmpfs');
      return;
    }
    const tablespace = `small_${randomUUID().replaceAll('-', '')}`;
    const folder = join(disk.folder, 'pg');
    try {
      const { id, samples } = await newSeries(at.api);
      await at.api.append(id, { values: [1] });
      const [{ data_directory: cluster }] = await query(at.database.url, 'show data_directory');
      const { uid, gid } = await stat(cluster);
      await mkdir(folder);
      await chown(folder, uid, gid);
      await query(at.database.url, `create tablespace ${tablespace} location '${folder}'`);
      await query(at.database.url, `alter table fresh set tablespace ${tablespace}`);
      await disk.fill();
      const body = Buffer.alloc(60_000, 1);
      const send = () => at.api.send('POST', samples, { headers: OCTETS, body });
      await eventually(async () => (await send()).status === 507);
      const { rows } = await at.api.series(id);
      await disk.free();
      expect(expecting(201, await send()).json<AppendJson>().first_row).toBe(rows);
      await query(at.database.url, 'alter table fresh set tablespace pg_default');
      await query(at.database.url, `drop tablespace ${tablespace}`);
    } finally {
      await disk.drop();
    }
  });
});

describe('a disk that is nearly full', () => {
  const at = serving({ VARVE_MIN_FREE_BYTES: String(2 ** 52) });

  test('is kept from filling up: appends are answered 507 before their body, reads go on', async () => {
    const { id, samples } = await newSeries(at.api);
    const answer = expecting(507, await at.api.post(samples, { values: [1] }));
    expect(answer.json<Problem>().type).toBe('urn:varve:problem:disk-nearly-full');
    expect((await at.api.read(id)).values).toEqual([[]]);
    expect(await metric(at.api, 'varve_appends_refused_total{reason="disk-nearly-full"}')).toBe(1);
    const ready = expecting(200, await at.api.get('/readyz')).json<{ checks: { storage: object } }>();
    expect(ready.checks.storage).toMatchObject({ ok: true, degraded: true, message: expect.stringContaining('507') });
  });
});
