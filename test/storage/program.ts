/** Programs of the system that tests need. */
import { execFileSync } from 'node:child_process';
import { describe } from '@jest/globals';
import { skipSuite } from '../support/skip-suite.ts';

/** A suite that needs a program; skipped, and said so, where it is missing (an error with VARVE_TEST_NO_SKIP=1). */
export function describeProgram(program: string, name: string, suite: () => void): void {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
  } catch {
    return skipSuite(name, `no ${program}`, 'VARVE_TEST_NO_SKIP');
  }
  describe(name, suite);
}
