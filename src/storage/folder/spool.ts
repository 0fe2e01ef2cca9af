/**
 * The spool: files of samples that are too many for rows of Postgres, durable before they are acknowledged. A file is
 * written once, under a name that is never used again. Its row in the catalog is committed before the file is made.
 */
import { open, unlink, type FileHandle } from 'node:fs/promises';
import { VarveError } from '../../core/errors.ts';
import type { DataRoot } from './data-root.ts';
import { syncFolder } from './sync-folder.ts';

/** Bytes are gathered to this size before they are written. */
const BUFFER_BYTES = 1024 * 1024;

/** A spool file that is being written. Either {@link finish} or {@link discard} must be called. */
export class SpoolWriter {
  readonly id: string;
  readonly #root: DataRoot;
  readonly #handle: FileHandle;
  readonly #open: typeof open;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #written = 0;
  /** The write under way: the next bytes are received meanwhile. */
  #writing: Promise<void> = Promise.resolve();

  private constructor(root: DataRoot, id: string, handle: FileHandle, openFile: typeof open) {
    this.#root = root;
    this.id = id;
    this.#handle = handle;
    this.#open = openFile;
  }

  /** @param openFile in the place of Node's, where a test wants to know what reaches the disk, and in which order */
  static async open(root: DataRoot, id: string, openFile = open): Promise<SpoolWriter> {
    return new SpoolWriter(root, id, await openFile(root.spooled(id), 'wx'), openFile);
  }

  /** Bytes so far, which is where the next ones will lie. */
  get length(): number {
    return this.#written + this.#pendingBytes;
  }

  /** Writes bytes. The array must not be changed afterwards. @returns where its bytes begin in the file */
  async append(bytes: Uint8Array): Promise<number> {
    const offset = this.length;
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes >= BUFFER_BYTES) {
      await this.#writing;
      this.#writing = this.#flush();
      this.#writing.catch(() => {}); // seen when it is awaited
    }
    return offset;
  }

  /** Makes bytes and name durable. @returns bytes of the file. @throws unavailable `payload-removed` if somebody has taken the name away */
  async finish(): Promise<number> {
    await this.#writing;
    await this.#flush();
    await this.#handle.datasync();
    if ((await this.#handle.stat()).nlink === 0) {
      throw new VarveError('unavailable', `the spool file ${this.id} was removed while it was written`, {
        slug: 'payload-removed',
      });
    }
    await this.#handle.close();
    await syncFolder(this.#root.spoolFolder, this.#open);
    return this.#written;
  }

  async discard(): Promise<void> {
    await this.#writing.catch(() => {});
    await this.#handle.close().catch(() => {});
    await removeSpooled(this.#root, this.id);
  }

  async #flush(): Promise<void> {
    if (this.#pendingBytes === 0) return;
    const buffers = this.#pending;
    const total = this.#pendingBytes;
    const position = this.#written;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#written += total;
    const { bytesWritten } = await this.#handle.writev(buffers, position);
    if (bytesWritten !== total) throw Object.assign(new Error('short write to the spool'), { code: 'ENOSPC' });
  }
}

/** Removes a file whose row is gone. A missing file is fine. */
export async function removeSpooled(root: DataRoot, id: string): Promise<void> {
  await unlink(root.spooled(id)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
}

/** A whole file at once, durable. @returns where each piece begins */
export async function writeSpool(root: DataRoot, id: string, pieces: readonly Uint8Array[]): Promise<number[]> {
  const file = await SpoolWriter.open(root, id);
  try {
    const offsets: number[] = [];
    for (const piece of pieces) offsets.push(await file.append(piece));
    await file.finish();
    return offsets;
  } catch (error) {
    await file.discard();
    throw error;
  }
}

/** @throws corrupt `shard-short` if the file ends before */
export async function readSpooled(root: DataRoot, id: string, offset: number, length: number): Promise<Buffer> {
  const handle = await open(root.spooled(id), 'r');
  try {
    const bytes = Buffer.allocUnsafe(length);
    for (let done = 0; done < length;) {
      const { bytesRead } = await handle.read(bytes, done, length - done, offset + done);
      if (bytesRead === 0) throw new VarveError('corrupt', `the spool file ${id} is short`, { slug: 'shard-short' });
      done += bytesRead;
    }
    return bytes;
  } finally {
    await handle.close();
  }
}
