/** Tells those who wait when their writes have become visible. */
import type { Database } from '../catalog/database.ts';
import { listenForCommits, type CommitListener } from '../catalog/commit-listener.ts';
import { getWrites, type WriteStatus } from '../catalog/write-store.ts';

/** A notification may be lost with its connection; asking once a second bounds what that costs. */
const POLL_MS = 1_000;

interface Waiter {
  readonly id: string;
  resolve(status: WriteStatus | undefined): void;
}

export class WriteWatch {
  readonly #db: Database;
  readonly #listener: CommitListener;
  readonly #waiters = new Set<Waiter>();
  readonly #poll: NodeJS.Timeout;
  #asking = false;
  #askAgain = false;

  constructor(db: Database, url: string, onError: (error: Error) => void) {
    this.#db = db;
    this.#listener = listenForCommits(url, () => void this.#ask(), onError);
    this.#poll = setInterval(() => void this.#ask(), POLL_MS).unref();
  }

  /**
   * The write once it is applied or failed, or its state after `waitMs`, or when the signal fires.
   */
  async settled(id: string, waitMs: number, signal: AbortSignal): Promise<WriteStatus | undefined> {
    const settled = new Promise<WriteStatus | undefined>((resolve) => {
      const waiter: Waiter = {
        id,
        resolve: (status) => {
          clearTimeout(timer);
          signal.removeEventListener('abort', giveUp);
          this.#waiters.delete(waiter);
          resolve(status);
        },
      };
      const giveUp = (): void => waiter.resolve(undefined);
      const timer = setTimeout(giveUp, waitMs);
      signal.addEventListener('abort', giveUp);
      if (signal.aborted) giveUp();
      else this.#waiters.add(waiter);
    });
    void this.#ask(); // it may have been applied before we began to wait
    return (await settled) ?? (await getWrites(this.#db, [id]))[0];
  }

  async close(): Promise<void> {
    clearInterval(this.#poll);
    for (const waiter of this.#waiters) waiter.resolve(undefined);
    await this.#listener.close();
  }

  /** One query for all who wait; a call during a query leads to one more. */
  async #ask(): Promise<void> {
    if (this.#asking) {
      this.#askAgain = true;
      return;
    }
    this.#asking = true;
    try {
      do {
        this.#askAgain = false;
        if (this.#waiters.size === 0) return;
        const ids = [...new Set([...this.#waiters].map((waiter) => waiter.id))];
        const found = new Map((await getWrites(this.#db, ids)).map((status) => [status.id, status]));
        for (const waiter of this.#waiters) {
          const status = found.get(waiter.id);
          if (status && status.state !== 'pending') waiter.resolve(status);
        }
      } while (this.#askAgain);
    } catch {
      // Postgres is away for the moment: the next notification or poll asks again, and the wait has its own limit.
    } finally {
      this.#asking = false;
    }
  }
}
