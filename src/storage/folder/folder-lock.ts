/** Each data folder has one Varve: a second embedded start in the same folder must be told, not do harm. */
import { closeSync, fchownSync, ftruncateSync, readFileSync, statSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { VarveError } from '../../core/errors.ts';
import { lockFile } from './file-lock.ts';

/** The file stays when the lock goes. What counts is the lock of the kernel; the text only says whose it is. */
const LOCK_FILE = 'varve.lock';

export interface FolderLock {
  /** Can be called again. */
  release(): void;
}

/**
 * Takes the folder until it is released or this process ends, however it ends.
 * @throws conflict `folder-in-use` naming the process that has it, and what to do
 */
export function lockFolder(folder: string): FolderLock {
  const path = join(folder, LOCK_FILE);
  const file = lockFile(path);
  if (file === null) {
    throw new VarveError(
      'conflict',
      `another Varve${holderIn(path)} is running in ${folder}: stop it, or choose another folder with VARVE_DATA; no file has to be deleted, the folder is free once that process has ended`,
      { slug: 'folder-in-use' },
    );
  }
  // One start with sudo must not take the folder away from its user.
  const { uid, gid } = statSync(folder);
  if (process.getuid?.() === 0) fchownSync(file, uid, gid);
  ftruncateSync(file);
  writeSync(file, `process ${process.pid} on ${hostname()}\n`, 0);
  let isHeld = true;
  return {
    release() {
      if (!isHeld) return;
      isHeld = false;
      ftruncateSync(file);
      closeSync(file);
    },
  };
}

/** The text of the lock file, in parentheses. It is empty where it cannot be read: on Windows nobody can while it is locked. */
function holderIn(path: string): string {
  try {
    const text = readFileSync(path, 'utf8').trim();
    return text === '' ? '' : ` (${text})`;
  } catch {
    return '';
  }
}
