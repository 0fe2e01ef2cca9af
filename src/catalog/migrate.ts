/** Brings the schema up to date. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Migrator, type MigrationResultSet } from 'kysely';
import { migrations } from '../../migrations/index.ts';
import { VarveError } from '../core/errors.ts';
import { faultOf } from '../core/fault.ts';
import { openDatabase } from './database.ts';

/** A Postgres that starts with us, or starts again, is waited for this long. */
const PATIENCE_MS = 60_000;
const PAUSE_MS = 500;

/**
 * Applies what is missing, in order; kysely's lock makes concurrent starters wait for the first.
 * @param onWait told once if Postgres is away and waited for
 * @throws the first migration's error
 */
export async function migrate(url: string, onWait: (reason: string) => void = () => {}): Promise<void> {
  const { db, close } = openDatabase(url, { poolSize: 1, onError: () => {} });
  try {
    const migrator = new Migrator({ db, provider: { getMigrations: () => Promise.resolve(migrations) } });
    let { error, results }: MigrationResultSet = await migrator.migrateToLatest();
    const givenUpAt = Date.now() + PATIENCE_MS;
    if (faultOf(error) === 'away') onWait((error as Error).message);
    while (faultOf(error) === 'away' && Date.now() < givenUpAt) {
      await sleep(PAUSE_MS);
      ({ error, results } = await migrator.migrateToLatest());
    }
    if (error) {
      const failed = results?.find((result) => result.status === 'Error')?.migrationName ?? 'the schema';
      throw new VarveError('unavailable', `migration of ${failed} failed: ${(error as Error).message}`, {
        slug: 'migration-failed',
        cause: error,
      });
    }
  } finally {
    await close();
  }
}
