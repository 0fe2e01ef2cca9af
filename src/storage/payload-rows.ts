/** The rows of payloads, from memory or from the spool, checked on the way. Runs in the writer thread. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { DTYPES, viewAs } from '../core/dtype.ts';
import type { DataRoot } from './data-root.ts';
import type { CommitPart, SeriesAppend } from './shard-commit.ts';

const TIME_BYTES = 8;

/** A payload that does not hold what its write says. */
export class BadPayload extends Error {
  readonly writeId: string;

  constructor(writeId: string, reason: string) {
    super(reason);
    this.writeId = writeId;
  }
}

/** Used again for every block: a thread that leaves a megabyte behind for each grows by hundreds before its heap is swept. */
class BlockMemory {
  #bytes = new Uint8Array(0);

  ofLength(length: number): Uint8Array {
    if (this.#bytes.length < length) this.#bytes = new Uint8Array(length);
    return this.#bytes.subarray(0, length);
  }
}

const valueMemory = new BlockMemory();
const timeMemory = new BlockMemory();

/** The rows of several payloads as one sequence, in blocks of any size; checks each payload's length and checksum on the way. */
export class RowSource {
  readonly #root: DataRoot;
  readonly #parts: readonly CommitPart[];
  readonly #rowBytes: number;
  readonly #irregular: boolean;
  #part = 0;
  #row = 0;
  #values: PayloadReader | null = null;
  #times: PayloadReader | null = null;

  constructor(root: DataRoot, append: Pick<SeriesAppend, 'parts' | 'dtype' | 'channels' | 'irregular'>) {
    this.#root = root;
    this.#parts = append.parts;
    this.#rowBytes = append.channels * DTYPES[append.dtype].bytes;
    this.#irregular = append.irregular;
  }

  /** What it returns is valid until the next call, of any source of this thread. */
  next(rows: number): { values: Uint8Array; timeBytes: Uint8Array | null; times: BigInt64Array | null } {
    const values = valueMemory.ofLength(rows * this.#rowBytes);
    const timeBytes = this.#irregular ? timeMemory.ofLength(rows * TIME_BYTES) : null;
    for (let done = 0; done < rows;) {
      const part = this.#parts[this.#part];
      if (!this.#values) this.#openPart(part);
      const take = Math.min(rows - done, part.rows - this.#row);
      this.#values!.read(values.subarray(done * this.#rowBytes, (done + take) * this.#rowBytes));
      if (timeBytes) this.#times!.read(timeBytes.subarray(done * TIME_BYTES, (done + take) * TIME_BYTES));
      done += take;
      this.#row += take;
      if (this.#row === part.rows) this.#closePart();
    }
    return { values, timeBytes, times: timeBytes && (viewAs('int64', timeBytes) as BigInt64Array) };
  }

  #openPart(part: CommitPart): void {
    const path = (name: 'values' | 'times'): string => this.#root.spooled(part.writeId, name);
    this.#values = new PayloadReader(
      part.writeId,
      part.values,
      path('values'),
      part.rows * this.#rowBytes,
      part.valuesCrc,
    );
    if (this.#irregular) {
      this.#times = new PayloadReader(
        part.writeId,
        part.times,
        path('times'),
        part.rows * TIME_BYTES,
        part.timesCrc ?? 0,
      );
    }
  }

  #closePart(): void {
    this.#values!.verify();
    this.#times?.verify();
    this.close();
    this.#part++;
    this.#row = 0;
  }

  close(): void {
    this.#values?.close();
    this.#times?.close();
    this.#values = this.#times = null;
  }
}

/** Bytes of one payload, from memory or from the spool, in order. */
class PayloadReader {
  readonly #writeId: string;
  readonly #inline: Uint8Array | null;
  readonly #fd: number | null = null;
  readonly #expectedCrc: number;
  #position = 0;
  #crc = 0;

  constructor(writeId: string, inline: Uint8Array | null, path: string, length: number, crc: number) {
    this.#writeId = writeId;
    this.#inline = inline;
    this.#expectedCrc = crc;
    if (!inline) {
      try {
        this.#fd = openSync(path, 'r');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT')
          throw new BadPayload(writeId, 'its spooled payload is missing');
        throw error;
      }
    }
    const found = inline ? inline.length : fstatSync(this.#fd!).size;
    if (found !== length) {
      this.close();
      throw new BadPayload(writeId, `its payload has ${found} bytes, not ${length}`);
    }
  }

  read(into: Uint8Array): void {
    if (this.#inline) into.set(this.#inline.subarray(this.#position, this.#position + into.length));
    else {
      for (let done = 0; done < into.length;) {
        const got = readSync(this.#fd!, into, done, into.length - done, this.#position + done);
        if (got === 0) throw new BadPayload(this.#writeId, 'its spooled payload is cut short');
        done += got;
      }
    }
    this.#position += into.length;
    this.#crc = crc32(into, this.#crc);
  }

  verify(): void {
    if (this.#crc !== this.#expectedCrc) throw new BadPayload(this.#writeId, 'its payload does not match its checksum');
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
  }
}
