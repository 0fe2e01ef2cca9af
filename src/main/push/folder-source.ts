/** Lines from the files of a folder, each taken when it has come to rest. What was taken is known again after a kill. */
import { mkdir, open, readdir, readFile, rename, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { messageOf } from '../../core/errors.ts';
import type { Precision } from '../../formats/line-protocol/line-parser.ts';
import { syncFolder } from '../../storage/folder/sync-folder.ts';
import { LineCutter, type LineFormat } from './line-cutter.ts';
import { readPushed } from './push-records.ts';
import { replaceFile } from './push-state.ts';
import type { Spool } from './push-spool.ts';
import type { Speaker } from './speaker.ts';

export interface FolderRules {
  readonly folder: string;
  /** Null: what the end of its name says. */
  readonly format: LineFormat | null;
  readonly precision: Precision;
  /** A file whose size and time have not changed for so long is complete. */
  readonly restMs: number;
  /** Whether files stay where they are when they are delivered. */
  readonly keeps: boolean;
}

const FORMATS: Readonly<Record<string, LineFormat>> = {
  '.lp': 'lines',
  '.line': 'lines',
  '.influx': 'lines',
  '.ndjson': 'items',
  '.jsonl': 'items',
};
/** Names of files that somebody is writing. */
const UNFINISHED = /^\.|~$|\.(tmp|part|partial|swp|crdownload)$/i;
const DELIVERED_FOLDER = 'delivered';
const FILES_FILE = 'files.json';
/** Looks within the time that a file has to rest. */
const LOOKS = 4;
const LEAST_LOOK_MS = 50;
/** By its last bytes that were taken a file is known to have grown, and not to be another one. */
const TAIL_BYTES = 4096;

/** How far a file was taken. */
const takenFile = z.object({
  name: z.string(),
  inode: z.string(),
  mtime_ms: z.number(),
  /** Bytes that were taken, up to a line end. */
  taken: z.number(),
  tail_crc: z.number(),
  /** The number of the last record that came of it. */
  through: z.string(),
});
type TakenFile = z.output<typeof takenFile>;
const filesDocument = z.object({ files: z.array(takenFile) });

interface LyingFile {
  readonly name: string;
  readonly inode: string;
  readonly mtimeMs: number;
  readonly size: number;
}

export class FolderSource {
  readonly #spool: Spool;
  readonly #rules: FolderRules;
  readonly #speaker: Speaker;
  readonly #taken: Map<string, TakenFile>;
  /** Since when a file is as it is. */
  readonly #seen = new Map<string, { readonly print: string; readonly sinceMs: number }>();

  private constructor(spool: Spool, rules: FolderRules, speaker: Speaker, taken: readonly TakenFile[]) {
    this.#spool = spool;
    this.#rules = rules;
    this.#speaker = speaker;
    this.#taken = new Map(taken.map((file) => [file.name, file]));
  }

  /** @throws `ENOENT`, `ENOTDIR` if there is no such folder */
  static async open(spool: Spool, rules: FolderRules, speaker: Speaker): Promise<FolderSource> {
    await readdir(rules.folder);
    const text = await readFile(join(spool.queue.folder, FILES_FILE), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '{"files": []}';
      throw error;
    });
    const { files } = filesDocument.parse(JSON.parse(text));
    const source = new FolderSource(spool, rules, speaker, files);
    // The queue knows what was taken last, though the file may not have been written since.
    if (spool.queue.mark !== null) source.#keep(takenFile.parse(JSON.parse(spool.queue.mark)));
    return source;
  }

  /**
   * Takes files until it is told to stop.
   * @param isOnce to end when all that are there are taken
   */
  async run(isOnce: boolean, stop: AbortSignal): Promise<void> {
    const lookMs = Math.max(LEAST_LOOK_MS, this.#rules.restMs / LOOKS);
    while (!stop.aborted) {
      try {
        const left = await this.#look(stop);
        this.#speaker.over('folder', `the folder ${this.#rules.folder} can be read again`);
        if (isOnce && left === 0) return;
      } catch (error) {
        if (!isOfSystem(error)) throw error;
        this.#speaker.repeat('folder', `the folder ${this.#rules.folder} cannot be read: ${messageOf(error)}`);
      }
      await sleep(lookMs, undefined, { signal: stop }).catch(() => {});
    }
  }

  /** Puts aside the files of which all is delivered. */
  async moveDelivered(): Promise<void> {
    const { folder, keeps } = this.#rules;
    if (keeps) return;
    const { delivered } = this.#spool.state;
    let hasMoved = false;
    for (const known of this.#taken.values()) {
      if (BigInt(known.through) > delivered) continue;
      const found = await this.#find(known.name);
      if (found === null || !isAsTaken(found, known)) continue;
      await mkdir(join(folder, DELIVERED_FOLDER), { recursive: true });
      await rename(join(folder, known.name), await freeName(join(folder, DELIVERED_FOLDER), known.name));
      this.#taken.delete(known.name);
      hasMoved = true;
    }
    if (!hasMoved) return;
    await syncFolder(join(folder, DELIVERED_FOLDER));
    await this.#save();
  }

  /** @returns how many files are there that are not taken as a whole yet */
  async #look(stop: AbortSignal): Promise<number> {
    await this.moveDelivered();
    const names = (await readdir(this.#rules.folder)).filter((name) => this.#formatOf(name) !== null);
    const found = (await Promise.all(names.map((name) => this.#find(name)))).flatMap((file) => file ?? []);
    found.sort((a, b) => a.mtimeMs - b.mtimeMs || (a.name < b.name ? -1 : 1));
    for (const name of [...this.#seen.keys(), ...this.#taken.keys()]) {
      if (names.includes(name)) continue;
      this.#seen.delete(name);
      this.#taken.delete(name);
    }
    let left = 0;
    for (const file of found) {
      const known = this.#taken.get(file.name);
      if (known && isAsTaken(file, known)) continue;
      left++;
      if (!this.#rests(file) || stop.aborted) continue;
      try {
        if (await this.#take(file, stop)) left--;
      } catch (error) {
        if (!isOfSystem(error)) throw error;
        this.#speaker.repeat(`file ${file.name}`, `${file.name} cannot be read: ${messageOf(error)}`);
      }
    }
    return left;
  }

  #rests({ name, size, mtimeMs, inode }: LyingFile): boolean {
    const print = `${inode} ${size} ${mtimeMs}`;
    const now = performance.now();
    const seen = this.#seen.get(name);
    if (seen?.print === print) return now - seen.sinceMs >= this.#rules.restMs;
    this.#seen.set(name, { print, sinceMs: now });
    return this.#rules.restMs === 0;
  }

  /** @returns whether all of it was taken */
  async #take(file: LyingFile, stop: AbortSignal): Promise<boolean> {
    const format = this.#formatOf(file.name)!;
    const handle = await open(join(this.#rules.folder, file.name), 'r');
    try {
      let at = await this.#begin(file, handle);
      const cutter = new LineCutter(format, this.#spool.mostTakenBytes, at === 0);
      const piece = Buffer.allocUnsafe(this.#spool.mostTakenBytes);
      for (let isEnd = false; !isEnd;) {
        const wanted = Math.min(piece.length, file.size - at);
        const { bytesRead } = wanted === 0 ? { bytesRead: 0 } : await handle.read(piece, 0, wanted, at);
        at += bytesRead;
        isEnd = bytesRead === 0 || at >= file.size;
        const lines = cutter.take(Buffer.from(piece.subarray(0, bytesRead)));
        if (isEnd) lines.push(...cutter.end());
        const taken = at - cutter.heldBytes;
        const read = readPushed(lines, format, this.#rules.precision);
        const mark: TakenFile = {
          name: file.name,
          inode: file.inode,
          mtime_ms: isEnd ? file.mtimeMs : 0,
          taken,
          tail_crc: await tailCrc(handle, taken),
          through: String(this.#spool.queue.last + BigInt(read.entries.length)),
        };
        if (!(await this.#spool.take(read, { from: file.name, mark: JSON.stringify(mark) }, stop))) return false;
        this.#keep(mark);
      }
      await this.#save();
      return true;
    } finally {
      await handle.close();
    }
  }

  /** Where the file is to be gone on with: it may have grown since it was taken, or be another one. */
  async #begin(file: LyingFile, handle: FileHandle): Promise<number> {
    const known = this.#taken.get(file.name);
    if (!known || known.inode !== file.inode || file.size < known.taken) return 0;
    return (await tailCrc(handle, known.taken)) === known.tail_crc ? known.taken : 0;
  }

  async #find(name: string): Promise<LyingFile | null> {
    const found = await stat(join(this.#rules.folder, name)).catch(() => null);
    if (!found?.isFile()) return null;
    return { name, inode: String(found.ino), mtimeMs: found.mtimeMs, size: found.size };
  }

  #formatOf(name: string): LineFormat | null {
    if (UNFINISHED.test(name) || name === DELIVERED_FOLDER) return null;
    const format = this.#rules.format ?? FORMATS[/\.\w+$/.exec(name)?.[0].toLowerCase() ?? ''] ?? null;
    if (format === null) {
      const known = Object.keys(FORMATS).join(', ');
      this.#speaker.repeat('name', `${name} is left alone: it ends with none of ${known}; --format says what it is`);
    }
    return format;
  }

  #keep(file: TakenFile): void {
    this.#taken.set(file.name, file);
  }

  #save(): Promise<void> {
    return replaceFile(join(this.#spool.queue.folder, FILES_FILE), { files: [...this.#taken.values()] });
  }
}

function isAsTaken(file: LyingFile, known: TakenFile): boolean {
  return known.inode === file.inode && known.taken === file.size && known.mtime_ms === file.mtimeMs;
}

async function tailCrc(handle: FileHandle, end: number): Promise<number> {
  const length = Math.min(end, TAIL_BYTES);
  if (length === 0) return 0;
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, end - length);
  return crc32(buffer.subarray(0, bytesRead));
}

async function freeName(folder: string, name: string): Promise<string> {
  for (let number = 1; ; number++) {
    const path = join(folder, number === 1 ? name : `${name}.${number}`);
    if ((await stat(path).catch(() => null)) === null) return path;
  }
}

function isOfSystem(error: unknown): boolean {
  return typeof (error as NodeJS.ErrnoException).syscall === 'string';
}
