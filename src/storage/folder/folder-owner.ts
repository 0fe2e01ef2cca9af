/** Whose data a folder holds: it bears the id of the one catalog that knows its shards. A wrong pair would take all shards for lost or for orphans. */
import { linkSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { VarveError } from '../../core/errors.ts';
import type { DataRoot } from './data-root.ts';
import { listStoredFiles } from './stored-files.ts';

const MARK = 'catalog-id';

/**
 * Makes sure that the folder belongs to the catalog. A new folder of a new catalog is marked.
 * @throws conflict `folder-of-another-catalog`, with what to do if the two do belong together
 */
export async function claimFolder(
  root: DataRoot,
  catalog: { readonly id: string; readonly hasShards: boolean },
): Promise<void> {
  const path = root.resolve(MARK);
  if (readMark(path) === null) {
    if (catalog.hasShards) refuse('has no mark, and the database knows shards', path, catalog.id);
    if ((await listStoredFiles(root)).some(({ kind }) => kind === 'shard')) {
      refuse('has no mark but shards, and the database knows none', path, catalog.id);
    }
    mark(path, catalog.id);
  }
  const owner = readMark(path);
  if (owner !== catalog.id)
    refuse(`belongs to catalog ${owner}, and the database is catalog ${catalog.id}`, path, catalog.id);
}

/**
 * Says that the folder belongs to this catalog from now on, whichever it belonged to: the catalog was made again from
 * its shards.
 */
export function giveFolder(root: DataRoot, catalogId: string): void {
  const path = root.resolve(MARK);
  const mine = `${path}.${process.pid}`;
  writeFileSync(mine, `${catalogId}\n`);
  renameSync(mine, path);
}

function refuse(what: string, path: string, id: string): never {
  throw new VarveError(
    'conflict',
    `the data folder ${what}: check VARVE_DATA and DATABASE_URL. If the two do belong together, write ${id} into ${path}`,
    { slug: 'folder-of-another-catalog' },
  );
}

function readMark(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return null;
  }
}

/** A link never replaces, and never shows half of the text. If two start at once, the second finds the first one's. */
function mark(path: string, id: string): void {
  const mine = `${path}.${process.pid}`;
  writeFileSync(mine, `${id}\n`);
  try {
    linkSync(mine, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    unlinkSync(mine);
  }
}
