/** How many live readers and appending streams there may be at a time: each keeps a connection, and asks when there is news. */
import { VarveError } from '../../core/errors.ts';

/** Readers of changes and of live samples of one process. */
export const MAX_LIVE_READERS = 512;
/** Streams of one process that append. */
export const MAX_APPEND_STREAMS = 1024;
const RETRY_AFTER_S = 10;

export class LivePlaces {
  readonly #what: string;
  readonly #slug: string;
  readonly #most: number;
  #taken = 0;

  constructor(what: string, slug: string, most: number) {
    this.#what = what;
    this.#slug = slug;
    this.#most = most;
  }

  get taken(): number {
    return this.#taken;
  }

  /** @returns gives the place back. @throws unavailable, if there is none */
  take(): () => void {
    if (this.#taken >= this.#most) {
      throw new VarveError('unavailable', `there are ${this.#most} ${this.#what} already`, {
        slug: this.#slug,
        retryAfterS: RETRY_AFTER_S,
      });
    }
    this.#taken++;
    let isTaken = true;
    return () => {
      if (isTaken) this.#taken--;
      isTaken = false;
    };
  }
}
