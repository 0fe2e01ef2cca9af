/** Which files of the machine an import may name. */
import { realpath } from 'node:fs/promises';
import { isAbsolute, sep } from 'node:path';
import { VarveError } from '../../core/errors.ts';

/** What says it, in the environment of the service. */
export const ROOTS_SETTING = 'VARVE_IMPORT_ROOTS';

/**
 * The path with symbolic links resolved.
 * @param roots folders below which files may lie, with their links resolved
 * @throws forbidden `import-roots` for a path outside of them; not-found
 */
export async function allowedPath(path: string, roots: readonly string[], field: string): Promise<string> {
  if (roots.length === 0) throw outside(field, `no folder is open to imports: set ${ROOTS_SETTING}`);
  if (!isAbsolute(path)) throw outside(field, `must be an absolute path below one of ${ROOTS_SETTING}`);
  // A WFDB record may go without its extension.
  const real = (await realpath(path).catch(() => null)) ?? (await realpath(`${path}.hea`).catch(() => null));
  // What is outside is refused alike, whether it is there or not.
  if (!isBelow(real ?? path, roots) || path.split(sep).includes('..')) {
    throw outside(field, `is not below one of the folders of ${ROOTS_SETTING}`);
  }
  if (real === null) {
    const message = 'there is no such file';
    throw new VarveError('not-found', `${field}: ${message}`, { errors: [{ field, message }] });
  }
  return real;
}

export function isBelow(path: string, roots: readonly string[]): boolean {
  return roots.some((root) => path.startsWith(root.endsWith(sep) ? root : root + sep));
}

export function outside(field: string, message: string): VarveError {
  return new VarveError('forbidden', `${field}: ${message}`, { slug: 'import-roots', errors: [{ field, message }] });
}

/** @throws with the name of a root that cannot be found */
export async function realRoots(roots: readonly string[]): Promise<string[]> {
  return Promise.all(
    roots.map((root) =>
      realpath(root).catch(() => {
        throw new VarveError('invalid-input', `${ROOTS_SETTING}: there is no folder ${root}`);
      }),
    ),
  );
}
