/** Commands wait for their turn: two rewritings of the same chunks cost twice, and one of them is for nothing. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../../catalog/database.ts';
import { isUnderWay } from '../../catalog/shards/swap-shard.ts';

/** So long and no longer: whoever is at work may be paused, and nothing hangs on waiting for it. */
const TURN_MS = 60_000;
const LOOK_EVERY_MS = 200;

/** Waits while somebody else writes a shard of this kind for the lane, one minute at most. */
export async function awaitTurn(db: Database, laneId: string, level: 0 | 1, limitMs = TURN_MS): Promise<void> {
  const until = performance.now() + limitMs;
  while (performance.now() < until && (await isUnderWay(db, laneId, level))) {
    // Those who wait look at different moments, so that one of them comes first.
    await sleep(LOOK_EVERY_MS * (0.5 + Math.random()));
  }
}
