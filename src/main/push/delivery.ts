/** From the spool to the service, in order, and as often as it takes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DiskQueue } from '../../storage/queue/disk-queue.ts';
import type { QueueRecord } from '../../storage/queue/queue-record.ts';
import type { DeadLetters } from './dead-letters.ts';
import { postRecords, type PushTarget, type RefusedRecord, type Wait } from './post-records.ts';
import type { StateFile } from './push-state.ts';

export interface DeliveryParts {
  readonly queue: DiskQueue;
  readonly state: StateFile;
  readonly deadLetters: DeadLetters;
  readonly target: PushTarget;
  /** What the service does not take: asked before each wait. @throws to give up */
  readonly onWait: (wait: Wait, held: bigint) => void;
  readonly onRefused: (refused: readonly RefusedRecord[]) => void;
  /** Something is delivered. */
  readonly onDelivered: () => void;
}

/** One request: what a commit of the service takes well, and a line that is in the way of a slow network for seconds. */
const BATCH = { mostRecords: 5_000, mostBytes: 1024 * 1024 };
const FIRST_PAUSE_MS = 250;
const MOST_PAUSE_MS = 30_000;
/** The service may ask for more patience, but not for ever. */
const MOST_RETRY_AFTER_MS = 10 * 60_000;

export class Delivery {
  readonly #parts: DeliveryParts;
  #wake: (() => void) | null = null;
  /** What is written of the last failure. */
  #failure: string | null = null;

  constructor(parts: DeliveryParts) {
    this.#parts = parts;
  }

  /** Something was spooled, or nothing more comes. */
  wake(): void {
    this.#wake?.();
  }

  /**
   * Delivers until it is told to stop.
   * @param isOver whether nothing more comes; it ends then as soon as all is delivered
   */
  async run(isOver: () => boolean, stop: AbortSignal): Promise<void> {
    const { queue, state } = this.#parts;
    const stopped = new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve(), { once: true }));
    while (!stop.aborted) {
      const woken = new Promise<void>((resolve) => (this.#wake = resolve));
      const records = await queue.read(state.delivered, BATCH);
      const [first] = records;
      if (first) await this.#deliver(sameKind(first, records), stop);
      // What is damaged at the end is passed over.
      else if (state.delivered < queue.last) await this.#settle(queue.last, []);
      else if (isOver()) return;
      else await Promise.race([woken, stopped]);
    }
  }

  async #deliver(records: readonly QueueRecord[], stop: AbortSignal): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS, rest = records; rest.length > 0;) {
      const outcome = await postRecords(this.#parts.target, rest, stop);
      if (stop.aborted && outcome.kind !== 'done') return;
      if (outcome.kind === 'wrong') {
        const [first] = rest;
        if (rest.length === 1 && first) await this.#settle(first.sequence, [{ record: first, reason: outcome.reason }]);
        else {
          // One half of them is right, or a half of that.
          const middle = Math.ceil(rest.length / 2);
          await this.#deliver(rest.slice(0, middle), stop);
          if (!stop.aborted) await this.#deliver(rest.slice(middle), stop);
        }
        return;
      }
      if (outcome.kind === 'done') {
        const last = rest[outcome.count - 1];
        if (last) {
          await this.#settle(last.sequence, outcome.refused);
          pauseMs = FIRST_PAUSE_MS;
        }
        rest = rest.slice(outcome.count);
        if (!outcome.next) return;
      }
      const wait = outcome.kind === 'done' ? outcome.next! : outcome;
      await this.#wait(wait, pauseMs, stop);
      if (stop.aborted) return;
      pauseMs = Math.min(pauseMs * 2, MOST_PAUSE_MS);
    }
  }

  /** Records up to a number need nothing more. A dead letter is durable before that is written. */
  async #settle(through: bigint, refused: readonly RefusedRecord[]): Promise<void> {
    const { queue, state, deadLetters, onRefused, onDelivered } = this.#parts;
    await deadLetters.add(
      refused.map(({ record, reason }) => ({
        sequence: record.sequence,
        from: null,
        payload: record.payload,
        reason,
      })),
    );
    if (refused.length > 0) onRefused(refused);
    this.#failure = null;
    await state.save({ delivered: String(through), delivered_at: new Date().toISOString(), error: null });
    await queue.release(through);
    onDelivered();
  }

  async #wait(wait: Wait, pauseMs: number, stop: AbortSignal): Promise<void> {
    const { queue, state, onWait } = this.#parts;
    // An error is written once: an outage of days must not wear out the disk.
    if (this.#failure !== wait.reason) {
      await state.save({ error: { at: new Date().toISOString(), message: wait.reason } });
      this.#failure = wait.reason;
    }
    onWait(wait, queue.last - state.delivered);
    const askedMs = Math.min(wait.afterMs ?? 0, MOST_RETRY_AFTER_MS);
    // Many agents begin anew after one outage: not all in one moment.
    const waitMs = Math.max(pauseMs * (0.5 + Math.random() / 2), askedMs * (1 + Math.random() / 10));
    await sleep(waitMs, undefined, { signal: stop }).catch(() => {});
  }
}

function sameKind(first: QueueRecord, records: readonly QueueRecord[]): readonly QueueRecord[] {
  const other = records.findIndex(({ kind }) => kind !== first.kind);
  return other < 0 ? records : records.slice(0, other);
}
