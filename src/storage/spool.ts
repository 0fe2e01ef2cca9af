/** The spool: payloads too large for a row of Postgres, one or two plain files a write, durable before they are acknowledged. */
import { open, unlink, type FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { VarveError } from '../core/errors.ts';
import type { DataRoot } from './data-root.ts';

export interface SpooledPart {
  readonly bytes: number;
  readonly crc: number;
}

/** Bytes are gathered to this size before they are written. */
const BUFFER_BYTES = 1024 * 1024;

/** One file being written: append, then finish or discard. */
class SpoolFile {
  readonly #handle: FileHandle;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #bytes = 0;
  #crc = 0;
  /** The write under way: the next bytes are received meanwhile. */
  #writing: Promise<void> = Promise.resolve();

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes < BUFFER_BYTES) return;
    await this.#writing;
    this.#writing = this.#flush();
    this.#writing.catch(() => {}); // seen when it is awaited
  }

  async finish(): Promise<SpooledPart> {
    await this.#writing;
    await this.#flush();
    await this.#handle.datasync();
    // After a clock that jumped, a sweep may have taken the file for an old one. Bytes without a name must not be acknowledged.
    const { nlink } = await this.#handle.stat();
    if (nlink === 0) {
      throw new VarveError('unavailable', 'the payload was removed while it was received', { slug: 'payload-removed' });
    }
    await this.#handle.close();
    return { bytes: this.#bytes, crc: this.#crc };
  }

  async close(): Promise<void> {
    await this.#writing.catch(() => {});
    await this.#handle.close();
  }

  async #flush(): Promise<void> {
    if (this.#pendingBytes === 0) return;
    const buffers = this.#pending;
    const total = this.#pendingBytes;
    this.#pending = [];
    this.#pendingBytes = 0;
    const position = this.#bytes;
    this.#bytes += total;
    for (const bytes of buffers) this.#crc = crc32(bytes, this.#crc);
    const { bytesWritten } = await this.#handle.writev(buffers, position);
    if (bytesWritten !== total) throw Object.assign(new Error('short write to the spool'), { code: 'ENOSPC' });
  }
}

/** A payload on its way into the spool. Either {@link finish} or {@link discard} must be called. */
export class SpoolWriter {
  readonly #root: DataRoot;
  readonly #id: string;
  readonly #values: SpoolFile;
  readonly #times: SpoolFile | null;

  private constructor(root: DataRoot, id: string, values: SpoolFile, times: SpoolFile | null) {
    this.#root = root;
    this.#id = id;
    this.#values = values;
    this.#times = times;
  }

  /** @param withTimes irregular series have a second file of int64 ns */
  static async open(root: DataRoot, writeId: string, withTimes: boolean): Promise<SpoolWriter> {
    const values = new SpoolFile(await open(root.spooled(writeId, 'values'), 'wx'));
    try {
      const times = withTimes ? new SpoolFile(await open(root.spooled(writeId, 'times'), 'wx')) : null;
      return new SpoolWriter(root, writeId, values, times);
    } catch (error) {
      await values.close();
      await removeSpooled(root, writeId);
      throw error;
    }
  }

  /** Appends rows. The arrays must not be changed afterwards. */
  async append(values: Uint8Array, times: Uint8Array | null): Promise<void> {
    await this.#values.append(values);
    if (times) await this.#times!.append(times);
  }

  /** Makes bytes and names durable. */
  async finish(): Promise<{ values: SpooledPart; times: SpooledPart | null }> {
    const values = await this.#values.finish();
    const times = (await this.#times?.finish()) ?? null;
    const folder = await open(this.#root.spoolFolder, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
    return { values, times };
  }

  async discard(): Promise<void> {
    await this.#values.close().catch(() => {});
    await this.#times?.close().catch(() => {});
    await removeSpooled(this.#root, this.#id);
  }
}

/** Removes a payload that is in a shard now, or was never acknowledged. Missing files are fine. */
export async function removeSpooled(root: DataRoot, writeId: string): Promise<void> {
  for (const part of ['values', 'times'] as const) {
    await unlink(root.spooled(writeId, part)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  }
}
