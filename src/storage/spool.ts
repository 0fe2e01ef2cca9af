/** The spool: payloads too large for a row of Postgres, one or two plain files a write, durable before they are acknowledged. */
import { open, readdir, stat, unlink, type FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import type { DataRoot } from './data-root.ts';
import { systemDisk } from './disk.ts';

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

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes >= BUFFER_BYTES) await this.#flush();
  }

  async finish(): Promise<SpooledPart> {
    await this.#flush();
    await this.#handle.datasync();
    await this.#handle.close();
    return { bytes: this.#bytes, crc: this.#crc };
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #flush(): Promise<void> {
    if (this.#pendingBytes === 0) return;
    const buffers = this.#pending;
    const total = this.#pendingBytes;
    this.#pending = [];
    this.#pendingBytes = 0;
    for (const bytes of buffers) this.#crc = crc32(bytes, this.#crc);
    const { bytesWritten } = await this.#handle.writev(buffers, this.#bytes);
    if (bytesWritten !== total) throw Object.assign(new Error('short write to the spool'), { code: 'ENOSPC' });
    this.#bytes += total;
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
    const times = withTimes ? new SpoolFile(await open(root.spooled(writeId, 'times'), 'wx')) : null;
    return new SpoolWriter(root, writeId, values, times);
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
    systemDisk.syncFolder(this.#root.spooled(this.#id, 'values'));
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

/** Ids of the payloads in the spool that were last written at least `graceMs` ago. */
export async function listSpooled(root: DataRoot, graceMs: number): Promise<string[]> {
  const ids = new Set<string>();
  for (const name of await readdir(root.spoolFolder)) {
    const match = /^([0-9a-f-]{36})\.(values|times)$/.exec(name);
    if (!match) continue;
    const info = await stat(root.spooled(match[1], match[2] as 'values' | 'times')).catch(() => null);
    if (info && Date.now() - info.mtimeMs >= graceMs) ids.add(match[1]);
  }
  return [...ids];
}
