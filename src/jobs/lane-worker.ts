/** The worker that answers rings: flushes, or compacts, one lane per job, several lanes side by side. */
import type { Job } from 'bullmq';
import type { Logger } from 'pino';
import { LaneQueue, type LaneJob, type LaneWork } from './lane-queue.ts';
import type { QueueBackend } from './queue-backend.ts';
import { withinLimit } from './time-limit.ts';

interface LaneWorkerOptions {
  readonly work: LaneWork;
  /** Lanes worked on at the same time by this process. */
  readonly concurrency: number;
  /**
   * Does one batch of a lane's work. What it throws ends the job: the next ring tries again. The signal says that the process wants
   * to end: stop at the next safe place.
   */
  readonly run: LaneRun;
  readonly log: Logger;
}

/** `more`: there is more to do for the lane at once. */
export type LaneRun = (laneId: string, signal: AbortSignal) => Promise<{ readonly more: boolean }>;

export interface LaneWorker {
  /**
   * Takes no more jobs, waits for the running jobs up to the limit, then aborts their signal. Never hangs, also
   * without a server.
   */
  close(limitMs: number): Promise<void>;
}

/** Rounds after which a lane that has still more goes to the back of the queue, so that one busy lane starves no other. */
const ROUNDS_PER_JOB = 20;
/** How long an aborted job may take to notice. */
const ABORT_GRACE_MS = 2_000;
/** How long the queue's server may take to hear that the worker leaves. */
const LEAVE_LIMIT_MS = 2_000;

/** Starts to take jobs at once. */
export function startLaneWorker(backend: QueueBackend, { work, concurrency, run, log }: LaneWorkerOptions): LaneWorker {
  const stop = new AbortController();
  const running = new Set<Promise<{ readonly more: boolean }>>();
  let closing = false;

  async function runOnce(laneId: string): Promise<{ readonly more: boolean }> {
    const round = run(laneId, stop.signal);
    running.add(round);
    try {
      return await round;
    } finally {
      running.delete(round);
    }
  }

  async function processJob(job: Job<LaneJob, void>): Promise<void> {
    const { laneId } = job.data;
    for (let round = 0; round < ROUNDS_PER_JOB && !closing; round++) {
      const { more } = await runOnce(laneId);
      if (!more) return;
    }
    // The ring comes while this job is active, so it becomes a job of its own at the end of the queue.
    await queue.ring(laneId);
  }

  const queue = new LaneQueue(backend, work, log);
  const worker = backend.worker<LaneJob>(work, processJob, concurrency);
  worker.on('failed', (job, error) => {
    const { laneId } = job?.data ?? {};
    log.error({ laneId, err: error }, `a ${work} failed`);
  });

  async function close(limitMs: number): Promise<void> {
    closing = true;
    const left = worker.close();
    const finished = () => Promise.allSettled(running);
    await withinLimit(limitMs, work, finished()).catch(() => {
      log.warn({ jobs: running.size, limitMs }, `${work} jobs still run: aborting them`);
      stop.abort();
      return withinLimit(ABORT_GRACE_MS, 'abort', finished()).catch(() =>
        log.error({ jobs: running.size }, `aborted ${work} jobs still run`),
      );
    });
    await withinLimit(LEAVE_LIMIT_MS, 'leave', left).catch(() => {
      // A server that is silent cannot be told goodbye; a job left active is handed out again as stalled.
      log.warn('the queue does not answer: leaving without it');
      return withinLimit(LEAVE_LIMIT_MS, 'disconnect', worker.disconnect()).catch(() => undefined);
    });
    await queue.close();
  }

  return { close };
}
