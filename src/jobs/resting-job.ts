/** A seal as a job: what cannot be sealed now is left to the next round, and one that fails is not tried again at once. */
import type { Logger } from 'pino';
import type { DrainResult } from '../flows/drain-lane.ts';

/** A lane whose sealing failed is left alone this long, twice as long after each further failure … */
const FIRST_REST_MS = 60_000;
/** … up to this. What fails may have read a gigabyte before it did. */
const LONGEST_REST_MS = 6 * 3600_000;

type Seal = (laneId: string, signal: AbortSignal) => Promise<readonly unknown[] | null>;

/** @param seal null: somebody else is at it */
export function sealJob(
  seal: Seal,
  log: Pick<Logger, 'error'>,
): (laneId: string, signal: AbortSignal) => Promise<DrainResult> {
  const resting = new Map<string, { failures: number; until: number }>();
  return async (laneId, signal) => {
    const rest = resting.get(laneId);
    if (rest && Date.now() < rest.until) return { kind: 'nothing' };
    try {
      await seal(laneId, signal);
      resting.delete(laneId);
    } catch (error) {
      if (signal.aborted) return { kind: 'nothing' };
      const failures = (rest?.failures ?? 0) + 1;
      const restMs = Math.min(LONGEST_REST_MS, FIRST_REST_MS * 2 ** (failures - 1));
      resting.set(laneId, { failures, until: Date.now() + restMs });
      log.error({ lane: laneId, err: error, restMs }, 'shards could not be sealed: readers go on with the old ones');
    }
    return { kind: 'nothing' };
  };
}
