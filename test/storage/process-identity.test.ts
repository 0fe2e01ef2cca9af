import { afterAll, describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { isProcessGone, thisProcess } from '../../src/storage/folder/process-identity.ts';

const folder = mkdtempSync(join(tmpdir(), 'varve-identity-'));
afterAll(() => rmSync(folder, { recursive: true }));

const me = thisProcess();

test('a process knows itself', () => {
  expect(me).toEqual({ host: hostname(), boot: expect.any(String), pid: process.pid, started: expect.any(String) });
  expect(thisProcess()).toEqual(me);
  expect(isProcessGone(me)).toBe(false);
  expect(isProcessGone(JSON.parse(JSON.stringify(me)))).toBe(false);
});

describe('a process is gone', () => {
  test.each([
    ['if the machine has booted since', { ...me, boot: 'another' }],
    ['if its pid is somebody else', { ...me, started: '1' }],
    ['if its pid is nobody', { ...me, pid: 2 ** 22 + 1 }],
  ])('%s', (_, identity) => {
    expect(isProcessGone(identity)).toBe(true);
  });

  test.each(['plain', 'a) 1 (b c'])('once it has ended, whatever it is called: %s', async (name) => {
    const program = join(folder, name);
    copyFileSync('/bin/sleep', program);
    const child = spawn(program, ['60']);
    await new Promise((resolve) => child.once('spawn', resolve));
    // Field 22 of stat, counted by hand: the name in brackets is field 2 and may hold anything.
    const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8').replace(`(${name})`, 'name');
    const identity = { ...me, pid: child.pid, started: stat.split(' ')[21] };
    expect(isProcessGone(identity)).toBe(false);
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    expect(isProcessGone(identity)).toBe(true);
  });
});

describe('nobody is sure that it is gone', () => {
  test.each<[string, unknown]>([
    ['on another host', { ...me, host: 'elsewhere', boot: 'another', pid: 1 }],
    ['where the boot is not known', { ...me, boot: null, started: '1' }],
    ['where the start is not known', { ...me, started: null, boot: 'another' }],
    ['of a pid that is no number', { ...me, pid: '1', started: '1' }],
    ['of nothing', null],
    ['of an empty object', {}],
    ['of a text', 'process'],
  ])('%s', (_, identity) => {
    expect(isProcessGone(identity)).toBe(false);
  });
});
