/** Settles the journal of a shard that nobody writes to, off the main thread: what it does waits for the disk. */
import { Worker } from 'node:worker_threads';
import type { DataRoot } from './data-root.ts';
import type { Recovery } from './journal.ts';

/**
 * {@link recoverShard} in a thread of its own.
 * @param path of the shard, relative to the data root
 */
export function settleShard(root: DataRoot, path: string): Promise<Recovery> {
  const thread = new Worker(new URL('./settle-thread.js', import.meta.url), { workerData: root.resolve(path) });
  return new Promise((resolve, reject) => {
    thread.once('message', resolve);
    thread.once('error', reject);
    thread.once('exit', (code) => reject(new Error(`the thread that settles a journal ended with ${code}`)));
  });
}
