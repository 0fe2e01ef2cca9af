/** The files below the data root as whoever looks after them sees them: every file, whatever its name. */
import { mkdir, readdir, rename, stat } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import type { DataRoot } from './data-root.ts';
import { syncFolder } from './sync-folder.ts';

export interface DataFile {
  /** Relative to the data root. */
  readonly path: string;
  readonly bytes: number;
  /** Since it was last written. */
  readonly ageMs: number;
  /** Since it was last written, renamed or put here, whatever day it bears. */
  readonly changedMs: number;
}

/** Where spool files go that a rebuilt catalog knows nothing of. Nobody tidies up there. */
const KEPT_FOLDER = 'spool/kept';
const SHARD_NAME = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-(\d+)\.h5$/;
const SPOOL_NAME = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** What the name of a shard's file says; null if it is no such name. */
export function parseShardName(path: string): { shardId: string; commit: bigint } | null {
  const match = SHARD_NAME.exec(basename(path));
  return match && { shardId: match[1], commit: BigInt(match[2]) };
}

/** Whether a file is one of the spool, and was not put aside. */
export function isSpoolFile(path: string): boolean {
  return dirname(path) === 'spool' && SPOOL_NAME.test(basename(path));
}

/** Everything below `shards/`. */
export function listShardFiles(root: DataRoot): Promise<DataFile[]> {
  return filesBelow(root, root.shardFolder);
}

/** Everything below `spool/`. */
export function listSpoolFiles(root: DataRoot): Promise<DataFile[]> {
  return filesBelow(root, root.spoolFolder);
}

async function filesBelow(root: DataRoot, folder: string): Promise<DataFile[]> {
  const files: DataFile[] = [];
  const names = await readdir(folder, { recursive: true }).catch(ifMissing<string[]>([]));
  for (const name of names.sort()) {
    const file = await lookAt(root, relative(root.root, join(folder, name)));
    if (file) files.push(file);
  }
  return files;
}

/** @returns null if there is no such file, or not any more */
export async function lookAt(root: DataRoot, path: string): Promise<DataFile | null> {
  const found = await stat(root.resolve(path)).catch(ifMissing(null));
  if (!found?.isFile()) return null;
  const since = (ms: number): number => Math.max(0, Date.now() - ms);
  return { path, bytes: found.size, ageMs: since(found.mtimeMs), changedMs: since(found.ctimeMs) };
}

/** Moves a spool file out of the reach of whoever tidies up the spool, durably. @returns where it is now */
export async function keepSpooled(root: DataRoot, path: string): Promise<string> {
  const kept = `${KEPT_FOLDER}/${basename(path)}`;
  await mkdir(root.resolve(KEPT_FOLDER), { recursive: true });
  await renameDurably(root, path, kept);
  return kept;
}

/** Renames a file, and makes its new name durable. */
export async function renameDurably(root: DataRoot, from: string, to: string): Promise<void> {
  await rename(root.resolve(from), root.resolve(to));
  await syncFolder(dirname(root.resolve(to)));
}

function ifMissing<T>(otherwise: T): (error: NodeJS.ErrnoException) => T {
  return (error) => {
    if (error.code === 'ENOENT') return otherwise;
    throw error;
  };
}
