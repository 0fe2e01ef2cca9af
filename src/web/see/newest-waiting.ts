/** At most one question under way, and the newest one waiting. */

/** Asks, and may be told to stop. */
export type Ask<Q> = (question: Q, signal: AbortSignal) => Promise<void>;

/**
 * Asks one question after the other. Of those that come meanwhile the newest waits, and the others are dropped.
 *
 * A question under way is stopped as soon as it is of no use for the newest one. If it still is, its answer is
 * awaited: a view that moves without a pause would never see an answer otherwise.
 */
export class NewestWaiting<Q> {
  readonly #ask: Ask<Q>;
  readonly #isOfUse: (underWay: Q, newest: Q) => boolean;
  #underWay: { readonly question: Q; readonly stop: AbortController } | null = null;
  #waiting: { readonly question: Q } | null = null;
  #isClosed = false;

  /** @param ask settles when it has done its work, failed or not: it never throws */
  constructor(ask: Ask<Q>, isOfUse: (underWay: Q, newest: Q) => boolean) {
    this.#ask = ask;
    this.#isOfUse = isOfUse;
  }

  get isBusy(): boolean {
    return this.#underWay !== null;
  }

  ask(question: Q): void {
    if (this.#isClosed) return;
    if (!this.#underWay) {
      void this.#run(question);
      return;
    }
    this.#waiting = { question };
    if (!this.#isOfUse(this.#underWay.question, question)) this.#underWay.stop.abort();
  }

  close(): void {
    this.#isClosed = true;
    this.#waiting = null;
    this.#underWay?.stop.abort();
  }

  async #run(question: Q): Promise<void> {
    const stop = new AbortController();
    this.#underWay = { question, stop };
    try {
      await this.#ask(question, stop.signal);
    } finally {
      this.#underWay = null;
      const next = this.#waiting;
      this.#waiting = null;
      if (next && !this.#isClosed) void this.#run(next.question);
    }
  }
}
