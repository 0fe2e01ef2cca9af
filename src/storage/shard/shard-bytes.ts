/** One shard as plain bytes: positional reads of places the catalog names. No HDF5 here. */
import { open, type FileHandle } from 'node:fs/promises';
import type { ByteRange } from '../../core/rows/chunk.ts';
import { VarveError } from '../../core/errors.ts';
import type { DataRoot } from '../folder/data-root.ts';

export class ShardBytes {
  readonly #handle: FileHandle;
  /** Length of the file when it was opened. */
  readonly length: number;

  private constructor(handle: FileHandle, length: number) {
    this.#handle = handle;
    this.length = length;
  }

  /** @returns null if there is no such file */
  static async open(root: DataRoot, path: string): Promise<ShardBytes | null> {
    try {
      const handle = await open(root.resolve(path), 'r');
      return new ShardBytes(handle, (await handle.stat()).size);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  }

  /** @throws corrupt `shard-short` if the file ends before; what the file system says */
  async read({ offset, length }: ByteRange): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length);
    for (let done = 0; done < length;) {
      const { bytesRead } = await this.#handle.read(bytes, done, length - done, offset + done);
      if (bytesRead === 0) {
        throw new VarveError('corrupt', `the file ends ${length - done} bytes before them`, { slug: 'shard-short' });
      }
      done += bytesRead;
    }
    return bytes;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
