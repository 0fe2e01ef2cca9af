/** One Varve a data folder: a second embedded start in the same folder must be told, not do harm. */
import { linkSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { VarveError } from '../core/errors.ts';
import { isGone, thisProcess, type ProcessIdentity } from './process-identity.ts';

const ATTEMPTS = 3;

export interface FolderLock {
  release(): void;
}

/**
 * Takes the folder, also from a process that is certainly gone (kill -9, a reboot).
 * @throws conflict `folder-in-use` naming the process that has it
 */
export function lockFolder(folder: string): FolderLock {
  const path = join(folder, 'varve.pid');
  const mine = join(folder, `varve.pid.${process.pid}`);
  writeFileSync(mine, JSON.stringify(thisProcess()));
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      try {
        linkSync(mine, path); // a link never replaces: exactly one of several starters gets it
        return { release: () => unlinkSync(path) };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const holder = readHolder(path);
      if (holder && !isGone(holder)) {
        throw new VarveError(
          'conflict',
          `another Varve (process ${holder.pid} on ${holder.host}) is running in ${folder}`,
          {
            slug: 'folder-in-use',
          },
        );
      }
      const stale = `${mine}.stale`;
      try {
        renameSync(path, stale); // of several that find it stale, one moves it away
        unlinkSync(stale);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
    throw new VarveError('conflict', `another Varve is starting in ${folder}`, { slug: 'folder-in-use' });
  } finally {
    unlinkSync(mine);
  }
}

function readHolder(path: string): ProcessIdentity | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ProcessIdentity;
  } catch {
    return null;
  }
}
