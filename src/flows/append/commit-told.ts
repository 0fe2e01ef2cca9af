/** A transaction that ends with a commit of samples: what becomes of it is known, also where the answer to COMMIT is lost. */
import type { CommitTrace } from '../../catalog/appends/append-commit.ts';
import type { Database, DatabaseTransaction } from '../../catalog/database.ts';
import { sessionOf } from '../../catalog/session.ts';
import { isRefusedByPostgres } from '../../core/fault.ts';
import { askForCommit, outcomeUnknown } from './committer.ts';

/**
 * Runs a transaction that ends with a commit.
 * @param work calls `told` once it has said all but COMMIT
 * @returns what work does, if it is committed
 * @throws what work does, or Postgres refused, with nothing changed; unavailable `outcome-unknown`
 */
export async function commitTold<T>(
  writes: Database,
  work: (trx: DatabaseTransaction, told: (trace: CommitTrace) => void) => Promise<T>,
): Promise<T> {
  let trace: CommitTrace | null = null;
  let done: { readonly result: T } | null = null;
  try {
    return await writes.transaction().execute(async (trx) => {
      done = { result: await work(trx, (told) => void (trace = told)) };
      return done.result;
    });
  } catch (error) {
    // Both are set by then only if COMMIT itself has failed.
    const [ended, asked] = [done as { readonly result: T } | null, trace as CommitTrace | null];
    if (!ended || !asked || isRefusedByPostgres(error)) throw error;
    const found = await askForCommit(() => Promise.resolve(sessionOf(writes)), asked);
    if (found === null) throw error;
    if (found === 'unknown') throw outcomeUnknown();
    return ended.result;
  }
}
