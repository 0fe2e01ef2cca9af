/** Commit numbers: every visible change has its place in one order. */
import { sql } from 'kysely';
import type { DatabaseTransaction } from './database.ts';

/**
 * Takes the next commit number. The counter's row stays locked until the transaction ends, so numbers become visible in
 * their order; a sequence would not do that (a later number can commit first). Call it as late as possible.
 */
export async function nextCommit(trx: DatabaseTransaction): Promise<bigint> {
  const { rows } = await sql<{ value: bigint }>`update commit_counter set value = value + 1 returning value`.execute(
    trx,
  );
  return rows[0].value;
}
