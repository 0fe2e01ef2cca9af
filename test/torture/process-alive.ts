/** Processes that are not our children: the postmaster. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The process of the Postgres in a folder, as its own mark says; null if it has none. */
export function postgresPid(dataDir: string): number | null {
  const mark = join(dataDir, 'cluster', 'postmaster.pid');
  return existsSync(mark) ? Number(readFileSync(mark, 'utf8').split('\n')[0]) : null;
}

/** False for one that has ended and is only waited for, too. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}
