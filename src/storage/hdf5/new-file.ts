/**
 * A file that is written once, beside its name, as `<path>.tmp`. Then it is made durable, given its name, and never
 * changed again. Whatever instant the machine stops, the name stands for the whole file or for none.
 */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { systemDisk, type Disk } from '../folder/disk.ts';
import { endOfFileAddress, SUPERBLOCK_BYTES } from './superblock.ts';

export class NewFile {
  /** Where it lies until it has its name. */
  readonly path: string;
  readonly #name: string;
  readonly #disk: Disk;
  readonly #fd: number;
  #state: 'written' | 'closed' | 'named' = 'written';

  /** Begins a file. One that an attempt before has left half done is replaced. @param name absolute */
  constructor(name: string, disk: Disk = systemDisk) {
    this.path = `${name}.tmp`;
    this.#name = name;
    this.#disk = disk;
    mkdirSync(dirname(name), { recursive: true });
    disk.syncFolder(dirname(name)); // whoever made the folder: its own name must be durable, too
    this.#fd = disk.open(this.path, 'replace');
  }

  write(bytes: Uint8Array, position: number): void {
    this.#disk.write(this.#fd, bytes, position);
  }

  /** @returns bytes read; fewer than asked only at the end of the file */
  read(into: Uint8Array, position: number): number {
    return this.#disk.read(this.#fd, into, position);
  }

  /** HDF5 sets the length when it closes. Only growth happens at once; {@link finish} sets what the superblock says. */
  setLength(length: number): void {
    if (length > this.#disk.length(this.#fd)) this.#disk.truncate(this.#fd, length);
  }

  /** Gives the file its name, durably. HDF5 must have closed it. @returns its length in bytes */
  finish(): number {
    const superblock = Buffer.alloc(SUPERBLOCK_BYTES);
    this.read(superblock, 0);
    const length = endOfFileAddress(superblock);
    if (length === null) throw new Error(`${this.path}: HDF5 left no superblock`);
    if (this.#disk.length(this.#fd) > length) this.#disk.truncate(this.#fd, length);
    this.#disk.sync(this.#fd);
    this.#close();
    this.#disk.rename(this.path, this.#name);
    this.#state = 'named';
    this.#disk.syncFolder(this.#name);
    return length;
  }

  /** Gives up. A file that has its name already stays: somebody may know it. */
  abort(): void {
    try {
      if (this.#state !== 'named') this.#disk.remove(this.path);
    } finally {
      this.#close();
    }
  }

  #close(): void {
    if (this.#state !== 'written') return;
    this.#state = 'closed';
    this.#disk.close(this.#fd);
  }
}
