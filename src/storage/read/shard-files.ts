/** Open files of shards, for whoever reads them by place. */
import { open, type FileHandle } from 'node:fs/promises';
import { VarveError } from '../../core/errors.ts';
import type { DataRoot } from '../folder/data-root.ts';

export interface LentFile {
  readonly handle: FileHandle;
  /** Gives the file back; must be called, once. */
  giveBack(): Promise<void>;
}

export interface ShardFiles {
  /**
   * @param path relative to the data root
   * @throws corrupt `shard-missing` if there is no such file
   */
  borrow(path: string): Promise<LentFile>;
}

/** Opens a file for each borrower. */
export function eachOpened(root: DataRoot): ShardFiles {
  return {
    async borrow(path) {
      const handle = await openShard(root, path);
      return { handle, giveBack: () => handle.close() };
    },
  };
}

/** Files that nobody has borrowed stay open for the next reader: so many … */
const KEPT_FILES = 64;
/** … for so long: a file that was removed takes room until it is closed. */
const KEPT_MS = 2_000;

interface KeptFile {
  readonly handle: Promise<FileHandle>;
  borrowers: number;
  idleSince: number;
}

/** Keeps files open between reads: to open and close one takes a quarter of a millisecond, a fifth of a short read. A file never changes its name. */
export class KeptShardFiles implements ShardFiles {
  readonly #root: DataRoot;
  readonly #files = new Map<string, KeptFile>();
  readonly #timer: NodeJS.Timeout;

  constructor(root: DataRoot) {
    this.#root = root;
    this.#timer = setInterval(() => this.#closeIdle(Date.now() - KEPT_MS), KEPT_MS / 2);
    this.#timer.unref();
  }

  async borrow(path: string): Promise<LentFile> {
    let file = this.#files.get(path);
    if (!file) {
      file = { handle: openShard(this.#root, path), borrowers: 0, idleSince: 0 };
      file.handle.catch(() => this.#files.delete(path)); // the next borrower tries again
      this.#files.set(path, file);
    }
    const lent = file;
    lent.borrowers++;
    const giveBack = (): Promise<void> => {
      lent.borrowers--;
      lent.idleSince = Date.now();
      if (this.#files.size > KEPT_FILES) this.#closeIdle(Infinity);
      return Promise.resolve();
    };
    try {
      return { handle: await lent.handle, giveBack };
    } catch (error) {
      await giveBack();
      throw error;
    }
  }

  /** Closes what is not lent; nothing may be borrowed any more. */
  close(): Promise<void> {
    clearInterval(this.#timer);
    this.#closeIdle(Infinity);
    return Promise.resolve();
  }

  #closeIdle(before: number): void {
    for (const [path, { handle, borrowers, idleSince }] of this.#files) {
      if (borrowers > 0 || idleSince > before) continue;
      this.#files.delete(path);
      void handle.then((opened) => opened.close()).catch(() => {});
    }
  }
}

async function openShard(root: DataRoot, path: string): Promise<FileHandle> {
  try {
    return await open(root.resolve(path), 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new VarveError('corrupt', `the shard ${path} is missing`, { slug: 'shard-missing', cause: error });
  }
}
