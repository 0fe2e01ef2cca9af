/** What clients and operators see when the world around the service fails. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { chown, mkdir, mkdtemp, rename, rm, stat, unlink } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { runCli, startService, type RunningService } from '../support/service.ts';
import { mountSmallDisk, type SmallDisk } from '../support/small-disk.ts';
import { relayTo } from '../support/tcp-relay.ts';
import { ApiClient, bodyOf, expecting, pause, type AppendJson, type Problem } from './client.ts';

const SAMPLING = { kind: 'regular', rate_hz: 100 };
const OCTETS = { 'content-type': 'application/octet-stream' };
const ASYNC = { prefer: 'respond-async' };
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

describe('more than the workers drain', () => {
  const at = serving({ VARVE_MAX_FRESH_CHUNKS: '5' }, ['--no-worker']);

  test('is answered 503 with Retry-After and stored not at all, until there is room', async () => {
    const { samples } = await newSeries(at.api);
    const acknowledged: string[] = [];
    for (let write = 0; write < 5; write++) {
      acknowledged.push(
        expecting(202, await at.api.post(samples, { values: [write] }, ASYNC)).json<AppendJson>().write,
      );
    }
    const refused = expecting(503, await at.api.post(samples, { values: [9] }, ASYNC));
    expect(refused.headers['retry-after']).toBe('5');
    expect(refused.json<Problem>().type).toBe('urn:varve:problem:backlog-full');
    expect(await metric(at.api, 'varve_appends_refused_total{reason="backlog-full"}')).toBe(1);
    expect(await metric(at.api, 'varve_writes_pending')).toBe(5);
    expect(await metric(at.api, 'varve_writes_pending_bytes')).toBe(20);

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

    const worker = runCli(['worker'], { DATABASE_URL: at.database.url, VARVE_DATA: at.service.dataRoot });
    try {
      for (const write of acknowledged) expect(await at.api.settled(write, 30_000)).toMatchObject({ state: 'applied' });
      await pause(1_100);
      expecting(201, await at.api.post(samples, { values: [9] }));
    } finally {
      worker.signal('SIGTERM');
      await worker.exited;
    }
  });
});

describe('a shard whose file is deleted', () => {
  const at = serving({});

  test('costs its own ranges; the service says so, serves the rest and goes on writing; the file may come back', async () => {
    const { id } = await newSeries(at.api);
    await at.api.append(id, { values: [1, 2, 3] });
    const [{ path }] = await query<{ path: string }>(at.database.url, 'select path from shards');
    const file = join(at.service.dataRoot, path);
    await rename(file, `${file}.elsewhere`);
    expect(await at.api.append(id, { values: [4, 5] })).toMatchObject({ level: 'visible', first_row: 3 });
    expect((await at.api.read(id, '?rows=3:')).values).toEqual([[4, 5]]);
    const answer = expecting(500, await at.api.get(`/v1/series/${id}/samples?rows=0:2`));
    expect(answer.json<Problem>().type).toBe('urn:varve:problem:shard-missing');

    const recover = (...args: string[]) =>
      runCli(['recover', ...args], { DATABASE_URL: at.database.url, VARVE_DATA: at.service.dataRoot });
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
    expect([await found.exited, found.output()]).toEqual([0, expect.stringContaining('a lost shard is back')]);
    expect(await metric(at.api, 'varve_shards_lost')).toBe(0);
    expect((await at.api.read(id)).values).toEqual([[1, 2, 3, 4, 5]]);
    const quiet = recover();
    expect([await quiet.exited, quiet.output()]).toEqual([0, 'rows and files agree\n']);
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

describe('a full disk', () => {
  const DISK_BYTES = 48 * MB;
  const TOKEN = 'token-of-the-full-disk-test';
  let disk: SmallDisk | null = null;
  let database: TestDatabase;
  let service: RunningService;
  let api: ApiClient;

  beforeAll(async () => {
    disk = await mountSmallDisk(DISK_BYTES);
    if (!disk) return;
    database = await testDatabase();
    const env = { DATABASE_URL: database.url, VARVE_DATA: disk.folder, VARVE_TOKEN: TOKEN, VARVE_MIN_FREE_BYTES: '0' };
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
    test(name, async () => {
      if (disk) return run(disk);
      console.warn(`SKIPPED: a full disk ${name}: this process may not mount a tmpfs`);
    });
  }

  /** int32 values 0, 1, 2 … so that lost or doubled ones show. */
  const ramp = (from: number, rows: number): Buffer =>
    Buffer.from(Int32Array.from({ length: rows }, (_, i) => from + i).buffer);

  async function expectRamp(id: string, rows: number): Promise<void> {
    const answer = expecting(200, await api.get(`/v1/series/${id}/samples?format=octet`));
    expect(answer.body.equals(ramp(0, rows))).toBe(true);
  }

  onSmallDisk('refuses a large append with 507 and keeps nothing of it', async (disk) => {
    const { id, samples } = await newSeries(api);
    const answer = expecting(507, await api.send('POST', samples, { headers: OCTETS, body: ramp(0, 15 * MB) }));
    expect(answer.json<Problem>().type).toBe('urn:varve:problem:storage-full');
    expect(readdirSync(join(disk.folder, 'spool'))).toEqual([]);
    expect((await api.series(id)).rows).toBe(0);
    // Text is parsed in another thread, from where the error has to come through, too.
    const irregular = await newSeries(api, { sampling: { kind: 'irregular' } });
    await disk.fill();
    const lines = Array.from({ length: 20_000 }, (_, i) => `${i},${i}\n`).join('');
    const csv = { headers: { 'content-type': 'text/csv' }, body: `time,value\n${lines}` };
    expecting(507, await api.send('POST', irregular.samples, csv));
    expect(readdirSync(join(disk.folder, 'spool'))).toEqual([]);
    await disk.free();
    expecting(201, await api.send('POST', irregular.samples, csv));
  });

  onSmallDisk(
    'loses nothing that was acknowledged, blames no write, and drains by itself once there is room',
    async (disk) => {
      const { id, samples } = await newSeries(api);
      const rows = 256 * 1024;
      expecting(201, await api.send('POST', samples, { headers: OCTETS, body: ramp(0, rows) }));
      // Room for the spool, not for the shard; small appends lie in Postgres and need no room here.
      await disk.fill(1.5 * MB);
      const large = { headers: { ...OCTETS, ...ASYNC }, body: ramp(rows, rows) };
      const writes = [expecting(202, await api.send('POST', samples, large)).json<AppendJson>().write];
      for (let i = 0; i < 10; i++) {
        const small = { headers: { ...OCTETS, ...ASYNC }, body: ramp(2 * rows + 100 * i, 100) };
        writes.push(expecting(202, await api.send('POST', samples, small)).json<AppendJson>().write);
      }
      await eventually(async () => (await outages(database.url)) >= 4);
      expecting(507, await api.send('POST', samples, { headers: OCTETS, body: ramp(0, rows) }));
      expect(await metric(api, 'varve_lanes_resting')).toBe(1);
      expect(await metric(api, 'varve_writes_failed')).toBe(0);
      expect(await metric(api, 'varve_writes_pending')).toBe(11);
      const [blame] = await query(
        database.url,
        'select max(failures) as failures, max(attempts) as attempts from lanes, writes',
      );
      expect(blame).toEqual({ failures: 0, attempts: 0 });
      expect((await api.series(id)).rows).toBe(rows);
      expect(service.output()).toContain('a drain was kept from committing');

      await disk.free();
      for (const write of writes) expect(await api.settled(write, 60_000)).toMatchObject({ state: 'applied' });
      await expectRamp(id, 2 * rows + 1000);
      const [{ failures, outages: left }] = await query(
        database.url,
        'select max(failures) as failures, max(outages) as outages from lanes',
      );
      expect([failures, left]).toEqual([0, 0]);
      expect(readdirSync(join(disk.folder, 'spool'))).toEqual([]);
    },
  );

  onSmallDisk('survives a kill and a restart while full, with everything acknowledged', async (disk) => {
    const { id, samples } = await newSeries(api);
    const rows = 128 * 1024;
    await disk.fill(0.75 * MB);
    const append = { headers: { ...OCTETS, ...ASYNC }, body: ramp(0, rows) };
    const { write } = expecting(202, await api.send('POST', samples, append)).json<AppendJson>();
    await eventually(async () => (await outages(database.url)) >= 1);
    await service.kill9();
    await service.restart();
    expecting(200, await api.get('/readyz'));
    expect((await api.series(id)).rows).toBe(0);
    await disk.free();
    expect(await api.settled(write, 60_000)).toMatchObject({ state: 'applied' });
    await expectRamp(id, rows);
  });

  onSmallDisk('leaves no unpublished shard behind for every drain that fails', async (disk) => {
    expect(existsSync(join(disk.folder, 'shards', 'orphans'))).toBe(false);
    const known = await query<{ path: string }>(database.url, 'select path from shards');
    const files = readdirSync(join(disk.folder, 'shards'), { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.h5'),
    );
    expect(files.map((name) => `shards/${name}`).sort()).toEqual(known.map(({ path }) => path).sort());
  });

  async function outages(url: string): Promise<number> {
    return (await query<{ most: number }>(url, 'select max(outages) as most from lanes'))[0].most;
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
      await query(at.database.url, `alter table writes set tablespace ${tablespace}`);
      await disk.fill();
      const body = Buffer.alloc(60_000, 1);
      const send = () => at.api.send('POST', samples, { headers: OCTETS, body });
      await eventually(async () => (await send()).status === 507);
      const { rows } = await at.api.series(id);
      await disk.free();
      expect(expecting(201, await send()).json<AppendJson>().first_row).toBe(rows);
      await query(at.database.url, 'alter table writes set tablespace pg_default');
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
  });
});
