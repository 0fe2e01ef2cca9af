/** What `npx varve` runs in a checkout, however often it was built. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { VERSION } from '../../src/main/process/version.ts';
import { projectRoot } from '../support/project-root.ts';

const BUILD_LIMIT_MS = 180_000;
const isWindows = process.platform === 'win32';
const run = promisify(execFile);

let folder: string;
beforeAll(() => {
  // A copy: the build of this project is what runs the tests.
  folder = mkdtempSync(join(tmpdir(), 'varve-npx-'));
  for (const name of ['package.json', 'tsconfig.json', 'src', 'migrations', 'support']) {
    cpSync(join(projectRoot(), name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(projectRoot(), 'node_modules'), join(folder, 'node_modules'), 'junction');
});
afterAll(() => rmSync(folder, { recursive: true }));

test(
  'npx varve --version works after the first build and after the next',
  async () => {
    const options = { cwd: folder, shell: isWindows, env: { ...process.env, NODE_OPTIONS: '' } };
    for (const _ of ['first', 'next']) {
      await run('npm', ['run', '--silent', 'build'], options);
      const { stdout } = await run('npx', ['--no-install', 'varve', '--version'], options);
      expect(stdout.trim()).toBe(VERSION);
    }
  },
  BUILD_LIMIT_MS,
);
