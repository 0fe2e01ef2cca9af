/** `varve push`: what an instrument says once reaches the service once, whatever is killed, full, revoked or wrong meanwhile. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer as createHttpServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { connectAsync } from 'mqtt';
import { limitBytes, agentName, pushSourceOf, type PushCommand } from '../../src/main/push/push-options.ts';
import { readStatus } from '../../src/main/push/push-status.ts';
import { ApiClient, expecting, pause, type SeriesJson } from '../api/client.ts';
import { runVarve } from '../support/command.ts';
import { describeMosquitto, startMosquitto, type TestMosquitto } from '../support/mosquitto.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { freePort } from '../support/redis.ts';
import { startService, type RunningService } from '../support/service.ts';
import { relayTo, type TcpRelay } from '../support/tcp-relay.ts';

/** Compiled beside the tests. */
const CLI = fileURLToPath(new URL('../../src/main/cli.js', import.meta.url));
const LIMIT_MS = 40_000;

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;
/** Before the service: what can be taken away. */
let relay: TcpRelay;
let folder: string;
let agents: ChildProcessWithoutNullStreams[] = [];

beforeAll(async () => {
  database = await testDatabase();
  const port = await freePort();
  // It comes back at its place.
  service = await startService({ env: { DATABASE_URL: database.url, VARVE_PORT: String(port) } });
  api = new ApiClient(service);
  relay = await relayTo(service.url);
  folder = mkdtempSync(join(tmpdir(), 'varve-push-'));
});

afterEach(async () => {
  for (const agent of agents) agent.kill('SIGKILL');
  agents = [];
  if (isCut) await restore();
});

afterAll(async () => {
  await relay?.cut();
  await service?.drop();
  await database?.drop();
  rmSync(folder, { recursive: true, force: true });
});

interface Agent {
  readonly child: ChildProcessWithoutNullStreams;
  /** What it has said so far. */
  said(): string;
  /** The exit code; null after a kill. */
  readonly ended: Promise<number | null>;
}

let isCut = false;

async function cut(): Promise<void> {
  isCut = true;
  await relay?.cut();
}

async function restore(): Promise<void> {
  await relay.restore();
  isCut = false;
}

let lastSaid = (): string => '';
let spools = 0;
const newSpool = (): string => join(folder, `spool-${++spools}`);

function start(spool: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Agent {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(VARVE_.*|NODE_OPTIONS|DATABASE_URL)$/.test(name),
  );
  const child = spawn(process.execPath, [CLI, 'push', '--spool', spool, ...args], {
    cwd: tmpdir(),
    env: { ...Object.fromEntries(inherited), VARVE_URL: relay.url, VARVE_TOKEN: service.token, ...env },
  });
  child.stdin.on('error', () => {}); // It may end before it has read all.
  agents.push(child);
  let said = '';
  child.stderr.on('data', (text: Buffer) => (said += text.toString()));
  lastSaid = () => said;
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return { child, said: () => said, ended };
}

/** Gives it all of its input, and waits for its end. */
async function run(spool: string, args: readonly string[], input = '', env = {}): Promise<[number | null, string]> {
  const agent = start(spool, args, env);
  agent.child.stdin.end(input);
  return [await agent.ended, agent.said()];
}

/** Without a service. */
async function fill(spool: string, args: readonly string[], input: string): Promise<void> {
  const agent = start(spool, args, { VARVE_URL: 'http://127.0.0.1:2' });
  agent.child.stdin.end(input);
  const lines = input.trimEnd().split('\n').length;
  const before = await heldIn(spool);
  await until(async () => (await heldIn(spool)) === before + lines);
  agent.child.kill('SIGKILL');
  await agent.ended;
}

/** Records that a spool holds, which may not be there yet. */
async function heldIn(spool: string): Promise<number> {
  return existsSync(join(spool, 'state.json')) ? (await readStatus(spool)).records : 0;
}

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  for (const began = Date.now(); Date.now() - began < LIMIT_MS; await pause(50)) if (await isTrue()) return;
  throw new Error(`did not become so; the agent said: ${lastSaid()}`);
}

async function rows(name: string): Promise<number> {
  const answer = await api.get(`/v1/series/by-name/${encodeURIComponent(name)}`);
  return answer.status === 200 ? answer.json<SeriesJson>().rows : 0;
}

async function valuesOf(name: string): Promise<unknown[]> {
  const { id } = expecting(200, await api.get(`/v1/series/by-name/${encodeURIComponent(name)}`)).json<SeriesJson>();
  const answer = expecting(200, await api.get(`/v1/series/${id}/samples?format=csv&epoch=ns`));
  return answer.body.toString().trim().split('\n').slice(1);
}

interface DeadLetterJson {
  readonly reason: string;
  readonly text: string;
  readonly from?: string;
}

function deadLetters(spool: string): DeadLetterJson[] {
  const text = readFileSync(join(spool, 'dead-letters.ndjson'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as DeadLetterJson);
}

describe('varve push', () => {
  test('delivers lines of standard input with every digit, gives a time to those that have none, and ends', async () => {
    const input = [
      'push,n=1 f=0.1,i=9007199254740993i,u=18446744073709551615u,b=true,s="a\nb" 1777626000123',
      '# a comment',
      '',
      'push,n=2 f=1',
      'push,n=2 f=2\r',
      'push,n=1 f=-1e-300 1777626000124',
    ].join('\n');
    expect(await run(newSpool(), ['--precision', 'ms'], input)).toEqual([0, '']);
    expect(await valuesOf('push,n=1:f')).toEqual(['1777626000123000000,0.1', '1777626000124000000,-1e-300']);
    expect(await valuesOf('push,n=1:i')).toEqual(['1777626000123000000,9007199254740993']);
    expect(await valuesOf('push,n=1:u')).toEqual(['1777626000123000000,18446744073709551615']);
    expect((await valuesOf('push,n=2:f')).map((line) => String(line).split(',')[1])).toEqual(['1', '2']);
  });

  test('sends every batch three times under kill -9 of either side, and the count is exact', async () => {
    const lineCount = 300;
    const itemCount = 300;
    const spool = newSpool();
    const lines = Array.from({ length: lineCount }, (_, i) => `thrice f=${i} ${1_000 + i}`).join('\n');
    // Rows of a regular series go on where it ends: one that came twice would be there twice.
    const create = { dtype: 'int32', sampling: { kind: 'regular', rate_hz: 10 } };
    const items = Array.from({ length: itemCount }, (_, i) =>
      JSON.stringify({ series: 'thrice/regular', values: [i], create }),
    );
    await fill(spool, [], `${lines}\n`);
    await fill(spool, ['--format', 'items'], `${items.join('\n')}\n`);
    expect(await readStatus(spool)).toMatchObject({ records: lineCount + itemCount, delivered: '0' });
    // As after a power cut that has taken the state back: everything is sent again.
    const [second, third] = [newSpool(), newSpool()];
    for (const copy of [second, third]) cpSync(spool, copy, { recursive: true });

    const killed = start(spool, []);
    killed.child.stdin.end();
    await until(async () => (await rows('thrice:f')) > 0);
    relay.mute();
    killed.child.kill('SIGKILL');
    expect(await killed.ended).toBeNull();
    expect((await run(spool, []))[0]).toBe(0);
    const lasting = start(second, []);
    lasting.child.stdin.end();
    const body = 'direct f=1 1\ndirect f=2 2';
    const direct = (): Promise<unknown> => api.send('POST', '/write?db=default', { body }).catch(() => null);
    await Promise.all([direct(), direct(), service.kill9()]);
    await service.restart();
    for (let times = 0; times < 3; times++) expecting(204, await api.send('POST', '/write?db=default', { body }));
    expect(await lasting.ended).toBe(0);
    expect((await run(third, []))[0]).toBe(0);

    expect(await valuesOf('direct:f')).toEqual(['1,1', '2,2']);
    expect(await valuesOf('thrice:f')).toEqual(Array.from({ length: lineCount }, (_, i) => `${1_000 + i},${i}`));
    const stored = (await valuesOf('thrice/regular')).map((line) => Number(String(line).split(',')[1]));
    expect(stored).toEqual(Array.from({ length: itemCount }, (_, i) => i));
    for (const each of [spool, second, third])
      expect(await readStatus(each)).toMatchObject({ records: 0, dead_letters: 0 });
  }, 120_000);

  test('finds the line that is refused among thousands, keeps it with its reason, and delivers all others', async () => {
    const spool = newSpool();
    const lines = Array.from({ length: 3_000 }, (_, i) => `found f=${i} ${i + 1}`);
    lines[1_234] = 'found f= 5';
    lines[1_777] = 'found f="open 5';
    lines[2_500] = `found f=1 ${'9'.repeat(25)}`;
    const [code, said] = await run(spool, [], lines.join('\n'));
    expect([code, said]).toEqual([2, expect.stringContaining('refused')]);
    expect(deadLetters(spool)).toMatchObject([
      { text: lines[1_777], reason: 'unbalanced quotes', from: 'stdin' },
      { text: lines[1_234], reason: expect.stringMatching(/^400: .*missing field value/) },
      { text: lines[2_500], reason: expect.stringContaining('time') },
    ]);
    expect(await rows('found:f')).toBe(2_997);

    const items = [
      { series: 'found/none', values: [1] },
      { series: 'found:f', times: [5], values: [7], idempotency_key: 'mine' },
      { series: 'found:f', times: [6], values: [8], sequence: 4 },
      { series: 'found:f', times: [7], values: ['x'] },
    ].map((item) => JSON.stringify(item));
    expect((await run(spool, ['--format', 'items'], [...items, '{"series":'].join('\n')))[0]).toBe(2);
    expect(
      deadLetters(spool)
        .slice(3)
        .map(({ reason }) => reason),
    ).toEqual([
      expect.stringContaining('sequence'),
      expect.stringContaining('JSON'),
      expect.stringMatching(/^404: .*found\/none/),
      expect.stringMatching(/^4\d\d: .*values\[0\]/),
    ]);
    expect((await valuesOf('found:f'))[4]).toBe('5,7');
  });

  test('is loud about a token that is revoked, loses nothing, and goes on with a new one', async () => {
    const spool = newSpool();
    const made = async (): Promise<{ token: string; id: string }> =>
      expecting(201, await api.post('/v1/tokens', { name: 'agent', scopes: ['write'] })).json();
    const { token, id } = await made();
    const data = join(folder, 'agent-data');
    mkdirSync(data);
    writeFileSync(join(data, 'token'), token);
    const env = { VARVE_TOKEN: '', VARVE_DATA: data };
    expect(await run(spool, [], 'revoked f=1 1', env)).toEqual([0, '']);
    expecting(204, await api.send('DELETE', `/v1/tokens/${id}`));
    expect(await run(spool, ['--give-up'], 'revoked f=2 2', env)).toEqual([
      3,
      expect.stringContaining('1 records are held'),
    ]);
    const agent = start(spool, [], env);
    agent.child.stdin.end('revoked f=3 3\n');
    await until(() => agent.said().includes('the token is refused: 401'));
    await until(async () => (await readStatus(spool)).records === 2);
    expect(await readStatus(spool)).toMatchObject({
      error: { message: expect.stringContaining('401') },
      dead_letters: 0,
    });
    writeFileSync(join(data, 'token'), (await made()).token);
    expect(await agent.ended).toBe(0);
    expect(agent.said()).toContain('delivering again');
    expect(await valuesOf('revoked:f')).toEqual(['1,1', '2,2', '3,3']);
    expect(await readStatus(spool)).toMatchObject({ records: 0, error: null });
  });

  test('makes whoever writes wait while the spool is full, says so, and drops nothing', async () => {
    const spool = newSpool();
    const count = 6_000;
    const input = Array.from({ length: count }, (_, i) => `full,some_tag=${'x'.repeat(20)} f=${i} ${i + 1}\n`).join('');
    await cut();
    expect(await run(newSpool(), ['--limit', '0.25', '--give-up'], input)).toEqual([
      4,
      expect.stringContaining('is full'),
    ]);
    const agent = start(spool, ['--limit', '0.25']);
    agent.child.stdin.end(input);
    await until(() => agent.said().includes('is full'));
    const held = await readStatus(spool);
    expect(held.bytes).toBeLessThanOrEqual(256 * 1024);
    expect(held.records).toBeLessThan(count);
    expect(held.oldest).not.toBeNull();
    const { code, stdout } = await runVarve(['push', '--status', '--spool', spool], {});
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/^held +\d+ records, the oldest of 20.*^error +no answer from/ms),
    ]);
    await restore();
    expect(await agent.ended).toBe(0);
    expect(await rows(`full,some_tag=${'x'.repeat(20)}:f`)).toBe(count);
  });

  test('takes no answer of somebody else for a delivery, and waits as long as it is asked to', async () => {
    const answers: [number, Record<string, string>, string][] = [
      [200, { 'Content-Type': 'text/html' }, '<html>please log in</html>'],
      [302, { Location: '/login' }, ''],
      [400, { 'Content-Type': 'text/html' }, '<html>bad request</html>'],
      [503, { 'Retry-After': '1' }, '{"message": "busy"}'],
      [204, {}, ''],
    ];
    const bodies: string[] = [];
    const other = createHttpServer((req, res) => {
      const pieces: Buffer[] = [];
      req.on('data', (piece: Buffer) => pieces.push(piece));
      req.on('end', () => {
        bodies.push(Buffer.concat(pieces).toString());
        const [code, headers, text] = answers[bodies.length - 1] ?? [204, {}, ''];
        res.writeHead(code, headers).end(text);
      });
    });
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = other.address() as AddressInfo;
      const spool = newSpool();
      const [code, said] = await run(spool, [], 'm f=1 1\n', { VARVE_URL: `http://127.0.0.1:${port}` });
      expect([code, bodies]).toEqual([0, answers.map(() => 'm f=1 1\n')]);
      expect(said).toContain('not an answer of Varve');
      expect(await readStatus(spool)).toMatchObject({ records: 0, dead_letters: 0, delivered: '1' });
    } finally {
      other.close();
    }
  });

  test('refuses what it is asked wrongly, and a spool that another agent or another project has', async () => {
    const usual: PushCommand = {
      project: 'default',
      spool: 'x',
      limit: '1',
      rest: '2',
      measurement: 'm',
      precision: 'ns',
    };
    const wrong: [Partial<PushCommand>, RegExp][] = [
      [{ limit: '0.1' }, /--limit 0\.1/],
      [{ mqtt: 'http://u:secret@x', topic: ['a'] }, /--mqtt http:\/\/x/],
      [{ mqtt: 'mqtt://x' }, /--topic/],
      [{ mqtt: 'mqtt://x', topic: ['a/{b'] }, /--topic a\/\{b/],
      [{ mqtt: 'mqtt://x', topic: ['a/{_b}'] }, /underscore/],
      [{ mqtt: 'mqtt://x', topic: ['a/{b}/{b}'] }, /twice/],
      [{ mqtt: 'mqtt://x', topic: ['a/#/b'] }, /last level/],
      [{ mqtt: 'mqtt://x', topic: ['a'], field: ['x'] }, /--field x/],
      [{ mqtt: 'mqtt://x', topic: ['a'], field: ['x:double=$.x'] }, /--field x:double/],
      [{ mqtt: 'mqtt://x', topic: ['a'], time: '$..x' }, /--time/],
      [{ watch: 'a', mqtt: 'mqtt://x' }, /one of the two/],
      [{ format: 'json' }, /--mqtt/],
      [{ topic: ['a'] }, /--topic: goes with --mqtt/],
      [{ name: 'a b' }, /--name/],
    ];
    for (const [options, message] of wrong) {
      const command = { ...usual, ...options };
      expect(() => [pushSourceOf(command), limitBytes(command), agentName(command)]).toThrow(message);
    }
    const spool = newSpool();
    await fill(spool, [], 'm f=1 1\n');
    expect(await run(spool, ['--project', 'other'])).toEqual([
      1,
      expect.stringContaining('is for the project default'),
    ]);
    const agent = start(spool, []);
    await until(async () => (await readStatus(spool)).records === 0);
    expect(await run(spool, [])).toEqual([1, expect.stringContaining('another process')]);
    agent.child.kill('SIGTERM');
    expect(await agent.ended).toBe(0);
  });
});

describe('a folder that is watched', () => {
  const watched = (): string => mkdtempSync(join(folder, 'watched-'));

  test('gives its files once, moves them when they are delivered, and goes on in the middle of one after kill -9', async () => {
    const [spool, files] = [newSpool(), watched()];
    const count = 8_000;
    const name = 'folder/regular';
    const create = { dtype: 'int32', sampling: { kind: 'regular', rate_hz: 10 } };
    const text = Array.from({ length: count }, (_, i) => JSON.stringify({ series: name, values: [i], create })).join(
      '\n',
    );
    writeFileSync(join(files, 'a.ndjson'), text);
    writeFileSync(join(files, 'b.lp'), 'folder f=1 1\nfolder f=2 2');
    writeFileSync(join(files, 'c.csv'), 'time,value');
    writeFileSync(join(files, '.d.lp'), 'folder f=3 3');
    const args = ['--watch', files, '--rest', '0.1', '--limit', '0.5'];
    // The spool holds a part of the file, and no more before something is delivered.
    const killed = start(spool, args, { VARVE_URL: 'http://127.0.0.1:2' });
    await until(async () => (await heldIn(spool)) > 1_000);
    killed.child.kill('SIGKILL');
    await killed.ended;
    const [code, said] = await run(spool, [...args, '--once']);
    expect([code, said]).toEqual([0, expect.stringContaining('c.csv is left alone')]);
    const stored = (await valuesOf(name)).map((line) => Number(String(line).split(',')[1]));
    expect(stored).toEqual(Array.from({ length: count }, (_, i) => i));
    expect(readdirSync(files).sort()).toEqual(['.d.lp', 'c.csv', 'delivered']);
    expect(readdirSync(join(files, 'delivered')).sort()).toEqual(['a.ndjson', 'b.lp']);
    // Another file of the same name is another file.
    writeFileSync(join(files, 'b.lp'), 'folder f=4 4\nfolder f=5 5');
    expect((await run(spool, [...args, '--once']))[0]).toBe(0);
    expect(await valuesOf('folder:f')).toEqual(['1,1', '2,2', '4,4', '5,5']);
    expect(readdirSync(join(files, 'delivered')).sort()).toEqual(['a.ndjson', 'b.lp', 'b.lp.2']);
  });

  test('is remembered with --keep: a file that grows gives what is new, and one written anew gives all', async () => {
    const [spool, files] = [newSpool(), watched()];
    const args = ['--watch', files, '--rest', '0.05', '--once', '--keep', '--format', 'items'];
    const path = join(files, 'log.txt');
    const create = { dtype: 'int32', sampling: { kind: 'regular', rate_hz: 10 } };
    const item = (value: number): string => `${JSON.stringify({ series: 'kept', values: [value], create })}\n`;
    for (const text of [
      item(1) + item(2),
      item(1) + item(2) + item(3),
      item(1) + item(2) + item(3),
      item(9) + item(8),
    ]) {
      writeFileSync(path, text);
      expect((await run(spool, args))[0]).toBe(0);
    }
    expect((await valuesOf('kept')).map((line) => String(line).split(',')[1])).toEqual(['1', '2', '3', '9', '8']);
    expect(readdirSync(files)).toEqual(['log.txt']);
  });
});

describeMosquitto('an MQTT broker', () => {
  let broker: TestMosquitto;

  beforeAll(async () => {
    broker = await startMosquitto();
  });

  afterAll(async () => {
    await broker?.drop();
  });

  test('gives each message once, though the agent is killed and the spool is full, and templates make series of them', async () => {
    const spool = newSpool();
    const args = ['--mqtt', broker.url, '--topic', 'lab/{room}/{measurement}', '--limit', '0.25', '--client-id', 'one'];
    const client = await connectAsync(broker.url);
    const count = 900;
    const pad = 'x'.repeat(300);
    const publish = async (from: number, to: number): Promise<void> => {
      const payloads = Array.from({ length: to - from }, (_, i) => JSON.stringify({ n: from + i, pad }));
      await Promise.all(payloads.map((payload) => client.publishAsync('lab/7/air', payload, { qos: 1 })));
    };
    try {
      await cut();
      const first = start(spool, args);
      // Once it is subscribed, the broker keeps what comes for it.
      await until(async () => {
        await client.publishAsync('lab/7/ready', 'true', { qos: 1 });
        return (await heldIn(spool)) > 0;
      });
      const sending = publish(0, count / 2);
      await until(async () => (await readStatus(spool)).records > 50);
      first.child.kill('SIGKILL');
      await Promise.all([first.ended, sending]);
      await publish(count / 2, count);
      const second = start(spool, args);
      await until(() => second.said().includes('is full'));
      expect((await readStatus(spool)).bytes).toBeLessThanOrEqual(256 * 1024);
      await restore();
      await until(async () => (await rows('air,room=7:n')) >= count);
      second.child.kill('SIGTERM');
      expect(await second.ended).toBe(0);
      // Two of one message would have two times of arrival.
      const values = (await valuesOf('air,room=7:n')).map((line) => Number(String(line).split(',')[1]));
      expect(values).toEqual(Array.from({ length: count }, (_, i) => i));
    } finally {
      await client.endAsync();
    }
  });

  test('has messages of which nothing can be made: each is kept with its topic and its reason', async () => {
    const spool = newSpool();
    const client = await connectAsync(broker.url);
    const options = [
      '--topic',
      'site/{room}/state',
      '--topic',
      'raw/#',
      '--measurement',
      'state',
      '--client-id',
      'two',
    ];
    const fields = [
      '--field',
      'temperature=$.t',
      '--field',
      'count:int=$.list[1]',
      '--time',
      '$.at',
      '--precision',
      's',
    ];
    const agent = start(spool, ['--mqtt', broker.url, ...options, ...fields]);
    const good = '{"t": 20.5, "list": [0, 9007199254740993], "at": 1777626000.25}';
    try {
      await until(async () => {
        await client.publishAsync('site/0/state', good, { qos: 1 });
        return (await rows('state,room=0:temperature')) > 0;
      });
      const messages: [string, string][] = [
        ['site/1/state', good],
        ['site/1/state', '{"t": 21, "at": "2026-05-01T09:00:01Z"}'],
        ['site/1/state', 'no JSON'],
        ['site/1/state', '{"other": 1, "at": 1}'],
        ['site/1/state', '{"t": 1}'],
        ['site/1/state', '{"t": 1, "list": [1, 1.5], "at": 1}'],
        ['raw/a/b', '{"t": [1], "at": 1}'],
        ['raw/a/b', ''],
      ];
      for (const [topic, payload] of messages) await client.publishAsync(topic, payload, { qos: 1 });
      await until(
        async () => existsSync(join(spool, 'dead-letters.ndjson')) && (await readStatus(spool)).dead_letters === 6,
      );
      await until(async () => (await rows('state,room=1:temperature')) === 2);
      expect(deadLetters(spool).map(({ from, text, reason }) => [from, text, reason])).toEqual(
        messages
          .slice(2)
          .map(([topic, payload], at) => [
            topic,
            payload,
            expect.stringMatching([/JSON/, /no field/, /no time/, /count: 1.5 is no int/, /temperature/, /JSON/][at]),
          ]),
      );
      expect(await valuesOf('state,room=1:temperature')).toEqual([
        '1777626000250000000,20.5',
        '1777626001000000000,21',
      ]);
      expect(await valuesOf('state,room=1:count')).toEqual(['1777626000250000000,9007199254740993']);
      agent.child.kill('SIGTERM');
      expect(await agent.ended).toBe(2);
    } finally {
      await client.endAsync();
    }
  });
});
