/** What the files of a peer take on the disk. */
import { setTimeout as sleep } from 'node:timers/promises';
import { allocatedBytes } from '../machine.ts';

/** A folder that has not changed for so long is taken for finished; one that never does is measured as it is. */
const QUIET_MS = 3_000;
const SETTLE_LIMIT_MS = 60_000;
const POLL_MS = 250;
const MB = 1e6;

/** Waits for what a service does to its files in the background. @returns MB of the blocks of all files in a folder */
export async function settledDiskMb(folder: string): Promise<number> {
  const deadline = performance.now() + SETTLE_LIMIT_MS;
  let bytes = allocatedBytes(folder);
  let since = performance.now();
  while (performance.now() - since < QUIET_MS && performance.now() < deadline) {
    await sleep(POLL_MS);
    const now = allocatedBytes(folder);
    if (now !== bytes) since = performance.now();
    bytes = now;
  }
  return bytes / MB;
}
