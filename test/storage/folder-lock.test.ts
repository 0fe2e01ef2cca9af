import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lockFolder } from '../../src/storage/folder-lock.ts';
import { thisProcess } from '../../src/storage/process-identity.ts';

const base = mkdtempSync(join(tmpdir(), 'varve-lock-'));
afterAll(() => rmSync(base, { recursive: true }));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(base, 'f-'));
});

const LOCK = 'varve.pid';
const IN_USE = expect.objectContaining({ code: 'conflict', slug: 'folder-in-use' });
const COMPILED = new URL('../../src/storage/folder-lock.js', import.meta.url).href;

function holderOf(path: string): { pid: number } {
  return JSON.parse(readFileSync(join(path, LOCK), 'utf8')) as { pid: number };
}

/** Another process that runs a script with `lockFolder` at hand; what it prints as its first line, and how to end it. */
function startProcess(script: string, ...args: string[]): { child: ChildProcess; printed: Promise<string> } {
  const child = spawn(process.execPath, [
    '--input-type=module',
    '-e',
    `import { lockFolder } from '${COMPILED}'; const args = process.argv.slice(1); ${script}; process.stdin.resume();`,
    ...args,
  ]);
  const printed = new Promise<string>((resolve, reject) => {
    let text = '';
    let errors = '';
    child.stderr.on('data', (data: Buffer) => (errors += data.toString()));
    child.stdout.on('data', (data: Buffer) => {
      text += data.toString();
      if (text.endsWith('\n')) resolve(text);
    });
    child.once('exit', () => reject(new Error(`the process ended: ${errors}`)));
  });
  return { child, printed };
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

test('of two starters the second is told who has the folder, until the first is done', () => {
  const lock = lockFolder(folder);
  expect(holderOf(folder)).toEqual(thisProcess());
  expect(() => lockFolder(folder)).toThrow(IN_USE);
  expect(() => lockFolder(folder)).toThrow(`process ${process.pid}`);
  lock.release();
  expect(readdirSync(folder)).toEqual([]);
  lockFolder(folder).release();
});

test('a process that lives keeps the folder, one that was killed does not', async () => {
  const { child, printed } = startProcess(`lockFolder(args[0]); console.log('locked')`, folder);
  expect(await printed).toBe('locked\n');
  expect(() => lockFolder(folder)).toThrow(IN_USE);
  expect(() => lockFolder(folder)).toThrow(`process ${child.pid}`);
  await kill(child);
  const lock = lockFolder(folder);
  expect(holderOf(folder).pid).toBe(process.pid);
  expect(readdirSync(folder)).toEqual([LOCK]);
  lock.release();
});

describe('a lock is taken over', () => {
  test.each<[string, string]>([
    ['of a pid that is somebody else now', JSON.stringify({ ...thisProcess(), started: '1' })],
    ['of before the machine booted', JSON.stringify({ ...thisProcess(), boot: 'another' })],
    ['that a power cut left empty', ''],
    ['that a power cut left in half', '{"host":"'],
  ])('%s', (_, content) => {
    writeFileSync(join(folder, LOCK), content);
    lockFolder(folder);
    expect(holderOf(folder)).toEqual(thisProcess());
    expect(readdirSync(folder)).toEqual([LOCK]);
  });

  test('of a process on another host it is not', () => {
    const content = JSON.stringify({ ...thisProcess(), host: 'elsewhere', pid: 77 });
    writeFileSync(join(folder, LOCK), content);
    expect(() => lockFolder(folder)).toThrow('process 77 on elsewhere');
    expect(readFileSync(join(folder, LOCK), 'utf8')).toBe(content);
    expect(readdirSync(folder)).toEqual([LOCK]);
  });

  test('also if one who was at it was killed in the midst', () => {
    const gone = JSON.stringify({ ...thisProcess(), started: '1' });
    writeFileSync(join(folder, LOCK), gone);
    const digest = createHash('sha256').update(gone).digest('hex').slice(0, 16);
    writeFileSync(join(folder, `${LOCK}.${digest}`), JSON.stringify({ ...thisProcess(), started: '2' }));
    lockFolder(folder);
    expect(holderOf(folder)).toEqual(thisProcess());
    expect(readdirSync(folder)).toEqual([LOCK]);
  });

  test('not while another is at it', () => {
    const gone = JSON.stringify({ ...thisProcess(), started: '1' });
    writeFileSync(join(folder, LOCK), gone);
    const digest = createHash('sha256').update(gone).digest('hex').slice(0, 16);
    writeFileSync(join(folder, `${LOCK}.${digest}`), JSON.stringify(thisProcess()));
    expect(() => lockFolder(folder)).toThrow(IN_USE);
    expect(readFileSync(join(folder, LOCK), 'utf8')).toBe(gone);
  });
});

test('of several that find a lock of the dead at the same moment, exactly one gets the folder', async () => {
  const ROUNDS = 300;
  const gone = JSON.stringify({ ...thisProcess(), started: '1' });
  for (let round = 0; round < ROUNDS; round++) {
    mkdirSync(join(folder, String(round)));
    writeFileSync(join(folder, String(round), LOCK), gone);
  }
  // They meet at one folder after the other by the clock, and live on until all are done: what they took stays theirs.
  const race = `
    const taken = [];
    for (let round = 0; round < ${ROUNDS}; round++) {
      while (performance.timeOrigin + performance.now() < Number(args[1]) + round * 1.5);
      try { lockFolder(args[0] + '/' + round); taken.push(round); } catch (error) { if (error.code !== 'conflict') throw error; }
    }
    console.log(JSON.stringify(taken))`;
  const start = String(Date.now() + 500);
  const racers = [1, 2, 3].map(() => startProcess(race, folder, start));
  const taken = (await Promise.all(racers.map(({ printed }) => printed))).flatMap(
    (text) => JSON.parse(text) as number[],
  );
  await Promise.all(racers.map(({ child }) => kill(child)));
  expect(taken.sort((a, b) => a - b)).toEqual(Array.from({ length: ROUNDS }, (_, round) => round));
});
