/** A data root of a test's own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataRoot } from '../../src/storage/folder/data-root.ts';

/** In a folder of its own. */
export function temporaryRoot(): DataRoot & { remove(): void } {
  const root = new DataRoot(mkdtempSync(join(tmpdir(), 'varve-storage-')));
  root.prepare();
  return Object.assign(root, { remove: () => rmSync(root.root, { recursive: true }) });
}
