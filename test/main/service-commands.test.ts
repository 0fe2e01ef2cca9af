/** What the command line says to a service, and what it says when there is nothing to say. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApiClient, expecting, type SeriesJson } from '../api/client.ts';
import { runVarve, type Finished } from '../support/command.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { runCli, startService, type RunningService } from '../support/service.ts';

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'varve-commands-'));
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url } });
  api = new ApiClient(service);
});

afterAll(async () => {
  await service?.drop();
  await database?.drop();
  rmSync(folder, { recursive: true, force: true });
});

/** By options alone: nothing of the environment says where the service is. */
function varve(...args: string[]): Promise<Finished> {
  return runVarve([...args, '--url', service.url, '--token', service.token], {});
}

function create(name: string, more: object = {}): Promise<SeriesJson> {
  return api.createSeries({ name, dtype: 'int16', sampling: { kind: 'irregular' }, ...more });
}

async function statusOf(id: string): Promise<number> {
  return (await api.get(`/v1/series/${id}`)).status;
}

describe('where the service is', () => {
  test('every command that asks a service takes --port, --data, --url and --token', async () => {
    const { port } = new URL(service.url);
    await create('placed');
    for (const place of [
      ['--port', port, '--data', service.dataRoot],
      ['--url', service.url, '--data', service.dataRoot],
      ['--url', service.url, '--token', service.token],
    ]) {
      expect(await runVarve(['ls', ...place], {})).toMatchObject({ code: 0, stderr: '' });
      // An option goes before every variable.
      const elsewhere = {
        VARVE_URL: 'http://127.0.0.1:9',
        VARVE_TOKEN: 'a-token-that-nobody-knows',
        VARVE_DATA: '/nowhere',
      };
      expect(await runVarve(['ls', ...place], elsewhere)).toMatchObject({ code: 0, stderr: '' });
    }
    for (const command of [
      'import',
      'ls',
      'search',
      'cat',
      'tag',
      'rm',
      'undelete',
      'token create',
      'token list',
      'token revoke',
    ]) {
      const { stdout } = await runVarve([...command.split(' '), '--help'], {});
      for (const option of ['--port', '--data', '--url', '--token'])
        expect([command, stdout]).toEqual([command, expect.stringContaining(option)]);
    }
    for (const command of [
      'serve',
      'worker',
      'demo',
      'verify',
      'recover',
      'flush',
      'compact',
      'rebuild-catalog',
      'rebuild-shard',
      'token recover',
      'psql-url',
    ]) {
      const { stdout } = await runVarve([...command.split(' '), '--help'], {});
      expect([command, stdout]).toEqual([command, expect.stringContaining('--data')]);
    }
  });

  test('serve takes --port and --data, and says where docs, token and data are', async () => {
    const data = join(folder, 'somewhere else');
    const other = await testDatabase();
    const running = runCli(['serve', '--port', '0', '--data', data], {
      DATABASE_URL: other.url,
      VARVE_PORT: new URL(service.url).port,
      VARVE_DATA: join(folder, 'not here'),
    });
    try {
      const url = (await running.line('varve is ready at ')).split(' ').at(-1)!;
      expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
      expect(await running.line('  docs ')).toBe(`  docs   ${url}/docs`);
      expect(await running.line('  token ')).toBe(`  token  ${join(data, 'token')}`);
      expect(await running.line('  data ')).toBe(`  data   ${data}`);
      const token = readFileSync(join(data, 'token'), 'utf8').trim();
      expecting(200, await new ApiClient({ url, token }).get('/v1/series'));
      expect(running.output()).not.toContain(token);
      expect(existsSync(join(folder, 'not here'))).toBe(false);
    } finally {
      running.signal('SIGTERM');
    }
    expect(await running.exited).toBe(0);
    await other.drop();
  });

  test.each([
    ['a port that is none', ['ls', '--port', 'abc'], '--port must be a whole number'],
    ['a URL that is none', ['ls', '--url', 'here'], '--url must be'],
    ['an empty folder', ['ls', '--data', ''], '--data: must not be empty'],
    ['a command that there is not', ['serach'], "unknown command 'serach'"],
    ['an option that there is not', ['ls', '--colour'], "unknown option '--colour'"],
    ['a command of a command that there is not', ['token', 'renew'], "unknown command 'renew'"],
    ['an argument that is missing', ['cat'], "missing required argument 'series'"],
    [
      'nobody at the port',
      ['ls', '--port', '2', '--token', 'a-token-of-somebody'],
      'no Varve answers at http://127.0.0.1:2',
    ],
    ['a folder without a token', ['ls', '--data', '/nowhere'], 'there is no token in /nowhere/token'],
    ['a folder without data', ['verify', '--data', '/nowhere'], 'there are no data of Varve in /nowhere'],
    ['a Postgres that does not run', ['psql-url', '--data', '/nowhere'], 'no Postgres of Varve runs in /nowhere'],
    ['a Postgres that is away', ['token', 'recover', '--data', '/nowhere'], 'there are no data of Varve in /nowhere'],
  ])('%s is named in a sentence, without a stack', async (_, args, message) => {
    const { code, stdout, stderr } = await runVarve(args, {});
    expect([code, stdout, stderr]).toEqual([1, '', expect.stringContaining(message)]);
    expect(stderr).toMatch(/^varve: /);
    expect(stderr).not.toMatch(/^ {4}at /m);
  });
});

describe('varve search, ls and cat', () => {
  test('say on standard error that they found nothing, and succeed', async () => {
    const nothing = 'varve: no series meets these conditions\n';
    expect(await varve('search', 'species=unicorn')).toEqual({ code: 0, stdout: '', stderr: nothing });
    const tree = JSON.stringify({ tag: 'species', eq: 'unicorn' });
    expect(await varve('search', '--where', tree, '--facets', 'species')).toEqual({
      code: 0,
      stdout: '',
      stderr: nothing,
    });
    expect(await varve('search', 'species=unicorn', '--json')).toEqual({ code: 0, stdout: '[]\n', stderr: '' });
    const empty = 'varve: there are no series in project nobody\n';
    expect(await varve('ls', '--project', 'nobody')).toEqual({ code: 0, stdout: '', stderr: empty });
    await create('empty');
    expect(await varve('cat', 'empty')).toEqual({
      code: 0,
      stdout: 'time,value\n',
      stderr: 'varve: empty has no rows there\n',
    });
  });

  test.each(['r1.xlsx', 'r1.parquet', 'r1.csv.gz', 'r1.XLS', 'a.b/r1.mat'])(
    '%s is refused, naming what can be written',
    async (out) => {
      const { code, stdout, stderr } = await varve('cat', 'anything', '--out', join(folder, out));
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(
        /^varve: --out: \.(xlsx|parquet|gz|xls|mat) cannot be written; these can: .*\.csv.*\.npy.*\.hdf5/,
      );
      expect(existsSync(join(folder, out))).toBe(false);
    },
  );

  test('a file without an extension is CSV, and one with any extension what --format says', async () => {
    const { id } = await create('written');
    await api.append(id, { times: [1], values: [5] });
    expect((await varve('cat', 'written', '--out', join(folder, 'plain'))).code).toBe(0);
    expect(readFileSync(join(folder, 'plain'), 'utf8')).toBe('time,value\n1970-01-01T00:00:00.000000001Z,5\n');
    expect((await varve('cat', 'written', '--format', 'npy', '--out', join(folder, 'odd.xlsx'))).code).toBe(0);
    expect(readFileSync(join(folder, 'odd.xlsx')).subarray(1, 6).toString()).toBe('NUMPY');
  });
});

describe('varve rm and undelete', () => {
  test('delete by name, and bring back by the id that was told, or by name', async () => {
    const { id } = await create('gone');
    await api.append(id, { times: [1, 2], values: [1, 2] });
    for (const named of [id, 'gone']) {
      const { code, stdout } = await varve('rm', 'gone');
      expect([code, stdout]).toEqual([0, expect.stringContaining(`varve undelete ${id}`)]);
      expect(await statusOf(id)).toBe(404);
      expect(await varve('undelete', named)).toEqual({
        code: 0,
        stdout: 'gone is there again, with 2 rows\n',
        stderr: '',
      });
      expect(await statusOf(id)).toBe(200);
    }
  });

  test('of several series that had the name, the one deleted last comes back; a name that was given away is in the way', async () => {
    const first = await create('again');
    await varve('rm', 'again');
    const second = await create('again');
    await varve('rm', second.id);
    await varve('undelete', 'again');
    expect([await statusOf(first.id), await statusOf(second.id)]).toEqual([404, 200]);
    expect(await varve('undelete', 'again')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('a series named "again" exists'),
    });
    expect(await varve('rm', 'nobody')).toEqual({ code: 1, stdout: '', stderr: 'varve: no series nobody\n' });
    expect(await varve('undelete', 'nobody')).toEqual({ code: 1, stdout: '', stderr: 'varve: no series nobody\n' });
  });
});

describe('varve tag', () => {
  const tagsOf = async (id: string): Promise<object> => (await api.series(id)).tags;

  test('sets, removes and shows tags of every type', async () => {
    const { id } = await create('tagged', { tags: { species: 'mouse', rig: 4, hair: 'long' } });
    const set = await varve(
      'tag',
      'tagged',
      'age_days=61',
      'cage="61"',
      'depth={"value":300,"unit":"um"}',
      '-rig',
      '-hair',
    );
    expect(set).toMatchObject({ code: 0, stderr: '' });
    expect(await tagsOf(id)).toEqual({ species: 'mouse', age_days: 61, cage: '61', depth: { value: 300, unit: 'um' } });
    expect((await varve('tag', id)).stdout.trim().split('\n').sort()).toEqual([
      'age_days=61',
      'cage=61',
      'depth=300 um',
      'species=mouse',
    ]);
    const { stdout } = await varve('tag', 'tagged', '--remove', 'cage', 'serial=9007199254740993', '--json');
    expect(JSON.parse(stdout)).toEqual({
      species: 'mouse',
      age_days: 61,
      depth: { value: 300, unit: 'um' },
      serial: '9007199254740993',
    });
    expect(await tagsOf(id)).toEqual(JSON.parse(stdout));
  });

  test.each([
    ['a tag that it has not', ['-age'], 'has no tag age'],
    ['a tag that is set and removed', ['age=1', '-age'], 'age is named twice'],
    ['what is neither', ['age'], 'age is not key=value'],
    ['an option that there is not', ['--colour'], '--colour: is no option'],
  ])('refuses %s, and changes nothing', async (_, changes, message) => {
    const { id } = await create(`tags ${message}`, { tags: { a: 1 } });
    const { code, stderr } = await varve('tag', id, ...changes, 'b=2');
    expect([code, stderr]).toEqual([1, expect.stringContaining(message)]);
    expect(await tagsOf(id)).toEqual({ a: 1 });
  });
});

describe('varve token', () => {
  test('creates a token that may do what was asked, lists it, and revokes it', async () => {
    await api.post('/v1/projects', { name: 'lab' });
    const { code, stdout, stderr } = await varve(
      'token',
      'create',
      'logger 7',
      '--scope',
      'write',
      '--scope',
      'read',
      '--project',
      'lab',
    );
    expect([code, stderr]).toEqual([0, expect.stringContaining('varve token revoke')]);
    const token = stdout.trim();
    expect(stdout).toBe(`${token}\n`);
    expecting(200, await api.send('GET', '/v1/series', { token }));
    expecting(403, await api.send('GET', '/v1/tokens', { token }));
    const list = await varve('token', 'list');
    expect(list.stdout).toMatch(/^logger 7 +write,read +lab /m);
    expect(list.stdout).not.toContain(token);
    expect(await varve('token', 'revoke', 'logger 7')).toEqual({ code: 0, stdout: 'revoked logger 7\n', stderr: '' });
    expecting(401, await api.send('GET', '/v1/series', { token }));
    expect(await varve('token', 'revoke', 'logger 7')).toMatchObject({
      code: 1,
      stderr: 'varve: there is no token named logger 7\n',
    });
  });

  test('may read only unless told otherwise, and of two with a name none is guessed', async () => {
    const [one, two] = [await varve('token', 'create', 'twin'), await varve('token', 'create', 'twin')];
    expecting(403, await api.send('POST', '/v1/series', { token: one.stdout.trim(), body: '{}' }));
    const { code, stderr } = await varve('token', 'revoke', 'twin');
    expect([code, stderr]).toEqual([1, expect.stringContaining('several tokens are named twin')]);
    const tokens = JSON.parse((await varve('token', 'list', '--json')).stdout) as { id: string; name: string }[];
    for (const { id, name } of tokens) if (name === 'twin') expect((await varve('token', 'revoke', id)).code).toBe(0);
    for (const { stdout } of [one, two]) expecting(401, await api.send('GET', '/v1/series', { token: stdout.trim() }));
  });

  test('recover makes an admin token from the database alone when no other is left', async () => {
    const tokens = JSON.parse((await varve('token', 'list', '--json')).stdout) as { id: string }[];
    // The one that asks goes last: it is the oldest.
    for (const { id } of tokens.toReversed()) expecting(204, await api.delete(`/v1/tokens/${id}`));
    const path = join(service.dataRoot, 'token');
    writeFileSync(path, '');
    const { code, stdout, stderr } = await runVarve(['token', 'recover', '--data', service.dataRoot], {
      DATABASE_URL: database.url,
    });
    expect([code, stderr]).toEqual([0, expect.stringContaining(path)]);
    expect(readFileSync(path, 'utf8')).toBe(stdout);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expecting(200, await api.send('GET', '/v1/tokens', { token: stdout.trim() }));
    // The next start takes it for its own.
    await service.restart();
    expecting(200, await api.get('/v1/tokens'));
    expect(service.token).toBe(stdout.trim());
  });
});

test('psql-url prints where the catalog is', async () => {
  expect(await runVarve(['psql-url'], { DATABASE_URL: database.url })).toEqual({
    code: 0,
    stdout: `${database.url}\n`,
    stderr: '',
  });
});
