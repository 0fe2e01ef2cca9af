/** Postgres for one command, with or without a running service. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { VarveError } from '../../core/errors.ts';
import type { Config } from '../process/config.ts';
import { takeDataFolder } from '../process/data-folder.ts';
import { findRunningPostgres, startEmbeddedPostgres } from './embedded-postgres.ts';

export interface PostgresInUse {
  readonly url: string;
  /** Ends what was started for this command. */
  stop(): Promise<void>;
}

/**
 * Where a client such as psql finds the catalog, with the password: for standard output, not for logs.
 * @throws unavailable if the embedded Postgres does not run
 */
export async function postgresUrl({ database, dataRoot }: Config): Promise<string> {
  if (database.kind === 'server') return database.url;
  const dataDir = join(dataRoot, 'postgres');
  const running = existsSync(dataDir) ? await findRunningPostgres(dataDir) : null;
  if (running !== null) return running;
  throw new VarveError(
    'unavailable',
    `no Postgres of Varve runs in ${dataRoot}: it does while a service does (\`varve serve\`); another folder is named with --data`,
  );
}

/**
 * The server that is configured, or the embedded one. That is the server of the running service, or one for as long as
 * this takes.
 * @param ifMissing whether an embedded one is made where there is none
 * @throws not-found if there is none and none is to be made
 */
export async function openPostgres(
  { database, dataRoot }: Config,
  ifMissing: 'refuse' | 'create' = 'refuse',
): Promise<PostgresInUse> {
  if (database.kind === 'server') return { url: database.url, stop: async () => {} };
  const dataDir = join(dataRoot, 'postgres');
  if (!existsSync(ifMissing === 'create' ? dataRoot : dataDir)) {
    throw new VarveError(
      'not-found',
      `there are no data of Varve in ${dataRoot}: name their folder with --data or VARVE_DATA`,
    );
  }
  const running = existsSync(dataDir) ? await findRunningPostgres(dataDir) : null;
  if (running !== null) return { url: running, stop: async () => {} };
  const lock = await takeDataFolder(dataRoot);
  try {
    const log = (message: string): unknown => process.stderr.write(`${message}\n`);
    const { url, stop } = await startEmbeddedPostgres({ dataDir, port: database.port, log });
    return { url, stop: () => stop().finally(() => lock.release()) };
  } catch (error) {
    lock.release();
    throw error;
  }
}
