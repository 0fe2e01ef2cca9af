/**
 * Memory of reads. Each takes what it may need before it begins. However many come, and however slowly their clients read, together they take no
 * more than there is.
 */
import { VarveError } from '../../core/errors.ts';

const MIB = 1024 * 1024;

export interface RoomLimits {
  /** Memory of all reads under way in one process. Large ones have half of it: what is small finds room beside them. */
  readonly bytes: number;
  /** Reads that wait for room; further ones are refused at once. */
  readonly waiting: number;
  /** Longest wait for room. */
  readonly waitMs: number;
}

export const DEFAULT_ROOM_LIMITS: RoomLimits = { bytes: 1024 * MIB, waiting: 1024, waitMs: 10_000 };

/** What every read takes before anything is known of it: a stream, and a page of its plan. */
export const SMALL_READ_BYTES = 7 * MIB;
export const LARGE_READ_BYTES = 8 * MIB;
/** A read that is found to need more begins anew with so much, so many times: a series that it looks at may grow meanwhile. */
const ATTEMPTS = 8;
const RETRY_AFTER_S = 5;

/** An answer that is made piece by piece: those that are ready, and those that are read ahead. */
export const STREAM_BYTES = 4 * MIB;
/** A value as text, with its share of a time. JSON lists one column after another, so that its text is held. */
const JSON_VALUE_BYTES = 24;

/** What a JSON answer of so many values holds until it has been sent. */
export function jsonBytes(values: number): number {
  return values * JSON_VALUE_BYTES;
}

/** The part of the room that one read has. */
export interface Claim {
  readonly bytes: number;
  /**
   * To be asked before memory is taken.
   * @throws what makes {@link AnswerRoom.admit} begin anew with more, if the claim is smaller
   */
  need(bytes: number): void;
  /** The claim is too small. @throws what begins anew with so much */
  refuse(bytes: number): never;
  /** Gives back what is beyond so many bytes. */
  keep(bytes: number): void;
  /** Gives back all of it. May be said more than once. */
  release(): void;
  /** The same pieces. The claim ends with the last, with an error, or when the body is left. */
  over(body: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array>;
}

/** A read needs more than its claim. It gives all of it up and begins anew: nobody who holds a part of the room may wait for more. */
class NeedsMore extends Error {
  readonly bytes: number;

  constructor(bytes: number) {
    super(`a read needs ${bytes} bytes`);
    this.bytes = bytes;
  }
}

interface WaitingAnswer {
  readonly bytes: number;
  readonly enter: () => void;
}

export class AnswerRoom {
  readonly #limits: RoomLimits;
  readonly #waiting = new Set<WaitingAnswer>();
  #bytes = 0;
  #largeBytes = 0;

  constructor(limits: Partial<RoomLimits> = {}) {
    this.#limits = { ...DEFAULT_ROOM_LIMITS, ...limits };
  }

  /** That reads have taken. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Runs a read once there is room for it. Its claim ends if it fails; else what it gives must end it: see {@link Claim.over}.
   * @param bytes what it takes at first; where that is found to be too little, it is run anew
   * @throws unavailable `too-many-answers` if there is no room for too long; what `read` throws
   */
  async admit<T>(bytes: number, read: (claim: Claim) => Promise<T>): Promise<T> {
    let wanted = bytes;
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      if (this.#hasRoom(wanted)) this.#add(wanted);
      else await this.#wait(wanted);
      const claim = new TakenRoom(wanted, (before, after) => this.#change(before, after));
      try {
        return await read(claim);
      } catch (error) {
        claim.release();
        if (!(error instanceof NeedsMore)) throw error;
        wanted = error.bytes;
      }
    }
    throw unavailable('what is read grows faster than room is found for it; try again');
  }

  /** As {@link admit}, of a read whose memory is free again when it ends. */
  async during<T>(bytes: number, read: (claim: Claim) => Promise<T>): Promise<T> {
    return this.admit(bytes, async (claim) => {
      const result = await read(claim);
      claim.release();
      return result;
    });
  }

  /** What is too large for the room has it alone. */
  #hasRoom(bytes: number): boolean {
    const { bytes: most } = this.#limits;
    const isFull = this.#bytes > 0 && this.#bytes + bytes > most;
    const isFullOfLarge = bytes > LARGE_READ_BYTES && this.#largeBytes > 0 && this.#largeBytes + bytes > most / 2;
    return !isFull && !isFullOfLarge;
  }

  #add(bytes: number): void {
    this.#change(0, bytes);
  }

  #change(before: number, after: number): void {
    const large = (bytes: number): number => (bytes > LARGE_READ_BYTES ? bytes : 0);
    this.#bytes += after - before;
    this.#largeBytes += large(after) - large(before);
    if (after < before) for (const next of this.#waiting) if (this.#hasRoom(next.bytes)) next.enter();
  }

  #wait(bytes: number): Promise<void> {
    const { waiting: most, waitMs } = this.#limits;
    return new Promise((resolve, reject) => {
      if (this.#waiting.size >= most) {
        reject(unavailable(`${most} reads wait for room already; try again`));
        return;
      }
      const leave = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(waiting);
      };
      const waiting = {
        bytes,
        enter: () => {
          leave();
          this.#add(bytes);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        leave();
        reject(unavailable('too many answers wait for their clients to read them; try again'));
      }, waitMs);
      this.#waiting.add(waiting);
    });
  }
}

function unavailable(message: string): VarveError {
  return new VarveError('unavailable', message, { slug: 'too-many-answers', retryAfterS: RETRY_AFTER_S });
}

class TakenRoom implements Claim {
  #bytes: number;
  readonly #change: (before: number, after: number) => void;

  constructor(bytes: number, change: (before: number, after: number) => void) {
    this.#bytes = bytes;
    this.#change = change;
  }

  get bytes(): number {
    return this.#bytes;
  }

  need(bytes: number): void {
    if (bytes > this.#bytes) this.refuse(bytes);
  }

  refuse(bytes: number): never {
    throw new NeedsMore(bytes);
  }

  keep(bytes: number): void {
    if (bytes >= this.#bytes) return;
    const before = this.#bytes;
    this.#bytes = bytes;
    this.#change(before, bytes);
  }

  release(): void {
    this.keep(0);
  }

  async *over(body: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      yield* body;
    } finally {
      this.release();
    }
  }
}
