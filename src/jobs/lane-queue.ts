/** The bells of the lanes: ask that a lane be flushed, or its shards compacted. A timer rings for what is due; a worker answers. */
import type { JobsOptions } from 'bullmq';
import type { Logger } from 'pino';
import { VarveError, messageOf } from '../core/errors.ts';
import type { JobQueue, QueueBackend } from './queue-backend.ts';
import { withinLimit } from './time-limit.ts';

/**
 * Each has a queue, and workers, of its own: compaction takes minutes, and must not stand in the way of a flush. An
 * import is rung for by its own id, in the place of a lane's.
 */
export type LaneWork = 'flush' | 'compact' | 'import';

/** What a job carries: which lane, never a sample. */
export interface LaneJob {
  readonly laneId: string;
}

/** How long a caller may be held up by a queue that does not answer. */
const RING_LIMIT_MS = 2_000;
/** Rings that the server has not answered yet, also those their caller no longer waits for. More are refused at once. */
const UNANSWERED_RINGS_MAX = 1_000;
const CLOSE_LIMIT_MS = 2_000;
const DEPTH_LIMIT_MS = 2_000;

const JOB_OPTIONS: JobsOptions = {
  // What fails is rung for again. No job is delayed: it would wait by the clock of the queue's machine, which may be set back.
  attempts: 1,
  removeOnComplete: true,
  removeOnFail: { count: 1_000, age: 7 * 24 * 3600 },
};

/**
 * Rings of one lane become one job. One waiting job stands for all of them. Rings that come while the lane's job is
 * active lead to exactly one more job.
 */
export class LaneQueue {
  /** Rings asked for since the start. */
  rings = 0;
  /** Those the queue did not take. They cost latency, not data: the reconciler rings again. */
  failedRings = 0;
  readonly #work: LaneWork;
  readonly #queue: JobQueue<LaneJob>;
  readonly #log: Logger;
  #unanswered = 0;

  constructor(backend: QueueBackend, work: LaneWork, log: Logger) {
    this.#work = work;
    this.#queue = backend.queue(work);
    this.#log = log;
  }

  /** Asks that the lane be worked on. Always resolves, within {@link RING_LIMIT_MS}: a lost ring is no error of the caller. */
  ring(laneId: string): Promise<void> {
    return this.#try(laneId, () => this.#add(laneId));
  }

  /**
   * Rings for a lane that has been due for long. A job that still counts as active on it may have lost its process: the ring
   * does not wait for it. Where the process is alive after all, its work is done twice, and the second one changes nothing.
   */
  ringAgain(laneId: string): Promise<void> {
    return this.#try(laneId, async () => {
      const jobId = await this.#queue.getDeduplicationJobId(laneId);
      if (jobId !== null && (await this.#queue.getJobState(jobId)) === 'active') {
        await this.#queue.removeDeduplicationKey(laneId);
      }
      await this.#add(laneId);
    });
  }

  /**
   * Jobs that wait, are delayed or are active.
   * @throws `unavailable` if the queue does not answer
   */
  async depth(): Promise<number> {
    try {
      const count = this.#queue.getJobCountByTypes('waiting', 'delayed', 'active');
      return await withinLimit(DEPTH_LIMIT_MS, 'queue depth', count);
    } catch (error) {
      throw new VarveError('unavailable', 'the queue does not answer', { slug: 'queue-unavailable', cause: error });
    }
  }

  /** Lets go of the queue; never hangs. */
  async close(): Promise<void> {
    await withinLimit(CLOSE_LIMIT_MS, `close ${this.#work} queue`, this.#queue.close()).catch((error: Error) =>
      this.#log.warn({ reason: messageOf(error) }, `the ${this.#work} queue did not close in time`),
    );
  }

  async #add(laneId: string): Promise<void> {
    await this.#queue.add(
      this.#work,
      { laneId },
      { ...JOB_OPTIONS, deduplication: { id: laneId, keepLastIfActive: true } },
    );
  }

  async #try(laneId: string, ring: () => Promise<void>): Promise<void> {
    this.rings++;
    try {
      if (this.#unanswered >= UNANSWERED_RINGS_MAX) {
        throw new VarveError('unavailable', `${this.#unanswered} rings are unanswered`);
      }
      this.#unanswered++;
      const answer = ring().finally(() => this.#unanswered--);
      await withinLimit(RING_LIMIT_MS, 'ring', answer);
    } catch (error) {
      this.failedRings++;
      this.#log.debug({ laneId, reason: messageOf(error) }, 'a ring was not heard; the reconciler will ring again');
    }
  }
}
