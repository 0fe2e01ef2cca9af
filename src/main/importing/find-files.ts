/** The files that paths, folders and patterns mean. */
import { stat } from 'node:fs/promises';
import { glob, isDynamicPattern } from 'tinyglobby';

export interface FoundFile {
  readonly path: string;
  /** It was named itself: if it is no recording, that is a mistake, and otherwise one file among others. */
  readonly isNamed: boolean;
}

/**
 * Folders stand for all files below them, but for hidden ones. A file that is there is meant literally, whatever its
 * name. @returns each file once, in the order of the paths, and of names below each
 */
export async function findFiles(paths: readonly string[]): Promise<FoundFile[]> {
  const found = new Map<string, FoundFile>();
  const add = (path: string, isNamed: boolean): void => {
    if (!found.has(path)) found.set(path, { path, isNamed });
  };
  for (const path of paths) {
    const kind = await stat(path).catch(() => null);
    if (kind?.isDirectory()) {
      const folder = path.replace(/(?<=.)\/+$/, '');
      for (const name of await filesMatching('**', folder)) add(`${folder === '/' ? '' : folder}/${name}`, false);
    } else if (kind === null && isDynamicPattern(path)) {
      for (const each of await filesMatching(path)) add(each, false);
    } else add(path, true);
  }
  return [...found.values()];
}

async function filesMatching(pattern: string, cwd = '.'): Promise<string[]> {
  const names = await glob([pattern], { cwd, absolute: pattern.startsWith('/'), expandDirectories: false });
  return names.sort();
}
