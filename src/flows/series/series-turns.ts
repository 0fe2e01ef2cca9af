/** Changes of one series take turns within the process: where its row is locked, they wait here and not with a connection each. */
import { VarveError } from '../../core/errors.ts';

/** Connections that one series may take: the next change begins its transaction while the one before ends. */
const AT_ONCE = 2;
/** Longest wait for a turn. */
const WAIT_MS = 5_000;
const RETRY_AFTER_S = 5;

interface Turns {
  running: number;
  /** Told that its turn has come, in the order of arrival. */
  readonly waiting: Array<() => void>;
}

export class SeriesTurns {
  readonly #waitMs: number;
  readonly #turns = new Map<string, Turns>();

  constructor(waitMs = WAIT_MS) {
    this.#waitMs = waitMs;
  }

  /** @throws unavailable `series-busy` if no turn comes in time; else what `work` throws */
  async take<T>(seriesId: string, work: () => Promise<T>): Promise<T> {
    let turns = this.#turns.get(seriesId);
    if (!turns) this.#turns.set(seriesId, (turns = { running: 0, waiting: [] }));
    if (turns.running < AT_ONCE) turns.running++;
    else await this.#wait(turns);
    try {
      return await work();
    } finally {
      // Whoever is next takes over the place.
      const next = turns.waiting.shift();
      if (next) next();
      else if (--turns.running === 0) this.#turns.delete(seriesId);
    }
  }

  #wait({ waiting }: Turns): Promise<void> {
    return new Promise((resolve, reject) => {
      const onTurn = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(onTurn), 1);
        reject(
          new VarveError('unavailable', 'other changes of the series are waiting already; try again', {
            slug: 'series-busy',
            retryAfterS: RETRY_AFTER_S,
          }),
        );
      }, this.#waitMs);
      waiting.push(onTurn);
    });
  }
}
