/** Python as an independent judge of our files. */
import { execFileSync } from 'node:child_process';
import { describe } from '@jest/globals';
import { skipSuite } from './skip-suite.ts';

const CANDIDATES = [process.env.VARVE_TEST_PYTHON, '/usr/bin/python3', 'python3'].filter((name) => name !== undefined);

function pythonWith(modules: readonly string[]): string | undefined {
  return CANDIDATES.find((python) => {
    try {
      execFileSync(python, ['-c', modules.map((name) => `import ${name}`).join('\n') || 'pass'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  });
}

/** Runs a script with bytes on its standard input; returns its standard output. */
export type RunPython = (script: string, input?: Uint8Array | string) => Buffer;

/** A suite that needs Python with these modules; skipped, and said so, where it is missing (an error with VARVE_TEST_NO_SKIP=1). */
export function describePython(name: string, modules: readonly string[], suite: (run: RunPython) => void): void {
  const python = pythonWith(modules);
  if (python !== undefined) {
    return describe(name, () =>
      suite((script, input = '') => execFileSync(python, ['-c', script], { input, maxBuffer: 256 * 1024 * 1024 })),
    );
  }
  skipSuite(name, `no python3 with ${modules.join(', ')}`, 'VARVE_TEST_NO_SKIP');
}
