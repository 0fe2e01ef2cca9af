/** The first admin token: given, or made at the first start and kept in the data folder for its owner alone. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { VarveError } from '../../core/errors.ts';
import { newToken } from '../../flows/people/access.ts';
import type { Config } from './config.ts';

/** What the header `Authorization` can carry: one word. */
const TOKEN = /^[\x21-\x7e]+$/;

export function tokenPath(dataRoot: string): string {
  return join(dataRoot, 'token');
}

/**
 * The token to start with. One that is given is kept nowhere in plain text: what the folder has of a former one is removed.
 * @throws invalid-input if the file holds something else than a token
 */
export function firstToken(config: Config): string {
  if (config.firstToken !== null) {
    rmSync(tokenPath(config.dataRoot), { force: true });
    return config.firstToken;
  }
  const found = tokenInFolder(config.dataRoot);
  const token = found ?? newToken();
  if (found === null) keepToken(tokenPath(config.dataRoot), token);
  return token;
}

/**
 * What the file says, without the space and line ends around it.
 * @returns null if there is no file, or nothing in it: a full disk, or a hand, has emptied it
 * @throws invalid-input if it is no token
 */
export function tokenInFolder(dataRoot: string): string | null {
  const path = tokenPath(dataRoot);
  let token: string;
  try {
    token = readFileSync(path, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return null;
  }
  if (token === '') return null;
  if (TOKEN.test(token)) return token;
  throw new VarveError(
    'invalid-input',
    `${path} does not hold one word of visible ASCII characters, as a token is: write the token into it, or delete it to get a new one at the next start`,
    { slug: 'token-unreadable' },
  );
}

/** Writes the token under another name first, so that a start that is cut off never leaves half a token. */
function keepToken(path: string, token: string): void {
  const mine = `${path}.${process.pid}.tmp`;
  writeFileSync(mine, `${token}\n`, { mode: 0o600 });
  renameSync(mine, path);
}
