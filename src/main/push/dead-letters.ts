/** What cannot be delivered, each with its reason, as lines of JSON in a file beside the queue. */
import { open, readFile, truncate, type FileHandle } from 'node:fs/promises';
import { isUtf8 } from 'node:buffer';
import { join } from 'node:path';
import { syncFolder } from '../../storage/folder/sync-folder.ts';

export interface DeadLetter {
  /** Its number in the queue; null: it was refused before it had one. */
  readonly sequence: bigint | null;
  /** Where it came from, such as a topic. */
  readonly from: string | null;
  readonly payload: Uint8Array;
  readonly reason: string;
}

export const DEAD_LETTERS_FILE = 'dead-letters.ndjson';
const LF = 0x0a;

export class DeadLetters {
  readonly path: string;
  #last: bigint;

  private constructor(path: string, last: bigint) {
    this.path = path;
    this.#last = last;
  }

  /** What a write that was cut off has left is cut. */
  static async open(folder: string): Promise<DeadLetters> {
    const path = join(folder, DEAD_LETTERS_FILE);
    const bytes = await readFile(path).catch(noFile);
    const end = bytes.lastIndexOf(LF) + 1;
    if (end < bytes.length) await truncate(path, end);
    const texts = bytes.subarray(0, end).toString().trimEnd().split('\n').reverse();
    const numbered = texts.map(sequenceIn).find((sequence) => sequence !== null);
    return new DeadLetters(path, numbered ?? 0n);
  }

  /** Makes them durable. What a start before has written under the same number is not written again. */
  async add(letters: readonly DeadLetter[]): Promise<void> {
    const fresh = letters.filter(({ sequence }) => sequence === null || sequence > this.#last);
    if (fresh.length === 0) return;
    const file: FileHandle = await open(this.path, 'a', 0o600);
    try {
      await file.appendFile(fresh.map((letter) => `${textOf(letter)}\n`).join(''));
      await file.datasync();
    } finally {
      await file.close();
    }
    await syncFolder(join(this.path, '..'));
    for (const { sequence } of fresh) if (sequence !== null) this.#last = sequence;
  }

  /** Its size on the disk: somebody may have taken it away. */
  async bytes(): Promise<number> {
    const file = await open(this.path, 'r').catch(() => null);
    if (file === null) return 0;
    try {
      return (await file.stat()).size;
    } finally {
      await file.close();
    }
  }
}

/** How many there are in the file. */
export async function countDeadLetters(folder: string): Promise<number> {
  const bytes = await readFile(join(folder, DEAD_LETTERS_FILE)).catch(noFile);
  let count = 0;
  for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) count++;
  return count;
}

function noFile(error: NodeJS.ErrnoException): Buffer {
  if (error.code === 'ENOENT') return Buffer.alloc(0);
  throw error;
}

function textOf({ sequence, from, payload, reason }: DeadLetter): string {
  const bytes = Buffer.from(payload);
  return JSON.stringify({
    at: new Date().toISOString(),
    ...(sequence !== null && { sequence: String(sequence) }),
    ...(from !== null && { from }),
    reason,
    ...(isUtf8(bytes) ? { text: bytes.toString() } : { base64: bytes.toString('base64') }),
  });
}

function sequenceIn(text: string): bigint | null {
  const found = /^\{"at":"[^"]*","sequence":"(\d+)"/.exec(text)?.[1];
  return found === undefined ? null : BigInt(found);
}
