/** Real recordings for tests: the folder VARVE_TEST_DATA, or shared/data beside the project's root. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe } from '@jest/globals';
import { projectRoot } from './project-root.ts';
import { skipSuite } from './skip-suite.ts';

/** Path of a recording, such as `wfdb/100.hea`. */
export function sharedDataPath(name: string): string {
  return join(process.env.VARVE_TEST_DATA ?? resolve(projectRoot(), '../shared/data'), name);
}

function hasSharedData(): boolean {
  return existsSync(sharedDataPath('EXPECTED.json'));
}

/** What independent readers get from a recording; the caller says what that looks like for its format. */
export function expectedOf(name: string): unknown {
  return JSON.parse(readFileSync(sharedDataPath('EXPECTED.json'), 'utf8'))[name];
}

/** By this beginning .ci/run picks the tests that read recordings from their files. */
const RECORDINGS = 'recordings: ';

/**
 * A suite over real recordings; skipped, and said so, where they are missing (an error with VARVE_TEST_NEED_DATA=1). Its body may read them: one that
 * is skipped is never run. Every suite that reads recordings is one of these, by which .ci/run finds it.
 */
export function describeRecordings(name: string, suite: () => void): void {
  if (hasSharedData()) return describe(`${RECORDINGS}${name}`, suite);
  skipSuite(name, `no recordings at ${sharedDataPath('')}; set VARVE_TEST_DATA`, 'VARVE_TEST_NEED_DATA');
}
