/** Changes of the tags of many series in one transaction, and their undoing. */
import { sql } from 'kysely';
import { notFound, VarveError } from '../../core/errors.ts';
import { changesOfKeys, type HistoryAction } from '../../core/tags/series-changes.ts';
import { tagField, undoTagChanges, type FieldChange, type MetadataEdit } from '../../core/tags/tag-edit.ts';
import type { Expression } from '../../core/tags/tag-expression.ts';
import type { Tags, TagUnit } from '../../core/signal/tag-value.ts';
import { nameKey } from '../../core/same-name.ts';
import { commitEdit } from '../commit-feed.ts';
import type { Database, DatabaseTransaction } from '../database.ts';
import { recordHistory } from '../series/history-store.ts';
import { seriesInReach, type ProjectScope } from '../search/search-store.ts';
import { tagTest } from '../search/tag-condition.ts';
import { storeUnits } from '../series/tag-unit-store.ts';
import { oneRow } from '../one-row.ts';

/**
 * Most series of one edit. Other changes of their metadata wait until it has ended, which for so many takes minutes.
 * Appends do not wait.
 */
export const MAX_EDITED_SERIES = 1_000_000;
/** Series whose tags are in memory at a time, here and in one statement. */
const SERIES_AT_ONCE = 1000;
const SAMPLE = 10;

/** How many series an edit would look at, and the first of them. */
export async function previewEdit(
  trx: DatabaseTransaction,
  where: Expression,
  scope: ProjectScope,
): Promise<{ series: number; sample: string[] }> {
  const { rows } = await sql<{ n: number }>`
    select count(*)::integer as n from series s where ${seriesInReach(where, scope)}`.execute(trx);
  const first = await sql<{ id: string }>`
    select s.id from series s where ${seriesInReach(where, scope)} order by s.id limit ${SAMPLE}`.execute(trx);
  return { series: oneRow(rows).n, sample: first.rows.map(({ id }) => id) };
}

export interface EditedSeries {
  readonly id: string;
  readonly project: string;
  readonly tags: Tags;
}

export interface TagEditRequest {
  readonly id: string;
  readonly kind: 'edit' | 'rename';
  readonly tokenId: string;
  /** As it was asked, to be kept. */
  readonly request: unknown;
  readonly where: Expression;
  readonly scope: ProjectScope;
  /** Units of the quantities that it sets. */
  readonly units: readonly TagUnit[];
  /** What becomes of the tags of some of the series. What it throws leaves all as it was. */
  readonly change: (series: readonly EditedSeries[]) => Promise<readonly Tags[]>;
}

/**
 * @returns the number of series that were changed
 * @throws limit-exceeded `too-many-series`; unprocessable `search-too-expensive`
 */
export async function editSeriesTags(trx: DatabaseTransaction, edit: TagEditRequest): Promise<number> {
  await storeUnits(trx, edit.units);
  await insertEdit(trx, edit);
  await openFound(trx, edit);
  let seen = 0;
  for (let ids = await lockNext(trx); ids.length > 0; ids = await lockNext(trx)) {
    seen += ids.length;
    if (seen > MAX_EDITED_SERIES) throw tooManySeries();
    // Looked for again now that they are locked: what has changed meanwhile may not be meant any more.
    const { rows } = await sql<EditedSeries>`
      with locked as materialized (
        select * from series where id = any(${ids}::uuid[]))
      select s.id, p.name as project, s.tags from locked s join projects p on p.id = s.project_id
      where ${seriesInReach(edit.where, edit.scope)} order by s.id`.execute(trx);
    const results = await edit.change(rows);
    const updates = rows.flatMap((row, at) => {
      const tags = results[at] ?? row.tags;
      const changes = changesOfKeys(row.tags, tags, tagField);
      return changes.length === 0 ? [] : [{ ...row, tags, changes }];
    });
    await storeTags(trx, updates, { action: edit.kind, tokenId: edit.tokenId, editId: edit.id });
  }
  return finishEdit(trx, edit.id);
}

/** The series in the order of their ids, as they are now; the server keeps the place, so that few are in memory here. */
async function openFound(trx: DatabaseTransaction, { where, scope }: TagEditRequest): Promise<void> {
  // Of a cursor all rows are wanted, not only the first.
  await sql`set local cursor_tuple_fraction = 1`.execute(trx);
  await sql`
    declare found_series no scroll cursor for
    select s.id from series s where ${seriesInReach(where, scope)} order by s.id for no key update of s`.execute(trx);
}

async function lockNext(trx: DatabaseTransaction): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`fetch ${sql.lit(SERIES_AT_ONCE)} from found_series`.execute(trx);
  return rows.map(({ id }) => id);
}

function tooManySeries(): VarveError {
  const message = `more than ${MAX_EDITED_SERIES} series are meant; change them in parts, by a narrower search`;
  return new VarveError('limit-exceeded', message, { slug: 'too-many-series' });
}

interface UpdatedSeries {
  readonly id: string;
  readonly tags: Tags;
  readonly changes: readonly FieldChange[];
}

async function storeTags(
  trx: DatabaseTransaction,
  series: readonly UpdatedSeries[],
  history: { action: HistoryAction; tokenId: string; editId: string },
): Promise<void> {
  if (series.length === 0) return;
  const rows = series.map(({ id, tags, changes }) => {
    const keys = [...new Set(changes.map(({ field }) => nameKey(field.slice(tagField('').length))))];
    const changed = Object.entries(tags).filter(([key]) => keys.includes(nameKey(key)));
    return { id, tags, keys, changed: Object.fromEntries(changed) };
  });
  const given = sql`jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r(id uuid, tags jsonb, keys text[], changed jsonb)`;
  // The trigger would do the same series by series, ten times as slowly.
  await sql`select set_config('varve.tags', 'follow', true)`.execute(trx);
  await sql`
    with updated as (
      update series set tags = r.tags, version = version + 1, updated_at = now() from ${given} where series.id = r.id)
    delete from series_tags t using ${given} where t.series_id = r.id and t.key = any(r.keys)`.execute(trx);
  await sql`
    insert into series_tags select distinct on (n.entry, n.series_id) n.*
    from ${given} join series s on s.id = r.id, varve_tag_rows(s.id, s.project_id, varve_nfc_json(r.changed)) n
    order by n.entry, n.series_id`.execute(trx);
  await sql`select set_config('varve.tags', '', true)`.execute(trx);
  await recordHistory(
    trx,
    history,
    series.map(({ id, changes }) => ({ seriesId: id, changes })),
  );
}

async function insertEdit(
  trx: DatabaseTransaction,
  edit: { id: string; kind: 'edit' | 'rename' | 'undo'; tokenId: string; request: unknown },
): Promise<void> {
  await trx
    .insertInto('metadata_edits')
    .values({
      id: edit.id,
      kind: edit.kind,
      token_id: edit.tokenId,
      project_ids: [],
      request: JSON.stringify(edit.request),
      series: 0,
    })
    .execute();
}

/**
 * Counts what the history says, and tells the feed of changes. Last: that is locked until the transaction ends.
 * @returns the number of series that were changed
 */
async function finishEdit(trx: DatabaseTransaction, id: string): Promise<number> {
  await sql`set local statement_timeout = 0`.execute(trx); // what is done will not be ended by the limit of searches
  const { rows } = await sql<{ series: number }>`
    update metadata_edits set (series, project_ids) = (
      select count(*), coalesce(array_agg(distinct s.project_id), '{}')
      from series_history h join series s on s.id = h.series_id where h.edit_id = ${id})
    where id = ${id} returning series`.execute(trx);
  const { series } = oneRow(rows);
  if (series > 0) await commitEdit(trx, id);
  return series;
}

/**
 * Lists edits, newest first: those that an undo with this scope would find, and those that changed nothing and have the
 * same token. @param after id that the page before ended with
 */
export async function listEdits(
  db: Database,
  { limit, after, scope, tokenId }: { limit: number; after: string | null; scope: ProjectScope; tokenId: string },
): Promise<{ items: MetadataEdit[]; after: string | null }> {
  let query = db
    .selectFrom('metadata_edits as e')
    .leftJoin('tokens as t', 't.id', 'e.token_id')
    .select([
      'e.id',
      'e.kind',
      'e.created_at',
      'e.token_id',
      't.name as token_name',
      'e.request',
      'e.series',
      'e.undone_by',
    ])
    .orderBy('e.id', 'desc')
    .limit(limit + 1);
  if (after !== null) query = query.where('e.id', '<', after);
  if (scope) {
    query = query.where(
      sql<boolean>`(e.project_ids <@ ${[...scope]}::uuid[] and (e.project_ids <> '{}' or e.token_id = ${tokenId}))`,
    );
  }
  const rows = await query.execute();
  const items = rows.slice(0, limit).map((row) => ({
    id: row.id,
    kind: row.kind,
    at: row.created_at,
    token: row.token_id === null ? null : { id: row.token_id, name: row.token_name ?? '' },
    request: row.request,
    series: row.series,
    undoneBy: row.undone_by,
  }));
  return { items, after: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
}

/** True if a series of the project has the tag. */
export async function isKeyUsed(trx: DatabaseTransaction, project: string, key: string): Promise<boolean> {
  const { rows } = await sql`
    select from projects p where varve_nfc(p.name) = ${nameKey(project)} and exists (
      select from series_tags t where t.project_id = p.id and ${tagTest(key, { op: 'exists' })})`.execute(trx);
  return rows.length > 0;
}

/** What an undo left as it is. */
export interface NotUndone {
  readonly seriesId: string;
  readonly reason: 'changed-since' | 'deleted';
  readonly fields: readonly string[];
}

/**
 * Puts back what an edit has changed and nobody else has since. A renaming is put back wholly in a series, or not at
 * all. @throws not-found, also for an edit beyond the scope; conflict `already-undone`
 */
export async function undoEdit(
  db: Database,
  editId: string,
  undo: { id: string; tokenId: string; scope: ProjectScope },
): Promise<{ undone: number; kept: NotUndone[] }> {
  return db.transaction().execute(async (trx) => {
    const edit = await trx
      .selectFrom('metadata_edits')
      .select(['kind', 'project_ids', 'undone_by'])
      .where('id', '=', editId)
      .forUpdate()
      .executeTakeFirst();
    const { scope } = undo;
    if (!edit || (scope && !edit.project_ids.every((id) => scope.includes(id)))) throw notFound('edit', editId);
    if (edit.undone_by !== null) {
      throw new VarveError('conflict', `edit ${editId} was undone by edit ${edit.undone_by}`, {
        slug: 'already-undone',
      });
    }
    await insertEdit(trx, { ...undo, kind: 'undo', request: { undo: editId } });
    const kept: NotUndone[] = [];
    for (let after: string | undefined = FIRST_ID; after !== undefined;) {
      const rows: ChangedSeries[] = await changedByEdit(trx, editId, after);
      after = rows.at(-1)?.id;
      const updates = rows.flatMap((row) => {
        if (row.deleted) {
          kept.push({ seriesId: row.id, reason: 'deleted', fields: row.changes.map(({ field }) => field) });
          return [];
        }
        const { tags, changedSince } = undoTagChanges(row.tags, row.changes);
        if (changedSince.length > 0) kept.push({ seriesId: row.id, reason: 'changed-since', fields: changedSince });
        if (edit.kind === 'rename' && changedSince.length > 0) return [];
        const changes = changesOfKeys(row.tags, tags, tagField);
        return changes.length === 0 ? [] : [{ ...row, tags, changes }];
      });
      await storeTags(trx, updates, { action: 'undo', tokenId: undo.tokenId, editId: undo.id });
    }
    await trx.updateTable('metadata_edits').set({ undone_by: undo.id }).where('id', '=', editId).execute();
    return { undone: await finishEdit(trx, undo.id), kept };
  });
}

const FIRST_ID = '00000000-0000-0000-0000-000000000000';

interface ChangedSeries {
  readonly id: string;
  readonly tags: Tags;
  readonly deleted: boolean;
  readonly changes: readonly FieldChange[];
}

async function changedByEdit(trx: DatabaseTransaction, editId: string, after: string): Promise<ChangedSeries[]> {
  const { rows } = await sql<ChangedSeries>`
    select s.id, s.tags, s.deleted_at is not null as deleted, h.changes
    from series_history h join series s on s.id = h.series_id
    where h.edit_id = ${editId} and h.series_id > ${after}::uuid
    order by h.series_id limit ${SERIES_AT_ONCE} for no key update of s`.execute(trx);
  return rows;
}
