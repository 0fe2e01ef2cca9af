/** Real recordings for tests: the folder VARVE_TEST_DATA, or shared/data beside the project's root. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe } from '@jest/globals';

/** The folder of the package.json that is called varve, upwards from where the tests were started. */
export function projectRoot(): string {
  for (let folder = process.cwd(); ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if (existsSync(file) && JSON.parse(readFileSync(file, 'utf8')).name === 'varve') return folder;
    if (folder === dirname(folder)) throw new Error('no package.json of varve above the working folder');
  }
}

/** Path of a recording, such as `wfdb/100.hea`. */
export function sharedDataPath(name: string): string {
  return join(process.env.VARVE_TEST_DATA ?? resolve(projectRoot(), '../shared/data'), name);
}

export function hasSharedData(): boolean {
  return existsSync(sharedDataPath('EXPECTED.json'));
}

/** What independent readers get from a recording. */
export function expectedOf(name: string): any {
  return JSON.parse(readFileSync(sharedDataPath('EXPECTED.json'), 'utf8'))[name];
}

/** A suite over real recordings; skipped, and said so, where they are missing (an error with VARVE_TEST_NO_SKIP=1). */
export function describeRecordings(name: string, suite: () => void): void {
  if (hasSharedData()) return describe(name, suite);
  if (process.env.VARVE_TEST_NO_SKIP === '1') throw new Error(`no recordings at ${sharedDataPath('')}`);
  console.warn(`SKIPPED: ${name}: no recordings at ${sharedDataPath('')}; set VARVE_TEST_DATA`);
  describe.skip(name, suite);
}
