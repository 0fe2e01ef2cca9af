/** A disk that remembers what it was told. So a test can see what a power cut at any instant may have left of it. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { systemDisk, type Disk } from '../../src/storage/folder/disk.ts';

/** Something done to a file (which may have lost its name since), or to the names of files. */
type Event =
  | { readonly of: 'file'; readonly file: number; readonly change: Change | 'sync' }
  | { readonly of: 'names'; readonly change: NameChange | 'sync' };

/** A name that was given (taken from another one, if that is told), or is gone: null. */
interface NameChange {
  readonly path: string;
  readonly file: number | null;
  readonly instead?: string;
}

type Change = { readonly position: number; readonly bytes: Buffer } | { readonly length: number };

/** The system's disk without its waiting: a test does not pull the plug. */
export const hastyDisk: Disk = { ...systemDisk, sync() {}, syncFolder() {} };

export class PowerCutDisk implements Disk {
  readonly #events: Event[] = [];
  readonly #before = new Map<string, number>();
  /** Content of each file when it was first seen; new ones begin empty. */
  readonly #files: Buffer[] = [];
  readonly #names = new Map<string, number>();
  readonly #open = new Map<number, number>();

  /** @param paths files that are durable when all begins */
  constructor(paths: readonly string[]) {
    for (const path of paths) {
      this.#before.set(path, this.#files.length);
      this.#names.set(path, this.#files.push(systemDisk.readFile(path)) - 1);
    }
  }

  get instants(): number {
    return this.#events.length + 1;
  }

  /**
   * Writes into a folder what may be left if the power goes at an instant. Of what was not made durable until then anything
   * may be missing.
   * @param instant 0: before everything; `instants - 1`: after everything
   * @param survives asked for every change that was not durable: whole, in part (a torn write), or not at all
   */
  cutAt(instant: number, folder: string, survives: () => 'whole' | 'torn' | 'lost'): void {
    const files = this.#files.map((content) => ({ content, pending: [] as Change[] }));
    const names = new Map(this.#before);
    let pendingNames: NameChange[] = [];
    const rename = ({ path, file, instead }: NameChange): void => {
      if (instead !== undefined) names.delete(instead);
      if (file === null) names.delete(path);
      else names.set(path, file);
    };
    for (const event of this.#events.slice(0, instant)) {
      if (event.of === 'names') {
        if (event.change !== 'sync') pendingNames.push(event.change);
        else {
          pendingNames.forEach(rename);
          pendingNames = [];
        }
      } else {
        const file = files[event.file];
        if (event.change !== 'sync') file.pending.push(event.change);
        else {
          for (const change of file.pending) file.content = changed(file.content, change);
          file.pending = [];
        }
      }
    }
    for (const change of pendingNames) if (survives() !== 'lost') rename(change);
    for (const file of files) {
      for (const change of file.pending) {
        const fate = survives();
        if (fate === 'lost') continue;
        const torn = fate === 'torn' && 'bytes' in change;
        const part = torn ? { ...change, bytes: change.bytes.subarray(0, change.bytes.length / 2) } : change;
        file.content = changed(file.content, part);
      }
    }
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    for (const [path, file] of names) writeFileSync(join(folder, basename(path)), files[file].content);
  }

  open(path: string, how: 'create' | 'edit' | 'replace'): number {
    const fd = hastyDisk.open(path, how);
    let file = this.#names.get(path);
    if (file === undefined) {
      file = this.created(path);
    } else if (how === 'replace') {
      this.#events.push({ of: 'file', file, change: { length: 0 } });
    }
    this.#open.set(fd, file);
    return fd;
  }

  write(fd: number, bytes: Uint8Array, position: number): void {
    hastyDisk.write(fd, bytes, position);
    this.#record(fd, { position, bytes: Buffer.from(bytes) });
  }

  truncate(fd: number, length: number): void {
    hastyDisk.truncate(fd, length);
    this.#record(fd, { length });
  }

  sync(fd: number): void {
    this.#record(fd, 'sync');
  }

  remove(path: string): void {
    hastyDisk.remove(path);
    this.#names.delete(path);
    this.#events.push({ of: 'names', change: { path, file: null } });
  }

  rename(from: string, to: string): void {
    hastyDisk.rename(from, to);
    const file = this.#names.get(from)!;
    this.#names.delete(from);
    this.#names.set(to, file);
    this.#events.push({ of: 'names', change: { path: to, file, instead: from } });
  }

  syncFolder(): void {
    this.#events.push({ of: 'names', change: 'sync' });
  }

  close(fd: number): void {
    this.#open.delete(fd);
    hastyDisk.close(fd);
  }

  /** Who writes by other means than these tells of it. @returns what the file is called in {@link written} and {@link synced} */
  created(path: string): number {
    const file = this.#files.push(Buffer.alloc(0)) - 1;
    this.#names.set(path, file);
    this.#events.push({ of: 'names', change: { path, file } });
    return file;
  }

  written(file: number, position: number, bytes: Uint8Array): void {
    this.#events.push({ of: 'file', file, change: { position, bytes: Buffer.from(bytes) } });
  }

  synced(file: number): void {
    this.#events.push({ of: 'file', file, change: 'sync' });
  }

  length = hastyDisk.length;
  read = hastyDisk.read;
  exists = hastyDisk.exists;
  readFile = hastyDisk.readFile;

  #record(fd: number, change: Change | 'sync'): void {
    this.#events.push({ of: 'file', file: this.#open.get(fd)!, change });
  }
}

function changed(content: Buffer, change: Change): Buffer {
  const length = 'length' in change ? change.length : Math.max(content.length, change.position + change.bytes.length);
  const next = Buffer.alloc(length);
  content.copy(next, 0, 0, length);
  if ('bytes' in change) change.bytes.copy(next, change.position);
  return next;
}
