/** A folder, with what is missing above it. */
import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Makes the folder if it is not there, and tries every folder once. Node's own recursive mkdir never returns where the
 * system takes no new names. In `/proc` a folder "does not exist" although the one above it does.
 * @param mode of what is made; the umask applies
 * @throws what the system says, with the path it says it of; `ENOTDIR` if there is something else
 */
export function makeFolder(path: string, mode = 0o777): void {
  const missing: string[] = [];
  let folder = resolve(path);
  while (!isFolder(folder)) {
    missing.push(folder);
    if (folder === dirname(folder)) break;
    folder = dirname(folder);
  }
  for (const each of missing.reverse()) {
    try {
      mkdirSync(each, { mode });
    } catch (error) {
      // Another starter may have been faster.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      if (!isFolder(each)) throw error;
    }
  }
}

/** @returns false if there is nothing. @throws `ENOTDIR` if there is something else, or above it */
function isFolder(path: string): boolean {
  // A path below a file is "not a directory" for the system, too.
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return false;
  if (found.isDirectory()) return true;
  throw Object.assign(new Error(`ENOTDIR: not a directory, '${path}'`), { code: 'ENOTDIR', path });
}
