/** Brings the schema up to date. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Migrator, sql, type MigrationResultSet } from 'kysely';
import { migrations } from '../../migrations/index.ts';
import { isVarveError, VarveError, messageOf } from '../core/errors.ts';
import { faultOf } from '../core/fault.ts';
import { openDatabase, type Database } from './database.ts';
import { oneRow } from './one-row.ts';

/** A Postgres that starts with us, or starts again, is waited for this long. */
const PATIENCE_MS = 60_000;
const PAUSE_MS = 500;

/**
 * Applies what is missing, in order; kysely's lock makes concurrent starters wait for the first.
 * @param onWait told once if Postgres is away and waited for
 * @throws the first migration's error; conflict `former-layout` for a store that a former version has filled: nothing is changed then
 */
export async function migrate(url: string, onWait: (reason: string) => void = () => {}): Promise<void> {
  const { db, close } = openDatabase(url, { poolSize: 1, onError: () => {} });
  try {
    const migrator = new Migrator({ db, provider: { getMigrations: () => Promise.resolve(migrations) } });
    const attempt = async (): Promise<MigrationResultSet> => {
      try {
        await refuseFormerLayout(db);
      } catch (error) {
        return { error };
      }
      return migrator.migrateToLatest();
    };
    let { error, results } = await attempt();
    const givenUpAt = Date.now() + PATIENCE_MS;
    if (faultOf(error) === 'away') onWait(messageOf(error));
    while (faultOf(error) === 'away' && Date.now() < givenUpAt) {
      await sleep(PAUSE_MS);
      ({ error, results } = await attempt());
    }
    if (isVarveError(error)) throw error;
    if (error) {
      const failed = results?.find((result) => result.status === 'Error')?.migrationName ?? 'the schema';
      throw new VarveError('unavailable', `migration of ${failed} failed: ${messageOf(error)}`, {
        slug: 'migration-failed',
        cause: error,
      });
    }
  } finally {
    await close();
  }
}

/**
 * What Postgres acknowledges is to survive a power cut.
 * @throws conflict `fsync-off`
 */
export async function refuseFsyncOff(url: string): Promise<void> {
  const { db, close } = openDatabase(url, { poolSize: 1, onError: () => {} });
  try {
    const { rows } = await sql<{ fsync: string }>`show fsync`.execute(db);
    if (oneRow(rows).fsync !== 'off') return;
  } finally {
    await close();
  }
  const message =
    'this Postgres runs with fsync=off: it acknowledges what a power cut takes away, and may not start after one. Set fsync = on in its postgresql.conf, and start it again';
  throw new VarveError('conflict', message, { slug: 'fsync-off' });
}

/**
 * Refuses the layout in which shards grew, and appends waited in `writes`. Its samples are in files that this version
 * does not read.
 */
async function refuseFormerLayout(db: Database): Promise<void> {
  const { rows } = await sql<{ former: boolean }>`
    select to_regclass('kysely_migration') is not null and to_regclass('writes') is not null
      and to_regclass('fresh') is null as former`.execute(db);
  if (!oneRow(rows).former) return;
  const message =
    'this store has the layout of a former version, which cannot be taken over: start with an empty database and an empty VARVE_DATA, or export what it holds with the former version first';
  throw new VarveError('conflict', message, { slug: 'former-layout' });
}
