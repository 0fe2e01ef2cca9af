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

/** As {@link recordChanges}: an update of each series that an edit of many has changed, as their history says. */
export async function recordEdit(trx: DatabaseTransaction, editId: string): Promise<void> {
  const commit = await nextCommit(trx);
  await sql`
    insert into changes ("commit", ordinal, project_id, series_id, kind)
    select ${commit}::bigint, row_number() over (order by h.series_id) - 1, s.project_id, h.series_id, 'update'
    from series_history h join series s on s.id = h.series_id where h.edit_id = ${editId}`.execute(trx);
}
