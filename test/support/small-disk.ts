/** A real file system that is soon full: a tmpfs of its own. */
import { execFileSync } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface SmallDisk {
  readonly folder: string;
  /** Takes all space but this much. */
  fill(leavingBytes?: number): Promise<void>;
  /** Gives it back. */
  free(): Promise<void>;
  drop(): Promise<void>;
}

const PIECE = Buffer.alloc(64 * 1024, 1);
const PAGE_BYTES = 4096;

/** @returns null where mounting is not permitted: it takes root, and in a container the capability to */
export async function mountSmallDisk(bytes: number): Promise<SmallDisk | null> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-small-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder], { stdio: 'ignore' });
  } catch {
    await rm(folder, { recursive: true });
    return null;
  }
  const ballast = join(folder, 'ballast');
  return {
    folder,
    async fill(leavingBytes = 0) {
      const file = await open(ballast, 'a');
      try {
        for (let piece: Uint8Array = PIECE; ;) {
          try {
            await file.appendFile(piece);
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
            if (piece.length === PAGE_BYTES) break;
            piece = PIECE.subarray(0, PAGE_BYTES);
          }
        }
        const { size } = await file.stat();
        await file.truncate(Math.max(0, size - leavingBytes));
      } finally {
        await file.close();
      }
    },
    free: () => rm(ballast, { force: true }),
    async drop() {
      execFileSync('umount', ['--lazy', folder]); // a process that was killed may take a moment to let go
      await rm(folder, { recursive: true });
    },
  };
}
