import { afterAll, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeFolder } from '../../src/storage/folder/make-folder.ts';

const base = mkdtempSync(join(tmpdir(), 'varve-folder-'));
afterAll(() => rmSync(base, { recursive: true }));

test('a folder is made with all that is missing above it, and is left as it is if it is there', () => {
  const path = join(base, 'a', 'b', 'c');
  makeFolder(path, 0o700);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  makeFolder(path);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  makeFolder('.');
});

test('a path that cannot be a folder is refused at once', () => {
  const file = join(base, 'file');
  writeFileSync(file, '');
  symlinkSync(join(base, 'nowhere'), join(base, 'link'));
  expect(() => makeFolder(file)).toThrow(expect.objectContaining({ code: 'ENOTDIR' }));
  expect(() => makeFolder(join(file, 'x', 'y'))).toThrow(expect.objectContaining({ code: 'ENOTDIR' }));
  expect(() => makeFolder(join(base, 'link'))).toThrow(expect.objectContaining({ code: 'EEXIST' }));
  expect(() => makeFolder(join(base, 'link', 'x'))).toThrow(expect.objectContaining({ code: 'EEXIST' }));
});

(process.platform === 'linux' ? test : test.skip)('so is one below a folder that takes no new names', () => {
  expect(() => makeFolder('/proc/x')).toThrow(expect.objectContaining({ code: 'ENOENT', path: '/proc/x' }));
  expect(() => makeFolder('/proc/x/y')).toThrow(expect.objectContaining({ code: 'ENOENT', path: '/proc/x' }));
});
