/**
 * One commit to a shard file, from HDF5's first write to the last fsync.
 *
 * HDF5 updates its metadata in place. While a transaction is open, what it writes past the committed end of the file goes straight to disk (nothing
 * refers to it yet) and what it writes below goes to copied pages in memory; reads see both. On disk the previous commit stays whole, byte for
 * byte, until {@link ShardTransaction.commit} has the difference in a journal.
 */
import { systemDisk, type Disk } from './disk.ts';
import { applyJournal, journalPath, writeJournal, type Run } from './journal.ts';
import { SUPERBLOCK_BYTES, endOfFileAddress } from './superblock.ts';

/** Small, so that a changed tail chunk copies little more than it changes. */
const PAGE_BYTES = 4096;

/** Where a commit stands; the order of the steps is what makes it atomic. */
export type CommitStep = 'appended' | 'synced' | 'journaled' | 'applied' | 'done';

export class ShardTransaction {
  readonly path: string;
  /** Written by the commit below the end of the file: to the journal, and then in place. */
  rewrittenBytes = 0;
  readonly #disk: Disk;
  readonly #fd: number;
  readonly #committedEnd: number;
  readonly #isNew: boolean;
  #journal: 'none' | 'begun' | 'durable' = 'none';
  /** Page number → content as this transaction sees it. */
  readonly #pages = new Map<number, Buffer>();

  /**
   * @param path absolute; a new file is created and must not exist
   */
  constructor(path: string, isNew: boolean, disk: Disk = systemDisk) {
    this.path = path;
    this.#isNew = isNew;
    this.#disk = disk;
    this.#fd = disk.open(path, isNew ? 'create' : 'edit');
    this.#committedEnd = isNew ? 0 : disk.length(this.#fd);
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
    if (below < bytes.length) this.#disk.write(this.#fd, bytes.subarray(below), position + below);
  }

  /** @returns bytes read; fewer than asked only at the end of the file */
  read(into: Uint8Array, position: number): number {
    const got = this.#disk.read(this.#fd, into, position);
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
    if (length > this.#disk.length(this.#fd)) this.#disk.truncate(this.#fd, length);
  }

  /**
   * Makes it so, durably. HDF5 must have closed the file.
   * @param onStep told of every step as it is reached
   * @returns the length of the file
   */
  commit(onStep: (step: CommitStep) => void = () => {}): number {
    onStep('appended');
    const superblock = Buffer.alloc(SUPERBLOCK_BYTES);
    this.read(superblock, 0);
    const fileLength = endOfFileAddress(superblock);
    if (fileLength === null) throw new Error(`${this.path}: HDF5 left no superblock`);
    const journal = { fileLength, runs: this.#changedRuns() };
    // Nothing refers to a new file before it is published, so it needs no journal.
    if (this.#isNew && this.#disk.length(this.#fd) > fileLength) this.#disk.truncate(this.#fd, fileLength);
    this.#disk.sync(this.#fd);
    onStep('synced');
    if (this.#isNew) {
      this.#disk.syncFolder(this.path);
    } else {
      this.#journal = 'begun';
      this.rewrittenBytes = writeJournal(this.path, journal, this.#disk);
      for (const { bytes } of journal.runs) this.rewrittenBytes += bytes.length;
      this.#journal = 'durable';
      onStep('journaled');
      applyJournal(this.#fd, journal, this.#disk);
      onStep('applied');
      this.#disk.remove(journalPath(this.path));
    }
    this.#disk.close(this.#fd);
    onStep('done');
    return fileLength;
  }

  /**
   * After an error: forgets everything, the file is as it was, or gone if it was new. Once the journal is durable there is no way back, and the file is
   * left to {@link recoverShard}, which completes the commit.
   */
  abort(): void {
    try {
      if (this.#isNew) this.#disk.remove(this.path);
      else if (this.#journal !== 'durable') {
        if (this.#journal === 'begun' && this.#disk.exists(journalPath(this.path))) {
          this.#disk.remove(journalPath(this.path)); // before the cut: what it may hold refers to bytes past the end
          this.#disk.syncFolder(this.path);
        }
        this.#disk.truncate(this.#fd, this.#committedEnd);
      }
    } finally {
      this.#disk.close(this.#fd);
    }
  }

  #page(number: number): Buffer {
    let page = this.#pages.get(number);
    if (!page) {
      page = Buffer.alloc(PAGE_BYTES);
      this.#disk.read(this.#fd, page, number * PAGE_BYTES);
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
      this.#disk.read(this.#fd, disk.subarray(0, length), start);
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
