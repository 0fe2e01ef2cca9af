/** The version of this Varve, from its package.json. */
import { readFileSync } from 'node:fs';

/** Compiled files lie in dist/src/main. */
const packageJson = JSON.parse(readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

export const VERSION = packageJson.version;
