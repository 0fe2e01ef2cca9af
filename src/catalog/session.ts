/** What statements need of a connection, whoever holds it: a committer's own, one of a pool, or a transaction's. */
import { CompiledQuery } from 'kysely';
import type { Database, DatabaseTransaction } from './database.ts';

/** Statements with parameters, one at a time. */
export interface Session {
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- a cast, in fewer words
  query<R>(text: string, values?: readonly unknown[]): Promise<{ rows: R[] }>;
}

/** The statements of a flow outside of the committer, on the connections of a pool or on that of a transaction. */
export function sessionOf(db: Database | DatabaseTransaction): Session {
  return {
    // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- a cast, in fewer words
    query: async <R>(text: string, values: readonly unknown[] = []) => ({
      rows: (await db.executeQuery<R>(CompiledQuery.raw(text, [...values]))).rows,
    }),
  };
}
