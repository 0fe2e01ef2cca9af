/** Makes the names in a folder durable: creating, renaming or removing a file is safe only after this. */
import { closeSync, fsyncSync, openSync } from 'node:fs';
import { dirname } from 'node:path';

/** fsync of the folder that holds `path`. */
export function syncFolderOf(path: string): void {
  const fd = openSync(dirname(path), 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
