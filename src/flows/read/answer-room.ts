/** Memory of answers on their way: as many are begun as fit, so that clients who do not read take no more than that. */
import { VarveError } from '../../core/errors.ts';

const MIB = 1024 * 1024;
/** Most bytes of all answers under way in one process … */
const MAX_BYTES = 1024 * MIB;
/** … and of those that are large: what is small finds room beside them. */
const MAX_LARGE_BYTES = 512 * MIB;
const LARGE_BYTES = 8 * MIB;
/** Longest wait for room. */
const WAIT_MS = 10_000;
const RETRY_AFTER_S = 5;

/** An answer that is made piece by piece: those that are ready, and those that are read ahead. */
export const STREAM_BYTES = 4 * MIB;
/** A value as text, with its share of a time. JSON lists one column after another, so that its text is held. */
const JSON_VALUE_BYTES = 24;

/** What a JSON answer of so many values holds until it has been sent. */
export function jsonBytes(values: number): number {
  return values * JSON_VALUE_BYTES;
}

interface WaitingAnswer {
  readonly bytes: number;
  readonly enter: () => void;
}

export class AnswerRoom {
  readonly #waitMs: number;
  readonly #waiting = new Set<WaitingAnswer>();
  #bytes = 0;
  #largeBytes = 0;

  constructor(waitMs = WAIT_MS) {
    this.#waitMs = waitMs;
  }

  /**
   * The same pieces. Waits for room before the first one, and gives it back with the last, or when it is left.
   * @param bytes what the answer holds while it waits for its client, at most
   * @throws unavailable `too-many-answers` instead of the first piece, if there is no room for too long
   */
  async *hold(bytes: number, body: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
    if (this.#hasRoom(bytes)) this.#take(bytes, 1);
    else await this.#wait(bytes);
    try {
      yield* body;
    } finally {
      this.#take(bytes, -1);
      for (const next of this.#waiting) if (this.#hasRoom(next.bytes)) next.enter();
    }
  }

  /** An answer that is too large for the room has it alone. */
  #hasRoom(bytes: number): boolean {
    const isFull = this.#bytes > 0 && this.#bytes + bytes > MAX_BYTES;
    const isFullOfLarge = bytes > LARGE_BYTES && this.#largeBytes > 0 && this.#largeBytes + bytes > MAX_LARGE_BYTES;
    return !isFull && !isFullOfLarge;
  }

  #take(bytes: number, sign: 1 | -1): void {
    this.#bytes += sign * bytes;
    if (bytes > LARGE_BYTES) this.#largeBytes += sign * bytes;
  }

  #wait(bytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(waiting);
      };
      const waiting = {
        bytes,
        enter: () => {
          leave();
          this.#take(bytes, 1);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        leave();
        const message = 'too many answers wait for their clients to read them; try again';
        reject(new VarveError('unavailable', message, { slug: 'too-many-answers', retryAfterS: RETRY_AFTER_S }));
      }, this.#waitMs);
      this.#waiting.add(waiting);
    });
  }
}
