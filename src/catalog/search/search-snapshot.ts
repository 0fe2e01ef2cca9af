/** What searches run in: one instant for page and counts; and what their errors mean. */
import { invalidField, VarveError } from '../../core/errors.ts';
import { MAX_SEARCH_MS, type Database, type DatabaseTransaction } from '../database.ts';

const QUERY_CANCELED = '57014';
const INVALID_REGULAR_EXPRESSION = '2201B';
/** Errors of a position that was not made here: it has no number or no time, or is out of range. */
const NOT_A_VALUE: ReadonlySet<string> = new Set(['22P02', '22003', '22007', '22008']);

/**
 * Runs searches in one instant. @param db where searches run: see DatabasePools. @throws unprocessable
 * `search-too-expensive`; invalid-input for what only Postgres can see
 */
export async function inSearchSnapshot<T>(db: Database, work: (trx: DatabaseTransaction) => Promise<T>): Promise<T> {
  return namingFaults(() =>
    db.transaction().setIsolationLevel('repeatable read').setAccessMode('read only').execute(work),
  );
}

/** @throws what a search may fail of, named: see {@link inSearchSnapshot} */
export async function namingFaults<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === QUERY_CANCELED) {
      const message = `the search took longer than ${MAX_SEARCH_MS / 1000} s: ask with "explain"`;
      throw new VarveError('unprocessable', message, { slug: 'search-too-expensive', cause: error });
    }
    if (code === INVALID_REGULAR_EXPRESSION) throw invalidField('where', 'has a regular expression that is none');
    if (code !== undefined && NOT_A_VALUE.has(code)) throw invalidField('cursor', 'is not a cursor of this service');
    throw error;
  }
}
