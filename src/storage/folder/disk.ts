/** The file operations that a new file is made of, as a port: tests put a failing one in its place. */
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';

/**
 * Guarantees, and nothing beyond them:
 * - A `write` or `truncate` is seen by every later `read` of any descriptor, in this process and others. It survives
 *   a power cut only after a `sync` of the file. Until then any part of it may be on disk, in any order, and any part
 *   may be missing.
 * - Making, renaming or removing a file survives only after a `syncFolder` of its path. The bytes of a synced file do
 *   not help if its name is not.
 * - What fails throws with the system's code (`ENOSPC`, `EIO`, …) and may have been done in part.
 *
 * All operations are synchronous: they are used in worker threads only.
 */
export interface Disk {
  /** `create` fails if the file exists, `edit` if it does not, `replace` begins with an empty file in any case. */
  open(path: string, how: 'create' | 'edit' | 'replace'): number;
  close(fd: number): void;
  length(fd: number): number;
  /** Reads up to `into.length` bytes; fewer only at the end of the file. @returns bytes read */
  read(fd: number, into: Uint8Array, position: number): number;
  /** Writes all of it. */
  write(fd: number, bytes: Uint8Array, position: number): void;
  truncate(fd: number, length: number): void;
  /** Makes bytes and length durable. */
  sync(fd: number): void;
  exists(path: string): boolean;
  readFile(path: string): Buffer;
  /** A missing file is fine. */
  remove(path: string): void;
  /**
   * Renames a file. Every reader sees it at once; after a power cut it has happened or not. Both names are in one
   * folder.
   */
  rename(from: string, to: string): void;
  /** Makes the names in the folder of `path` durable. */
  syncFolder(path: string): void;
}

const FLAGS = { create: 'wx+', edit: 'r+', replace: 'w+' } as const;

export const systemDisk: Disk = {
  open: (path, how) => openSync(path, FLAGS[how], 0o644),
  close: closeSync,
  length: (fd) => fstatSync(fd).size,
  read(fd, into, position) {
    let done = 0;
    while (done < into.length) {
      const got = readSync(fd, into, done, into.length - done, position + done);
      if (got === 0) break;
      done += got;
    }
    return done;
  },
  write(fd, bytes, position) {
    for (let done = 0; done < bytes.length;) {
      done += writeSync(fd, bytes, done, bytes.length - done, position + done);
    }
  },
  truncate: ftruncateSync,
  sync: fsyncSync,
  exists: existsSync,
  readFile: (path) => readFileSync(path),
  remove: (path) => rmSync(path, { force: true }),
  rename: renameSync,
  syncFolder(path) {
    const fd = openSync(dirname(path), 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  },
};
