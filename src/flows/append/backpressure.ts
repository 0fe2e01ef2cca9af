/** Backpressure: refuses appends while too much waits to be flushed, too many are being received, or the disk is nearly full. */
import type { Database } from '../../catalog/database.ts';
import { countFresh } from '../../catalog/appends/fresh-store.ts';
import { readEstrangement } from '../../catalog/shards/recovery-reader.ts';
import { VarveError } from '../../core/errors.ts';
import { freeBytes } from '../../storage/folder/disk-space.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';

export interface BackpressureLimits {
  /** Bytes of acknowledged payloads that are not in a shard yet. */
  readonly maxFreshBytes: number;
  readonly maxFreshChunks: number;
  /** Room on the disk that is left to Postgres, to flushes and to everybody else; 0: the disk is not looked at. */
  readonly minFreeBytes: number;
  /** Memory of bodies that are being received, by one process. Undefined: {@link DEFAULT_BODY_BYTES}. */
  readonly maxBodyBytes?: number;
  /** Large bodies that one process receives at the same time. Undefined: {@link MAX_UPLOADS}. */
  readonly maxUploads?: number;
}

/** What a body of a format takes in memory while it is received. */
export interface BodyWeight {
  /** Bytes that are in memory at once, at most, because they can be read only together; 0: it is read as it comes. */
  readonly mostHeld: number;
  /** What each of these takes, with what is made of it. */
  readonly copies: number;
}

/** It is read as it comes. */
const STREAMED: BodyWeight = { mostHeld: 0, copies: 1 };

/** An append whose body may come. It holds nothing before it does. */
export interface Upload {
  /**
   * Counts bytes of the body that have come. It ends with an error when the disk gets too full meanwhile, or too many
   * others have come as far.
   */
  count(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array>;
  /** Says that the body is received, or never will be. It may be said more than once. */
  end(): void;
}

/** Large bodies are spooled as they come: so many at the same time by one process. Each may hold two descriptors … */
export const MAX_UPLOADS = 256;
/** … and two buffers of 1 MiB. */
const UPLOAD_BYTES = 2 * 1024 * 1024;
/** Memory of all bodies that are being received. */
export const DEFAULT_BODY_BYTES = 1024 * 1024 * 1024;
/** The part of it that large bodies may fill. */
const LARGE_PART = 7 / 8;
/** Smaller bodies stay in memory, and are let in beside large ones that will fill the backlog. */
const LARGE_BYTES = 1024 * 1024;
/** The backlog and free space are asked for at most this often … */
const TRUST_MS = 1_000;
/** … and less often where asking takes long: asking takes at most this part of the time. */
const ASKING_PART = 1 / 20;
/** A body looks at the disk after so many bytes. */
const LOOK_EVERY_BYTES = 4 * 1024 * 1024;
const RETRY_AFTER_S = 5;

interface Numbers {
  readonly freshBytes: number;
  readonly freshChunks: number;
  readonly freeBytes: number;
  /** What is wrong if files and catalog are of different days. */
  readonly estranged: string | null;
  /** When they are to be asked for again. */
  readonly untilMs: number;
}

export class Backpressure {
  /** Appends refused so far, by the slug of the reason. */
  readonly refused = new Map<string, number>([
    ['backlog-full', 0],
    ['too-many-uploads', 0],
    ['disk-nearly-full', 0],
    ['store-estranged', 0],
  ]);
  readonly #db: Database;
  readonly #root: DataRoot;
  readonly #limits: BackpressureLimits;
  #numbers: Numbers | null = null;
  #asking: Promise<Numbers> | null = null;
  #uploads = 0;
  #largeUploads = 0;
  #heldBytes = 0;
  /** Bytes that the uploads under way will have brought, as far as they can be believed, and those that they have. */
  #expectedBytes = 0;
  #receivedBytes = 0;
  /** Bytes that were confirmed since the numbers were asked for. */
  #addedBytes = 0;
  #addedChunks = 0;

  constructor(db: Database, root: DataRoot, limits: BackpressureLimits) {
    this.#db = db;
    this.#root = root;
    this.#limits = limits;
  }

  /** How many bytes must remain of the disk; 0: it is not looked at. */
  get minFreeBytes(): number {
    return this.#limits.minFreeBytes;
  }

  /** Uploads whose body is on its way. */
  get uploads(): number {
    return this.#uploads;
  }

  /**
   * Lets a body in before a byte of it is read. What a body announces must fit, but keeps no others out before it has
   * come: it is believed to be twice what has come.
   * @param declaredBytes what the body says it has; null: it does not
   * @throws unavailable `backlog-full`, `store-estranged`; storage-full `disk-nearly-full`
   */
  async admit(declaredBytes: number | null, { mostHeld, copies }: BodyWeight = STREAMED): Promise<Upload> {
    const numbers = await this.#look();
    if (numbers.estranged !== null) this.#refuse('unavailable', 'store-estranged', numbers.estranged);
    this.#checkBacklog(numbers, declaredBytes === null || declaredBytes > LARGE_BYTES ? this.#expectedBytes : 0);
    this.#checkDisk(numbers, declaredBytes ?? 0);
    let expected = 0;
    let received = 0;
    let isLarge = false;
    let isOver = false;
    const heldOf = (bytes: number): number =>
      mostHeld > 0 ? copies * Math.min(bytes, mostHeld) : Math.min(bytes, UPLOAD_BYTES);
    this.#uploads++;
    const expect = (bytes: number): void => {
      this.#expectedBytes += bytes - expected;
      expected = bytes;
    };
    const onBytes = (bytes: number): void => {
      if (isOver) return;
      this.#heldBytes += heldOf(received + bytes) - heldOf(received);
      received += bytes;
      this.#receivedBytes += bytes;
      expect(Math.max(received, Math.min(declaredBytes ?? 0, 2 * received)));
      const { maxBodyBytes = DEFAULT_BODY_BYTES, maxUploads = MAX_UPLOADS } = this.#limits;
      const most = received <= LARGE_BYTES ? maxBodyBytes : LARGE_PART * maxBodyBytes;
      // What is too large for the rest has it alone.
      const isAlone = this.#heldBytes === heldOf(received);
      if (this.#heldBytes > most && !isAlone) {
        this.#refuse('unavailable', 'too-many-uploads', `bodies take ${most} bytes of memory already`);
      }
      if (received <= LARGE_BYTES) return;
      if (!isLarge && this.#largeUploads >= maxUploads) {
        this.#refuse('unavailable', 'too-many-uploads', `${maxUploads} large appends are being received already`);
      }
      if (!isLarge) this.#largeUploads++;
      isLarge = true;
    };
    const end = (): void => {
      if (isOver) return;
      isOver = true;
      this.#uploads--;
      if (isLarge) this.#largeUploads--;
      this.#receivedBytes -= received;
      this.#heldBytes -= heldOf(received);
      expect(0);
    };
    return { count: (body) => this.#counted(body, onBytes), end };
  }

  /**
   * Confirms a body that has come, before it is acknowledged. However many were let in together, the backlog ends at
   * its limit and one append.
   * @param chunks that the body may become
   * @throws unavailable `backlog-full`
   */
  async confirm(bytes: number, chunks = 1): Promise<void> {
    this.#checkBacklog(await this.#look(), 0);
    this.#addedBytes += bytes;
    this.#addedChunks += chunks;
  }

  async *#counted(body: AsyncIterable<Uint8Array>, onBytes: (bytes: number) => void): AsyncGenerator<Uint8Array> {
    let unseen = 0;
    for await (const piece of body) {
      onBytes(piece.byteLength);
      unseen += piece.byteLength;
      if (unseen >= LOOK_EVERY_BYTES) {
        unseen = 0;
        this.#checkDisk(await this.#look(), 0);
      }
      yield piece;
    }
  }

  #checkBacklog({ freshBytes, freshChunks }: Numbers, alsoExpected: number): void {
    const { maxFreshBytes, maxFreshChunks } = this.#limits;
    const bytes = freshBytes + this.#addedBytes;
    const chunks = freshChunks + this.#addedChunks;
    if (chunks >= maxFreshChunks || bytes + alsoExpected >= maxFreshBytes) {
      const waiting = `${chunks} chunks with ${bytes} bytes wait to be flushed`;
      this.#refuse(
        'unavailable',
        'backlog-full',
        alsoExpected > 0 ? `${waiting}, and ${alsoExpected} come in` : waiting,
      );
    }
  }

  /** What is pending, and what is on its way, will be written once more, into shards, before it leaves the spool. */
  #checkDisk(numbers: Numbers, announced: number): void {
    const { minFreeBytes } = this.#limits;
    const fresh = numbers.freshBytes + this.#addedBytes;
    const coming = 2 * (this.#expectedBytes + announced) - this.#receivedBytes;
    if (minFreeBytes > 0 && numbers.freeBytes - fresh - coming < minFreeBytes) {
      const what = `${numbers.freeBytes} bytes are free for ${fresh} that wait and ${coming} that come in`;
      this.#refuse('storage-full', 'disk-nearly-full', `${what}; ${minFreeBytes} must remain`);
    }
  }

  #refuse(code: 'unavailable' | 'storage-full', slug: string, message: string): never {
    this.refused.set(slug, (this.refused.get(slug) ?? 0) + 1);
    throw new VarveError(code, `${message.replace(/\.$/, '')}. Nothing was stored.`, {
      slug,
      retryAfterS: RETRY_AFTER_S,
    });
  }

  /** The latest numbers. Those who ask at the same time share one question. */
  #look(): Promise<Numbers> | Numbers {
    if (this.#numbers && performance.now() < this.#numbers.untilMs) return this.#numbers;
    return (this.#asking ??= this.#ask().finally(() => (this.#asking = null)));
  }

  async #ask(): Promise<Numbers> {
    const { maxFreshChunks, minFreeBytes } = this.#limits;
    const before = { bytes: this.#addedBytes, chunks: this.#addedChunks };
    const startedMs = performance.now();
    const [fresh, free, estranged] = await Promise.all([
      countFresh(this.#db, maxFreshChunks),
      minFreeBytes > 0 ? freeBytes(this.#root) : 0,
      readEstrangement(this.#db),
    ]);
    this.#addedBytes -= before.bytes;
    this.#addedChunks -= before.chunks;
    const now = performance.now();
    this.#numbers = {
      freshBytes: fresh.bytes,
      freshChunks: fresh.chunks,
      freeBytes: free,
      estranged,
      untilMs: now + Math.max(TRUST_MS, (now - startedMs) / ASKING_PART),
    };
    return this.#numbers;
  }
}
