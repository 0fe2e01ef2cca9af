/** A transaction of a pool as a session: for statements that committers make, too. */
import { CompiledQuery } from 'kysely';
import type { Session } from './append-commit.ts';
import type { DatabaseTransaction } from './database.ts';

export function sessionOf(trx: DatabaseTransaction): Session {
  return {
    query: async <R>(text: string, values: readonly unknown[] = []) => ({
      rows: (await trx.executeQuery<R>(CompiledQuery.raw(text, [...values]))).rows,
    }),
  };
}
