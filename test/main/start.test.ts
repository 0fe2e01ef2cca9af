/** What keeps `varve serve` from starting is said at once, in one sentence, and nothing is made before. */
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig, readEnvironment } from '../../src/main/process/config.ts';
import { hasTestPostgres, testDatabase } from '../support/postgres.ts';
import { projectRoot } from '../support/project-root.ts';
import { runCli, startService } from '../support/service.ts';

const base = mkdtempSync(join(tmpdir(), 'varve-start-'));
afterAll(() => rmSync(base, { recursive: true }));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(base, 'f-'));
});

/** The one line a refused start prints. */
async function refusal(env: Record<string, string>, cwd?: string): Promise<string> {
  const refused = runCli(['serve'], { VARVE_DATA: join(folder, 'data'), VARVE_PORT: '0', ...env }, { cwd });
  expect(await refused.exited).toBe(1);
  const lines = refused.output().trimEnd().split('\n');
  expect(lines).toEqual([expect.stringMatching(/^varve: /)]);
  return lines[0].slice('varve: '.length);
}

async function takenPort(): Promise<{ port: string; close(): void }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: String((server.address() as AddressInfo).port), close: () => void server.close() };
}

describe('an impossible VARVE_DATA is refused, with the reason', () => {
  test('a file, and a path below one', async () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    expect(await refusal({ VARVE_DATA: file })).toBe(`VARVE_DATA cannot be ${file}: not a directory`);
    expect(await refusal({ VARVE_DATA: join(file, 'x', 'y') })).toMatch(/^VARVE_DATA cannot be .*y: not a directory/);
  });

  test('a folder in which one of its own names is a file', async () => {
    writeFileSync(join(folder, 'spool'), '');
    const spool = join(folder, 'spool');
    expect(await refusal({ VARVE_DATA: folder })).toBe(`VARVE_DATA cannot be ${folder}: not a directory at ${spool}`);
  });

  (process.platform === 'linux' ? test : test.skip)('a place that takes no new names', async () => {
    for (const path of ['/proc/x', '/proc/x/y', '/proc']) {
      expect(await refusal({ VARVE_DATA: path })).toMatch(`VARVE_DATA cannot be ${path}: no such file or directory`);
    }
  });

  (process.getuid?.() === 0 ? test.skip : test)('a folder without permission', async () => {
    chmodSync(folder, 0o500);
    expect(await refusal({})).toMatch(/^VARVE_DATA cannot be .*: permission denied/);
  });
});

describe('a taken port is noticed before a cluster is created', () => {
  test('that of the service', async () => {
    const { port, close } = await takenPort();
    expect(await refusal({ VARVE_PORT: port })).toMatch(
      `cannot listen on 127.0.0.1:${port}: the address is already in`,
    );
    expect(existsSync(join(folder, 'data', 'postgres'))).toBe(false);
    close();
  });

  test('that of the embedded Postgres', async () => {
    const { port, close } = await takenPort();
    expect(await refusal({ VARVE_POSTGRES_PORT: port })).toMatch(/^port \d+ for the embedded Postgres is taken/);
    expect(existsSync(join(folder, 'data', 'postgres', 'cluster'))).toBe(false);
    close();
    expect(await refusal({ VARVE_PORT: port, VARVE_POSTGRES_PORT: port })).toMatch(
      'VARVE_POSTGRES_PORT must not be VARVE_PORT',
    );
  });
});

(hasTestPostgres() ? describe : describe.skip)('a Postgres without fsync', () => {
  test('is refused by service and worker, unless a test allows it', async () => {
    const database = await testDatabase(); // of the run's Postgres, which is a fast one
    try {
      const env = { DATABASE_URL: database.url, VARVE_DATA: join(folder, 'data'), VARVE_PORT: '0' };
      for (const command of ['serve', 'worker']) {
        const refused = runCli([command], { ...env, VARVE_ALLOW_FSYNC_OFF: '0' });
        expect([await refused.exited, refused.output()]).toEqual([1, expect.stringContaining('runs with fsync=off')]);
      }
      const allowed = runCli(['serve'], { ...env, VARVE_ALLOW_FSYNC_OFF: '1' });
      await allowed.line('varve is ready at ');
      allowed.signal('SIGTERM');
      await allowed.exited;
    } finally {
      await database.drop();
    }
  });
});

describe('a variable that is wrong is named, with what it may be', () => {
  test('by the program, in one line', async () => {
    expect(await refusal({ VARVE_PORT: 'abc' })).toBe('VARVE_PORT must be a whole number from 0 to 65535, not "abc"');
    expect(existsSync(join(folder, 'data'))).toBe(false);
  });

  const PORT = 'must be a whole number from 0 to 65535';
  test.each([
    ['VARVE_PORT', '65536', PORT],
    ['VARVE_PORT', '-1', PORT],
    ['VARVE_PORT', '80.5', PORT],
    ['VARVE_PORT', '0x50', PORT],
    ['VARVE_PORT', '7424 7425', PORT],
    ['VARVE_POSTGRES_PORT', 'Infinity', PORT],
    ['VARVE_WRITERS', '0', 'must be a whole number from 1 to 64'],
    ['VARVE_CODECS', '65', 'must be a whole number from 1 to 64'],
    ['VARVE_FLUSH_AGE_S', '1d', 'must be a number from 1 to 2147483'],
    ['VARVE_COMPACT_EVERY_S', '0.5', 'must be a number from 1 to 2147483'],
    ['VARVE_FLUSH_AGE_S', '2147484', 'must be a number from 1 to 2147483'],
    ['VARVE_MAX_FRESH_BYTES', '0', 'must be a whole number of at least 1'],
    ['VARVE_MAX_FRESH_CHUNKS', '1.5', 'must be a whole number of at least 1'],
    ['VARVE_COMPACT_EVERY_S', '2147484', 'must be a number from 1 to 2147483'],
    ['VARVE_MAX_FRESH_BYTES', '8GiB', 'must be a whole number of at least 1'],
    ['VARVE_MAX_FRESH_CHUNKS', '0', 'must be a whole number of at least 1'],
    ['VARVE_MIN_FREE_BYTES', '1e400', 'must be a whole number of at least 0'],
    ['VARVE_ALLOW_FSYNC_OFF', 'yes', 'must be 0 or 1'],
    ['VARVE_LOG', 'loud', 'must be one of debug, info, warn, error, silent'],
  ])('%s=%s', (name, value, message) => {
    expect(() => readConfig({}, { [name]: value })).toThrow(`${name} ${message}, not "${value}"`);
  });

  test.each([
    ['VARVE_TOKEN', 'secret', 'must be one word of at least 16 visible ASCII characters'],
    ['VARVE_TOKEN', 'secret words of some length', 'must be one word of at least 16 visible ASCII characters'],
    ['VARVE_URL', 'secret:7424', 'must be an http:// or https:// URL'],
    ['DATABASE_URL', 'mysql://secret@localhost/x', 'must be a postgres:// URL'],
    ['REDIS_URL', 'secret', 'must be a redis:// URL'],
  ])('%s, without its value, which may be a secret', (name, value, message) => {
    expect(() => readConfig({}, { [name]: value })).toThrow(new RegExp(`^${name} ${message}$`));
  });

  test('space around a value is none of it, and an empty one is not set', () => {
    expect(readConfig({}, { VARVE_PORT: ' 80 ', VARVE_WRITERS: ' ' })).toMatchObject({ port: 80, writerThreads: 2 });
    expect(readConfig({}, { VARVE_MIN_FREE_BYTES: '1e9' }).backpressure.minFreeBytes).toBe(1_000_000_000);
  });
});

describe('the file .env of the folder it is started in', () => {
  test('is read, and the environment goes before it', async () => {
    writeFileSync(join(folder, '.env'), 'VARVE_WRITERS=many # not a number\nVARVE_CODECS=none\n');
    expect(await refusal({}, folder)).toMatch(/^VARVE_WRITERS must .* not "many"; VARVE_CODECS must .* not "none"$/);
    expect(await refusal({ VARVE_WRITERS: '1' }, folder)).toMatch(/^VARVE_CODECS must [^;]*$/);
  });

  test('can be the example that comes with the project, which says the defaults', () => {
    const none = readConfig({}, {});
    const example = readEnvironment(join(projectRoot(), '.env.example'));
    const said = Object.entries(example).filter(([name]) => name.startsWith('VARVE_') && !(name in process.env));
    expect(said.length).toBeGreaterThan(10);
    expect(readConfig({}, Object.fromEntries(said))).toEqual(none);
  });

  test('that cannot be read is named', () => {
    mkdirSync(join(folder, '.env'));
    expect(() => readEnvironment(join(folder, '.env'))).toThrow(/\.env of this folder cannot be read: EISDIR/);
  });
});

describe('the file of the first token', () => {
  test('that is empty or blank gets a new token; space around one is none of it', async () => {
    const service = await startService();
    const path = join(service.dataRoot, 'token');
    const status = async (token: string): Promise<number> =>
      (await fetch(`${service.url}/v1/series`, { headers: { authorization: `Bearer ${token}` } })).status;
    try {
      const first = service.token;
      for (const text of ['', ' \n\n']) {
        writeFileSync(path, text);
        await service.restart();
        expect(service.token).not.toBe(first);
        expect(await status(service.token)).toBe(200);
        expect(statSync(path).mode & 0o777).toBe(0o600);
      }
      writeFileSync(path, `\n\t${first} \r\n\n`);
      await service.restart();
      expect(readFileSync(path, 'utf8')).toContain(first);
      expect(await status(first)).toBe(200);
      await service.stop();
      writeFileSync(path, 'two words');
      const refused = await refusal({ VARVE_DATA: service.dataRoot });
      expect(refused).toMatch(/token does not hold one word .* or delete it to get a new one at the next start$/);
    } finally {
      await service.drop();
    }
  });
});
