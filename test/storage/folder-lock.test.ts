import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { spawn, spawnSync, type ChildProcessByStdio } from 'node:child_process';
import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { lockFolder } from '../../src/storage/folder/folder-lock.ts';

const base = mkdtempSync(join(tmpdir(), 'varve-lock-'));
afterAll(() => rmSync(base, { recursive: true }));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(base, 'f-'));
});

const groups: number[] = [];
afterEach(() => {
  for (const pid of groups.splice(0)) {
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  }
});

const IN_USE = expect.objectContaining({ code: 'conflict', slug: 'folder-in-use' });
const COMPILED = new URL('../../src/storage/folder/folder-lock.js', import.meta.url).href;
const HOLDER = `lockFolder(args[0]); console.log(process.pid); process.stdin.resume()`;

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/** The words that run a script with `lockFolder` at hand in a process of its own. */
function scriptCommand(script: string, ...args: string[]): string[] {
  const whole = `import { lockFolder } from '${COMPILED}'; const args = process.argv.slice(1); ${script}`;
  return [process.execPath, '--input-type=module', '-e', whole, ...args];
}

/** A process group of its own, and the first line it prints. */
function start(command: readonly string[]): { child: Child; printed: Promise<string> } {
  const child = spawn(command[0], command.slice(1), { detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
  groups.push(child.pid ?? 0);
  const printed = new Promise<string>((resolve, reject) => {
    let text = '';
    let errors = '';
    child.stderr.on('data', (data: Buffer) => (errors += data.toString()));
    child.stdout.on('data', (data: Buffer) => {
      text += data.toString();
      if (text.endsWith('\n')) resolve(text.trim());
    });
    child.once('exit', () => reject(new Error(`the process ended: ${errors}`)));
  });
  return { child, printed };
}

async function kill(child: Child): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

/** `Z` is a zombie, `T` is stopped. A slim Linux has no `ps`. */
function stateOf(pid: number): string {
  if (process.platform === 'linux') return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1][0];
  return spawnSync('ps', ['-o', 'stat=', '-p', String(pid)])
    .stdout.toString()
    .trim()
    .slice(0, 1);
}

async function untilState(pid: number, state: string): Promise<void> {
  while (stateOf(pid) !== state) await new Promise((resolve) => setTimeout(resolve, 20));
}

/**
 * Takes the folder from a process that was killed. Its threads end one by one, and so does its namespace, a moment
 * after it looks dead.
 */
async function takeFreed(): Promise<void> {
  for (;;) {
    try {
      return lockFolder(folder).release();
    } catch (error) {
      expect(error).toEqual(IN_USE);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('of two starters the second is told who has the folder and how to get out, until the first is done', () => {
  const lock = lockFolder(folder);
  expect(() => lockFolder(folder)).toThrow(IN_USE);
  expect(() => lockFolder(folder)).toThrow(`process ${process.pid} on ${hostname()}`);
  expect(() => lockFolder(folder)).toThrow(
    /stop it, or choose another folder with VARVE_DATA; no file has to be deleted/,
  );
  lock.release();
  const next = lockFolder(folder);
  lock.release(); // A second time: it must not take the lock from the next.
  expect(() => lockFolder(folder)).toThrow(IN_USE);
  next.release();
});

describe('a process that lives keeps the folder', () => {
  test('and one that was killed does not', async () => {
    const { child, printed } = start(scriptCommand(HOLDER, folder));
    expect(await printed).toBe(String(child.pid));
    expect(() => lockFolder(folder)).toThrow(`process ${child.pid} on`);
    await kill(child);
    lockFolder(folder).release();
  });

  test('also while it is stopped', async () => {
    const { child, printed } = start(scriptCommand(HOLDER, folder));
    const pid = Number(await printed);
    child.kill('SIGSTOP');
    await untilState(pid, 'T');
    expect(() => lockFolder(folder)).toThrow(IN_USE);
    await kill(child);
    lockFolder(folder).release();
  });

  test('but not as a zombie, whose parent never asks for it', async () => {
    const { printed } = start(['sh', '-c', '"$@" < /dev/zero & exec sleep 60', 'sh', ...scriptCommand(HOLDER, folder)]);
    const pid = Number(await printed);
    expect(() => lockFolder(folder)).toThrow(IN_USE);
    process.kill(pid, 'SIGKILL');
    await untilState(pid, 'Z');
    await takeFreed();
    expect(stateOf(pid)).toBe('Z');
  });

  // A new namespace takes a permission that no package installs.
  const canUnshare = spawnSync('unshare', ['--pid', '--fork', 'true']).status === 0;
  if (!canUnshare) console.warn('SKIPPED: the folder lock across PID namespaces: no permission to make one');
  const testUnshared = canUnshare ? test : test.skip;

  testUnshared('also in another PID namespace of the same host name, as in a container beside this one', async () => {
    const inside = start(['unshare', '--pid', '--fork', '--kill-child', '--', ...scriptCommand(HOLDER, folder)]);
    expect(await inside.printed).toBe('1');
    expect(() => lockFolder(folder)).toThrow(`process 1 on ${hostname()}`);
    await kill(inside.child);
    await takeFreed();
  });

  testUnshared('also for one that sees no /proc', async () => {
    const lock = lockFolder(folder);
    const ask = `try { lockFolder(args[0]) } catch (error) { console.log(error.slug) }`;
    const blind = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /proc && exec "$@"', 'sh'];
    expect(await start([...blind, ...scriptCommand(ask, folder)]).printed).toBe('folder-in-use');
    lock.release();
  });
});

(process.getuid?.() === 0 ? test : test.skip)('one start of root does not take the folder from its user', () => {
  chownSync(folder, 65_534, 65_534);
  lockFolder(folder).release();
  expect(statSync(join(folder, 'varve.lock')).uid).toBe(65_534);
});

test.each(['', '{"host":"', 'process 1 on elsewhere\n'])(
  'what a power cut left in the file holds nothing: %j',
  (text) => {
    writeFileSync(join(folder, 'varve.lock'), text);
    const lock = lockFolder(folder);
    expect(readFileSync(join(folder, 'varve.lock'), 'utf8')).toBe(`process ${process.pid} on ${hostname()}\n`);
    lock.release();
  },
);

test('of several that start at the same moment, exactly one gets the folder', async () => {
  const ROUNDS = 50;
  for (let round = 0; round < ROUNDS; round++) mkdirSync(join(folder, String(round)));
  // They meet at one folder after the other by the clock, and live on until all are done: what they took stays theirs.
  const race = `
    const taken = [];
    for (let round = 0; round < ${ROUNDS}; round++) {
      while (performance.timeOrigin + performance.now() < Number(args[1]) + round * 10);
      try { lockFolder(args[0] + '/' + round); taken.push(round); } catch (error) { if (error.code !== 'conflict') throw error; }
    }
    console.log(JSON.stringify(taken)); process.stdin.resume()`;
  const at = String(Date.now() + 500);
  const racers = [1, 2, 3].map(() => start(scriptCommand(race, folder, at)));
  const taken = (await Promise.all(racers.map(({ printed }) => printed))).flatMap(
    (text) => JSON.parse(text) as number[],
  );
  expect(taken.sort((a, b) => a - b)).toEqual(Array.from({ length: ROUNDS }, (_, round) => round));
});
