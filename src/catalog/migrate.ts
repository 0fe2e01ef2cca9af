/** Brings the schema up to date. */
import { Migrator } from 'kysely';
import { migrations } from '../../migrations/index.ts';
import { VarveError } from '../core/errors.ts';
import { openDatabase } from './database.ts';

/**
 * Applies what is missing, in order; kysely's lock makes concurrent starters wait for the first.
 * @throws the first migration's error
 */
export async function migrate(url: string): Promise<void> {
  const { db, close } = openDatabase(url, { poolSize: 1, onError: () => {} });
  try {
    const migrator = new Migrator({ db, provider: { getMigrations: () => Promise.resolve(migrations) } });
    const { error, results } = await migrator.migrateToLatest();
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
