/**
 * The messages of an Arrow IPC stream or file, one by one. So a body of any length takes the memory of one record
 * batch. A file is a stream between its magic words. A footer follows, which is not needed to read the file in order.
 * @see https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format
 */
import { invalidField, VarveError } from '../../core/errors.ts';
import { joinBytes } from './block-cutter.ts';
import { FlatTable } from './flatbuffer.ts';

export interface ArrowMessage {
  readonly kind: 'schema' | 'dictionary' | 'batch' | 'other';
  /** The table of that kind. */
  readonly header: FlatTable;
  readonly body: Uint8Array;
}

/** A schema of thousands of channels with their metadata is far smaller. */
const MAX_METADATA_BYTES = 16 * 1024 * 1024;
/** Record batches are read whole. */
export const MAX_ARROW_BODY_BYTES = 256 * 1024 * 1024;
const FILE_MAGIC = 'ARROW1';
/** The magic word of a file is padded to this. */
const FILE_HEAD_BYTES = 8;
const CONTINUATION = -1;
/** Fields of the table `Message`, and the members of its union that are told apart. */
const HEADER_TYPE = 1;
const HEADER = 2;
const BODY_LENGTH = 3;
const KINDS = { 1: 'schema', 2: 'dictionary', 3: 'batch' } as const;

/** @throws `invalid-input` on `body` if it is cut off or no Arrow at all; `limit-exceeded` for a record batch over 256 MiB */
export async function* arrowMessages(source: AsyncIterable<Uint8Array>): AsyncGenerator<ArrowMessage> {
  const bytes = new ByteReader(source);
  try {
    const isFile = Buffer.from(await bytes.peek(FILE_MAGIC.length)).toString('latin1') === FILE_MAGIC;
    if (isFile) await bytes.take(FILE_HEAD_BYTES);
    for (;;) {
      const head = await bytes.take(4, 'may end here');
      if (head.length === 0 && !isFile) return;
      let metadataBytes = int32(head);
      if (metadataBytes === CONTINUATION) metadataBytes = int32(await bytes.take(4));
      if (metadataBytes === 0) break;
      if (metadataBytes < 0 || metadataBytes > MAX_METADATA_BYTES) {
        throw damaged();
      }
      const metadata = await bytes.take(metadataBytes);
      const { kind, header, bodyBytes } = orDamaged(() => readMessage(metadata));
      if (bodyBytes > MAX_ARROW_BODY_BYTES) {
        const mib = MAX_ARROW_BODY_BYTES / 1024 / 1024;
        throw new VarveError('limit-exceeded', `body: a record batch may have ${mib} MiB; send more and smaller ones`);
      }
      yield { kind, header, body: await bytes.take(bodyBytes) };
    }
    const rest = await bytes.tail(FILE_MAGIC.length);
    if (isFile ? Buffer.from(rest.last).toString('latin1') !== FILE_MAGIC : rest.length > 0) {
      throw invalidField(
        'body',
        isFile ? 'is cut off: an Arrow file ends with ARROW1' : 'goes on after the end of its Arrow stream',
      );
    }
  } finally {
    await bytes.close();
  }
}

function int32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true);
}

function readMessage(metadata: Uint8Array): { kind: ArrowMessage['kind']; header: FlatTable; bodyBytes: number } {
  const message = FlatTable.root(metadata);
  const header = message.table(HEADER);
  if (!header) throw damaged();
  const kind = KINDS[message.uint8(HEADER_TYPE) as keyof typeof KINDS] ?? 'other';
  return { kind, header, bodyBytes: message.length(BODY_LENGTH) };
}

/** What is read from metadata. @throws `invalid-input` on `body` where they point out of themselves */
export function orDamaged<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof RangeError ? damaged() : error;
  }
}

export function damaged(): Error {
  return invalidField('body', 'is no Arrow IPC stream or file, or is damaged');
}

/** Bytes of a stream by count. */
class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #pieces: Uint8Array[] = [];
  #held = 0;
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The next bytes, which stay where they are; fewer at the end. */
  async peek(count: number): Promise<Uint8Array> {
    await this.#hold(count);
    return joinBytes(this.#pieces).subarray(0, count);
  }

  /**
   * The next bytes, in memory of their own.
   * @throws `invalid-input` if there are fewer, unless there are none and that is fine
   */
  async take(count: number, end?: 'may end here'): Promise<Uint8Array> {
    await this.#hold(count);
    if (this.#held < count) {
      if (end && this.#held === 0) return new Uint8Array(0);
      throw invalidField('body', 'is cut off in the middle of an Arrow message');
    }
    const taken: Uint8Array[] = [];
    for (let left = count; left > 0;) {
      const piece = this.#pieces[0];
      taken.push(piece.subarray(0, left));
      if (piece.length > left) this.#pieces[0] = piece.subarray(left);
      else this.#pieces.shift();
      left -= Math.min(left, piece.length);
    }
    this.#held -= count;
    return joinBytes(taken);
  }

  /** Reads to the end. @returns how many bytes that were, and the last few */
  async tail(count: number): Promise<{ length: number; last: Uint8Array }> {
    let last = joinBytes(this.#pieces);
    let length = last.length;
    for (let next = await this.#source.next(); !next.done; next = await this.#source.next()) {
      length += next.value.length;
      last = joinBytes([last.subarray(-count), next.value]);
    }
    this.#ended = true;
    return { length, last: last.subarray(-count) };
  }

  async close(): Promise<void> {
    if (!this.#ended) await this.#source.return?.();
  }

  async #hold(count: number): Promise<void> {
    while (this.#held < count && !this.#ended) {
      const next = await this.#source.next();
      if (next.done) this.#ended = true;
      else if (next.value.length > 0) {
        this.#pieces.push(next.value);
        this.#held += next.value.length;
      }
    }
  }
}
