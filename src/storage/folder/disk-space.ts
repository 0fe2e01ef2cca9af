/** How much room is left where samples are written. */
import { statfs } from 'node:fs/promises';
import type { DataRoot } from './data-root.ts';

/** Bytes this user may still write to the spool or to shards, whichever has less: they may lie on file systems of their own. */
export async function freeBytes(root: DataRoot): Promise<number> {
  const disks = await Promise.all([root.spoolFolder, root.shardFolder].map((folder) => statfs(folder)));
  return Math.min(...disks.map((disk) => disk.bavail * disk.bsize));
}
