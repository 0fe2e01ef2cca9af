/** One Varve a data folder: a second embedded start in the same folder must be told, not do harm. */
import { createHash } from 'node:crypto';
import { linkSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
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
    take(path, mine, folder);
  } finally {
    unlinkSync(mine);
  }
  return { release: () => unlinkSync(path) };
}

/**
 * Makes `path` a link to `mine`. A link never replaces, so exactly one of several starters gets it. What a process that is gone has left is removed
 * by whoever takes a lock named after it, and only after a second look: one who looked earlier must not remove what somebody else took since.
 */
function take(path: string, mine: string, folder: string): void {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    try {
      linkSync(mine, path);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const found = readText(path);
    if (found === null) continue; // released this moment
    const holder = identityIn(found);
    if (holder && !isGone(holder)) {
      throw new VarveError(
        'conflict',
        `another Varve (process ${holder.pid} on ${holder.host}) is running in ${folder}`,
        {
          slug: 'folder-in-use',
        },
      );
    }
    const removal = `${path}.${createHash('sha256').update(found).digest('hex').slice(0, 16)}`;
    take(removal, mine, folder);
    try {
      if (readText(path) === found) unlinkSync(path);
    } finally {
      unlinkSync(removal);
    }
  }
  throw new VarveError('conflict', `another Varve is starting in ${folder}`, { slug: 'folder-in-use' });
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return null;
  }
}

/** Null for what no process has written whole. */
function identityIn(text: string): ProcessIdentity | null {
  try {
    return JSON.parse(text) as ProcessIdentity;
  } catch {
    return null;
  }
}
