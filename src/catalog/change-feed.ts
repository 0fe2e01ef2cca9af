/** The feed of changes, in the order of visibility. */
import { sql } from 'kysely';
import { nextCommit } from './commit-number.ts';
import type { DatabaseTransaction } from './database.ts';

export interface Change {
  readonly seriesId: string;
  readonly projectId: string;
}

/** All of one commit. Last in its transaction: the commit number is locked until that ends. */
export async function recordChanges(
  trx: DatabaseTransaction,
  kind: 'create' | 'update' | 'delete' | 'restore',
  changes: readonly Change[],
): Promise<void> {
  if (changes.length === 0) return;
  const commit = await nextCommit(trx);
  await sql`
    insert into changes ("commit", ordinal, project_id, series_id, kind)
    select ${commit}::bigint, c.at - 1, c.project_id, c.series_id, ${kind}
    from unnest(${changes.map((each) => each.projectId)}::uuid[], ${changes.map((each) => each.seriesId)}::uuid[])
      with ordinality as c(project_id, series_id, at)`.execute(trx);
}
