/** Work on lanes that goes wrong is not tried again at once: what fails may have read a gigabyte before it did. */
import type { Logger } from 'pino';
import type { LaneRun } from './lane-worker.ts';

export interface RestOptions {
  /** A lane is left alone so long after a failure, twice as long after each further one … */
  readonly firstMs: number;
  /** … up to this. */
  readonly longestMs: number;
  readonly log: Pick<Logger, 'error'>;
  /** What is said of a failure. */
  readonly message: string;
  /** Told when a lane begins to rest, and when it is well again: null. */
  readonly onRest?: (laneId: string, restMs: number | null) => Promise<void>;
}

/** Pauses by a clock that nobody sets. */
export function resting(run: LaneRun, { firstMs, longestMs, log, message, onRest }: RestOptions): LaneRun {
  const rests = new Map<string, { failures: number; until: number }>();
  return async (laneId, signal) => {
    const rest = rests.get(laneId);
    if (rest && performance.now() < rest.until) return { more: false };
    try {
      const result = await run(laneId, signal);
      if (rests.delete(laneId)) await onRest?.(laneId, null).catch(() => {});
      return result;
    } catch (error) {
      if (signal.aborted) return { more: false };
      const failures = (rest?.failures ?? 0) + 1;
      const restMs = Math.min(longestMs, firstMs * 2 ** (failures - 1));
      rests.set(laneId, { failures, until: performance.now() + restMs });
      log.error({ lane: laneId, err: error, restMs }, message);
      await onRest?.(laneId, restMs).catch(() => {}); // for those who watch; the pause is ours
      return { more: false };
    }
  };
}
