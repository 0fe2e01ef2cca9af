/** A disk that is full, as far as this process can tell: no file may grow past a size. */
import { execFileSync } from 'node:child_process';

/** Runs something under the limit (setrlimit(2), RLIMIT_FSIZE; Node gets EFBIG). It holds for the whole process, so keep it short. */
export async function withFileSizeLimit<T>(bytes: number, work: () => Promise<T>): Promise<T> {
  const limit = (soft: string): Buffer => execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${soft}:`]);
  limit(String(bytes));
  try {
    return await work();
  } finally {
    limit('unlimited');
  }
}
