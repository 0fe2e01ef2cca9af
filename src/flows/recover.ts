/** Recovery: makes rows and files agree again after whatever happened. The same flow at start and on a timer. */
import type { Database } from '../catalog/database.ts';
import { lanesToRing } from '../catalog/lane-store.ts';
import { writesWithPayload } from '../catalog/write-store.ts';
import type { DataRoot } from '../storage/data-root.ts';
import { listSpooled, removeSpooled } from '../storage/spool.ts';

/** A payload in the spool without a write is left alone this long: its request may still be on its way. */
const SPOOL_GRACE_MS = 60 * 60 * 1000;
/** The spool is looked through every so many rounds. */
const SWEEP_EVERY_ROUNDS = 60;

export interface RecoverDeps {
  readonly db: Database;
  readonly root: DataRoot;
}

/** One round a call: which lanes to ring, and now and then a sweep of the spool. */
export function recovery(deps: RecoverDeps): () => Promise<string[]> {
  let round = 0;
  return async () => {
    if (round++ % SWEEP_EVERY_ROUNDS === 0) await sweepSpool(deps, SPOOL_GRACE_MS);
    return lanesToRing(deps.db);
  };
}

/** Removes payloads that no write refers to: of requests that were cut off, and of writes that have been applied. @returns how many */
export async function sweepSpool(deps: RecoverDeps, graceMs: number): Promise<number> {
  const old = await listSpooled(deps.root, graceMs);
  const needed = await writesWithPayload(deps.db, old);
  const orphans = old.filter((id) => !needed.has(id));
  for (const id of orphans) await removeSpooled(deps.root, id);
  return orphans.length;
}
