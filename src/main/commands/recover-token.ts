/** `varve token recover`: a new admin token when none is left, for whoever owns the data: it needs the database, and no token. */
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { openDatabase } from '../../catalog/database.ts';
import { migrate } from '../../catalog/migrate.ts';
import { recoverAccess } from '../../flows/people/access.ts';
import type { Config } from '../process/config.ts';
import { tokenPath } from '../process/first-token.ts';
import { openPostgres } from '../postgres/postgres-in-use.ts';
import { writeOut } from '../process/standard-output.ts';

/** Works beside a running service, which knows the new token at once. The token also takes the place of the one in the data folder. */
export async function recoverToken(config: Config): Promise<void> {
  const postgres = await openPostgres(config);
  try {
    await migrate(postgres.url);
    const token = await newAdminToken(postgres.url);
    const path = tokenPath(config.dataRoot);
    if (existsSync(config.dataRoot)) {
      writeFileSync(`${path}.new`, `${token}\n`, { mode: 0o600 });
      renameSync(`${path}.new`, path);
      process.stderr.write(
        `varve: a new admin token, also kept in ${path}; the others stay valid (varve token list)\n`,
      );
    }
    if (config.firstToken !== null) {
      process.stderr.write('varve: VARVE_TOKEN is set and goes before it: unset it, or give it the new token\n');
    }
    await writeOut(`${token}\n`);
  } finally {
    await postgres.stop();
  }
}

async function newAdminToken(databaseUrl: string): Promise<string> {
  const { db, close } = openDatabase(databaseUrl, { poolSize: 1, onError: () => {} });
  try {
    return await recoverAccess(db);
  } finally {
    await close();
  }
}
