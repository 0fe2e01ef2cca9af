/** The data folder at the start of a role: made, tried, and taken. */
import { setTimeout as sleep } from 'node:timers/promises';
import { getSystemErrorMap } from 'node:util';
import { VarveError } from '../../core/errors.ts';
import { DataRoot } from '../../storage/folder/data-root.ts';
import { lockFolder, type FolderLock } from '../../storage/folder/folder-lock.ts';

/** A process that was killed lets go of its files a moment after it looks dead: its threads end one by one. */
const TRIES = 10;
const PAUSE_MS = 100;

/** @throws invalid-input `data-folder` saying which path the system refuses, and why */
export function openDataFolder(path: string): DataRoot {
  return sayingWhy(path, () => {
    const root = new DataRoot(path);
    root.prepare();
    return root;
  });
}

/** @throws conflict `folder-in-use`; invalid-input `data-folder` if the lock cannot be written */
export async function takeDataFolder(path: string): Promise<FolderLock> {
  for (let tries = 1; ; tries++) {
    try {
      return sayingWhy(path, () => lockFolder(path));
    } catch (error) {
      if ((error as Partial<VarveError>).slug !== 'folder-in-use' || tries === TRIES) throw error;
    }
    await sleep(PAUSE_MS);
  }
}

function sayingWhy<T>(folder: string, open: () => T): T {
  try {
    return open();
  } catch (error) {
    const { code, path = folder } = error as NodeJS.ErrnoException;
    const [, reason] = [...getSystemErrorMap().values()].find(([name]) => name === code) ?? [];
    if (reason === undefined) throw error;
    const where = path === folder ? '' : ` at ${path}`;
    throw new VarveError('invalid-input', `VARVE_DATA cannot be ${folder}: ${reason}${where}`, {
      slug: 'data-folder',
      cause: error,
    });
  }
}
