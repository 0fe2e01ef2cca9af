/** Suites that cannot run here, for want of a program or of data. */
import { describe, test } from '@jest/globals';

/**
 * Skips a suite without running its body, which may need what is missing: jest runs the body of a skipped `describe` to find its tests.
 * @param strict a variable that makes the skip an error if it is 1
 */
export function skipSuite(name: string, reason: string, strict: 'VARVE_TEST_NO_SKIP' | 'VARVE_TEST_NEED_DATA'): void {
  if (process.env[strict] === '1') throw new Error(reason);
  console.warn(`SKIPPED: ${name}: ${reason}`);
  describe(name, () => test.skip(reason, () => {}));
}
