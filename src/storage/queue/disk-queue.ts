/**
 * A queue on the disk, for whoever must not lose what could not be delivered yet. What was appended is durable. It is
 * read in its order, as often as is needed, until it is released.
 *
 * It is a folder of segments, each named by the number of its first record. The last one grows; a segment goes when
 * all of it is released. Numbers begin with 1, and none is given twice.
 */
import { closeSync } from 'node:fs';
import { copyFile, open, readdir, readFile, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { VarveError } from '../../core/errors.ts';
import { lockFile } from '../folder/file-lock.ts';
import { makeFolder } from '../folder/make-folder.ts';
import { syncFolder } from '../folder/sync-folder.ts';
import {
  decodeRecord,
  encodeRecord,
  MARK_KIND,
  MAX_PAYLOAD_BYTES,
  nextRecord,
  RECORD_HEADER_BYTES,
  type QueueEntry,
  type QueueRecord,
  type QueuedRecord,
} from './queue-record.ts';

export interface DiskQueueOptions {
  /** A segment that has so many bytes is followed by another one. */
  readonly segmentBytes: number;
  /** Told of bytes that are no records: the end of a write that was cut off, or damage, of which a copy is kept. */
  readonly onDamage: (damage: QueueDamage) => void;
}

export interface QueueDamage {
  readonly kind: 'cut' | 'damaged';
  readonly path: string;
  readonly bytes: number;
}

export interface QueueSurvey {
  readonly records: number;
  readonly bytes: number;
  readonly oldestMs: number | null;
}

const LOCK_FILE = 'queue.lock';
const SEGMENT = /^(\d{20})\.queue$/;
/** Read from the disk at once, besides the record that goes on beyond. */
const READ_BYTES = 1024 * 1024;
/** Records whose origins are known again. A broker has 20 under way that it has no answer to. */
const MOST_ORIGINS = 256;

interface QueueSegment {
  readonly first: bigint;
  readonly path: string;
  /** Bytes that are durable. */
  length: number;
}

interface WaitingAppend {
  readonly entries: readonly QueueEntry[];
  readonly mark: string | undefined;
  readonly resolve: (last: bigint) => void;
  readonly reject: (error: unknown) => void;
}

/** What a mark holds. */
interface Marked {
  readonly mark: string | null;
  readonly origins: readonly string[];
}

/** One at a time has the folder. {@link close} must be called. */
export class DiskQueue {
  readonly folder: string;
  readonly #options: DiskQueueOptions;
  readonly #lock: number;
  readonly #segments: QueueSegment[];
  #file: FileHandle;
  #last: bigint;
  #mark: string | null;
  readonly #origins: Set<bigint>;
  #waiting: WaitingAppend[] = [];
  #writing: Promise<void> | null = null;
  /** Where the record behind the one that was read last begins. */
  #cursor: { readonly after: bigint; readonly segment: QueueSegment; readonly offset: number } | null = null;
  /** Why nothing can be appended any more: the disk did not take back what it had taken in part. */
  #broken: unknown = null;

  private constructor(
    folder: string,
    options: DiskQueueOptions,
    opened: {
      lock: number;
      segments: QueueSegment[];
      file: FileHandle;
      last: bigint;
      mark: string | null;
      origins: bigint[];
    },
  ) {
    this.folder = folder;
    this.#options = options;
    this.#lock = opened.lock;
    this.#segments = opened.segments;
    this.#file = opened.file;
    this.#last = opened.last;
    this.#mark = opened.mark;
    this.#origins = new Set(opened.origins);
  }

  /**
   * Opens the queue of a folder, which is made if it is not there. What a write that was cut off has left is cut.
   * @throws conflict `queue-in-use` if another process has it
   */
  static async open(folder: string, options: DiskQueueOptions): Promise<DiskQueue> {
    makeFolder(folder, 0o700);
    const lock = lockFile(join(folder, LOCK_FILE));
    if (lock === null) {
      throw new VarveError('conflict', `another process has the queue in ${folder}`, { slug: 'queue-in-use' });
    }
    try {
      const segments = await segmentsOf(folder);
      if (segments.length === 0) segments.push(await newSegment(folder, 1n));
      const active = segments[segments.length - 1];
      const { end, length, records, last } = await readTail(active);
      const file = await open(active.path, 'r+');
      if (end < length) {
        options.onDamage({ kind: 'cut', path: active.path, bytes: length - end });
        await file.truncate(end);
        await file.datasync();
      }
      active.length = end;
      // A segment that was begun and not written has no mark yet: the one before has it.
      const before = records.length === 0 ? segments.at(-2) : undefined;
      const marked = markedOf(before ? (await readTail(before)).records : records);
      return new DiskQueue(folder, options, { lock, segments, file, last, ...marked });
    } catch (error) {
      closeSync(lock);
      throw error;
    }
  }

  /** The number of the record that was appended last; 0n: there has been none. */
  get last(): bigint {
    return this.#last;
  }

  /** Bytes of all segments on the disk. */
  get bytes(): number {
    return this.#segments.reduce((sum, { length }) => sum + length, 0);
  }

  /** What was said last with an append; null: nothing. */
  get mark(): string | null {
    return this.#mark;
  }

  /** Whether one of the last few hundred records has this origin. */
  knows(origin: bigint): boolean {
    return this.#origins.has(origin);
  }

  /**
   * Appends all of these records or none. Appends that come while one is written share the next write.
   * @param mark is kept with them, in the place of the one before
   * @returns the number of the last record, when all of them are durable
   * @throws what the system says, with nothing appended
   */
  append(entries: readonly QueueEntry[], mark?: string): Promise<bigint> {
    const large = entries.find(({ payload }) => payload.length > MAX_PAYLOAD_BYTES);
    if (large) {
      const message = `a record of ${large.payload.length} bytes: ${MAX_PAYLOAD_BYTES} are the most`;
      return Promise.reject(new VarveError('limit-exceeded', message, { slug: 'record-too-large' }));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entries, mark, resolve, reject });
      this.#writing ??= this.#write();
    });
  }

  async #write(): Promise<void> {
    // Whoever appends in this turn of the event loop shares the write.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      try {
        if (this.#broken !== null) throw this.#broken;
        await this.#commit(waiting);
      } catch (error) {
        for (const { reject } of waiting) reject(error);
      }
    }
    this.#writing = null;
  }

  async #commit(waiting: readonly WaitingAppend[]): Promise<void> {
    const active = this.#active();
    const isFull = active.length >= this.#options.segmentBytes && this.#last >= active.first;
    const target = isFull ? await newSegment(this.folder, this.#last + 1n) : active;
    const file = isFull ? await open(target.path, 'r+') : this.#file;
    const { pieces, last, mark, origins, lasts } = this.#encode(waiting, isFull);
    try {
      await writeAll(file, pieces, target.length);
      await file.datasync();
    } catch (error) {
      await this.#takeBack(file, target, isFull, error);
      throw error;
    }
    target.length += pieces.reduce((sum, { length }) => sum + length, 0);
    if (isFull) {
      await this.#file.close();
      this.#file = file;
      this.#segments.push(target);
    }
    this.#last = last;
    this.#mark = mark;
    for (const origin of origins) this.#origins.add(origin);
    for (const origin of this.#origins) {
      if (this.#origins.size <= MOST_ORIGINS) break;
      this.#origins.delete(origin);
    }
    waiting.forEach(({ resolve }, at) => resolve(lasts[at]));
  }

  #encode(
    waiting: readonly WaitingAppend[],
    isFirst: boolean,
  ): { pieces: Buffer[]; last: bigint; mark: string | null; origins: bigint[]; lasts: bigint[] } {
    const atMs = Date.now();
    const pieces: Buffer[] = [];
    const origins: bigint[] = [];
    const lasts: bigint[] = [];
    let last = this.#last;
    let mark = this.#mark;
    const markRecord = (known: Iterable<bigint>): Buffer => {
      const text: Marked = { mark, origins: Array.from(known, (origin) => origin.toString(16)) };
      const payload = Buffer.from(JSON.stringify(text));
      return encodeRecord({ kind: MARK_KIND, payload, sequence: last, atMs, origin: 0n, isContinued: false });
    };
    // The segments before may go: what they know is said again.
    if (isFirst) pieces.push(markRecord(this.#origins));
    for (const each of waiting) {
      each.entries.forEach(({ kind, payload, origin = 0n }, at) => {
        const isContinued = at < each.entries.length - 1 || each.mark !== undefined;
        pieces.push(encodeRecord({ kind, payload, sequence: ++last, atMs, origin, isContinued }));
        if (origin !== 0n) origins.push(origin);
      });
      if (each.mark !== undefined) {
        mark = each.mark;
        pieces.push(markRecord([]));
      }
      lasts.push(last);
    }
    return { pieces, last, mark, origins, lasts };
  }

  /** Nothing of a write that failed may be taken for records later. */
  async #takeBack(file: FileHandle, segment: QueueSegment, isNew: boolean, error: unknown): Promise<void> {
    try {
      if (isNew) {
        await file.close();
        await unlink(segment.path);
      } else {
        await file.truncate(segment.length);
        await file.datasync();
      }
    } catch {
      this.#broken = error;
    }
  }

  /**
   * Records behind a number, in their order, without marks. What is damaged is passed over, and told.
   * @param mostBytes of payloads; one record comes however large it is
   */
  async read(
    after: bigint,
    { mostRecords, mostBytes }: { readonly mostRecords: number; readonly mostBytes: number },
  ): Promise<QueueRecord[]> {
    const records: QueueRecord[] = [];
    let bytes = 0;
    let { segment, offset } = this.#placeBehind(after);
    while (records.length < mostRecords) {
      if (offset >= segment.length) {
        const next = this.#segments[this.#segments.indexOf(segment) + 1];
        if (next === undefined) break;
        [segment, offset] = [next, 0];
        continue;
      }
      const window = await readPiece(segment, offset);
      for (let at = 0; at < window.length && records.length < mostRecords;) {
        const record = decodeRecord(window, at);
        if (record === null) {
          // It goes on beyond the window, unless there is nothing before it.
          if (at > 0 && offset + window.length < segment.length) break;
          offset += await this.#passDamage(segment, window, offset, at);
          break;
        }
        if (record.kind !== MARK_KIND && record.sequence > after) {
          if (bytes > 0 && bytes + record.payload.length > mostBytes) return records;
          bytes += record.payload.length;
          records.push(record);
          this.#cursor = { after: record.sequence, segment, offset: offset + record.end - at };
        }
        offset += record.end - at;
        at = record.end;
      }
    }
    return records;
  }

  #placeBehind(after: bigint): { segment: QueueSegment; offset: number } {
    const cursor = this.#cursor;
    if (cursor?.after === after && this.#segments.includes(cursor.segment)) return cursor;
    const segment = this.#segments.findLast(({ first }) => first <= after + 1n) ?? this.#segments[0];
    return { segment, offset: 0 };
  }

  /** @returns how many bytes of the window were passed */
  async #passDamage(segment: QueueSegment, window: Buffer, offset: number, at: number): Promise<number> {
    const next = nextRecord(window, at + 1);
    const isLast = offset + window.length >= segment.length;
    // A record may begin in the last bytes of the window.
    const passed = next >= 0 ? next : isLast ? window.length : window.length - RECORD_HEADER_BYTES - MAX_PAYLOAD_BYTES;
    const to = Math.max(passed, at + 1);
    const copy = `${segment.path}.damaged`;
    await copyFile(segment.path, copy);
    this.#options.onDamage({ kind: 'damaged', path: copy, bytes: to - at });
    return to - at;
  }

  /** Lets go of the records up to a number. */
  async release(through: bigint): Promise<void> {
    while (this.#segments.length > 1 && this.#segments[1].first <= through + 1n) {
      const [segment] = this.#segments.splice(0, 1);
      await unlink(segment.path);
    }
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file.close();
    closeSync(this.#lock);
  }

  #active(): QueueSegment {
    return this.#segments[this.#segments.length - 1];
  }
}

/** What a queue holds behind a number, without disturbing whoever has it. @throws `ENOENT` if there is no such folder */
export async function surveyQueue(folder: string, after: bigint): Promise<QueueSurvey> {
  const segments = await segmentsOf(folder);
  const active = segments.at(-1);
  if (!active) return { records: 0, bytes: 0, oldestMs: null };
  const { last } = await readTail(active);
  const records = Number(last > after ? last - after : 0n);
  const holding = segments.findLast(({ first }) => first <= after + 1n) ?? segments[0];
  const oldest =
    records === 0
      ? undefined
      : (await readTail(holding)).records.find(({ kind, sequence }) => kind !== MARK_KIND && sequence > after);
  const bytes = segments.reduce((sum, { length }) => sum + length, 0);
  return { records, bytes, oldestMs: oldest?.atMs ?? null };
}

async function segmentsOf(folder: string): Promise<QueueSegment[]> {
  const names = (await readdir(folder)).filter((name) => SEGMENT.test(name)).sort();
  return Promise.all(
    names.map(async (name) => {
      const path = join(folder, name);
      const file = await open(path, 'r');
      try {
        return { first: BigInt(SEGMENT.exec(name)![1]), path, length: (await file.stat()).size };
      } finally {
        await file.close();
      }
    }),
  );
}

async function newSegment(folder: string, first: bigint): Promise<QueueSegment> {
  const path = join(folder, `${String(first).padStart(20, '0')}.queue`);
  // One that a write has left before it failed has nothing in it that counts.
  await (await open(path, 'w', 0o600)).close();
  await syncFolder(folder);
  return { first, path, length: 0 };
}

/** @returns all records of a segment, and where the last append ends that is there as a whole */
async function readTail(
  segment: QueueSegment,
): Promise<{ end: number; length: number; records: readonly QueuedRecord[]; last: bigint }> {
  const bytes = await readFile(segment.path);
  const whole: QueuedRecord[] = [];
  let begun: QueuedRecord[] = [];
  let end = 0;
  for (let at = 0; at < bytes.length;) {
    const record = decodeRecord(bytes, at);
    if (record === null) {
      at = nextRecord(bytes, at + 1);
      if (at < 0) break;
      // What was acknowledged lies behind: this is damage, and no end.
      begun = [];
      continue;
    }
    begun.push(record);
    at = record.end;
    if (record.isContinued) continue;
    whole.push(...begun);
    begun = [];
    end = at;
  }
  const last = whole.at(-1)?.sequence ?? segment.first - 1n;
  return { end, length: bytes.length, records: whole, last };
}

function markedOf(records: readonly QueuedRecord[]): { mark: string | null; origins: bigint[] } {
  let mark: string | null = null;
  const origins: bigint[] = [];
  for (const { kind, payload, origin } of records) {
    if (kind === MARK_KIND) {
      const marked = JSON.parse(Buffer.from(payload).toString()) as Marked;
      mark = marked.mark;
      origins.push(...marked.origins.map((each) => BigInt(`0x${each}`)));
    } else if (origin !== 0n) origins.push(origin);
  }
  return { mark, origins: origins.slice(-MOST_ORIGINS) };
}

async function readPiece({ path, length }: QueueSegment, offset: number): Promise<Buffer> {
  const size = Math.min(length - offset, READ_BYTES + RECORD_HEADER_BYTES + MAX_PAYLOAD_BYTES);
  const bytes = Buffer.allocUnsafe(size);
  const file = await open(path, 'r');
  try {
    let done = 0;
    while (done < size) {
      const { bytesRead } = await file.read(bytes, done, size - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes.subarray(0, done);
  } finally {
    await file.close();
  }
}

async function writeAll(file: FileHandle, pieces: readonly Buffer[], position: number): Promise<void> {
  const bytes = Buffer.concat(pieces);
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    if (bytesWritten === 0) throw Object.assign(new Error('short write to the queue'), { code: 'ENOSPC' });
    done += bytesWritten;
  }
}
