/** A disk of its own for the data folder, which can be full for a while: a tmpfs that is mounted anew with another size. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, statfsSync } from 'node:fs';

const LARGE_BYTES = 4 * 1024 ** 3;

export class ShrinkableDisk {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** @param folder that is made. @returns null if this process may not mount */
  static mount(folder: string): ShrinkableDisk | null {
    mkdirSync(folder, { recursive: true });
    try {
      mount(['-t', 'tmpfs', '-o', `size=${LARGE_BYTES}`, 'tmpfs', folder]);
    } catch {
      return null;
    }
    return new ShrinkableDisk(folder);
  }

  /** From now on so many bytes more have room. */
  leave(bytes: number): void {
    const { blocks, bfree, bsize } = statfsSync(this.#folder);
    this.#resize((blocks - bfree) * bsize + bytes);
  }

  free(): void {
    this.#resize(LARGE_BYTES);
  }

  drop(): void {
    execFileSync('umount', ['--lazy', this.#folder]);
  }

  #resize(bytes: number): void {
    mount(['-o', `remount,size=${bytes}`, this.#folder]);
  }
}

function mount(args: readonly string[]): void {
  execFileSync('mount', args, { stdio: 'ignore' });
}
