/**
 * Files that were uploaded to be imported. The protocol's store keeps the bytes under an id. A JSON
 * file beside them says how many they are to be, and what the client called them.
 */
import { createWriteStream } from 'node:fs';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { DataRoot } from './data-root.ts';

/** An upload that is neither finished nor imported is kept for so long after its last byte. */
export const UPLOAD_KEPT_MS = 24 * 60 * 60 * 1000;
const ID_FORM = /^[0-9a-f]{32}$/;
const DESCRIPTION = '.json';

export interface FoundUpload {
  /** Name of the file, without a folder. */
  readonly name: string;
  readonly project: string;
  /** Bytes that it is to have. */
  readonly bytes: number;
  readonly received: number;
  readonly isWhole: boolean;
}

/** @returns null if there is none */
export async function findUpload(root: DataRoot, id: string): Promise<FoundUpload | null> {
  if (!ID_FORM.test(id)) return null;
  const found = await stat(uploadedBytes(root, id)).catch(() => null);
  const text = await readFile(uploadedBytes(root, id) + DESCRIPTION, 'utf8').catch(() => null);
  if (!found?.isFile() || text === null) return null;
  const { size, metadata } = JSON.parse(text) as { size?: number; metadata?: Record<string, string | null> };
  return {
    name: safeName(metadata?.filename ?? ''),
    project: metadata?.project ?? '',
    bytes: size ?? 0,
    received: found.size,
    isWhole: size !== undefined && found.size === size,
  };
}

/** Where its bytes lie. @throws if the id is none */
export function uploadedBytes(root: DataRoot, id: string): string {
  if (!ID_FORM.test(id)) throw new Error(`no id of an upload: ${id}`);
  return join(root.uploadFolder, id);
}

/** The last part of what a client calls a file, if it can be the name of one. */
export function safeName(text: string): string {
  const name = basename(text.replaceAll('\\', '/'));
  return name === '' || name === '.' || name === '..' || name.includes('\0') ? 'upload' : name.slice(0, 255);
}

/** Takes a whole file at once. Its description comes last: without it there is no upload. @returns its bytes */
export async function storeUpload(
  root: DataRoot,
  id: string,
  { name, project }: { readonly name: string; readonly project: string },
  body: AsyncIterable<Uint8Array>,
): Promise<number> {
  const path = uploadedBytes(root, id);
  try {
    await pipeline(body, createWriteStream(path, { flags: 'wx' }));
    const { size } = await stat(path);
    const description = { id, size, offset: 0, metadata: { filename: name, project } };
    await writeFile(path + DESCRIPTION, JSON.stringify({ ...description, creation_date: new Date().toISOString() }));
    return size;
  } catch (error) {
    await removeUpload(root, id);
    throw error;
  }
}

export async function removeUpload(root: DataRoot, id: string): Promise<void> {
  await rm(uploadedBytes(root, id), { force: true });
  await rm(uploadedBytes(root, id) + DESCRIPTION, { force: true });
}

/** Removes what nobody has come back for. @returns files and folders that were removed */
export async function sweepUploads(root: DataRoot, keptMs = UPLOAD_KEPT_MS): Promise<number> {
  let removed = 0;
  const names = await readdir(root.uploadFolder).catch(() => []);
  for (const name of names) {
    // The bytes say how old both are: a description is written once.
    const bytes = join(root.uploadFolder, name.replace(/\.json$/, ''));
    const found = await stat(bytes).catch(() => null);
    if (found && Date.now() - found.mtimeMs < keptMs) continue;
    await rm(join(root.uploadFolder, name), { recursive: true, force: true });
    removed++;
  }
  return removed;
}
