/** Commit numbers: every visible change has its place in one order. */
import { sql } from 'kysely';
import type { DatabaseTransaction } from './database.ts';

/**
 * Takes the next commit number. The counter's row stays locked until the transaction ends, so numbers become visible in
 * their order; a sequence would not do that (a later number can commit first). Call it as late as possible.
 * @param applied writes that the commit makes visible, and what was written for them: the same statement counts their bytes
 */
export async function nextCommit(
  trx: DatabaseTransaction,
  applied: { readonly writeIds: readonly string[]; readonly writtenBytes: number } | null = null,
): Promise<bigint> {
  const bytes =
    applied &&
    sql`, appended_bytes = appended_bytes + ${applied.writtenBytes}, accepted_bytes = accepted_bytes
      + (select coalesce(sum(bytes), 0) from writes where id = any(${[...applied.writeIds]}::uuid[]))`;
  const { rows } = await sql<{ value: bigint }>`
    update commit_counter set value = value + 1 ${bytes ?? sql``} returning value`.execute(trx);
  return rows[0].value;
}

/** Counts what sealing has written. Locks the counter as a commit does. */
export async function countSealed(trx: DatabaseTransaction, bytes: number): Promise<void> {
  await sql`update commit_counter set sealed_bytes = sealed_bytes + ${bytes}`.execute(trx);
}
