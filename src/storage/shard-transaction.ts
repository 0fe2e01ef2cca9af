/**
 * One commit to a shard file, from HDF5's first write to the last fsync.
 *
 * HDF5 updates its metadata in place. While a transaction is open, what it writes past the committed end of the file goes straight to disk (nothing
 * refers to it yet) and what it writes below goes to copied pages in memory; reads see both. On disk the previous commit stays whole, byte for
 * byte, until {@link ShardTransaction.commit} has the difference in a journal.
 */
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, unlinkSync } from 'node:fs';
import { applyJournal, endOfFileAddress, journalPath, writeFully, writeJournal, type Run } from './journal.ts';
import { syncFolderOf } from './sync-folder.ts';

/** Small, so that a changed tail chunk copies little more than it changes. */
const PAGE_BYTES = 4096;

/** Where a commit stands; the order of the steps is what makes it atomic. */
export type CommitStep = 'appended' | 'synced' | 'journaled' | 'applied' | 'done';

export class ShardTransaction {
  readonly path: string;
  readonly #fd: number;
  readonly #committedEnd: number;
  readonly #isNew: boolean;
  /** Page number → content as this transaction sees it. */
  readonly #pages = new Map<number, Buffer>();

  /**
   * @param path absolute; a new file is created and must not exist
   */
  constructor(path: string, isNew: boolean) {
    this.path = path;
    this.#isNew = isNew;
    this.#fd = openSync(path, isNew ? 'wx+' : 'r+', 0o644);
    this.#committedEnd = isNew ? 0 : fstatSync(this.#fd).size;
  }

  write(bytes: Uint8Array, position: number): void {
    const below = Math.min(bytes.length, Math.max(0, this.#committedEnd - position));
    for (let done = 0; done < below;) {
      const at = position + done;
      const page = this.#page(Math.floor(at / PAGE_BYTES));
      const inPage = at % PAGE_BYTES;
      const length = Math.min(PAGE_BYTES - inPage, below - done);
      page.set(bytes.subarray(done, done + length), inPage);
      done += length;
    }
    if (below < bytes.length) writeFully(this.#fd, bytes.subarray(below), position + below);
  }

  /** @returns bytes read; fewer than asked only at the end of the file */
  read(into: Uint8Array, position: number): number {
    const got = readSync(this.#fd, into, 0, into.length, position);
    if (this.#pages.size > 0 && position < this.#committedEnd) {
      const end = Math.min(position + got, this.#committedEnd);
      for (let n = Math.floor(position / PAGE_BYTES); n * PAGE_BYTES < end; n++) {
        const page = this.#pages.get(n);
        if (!page) continue;
        const from = Math.max(position, n * PAGE_BYTES);
        const to = Math.min(end, (n + 1) * PAGE_BYTES);
        into.set(page.subarray(from - n * PAGE_BYTES, to - n * PAGE_BYTES), from - position);
      }
    }
    return got;
  }

  /** HDF5 sets the length when it closes. Only growth happens at once; the commit sets what the superblock says. */
  setLength(length: number): void {
    if (length > fstatSync(this.#fd).size) ftruncateSync(this.#fd, length);
  }

  /**
   * Makes it so, durably. HDF5 must have closed the file.
   * @param onStep told of every step as it is reached
   * @returns the length of the file
   */
  commit(onStep: (step: CommitStep) => void = () => {}): number {
    onStep('appended');
    const superblock = Buffer.alloc(48);
    this.read(superblock, 0);
    const fileLength = endOfFileAddress(superblock);
    if (fileLength === null) throw new Error(`${this.path}: HDF5 left no superblock`);
    const runs = this.#changedRuns();
    fsyncSync(this.#fd);
    onStep('synced');
    if (this.#isNew) {
      ftruncateSync(this.#fd, fileLength);
      fsyncSync(this.#fd);
      syncFolderOf(this.path);
    } else {
      const journal = { fileLength, runs };
      writeJournal(this.path, journal);
      onStep('journaled');
      applyJournal(this.#fd, journal);
      onStep('applied');
      unlinkSync(journalPath(this.path));
    }
    closeSync(this.#fd);
    onStep('done');
    return fileLength;
  }

  /** Forgets everything: the file is as it was, or gone if it was new. */
  abort(): void {
    if (!this.#isNew) ftruncateSync(this.#fd, this.#committedEnd);
    closeSync(this.#fd);
    if (this.#isNew) unlinkSync(this.path);
  }

  #page(number: number): Buffer {
    let page = this.#pages.get(number);
    if (!page) {
      page = Buffer.alloc(PAGE_BYTES);
      readSync(this.#fd, page, 0, PAGE_BYTES, number * PAGE_BYTES);
      this.#pages.set(number, page);
    }
    return page;
  }

  /** What differs from the disk: of a tail chunk that is written whole, only the rows that are new. */
  #changedRuns(): Run[] {
    const runs: Run[] = [];
    const disk = Buffer.alloc(PAGE_BYTES);
    for (const number of [...this.#pages.keys()].sort((a, b) => a - b)) {
      const start = number * PAGE_BYTES;
      const length = Math.min(PAGE_BYTES, this.#committedEnd - start);
      const page = this.#pages.get(number)!.subarray(0, length);
      readSync(this.#fd, disk, 0, length, start);
      let from = 0;
      while (from < length && page[from] === disk[from]) from++;
      if (from === length) continue;
      let to = length;
      while (page[to - 1] === disk[to - 1]) to--;
      runs.push({ offset: start + from, bytes: page.subarray(from, to) });
    }
    return runs;
  }
}
