/** Sweeps what is left over when fresh chunks have been flushed: room in their table, and spool files. */
import { vacuumFresh } from '../../catalog/appends/fresh-store.ts';
import { forgetFreed, freeSpools } from '../../catalog/appends/spool-store.ts';
import { removeSpooled } from '../../storage/folder/spool.ts';
import type { RewriteDeps } from '../rewrite/rewrite-shards.ts';
import { messageOf } from '../../core/errors.ts';

/** Pause between two vacuums of one process. */
const VACUUM_PAUSE_MS = 5_000;
/** Readers that have just asked where a chunk lies may open its spool file for so long. */
export const SPOOL_GRACE_MS = 60_000;

export class FreshSweep {
  readonly #deps: RewriteDeps;
  #vacuumedAt = -Infinity;
  #running: Promise<void> | null = null;

  constructor(deps: RewriteDeps) {
    this.#deps = deps;
  }

  /** Sweeps, after a flush and now and then. It never throws: the next one does what this one could not. */
  async run(): Promise<void> {
    this.#running ??= this.#sweep().finally(() => (this.#running = null));
    await this.#running;
  }

  async #sweep(): Promise<void> {
    const { db, log } = this.#deps;
    try {
      await sweepSpools(this.#deps);
      if (performance.now() - this.#vacuumedAt < VACUUM_PAUSE_MS) return;
      await vacuumFresh(db);
      this.#vacuumedAt = performance.now();
    } catch (error) {
      log.warn({ reason: messageOf(error) }, 'what flushes leave over could not be swept');
    }
  }
}

/**
 * Removes rows first: a file without a row is rubbish, a row without a file would be a loss. @returns files that were
 * removed
 */
export async function sweepSpools(
  { db, root }: Pick<RewriteDeps, 'db' | 'root'>,
  graceMs = SPOOL_GRACE_MS,
): Promise<number> {
  await freeSpools(db);
  const freed = await forgetFreed(db, graceMs);
  for (const id of freed) await removeSpooled(root, id);
  return freed.length;
}
