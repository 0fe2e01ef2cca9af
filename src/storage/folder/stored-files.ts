/** The files of shards and spool as recovery sees them: what each is, and the little that is done to them. */
import { mkdir, rename, stat, unlink, utimes } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { StoredFile } from '../../core/upkeep/reconcile.ts';
import { listShardFiles, listSpoolFiles, lookAt, type DataFile } from './data-files.ts';
import type { DataRoot } from './data-root.ts';

const SPOOL = /^spool\/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** The folder is the end of the id: {@link shardPath}. */
const SHARD = /^shards\/([0-9a-f]{2})\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{10}\1)-(\d+)\.h5$/;
/** Within the folder of shards, so that a file system of its own is no obstacle to a rename. */
const ASIDE = 'shards/orphans';

/** Files with names that are not ours are nobody's business here. */
export async function listStoredFiles(root: DataRoot): Promise<StoredFile[]> {
  const files = [...(await listSpoolFiles(root)), ...(await listShardFiles(root))];
  return files.flatMap((file) => asStored(file) ?? []);
}

/** @returns those of these files that exist */
export async function lookAtStored(root: DataRoot, paths: readonly string[]): Promise<StoredFile[]> {
  const found: StoredFile[] = [];
  for (const path of paths) {
    const file = await lookAt(root, path);
    const stored = file && asStored(file);
    if (stored) found.push(stored);
  }
  return found;
}

function asStored(file: DataFile): StoredFile | null {
  const kind = kindOf(file.path);
  return kind && { ...file, ...kind };
}

type Kind<F = StoredFile> = F extends StoredFile ? Omit<F, keyof DataFile> : never;

function kindOf(path: string): Kind | null {
  if (dirname(path) === ASIDE) return { kind: 'aside' };
  if (path.endsWith('.tmp')) return { kind: 'temporary' };
  if (SPOOL.test(path)) return { kind: 'spool' };
  const [, , shardId, commit] = SHARD.exec(path) ?? [];
  return commit === undefined ? null : { kind: 'shard', shardId, commit: BigInt(commit) };
}

/** @returns the length of a file; null: there is none */
export async function fileBytes(root: DataRoot, path: string): Promise<number | null> {
  return unlessMissing(stat(root.resolve(path)).then(({ size }) => size));
}

/** Removes a file that nothing refers to. A missing one is fine. */
export async function removeFile(root: DataRoot, path: string): Promise<void> {
  await unlessMissing(unlink(root.resolve(path)));
}

/** Removes a file unless it was written since it was listed. @returns whether it did */
export async function removeStale(root: DataRoot, { path, ageMs }: StoredFile): Promise<boolean> {
  const found = await unlessMissing(stat(root.resolve(path)));
  if (!found || Date.now() - found.mtimeMs < ageMs) return false;
  await removeFile(root, path);
  return true;
}

/** Moves a file out of the way of everything but a person; its age counts anew. @returns where it is now */
export async function setFileAside(root: DataRoot, path: string): Promise<string> {
  await mkdir(root.resolve(ASIDE), { recursive: true });
  const now = new Date();
  const to = root.resolve(`${ASIDE}/${basename(path)}`);
  const isMoved = await unlessMissing(rename(root.resolve(path), to).then(() => true));
  if (isMoved) await utimes(to, now, now);
  return `${ASIDE}/${basename(path)}`;
}

async function unlessMissing<T>(operation: Promise<T>): Promise<T | null> {
  try {
    return await operation;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return null;
  }
}
