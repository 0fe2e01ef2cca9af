/** Where the project lies, whatever folder the tests were compiled into. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The folder of the package.json that is called varve, upwards from where the tests were started. */
export function projectRoot(): string {
  for (let folder = process.cwd(); ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if (existsSync(file) && JSON.parse(readFileSync(file, 'utf8')).name === 'varve') return folder;
    if (folder === dirname(folder)) throw new Error('no package.json of varve above the working folder');
  }
}
