/** The embedded Postgres, with real servers: starts, adoptions, kills, leftovers and foreign ports. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chmod, chown, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { findRunningPostgres, startEmbeddedPostgres } from '../../src/main/postgres/embedded-postgres.ts';
import type { EmbeddedPostgres } from '../../src/main/postgres/embedded-postgres.ts';
import { findPackage, linkLibraries, stageBinaries } from '../../src/main/postgres/postgres-binaries.ts';
import { isServerOf, parsePostmasterPid, readPostmasterPid } from '../../src/main/postgres/postmaster-pid.ts';
import { canReach, chooseServerUser, runAs } from '../../src/main/postgres/server-user.ts';

const COLD_START_LIMIT_MS = 30_000;
const isRoot = process.getuid?.() === 0;
const NOBODY = { uid: 65_534, gid: 65_534 };

const folders: string[] = [];
const children: ChildProcess[] = [];

/** A cluster that most tests take in turn, since a first start costs a second. */
let sharedDir = '';

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-embedded-'));
  folders.push(folder);
  return folder;
}

async function postmasterPid(dataDir: string): Promise<number | null> {
  return (await readPostmasterPid(join(dataDir, 'cluster')))?.pid ?? null;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

beforeAll(async () => {
  sharedDir = await mkdtemp(join(tmpdir(), 'varve-embedded-'));
  await (await start(sharedDir)).stop();
}, COLD_START_LIMIT_MS);

afterAll(() => rm(sharedDir, { recursive: true, maxRetries: 5 }));

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  const leaked: string[] = [];
  const used = folders.splice(0);
  for (const dataDir of [sharedDir, ...used, ...used.map((folder) => join(folder, 'inner', 'postgres'))]) {
    const cluster = join(dataDir, 'cluster');
    const pid = await postmasterPid(dataDir);
    if (pid === null || !(await isServerOf(pid, cluster, await chooseServerUser(cluster)))) continue;
    leaked.push(dataDir);
    process.kill(pid, 'SIGKILL');
  }
  for (const folder of used) await rm(folder, { recursive: true, maxRetries: 5 });
  expect(leaked).toEqual([]);
});

function start(dataDir: string, options: { port?: number; fsync?: boolean } = {}): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({ dataDir, fsync: false, log: () => {}, ...options });
}

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  // A server that is killed under a test tells its connections.
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

/** A Node process that starts the server as a service would, and keeps it until it is killed or its input ends. */
async function startInChild(
  dataDir: string,
  user: { uid?: number; gid?: number } = {},
  launcher: readonly string[] = [],
) {
  const module = new URL('../../src/main/postgres/embedded-postgres.js', import.meta.url).href;
  const script = `
    import { startEmbeddedPostgres } from ${JSON.stringify(module)};
    const { stop, ...server } = await startEmbeddedPostgres({ dataDir: process.argv[1], fsync: false, log() {} });
    console.log(JSON.stringify({ ...server, uid: process.getuid?.() }));
    process.stdin.resume().once('end', () => stop().then(() => process.exit(0)));`;
  const [program, ...args] = [...launcher, process.execPath, '--input-type=module', '-e', script, '--', dataDir];
  const child = spawn(program, args, {
    ...user,
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.push(child);
  const exit = new Promise<number | string | null>((resolve) => {
    child.once('exit', (status, signal) => resolve(signal ?? status));
  });
  const ended = exit.then((status): never => {
    throw new Error(`the child ended early: ${status}`);
  });
  const line = new Promise<string>((resolve) => createInterface(child.stdout).once('line', resolve));
  const server = JSON.parse(await Promise.race([line, ended])) as { url: string; adopted: boolean; uid: number };
  ended.catch(() => {});
  return { child, exit, server };
}

async function listen(port: number): Promise<{ server: Server; port: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return { server, port: (server.address() as AddressInfo).port };
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

const SOCKET_LINES = '\n1\n/x\n1700000000\n';

describe('starting and stopping', () => {
  test(
    'an empty folder becomes a server behind a password, and a second start finds the data at the same address',
    async () => {
      const dataDir = await temporaryFolder();
      expect(await findRunningPostgres(dataDir)).toBeNull();
      const first = await start(dataDir);
      expect(first).toMatchObject({ adopted: false, recoveredStalePid: false });
      expect(await query(first.url, 'SELECT current_database() AS db, upper($$é$$) AS upper')).toEqual([
        { db: 'varve', upper: 'É' },
      ]);
      expect(
        await query(
          first.url,
          `SELECT name, setting FROM pg_settings WHERE name IN
           ('listen_addresses', 'unix_socket_directories', 'server_encoding', 'fsync', 'wal_level') ORDER BY name`,
        ),
      ).toEqual([
        { name: 'fsync', setting: 'off' },
        { name: 'listen_addresses', setting: '127.0.0.1' },
        { name: 'server_encoding', setting: 'UTF8' },
        { name: 'unix_socket_directories', setting: '' },
        { name: 'wal_level', setting: 'replica' },
      ]);
      expect((await stat(join(dataDir, 'password'))).mode & 0o777).toBe(0o600);
      const wrong = new URL(first.url);
      wrong.password = 'guess';
      await expect(query(wrong.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });

      await query(first.url, 'CREATE TABLE reading AS SELECT 42 AS value');
      expect(await findRunningPostgres(dataDir)).toBe(first.url);
      const pid = await postmasterPid(dataDir);
      await Promise.all([first.stop(), first.stop()]);
      expect(isAlive(pid ?? 0)).toBe(false);
      expect(await findRunningPostgres(dataDir)).toBeNull();

      const second = await start(dataDir);
      expect(second).toMatchObject({ adopted: false, recoveredStalePid: false, url: first.url });
      expect(await query(second.url, 'SELECT value FROM reading')).toEqual([{ value: 42 }]);
      await second.stop();
    },
    COLD_START_LIMIT_MS,
  );

  test(
    'the leftovers of an interrupted first start are cleared, and a log past its limit starts afresh',
    async () => {
      const dataDir = await temporaryFolder();
      await mkdir(join(dataDir, 'cluster.new-abcdef', 'base'), { recursive: true });
      await writeFile(join(dataDir, 'cluster.new-abcdef', 'PG_VERSION'), '18\n');
      await writeFile(join(dataDir, 'password'), 'of the interrupted start');
      await writeFile(join(dataDir, 'server.log'), '');
      await truncate(join(dataDir, 'server.log'), 11 * 1024 * 1024);
      const server = await start(dataDir);
      expect(await query(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
      await server.stop();
      expect((await readdir(dataDir)).sort()).toEqual(['cluster', 'password', 'port', 'server.lock', 'server.log']);
      expect((await stat(join(dataDir, 'server.log'))).size).toBeLessThan(1024 * 1024);
    },
    COLD_START_LIMIT_MS,
  );

  test('a cluster of another major version is refused and left alone', async () => {
    const dataDir = await temporaryFolder();
    await mkdir(join(dataDir, 'cluster'));
    await writeFile(join(dataDir, 'cluster', 'PG_VERSION'), '9\n');
    await expect(start(dataDir)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(/made by Postgres 9.* brings Postgres \d+/),
    });
    expect(await readdir(join(dataDir, 'cluster'))).toEqual(['PG_VERSION']);
  });
});

describe('after a kill', () => {
  test(
    'the server of a killed process is adopted with its data, and can be stopped',
    async () => {
      const dataDir = sharedDir;
      const { child, exit, server } = await startInChild(dataDir);
      await query(server.url, 'CREATE TABLE adopted AS SELECT 7 AS value');
      // The whole group, as a terminal does with Ctrl-C: the server must not be part of it.
      process.kill(-(child.pid ?? 0), 'SIGKILL');
      expect(await exit).toBe('SIGKILL');

      const adopted = await start(dataDir);
      expect(adopted).toMatchObject({ adopted: true, recoveredStalePid: false, url: server.url });
      const ended = adopted.untilEnded(new AbortController().signal);
      expect(await query(adopted.url, 'SELECT value FROM adopted')).toEqual([{ value: 7 }]);
      const pid = await postmasterPid(dataDir);
      await adopted.stop();
      // Not "is dead": nobody may have collected the orphan yet.
      expect(await isServerOf(pid ?? 0, join(dataDir, 'cluster'), {})).toBe(false);
      expect(await ended).toBe('ended');
    },
    COLD_START_LIMIT_MS,
  );

  test(
    'committed rows survive a kill of Postgres itself, whose death is told',
    async () => {
      const dataDir = sharedDir;
      const first = await start(dataDir, { fsync: true });
      const ended = first.untilEnded(new AbortController().signal);
      await query(first.url, 'CREATE TABLE reading (value integer)');
      const client = new pg.Client({ connectionString: first.url });
      client.on('error', () => {});
      await client.connect();
      for (let value = 0; value < 50; value++) await client.query('INSERT INTO reading VALUES ($1)', [value]);
      process.kill((await postmasterPid(dataDir)) ?? 0, 'SIGKILL');

      const second = await start(dataDir, { fsync: true });
      expect(second).toMatchObject({ adopted: false, recoveredStalePid: true });
      expect(await query(second.url, 'SELECT count(*)::int AS n, sum(value)::int AS sum FROM reading')).toEqual([
        { n: 50, sum: 1225 },
      ]);
      expect(await ended).toBe('SIGKILL');
      await second.stop();
      await client.end().catch(() => {});
    },
    COLD_START_LIMIT_MS,
  );

  test(
    'a stale mark that now names another program, or the Postgres of another folder, does not stop a start',
    async () => {
      const dataDir = sharedDir;
      const otherDir = await temporaryFolder();
      const [first, other] = await Promise.all([start(dataDir), start(otherDir)]);
      await first.stop();
      const program = spawn('sleep', ['60']);
      children.push(program);
      const mark = join(dataDir, 'cluster', 'postmaster.pid');
      const otherMark = await readFile(join(otherDir, 'cluster', 'postmaster.pid'), 'utf8');
      for (const text of [`${program.pid}${SOCKET_LINES}5432\n\n127.0.0.1\n`, otherMark, 'torn']) {
        await writeFile(mark, text);
        expect(await findRunningPostgres(dataDir)).toBeNull();
        const server = await start(dataDir);
        expect(server).toMatchObject({ adopted: false, recoveredStalePid: true });
        await server.stop();
      }
      expect(isAlive(program.pid ?? 0)).toBe(true);
      expect(await query(other.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
      await other.stop();
    },
    COLD_START_LIMIT_MS,
  );

  test(
    'a running server that refuses our password is reported, not replaced',
    async () => {
      const dataDir = sharedDir;
      const server = await start(dataDir);
      const password = await readFile(join(dataDir, 'password'), 'utf8');
      await writeFile(join(dataDir, 'password'), 'another');
      await expect(start(dataDir)).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringContaining('refuses the password'),
      });
      await writeFile(join(dataDir, 'password'), password);
      expect(await findRunningPostgres(dataDir)).toBe(server.url);
      await server.stop();
    },
    COLD_START_LIMIT_MS,
  );
});

// New namespaces take a permission that no package installs.
const canUnshare = spawnSync('unshare', ['--pid', '--ipc', '--mount-proc', '--fork', 'true']).status === 0;
if (!canUnshare) console.warn('SKIPPED: a Postgres left in another container: no permission to make one');

(canUnshare ? test : test.skip)(
  'a server that a killed process left in another container is neither overlooked nor disturbed',
  async () => {
    const dataDir = sharedDir;
    // Pids and shared memory of its own; the shell keeps the namespace, as the first process of a container does.
    const shell = 'sleep 100 | "$@" & read _; kill -KILL $!; sleep 60';
    const container = ['unshare', '--pid', '--ipc', '--mount-proc', '--fork', '--kill-child', 'sh', '-c', shell, 'sh'];
    const { child, server } = await startInChild(dataDir, {}, container);
    await query(server.url, 'CREATE TABLE elsewhere AS SELECT 9 AS value');
    child.stdin.write('kill\n');
    const mark = join(dataDir, 'cluster', 'postmaster.pid');
    const before = await readFile(mark, 'utf8');
    await expect(start(dataDir)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('still runs in'),
    });
    expect(await readFile(mark, 'utf8')).toBe(before);
    expect(await query(server.url, 'SELECT value FROM elsewhere')).toEqual([{ value: 9 }]);
    child.kill('SIGKILL');
    const after = await start(dataDir);
    expect(after).toMatchObject({ adopted: false, recoveredStalePid: true });
    expect(await query(after.url, 'SELECT value FROM elsewhere')).toEqual([{ value: 9 }]);
    await after.stop();
  },
  COLD_START_LIMIT_MS,
);

(canUnshare ? test : test.skip)(
  'a server whose process /proc does not show to its parent starts and stops all the same',
  async () => {
    const { child, exit, server } = await startInChild(sharedDir, {}, ['unshare', '--pid', '--fork']);
    expect(await query(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    child.stdin.end();
    expect(await exit).toBe(0);
    expect(await postmasterPid(sharedDir)).toBeNull();
  },
  COLD_START_LIMIT_MS,
);

describe('ports', () => {
  test(
    'a given port that is taken is an error naming it; a remembered one is left for another',
    async () => {
      const dataDir = sharedDir;
      const first = await start(dataDir);
      await first.stop();
      const remembered = Number(new URL(first.url).port);
      const { server: stranger } = await listen(remembered);
      await expect(start(dataDir, { port: remembered })).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringContaining(`port ${remembered} `),
      });
      const second = await start(dataDir);
      expect(Number(new URL(second.url).port)).not.toBe(remembered);
      await second.stop();
      await close(stranger);

      const third = await start(dataDir, { port: remembered });
      expect(Number(new URL(third.url).port)).toBe(remembered);
      await third.stop();
    },
    COLD_START_LIMIT_MS,
  );
});

describe('accounts', () => {
  const asRoot = isRoot ? test : test.skip;
  if (!isRoot) console.warn('Not root: the tests that change the account are SKIPPED.');

  asRoot(
    'an ordinary user starts a server of their own, and root later runs it as that user',
    async () => {
      const module = new URL('../../src/main/postgres/embedded-postgres.js', import.meta.url).pathname;
      if (!(await canReach(NOBODY, join(module, '..'))) || !(await canReach(NOBODY, process.execPath))) {
        console.warn(`SKIPPED: an ordinary user cannot reach ${module}`);
        return;
      }
      const folder = await temporaryFolder();
      await chown(folder, NOBODY.uid, NOBODY.gid);
      const { child, exit, server } = await startInChild(folder, NOBODY);
      expect(server.uid).toBe(NOBODY.uid);
      await query(server.url, 'CREATE TABLE reading AS SELECT 1 AS value');
      child.stdin?.end();
      expect(await exit).toBe(0);

      const again = await start(folder);
      expect(await query(again.url, 'SELECT value FROM reading')).toEqual([{ value: 1 }]);
      await again.stop();
      for (const name of ['cluster', 'password', 'port', 'server.lock', 'server.log']) {
        expect({ name, uid: (await stat(join(folder, name))).uid }).toEqual({ name, uid: NOBODY.uid });
      }
    },
    COLD_START_LIMIT_MS,
  );

  asRoot(
    'root can keep its data in a folder that no other account may enter',
    async () => {
      const parent = await temporaryFolder();
      await chmod(parent, 0o700);
      const dataDir = join(parent, 'inner', 'postgres');
      const first = await start(dataDir);
      await query(first.url, 'CREATE TABLE reading AS SELECT 3 AS value');
      await query(first.url, 'CHECKPOINT');
      const pid = (await postmasterPid(dataDir)) ?? 0;
      expect((await stat(`/proc/${pid}`)).uid).not.toBe(0);
      const adopted = await start(dataDir);
      expect(adopted.adopted).toBe(true);
      process.kill(pid, 'SIGKILL');
      const second = await start(dataDir);
      expect(second).toMatchObject({ adopted: false, recoveredStalePid: true });
      expect(await query(second.url, 'SELECT value FROM reading')).toEqual([{ value: 3 }]);
      await second.stop();
    },
    COLD_START_LIMIT_MS,
  );

  asRoot(
    'a cluster that root put back from a backup is handed to the account it runs as',
    async () => {
      const dataDir = sharedDir;
      const first = await start(dataDir);
      await query(first.url, 'CREATE TABLE restored AS SELECT 5 AS value');
      await first.stop();
      await runAs({}, 'chown', ['-R', '0:0', dataDir]);
      const second = await start(dataDir);
      expect(await query(second.url, 'SELECT value FROM restored')).toEqual([{ value: 5 }]);
      await second.stop();
    },
    COLD_START_LIMIT_MS,
  );
});

describe('programs', () => {
  test(
    'an installation without links, in a folder that is closed to others, yields a copy that anyone can run',
    async () => {
      const installed = join(await temporaryFolder(), 'package');
      await cp(findPackage(`${process.platform}-${process.arch}`), installed, {
        recursive: true,
        verbatimSymlinks: true,
      });
      const links: { target: string }[] = JSON.parse(
        await readFile(join(installed, 'native', 'pg-symlinks.json'), 'utf8'),
      );
      for (const { target } of links) await rm(join(installed, target));
      await chmod(join(installed, 'native'), 0o700);
      const stageFolder = await temporaryFolder();
      await chmod(stageFolder, 0o755);
      const logged: string[] = [];
      const native = await stageBinaries(installed, stageFolder, (message) => logged.push(message));
      expect(await stageBinaries(installed, stageFolder, (message) => logged.push(message))).toBe(native);
      expect(logged).toHaveLength(1);
      expect(await readdir(stageFolder)).toHaveLength(1);
      const user = isRoot ? NOBODY : {};
      for (const name of ['postgres', 'initdb', 'pg_ctl']) {
        expect(await runAs(user, join(native, 'bin', name), ['--version'])).toMatchObject({
          status: 0,
          stdout: expect.stringContaining('(PostgreSQL)'),
        });
      }
      await expect(stat(join(installed, links[0].target))).rejects.toMatchObject({ code: 'ENOENT' });
      expect(await linkLibraries(join(installed, 'native'))).toBe(true);
      for (const { target } of links) expect((await stat(join(installed, target))).isFile()).toBe(true);
    },
    COLD_START_LIMIT_MS,
  );

  test('a platform without a package is told to set DATABASE_URL', () => {
    expect(() => findPackage('sunos-sparc')).toThrow(/sunos-sparc.*DATABASE_URL/);
  });
});

describe('postmaster.pid', () => {
  test.each([
    ['a running server', '812\n/data\n1700000000\n5433\n\n127.0.0.1\n  1234 5\nready   \n', { pid: 812, port: 5433 }],
    ['a server that has not bound its port', '812\n/data\n1700000000\n', { pid: 812, port: null }],
    ['an empty file', '', null],
    ['a torn file', 'x', null],
    ['a stand-alone backend', '-812\n/data\n1700000000\n0\n', null],
  ])('%s is read', (_, text, expected) => {
    expect(parsePostmasterPid(text)).toEqual(expected);
  });
});
