/** The transaction a search runs in: one instant for page and counts, planned for the values that were asked, limited in time. */
import { sql } from 'kysely';
import { invalidField, VarveError } from '../core/errors.ts';
import type { Database, DatabaseTransaction } from './database.ts';

/** What no index helps reads all series; longer than this it does not. */
const MAX_SEARCH_MS = 10_000;

const QUERY_CANCELED = '57014';
const INVALID_REGULAR_EXPRESSION = '2201B';
/** Of a position that was not made here: no number, no time, out of range. */
const NOT_A_VALUE: ReadonlySet<string> = new Set(['22P02', '22003', '22007', '22008']);

/** @throws unprocessable `search-too-expensive`; invalid-input for what only Postgres can see */
export async function inSearchSnapshot<T>(db: Database, work: (trx: DatabaseTransaction) => Promise<T>): Promise<T> {
  try {
    return await db
      .transaction()
      .setIsolationLevel('repeatable read')
      .setAccessMode('read only')
      .execute(async (trx) => {
        // A plan for any value would not know a rare one from a frequent one; compiling costs more than it saves.
        await sql`select set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true),
          set_config('statement_timeout', ${String(MAX_SEARCH_MS)}, true)`.execute(trx);
        return work(trx);
      });
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === QUERY_CANCELED) {
      throw new VarveError(
        'unprocessable',
        `the search took longer than ${MAX_SEARCH_MS / 1000} s: ask with "explain"`,
        {
          slug: 'search-too-expensive',
          cause: error,
        },
      );
    }
    if (code === INVALID_REGULAR_EXPRESSION) throw invalidField('where', 'has a regular expression that is none');
    if (code !== undefined && NOT_A_VALUE.has(code)) throw invalidField('cursor', 'is not a cursor of this service');
    throw error;
  }
}
