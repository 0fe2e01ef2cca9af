/** The timer that makes lost rings harmless: looks for lanes that are due and rings for them. */
import type { Logger } from 'pino';

interface ReconcilerOptions {
  /** Shortest pause between the end of one round and the start of the next. */
  readonly everyMs: number;
  /** Ids of lanes that are due. */
  readonly reconcile: () => Promise<readonly string[]>;
  /** Must not throw. */
  readonly ring: (laneId: string) => Promise<void>;
  readonly log: Logger;
}

export interface Reconciler {
  /** No further round; resolves when the running one has ended. */
  stop(): Promise<void>;
}

/** Rings sent at the same time: a thousand lanes after a crash must not take a thousand round trips in a row. */
const RINGS_AT_ONCE = 50;
/** Looking takes no larger part of the time than this, however much there is to look at. */
const LOOKING_PART = 1 / 20;

/** Runs a round at once and then again and again; rounds never overlap. A failed round is logged, never fatal. */
export function startReconciler({ everyMs, reconcile, ring, log }: ReconcilerOptions): Reconciler {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let running = run();

  async function run(): Promise<void> {
    const startedMs = performance.now();
    let tookMs = 0;
    try {
      const laneIds = await reconcile();
      tookMs = performance.now() - startedMs;
      for (let from = 0; from < laneIds.length && !stopped; from += RINGS_AT_ONCE) {
        await Promise.all(laneIds.slice(from, from + RINGS_AT_ONCE).map((laneId) => ring(laneId)));
      }
    } catch (error) {
      log.error({ err: error }, 'a round of the reconciler failed');
    }
    if (stopped) return;
    timer = setTimeout(
      () => {
        running = run();
      },
      Math.max(everyMs, tookMs / LOOKING_PART),
    );
  }

  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
      return running;
    },
  };
}
