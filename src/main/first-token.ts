/** The first admin token: given, or made at the first start and kept in the data folder for its owner alone. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { newToken } from '../flows/access.ts';
import type { Config } from './config.ts';

export function tokenPath(dataRoot: string): string {
  return join(dataRoot, 'token');
}

/** One that is given is kept nowhere in plain text: what the folder has of a former one is removed. */
export function firstToken(config: Config): string {
  const path = tokenPath(config.dataRoot);
  if (config.firstToken !== null) {
    rmSync(path, { force: true });
    return config.firstToken;
  }
  const token = existsSync(path) ? readFileSync(path, 'utf8').trim() : newToken();
  if (!existsSync(path) || readFileSync(path, 'utf8').trim() !== token) {
    writeFileSync(path, `${token}\n`, { mode: 0o600 });
  }
  return token;
}
