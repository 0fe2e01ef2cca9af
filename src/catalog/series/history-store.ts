/** Who has changed what of a series' metadata. */
import { sql } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import { changesOfCreation, type HistoryAction, type HistoryEntry } from '../../core/tags/series-changes.ts';
import type { FieldChange } from '../../core/tags/tag-edit.ts';
import type { Database, DatabaseTransaction } from '../database.ts';
import { DESCRIPTION_COLUMNS, toDescribed, type DescribedRow } from './series-row.ts';

export interface NewHistory {
  readonly action: HistoryAction;
  readonly tokenId: string | null;
  readonly editId?: string;
}

/** Records what has changed, in the transaction of the change itself. */
export async function recordHistory(
  trx: DatabaseTransaction,
  { action, tokenId, editId }: NewHistory,
  entries: readonly { readonly seriesId: string; readonly changes: readonly FieldChange[] }[],
): Promise<void> {
  if (entries.length === 0) return;
  const rows = entries.map(({ seriesId, changes }) => ({ series_id: seriesId, id: uuidv7(), changes }));
  await sql`
    insert into series_history (series_id, id, action, token_id, edit_id, changes)
    select r.series_id, r.id, ${action}, ${tokenId}::uuid, ${editId ?? null}::uuid, r.changes
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r(series_id uuid, id uuid, changes jsonb)`.execute(trx);
}

/** Newest first. @param after id of the entry that the page before ended with */
export async function listHistory(
  db: Database,
  seriesId: string,
  { limit, after }: { limit: number; after: string | null },
): Promise<{ items: HistoryEntry[]; after: string | null }> {
  let query = db
    .selectFrom('series_history as h')
    .leftJoin('tokens as t', 't.id', 'h.token_id')
    .select(['h.id', 'h.action', 'h.at', 'h.token_id', 't.name as token_name', 'h.edit_id', 'h.changes'])
    .where('h.series_id', '=', seriesId)
    .orderBy('h.id', 'desc')
    .limit(limit + 1);
  if (after !== null) query = query.where('h.id', '<', after);
  const rows = await query.execute();
  const created = rows.slice(0, limit).some(({ changes }) => changes === null) ? await creationOf(db, seriesId) : [];
  const items = rows.slice(0, limit).map((row) => ({
    id: row.id,
    action: row.action,
    at: row.at,
    token: row.token_id === null ? null : { id: row.token_id, name: row.token_name ?? '' },
    editId: row.edit_id,
    changes: row.changes ?? created,
  }));
  return { items, after: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
}

/** One statement, so that what the series is and what has changed are of one instant. */
async function creationOf(db: Database, seriesId: string): Promise<FieldChange[]> {
  const { rows } = await sql<DescribedRow & { first: Record<string, unknown> | null }>`
    select ${sql.join(DESCRIPTION_COLUMNS.map((name) => sql.ref(`s.${name}`)))},
      (select jsonb_object_agg(f.field, f.old) from (
        select distinct on (c.field) c.field, c.old
        from series_history h cross join lateral jsonb_to_recordset(h.changes) c(field text, old jsonb)
        where h.series_id = s.id order by c.field, h.id) f) as first
    from series s where s.id = ${seriesId}::uuid`.execute(db);
  const [row] = rows;
  return row ? changesOfCreation(toDescribed(row), row.first ?? {}) : [];
}
