/** Which files this process holds open (Linux). */
import { readdirSync, readlinkSync } from 'node:fs';

/** Paths below a folder, one for every descriptor. */
export function openFilesBelow(folder: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(`${folder}/`) ? [path] : [];
    } catch {
      return []; // the descriptor of the listing itself
    }
  });
}
