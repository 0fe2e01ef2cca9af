/** Where the files of an import lie: below the folders that are open to imports, or as uploads. */
import { link, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { realpath } from 'node:fs/promises';
import { notFound } from '../../core/errors.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import { findUpload, removeUpload, uploadedBytes } from '../../storage/folder/uploads.ts';
import { allowedPath } from './allowed-path.ts';
import type { ImportRequest } from './import-service.ts';

export interface PlacedFiles {
  /** With links resolved. */
  readonly paths: readonly string[];
  /** Folders that the files must not lead out of. */
  readonly roots: readonly string[];
  /** Says that the files have been imported: uploads are not needed any more. */
  used(): Promise<void>;
  /** Takes away what was made for reading. */
  leave(): Promise<void>;
}

/**
 * Gives uploads back the names of their files, side by side in a folder: a header names those that belong to it.
 * @throws as {@link allowedPath}; not-found for an upload that has expired
 */
export async function placeFiles(
  { root, importRoots }: { readonly root: DataRoot; readonly importRoots: readonly string[] },
  importId: string,
  { paths, uploads }: Pick<ImportRequest, 'paths' | 'uploads'>,
): Promise<PlacedFiles> {
  const real: string[] = [];
  for (const [at, path] of paths.entries()) real.push(await allowedPath(path, importRoots, `paths[${at}]`));
  if (uploads.length === 0) {
    return { paths: real, roots: importRoots, used: async () => {}, leave: async () => {} };
  }
  const folder = join(root.uploadFolder, `import-${importId}`);
  const leave = (): Promise<void> => rm(folder, { recursive: true, force: true });
  await leave();
  await mkdir(folder);
  try {
    const below = await realpath(folder);
    for (const [at, id] of uploads.entries()) {
      const found = await findUpload(root, id);
      if (!found?.isWhole) throw notFound('upload', `uploads[${at}]: ${id}`);
      const path = join(below, found.name);
      await link(uploadedBytes(root, id), path);
      real.push(path);
    }
    const used = async (): Promise<void> => {
      for (const id of uploads) await removeUpload(root, id);
    };
    return { paths: real, roots: [...importRoots, below], used, leave };
  } catch (error) {
    await leave();
    throw error;
  }
}
