/** Changes of the tags of many series in one transaction, and their undoing. */
import { sql } from 'kysely';
import { notFound, VarveError } from '../core/errors.ts';
import { changesOfKeys, type HistoryAction } from '../core/series-history.ts';
import { tagField, undoTagChanges, type FieldChange } from '../core/tag-edit.ts';
import type { Expression } from '../core/tag-expression.ts';
import type { Tags, TagUnit } from '../core/tag-value.ts';
import { recordChanges, type Change } from './change-feed.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { recordHistory } from './series-history.ts';
import { seriesInReach, type ProjectScope } from './series-search.ts';
import { tagTest } from './tag-condition.ts';
import { storeUnits } from './tag-unit-store.ts';

/** Of one edit: their appends wait while it runs, some seconds at most. */
export const MAX_EDITED_SERIES = 10_000;
/** Series whose tags are in memory at a time. */
const SERIES_AT_ONCE = 200;
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
  return { series: rows[0].n, sample: first.rows.map(({ id }) => id) };
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
  /** Of quantities that it sets. */
  readonly units: readonly TagUnit[];
  /** What becomes of the tags of some of the series. What it throws leaves all as it was. */
  readonly change: (series: readonly EditedSeries[]) => Promise<readonly Tags[]>;
}

/**
 * @returns the number of series that were changed
 * @throws limit-exceeded `too-many-series`; unprocessable `search-too-expensive`
 */
export async function editSeriesTags(trx: DatabaseTransaction, edit: TagEditRequest): Promise<number> {
  const ids = await lockFound(trx, edit);
  await storeUnits(trx, edit.units);
  await insertEdit(trx, edit);
  const changed: Change[] = [];
  for (let from = 0; from < ids.length; from += SERIES_AT_ONCE) {
    // Looked for again now that they are locked: what has changed meanwhile may not be meant any more.
    const { rows } = await sql<EditedSeries & { project_id: string }>`
      with locked as materialized (
        select * from series where id = any(${ids.slice(from, from + SERIES_AT_ONCE)}::uuid[]))
      select s.id, s.project_id, p.name as project, s.tags from locked s join projects p on p.id = s.project_id
      where ${seriesInReach(edit.where, edit.scope)} order by s.id`.execute(trx);
    const results = await edit.change(rows);
    const updates = rows.flatMap((row, at) => {
      const changes = changesOfKeys(row.tags, results[at], tagField);
      return changes.length === 0 ? [] : [{ ...row, tags: results[at], changes }];
    });
    await storeTags(trx, updates, { action: edit.kind, tokenId: edit.tokenId, editId: edit.id });
    changed.push(...updates.map((row) => ({ seriesId: row.id, projectId: row.project_id })));
  }
  await finishEdit(trx, edit.id, changed);
  return changed.length;
}

async function lockFound(trx: DatabaseTransaction, { where, scope }: TagEditRequest): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select s.id from series s where ${seriesInReach(where, scope)} order by s.id limit ${MAX_EDITED_SERIES + 1}
    for no key update of s`.execute(trx);
  if (rows.length > MAX_EDITED_SERIES) {
    throw new VarveError(
      'limit-exceeded',
      `more than ${MAX_EDITED_SERIES} series are meant; change them in parts, by a narrower search`,
      { slug: 'too-many-series' },
    );
  }
  return rows.map(({ id }) => id);
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
  const rows = series.map(({ id, tags }) => ({ id, tags }));
  await sql`
    update series set tags = r.tags, version = version + 1, updated_at = now()
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r(id uuid, tags jsonb)
    where series.id = r.id`.execute(trx);
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

/** Last: the feed of changes is locked until the transaction ends. */
async function finishEdit(trx: DatabaseTransaction, id: string, changed: readonly Change[]): Promise<void> {
  await trx
    .updateTable('metadata_edits')
    .set({ series: changed.length, project_ids: [...new Set(changed.map(({ projectId }) => projectId))] })
    .where('id', '=', id)
    .execute();
  await recordChanges(trx, 'update', changed);
}

/** True if a series of the project has the tag. */
export async function isKeyUsed(trx: DatabaseTransaction, project: string, key: string): Promise<boolean> {
  const { rows } = await sql`
    select from projects p where p.name = ${project} and exists (
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
 * Puts back what an edit has changed and nobody else has since; of a renaming, all of a series or nothing.
 * @throws not-found, also for an edit beyond the scope; conflict `already-undone`
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
    const changed: Change[] = [];
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
      changed.push(...updates.map((row) => ({ seriesId: row.id, projectId: row.project_id })));
    }
    await trx.updateTable('metadata_edits').set({ undone_by: undo.id }).where('id', '=', editId).execute();
    await finishEdit(trx, undo.id, changed);
    return { undone: changed.length, kept };
  });
}

const FIRST_ID = '00000000-0000-0000-0000-000000000000';

interface ChangedSeries {
  readonly id: string;
  readonly project_id: string;
  readonly tags: Tags;
  readonly deleted: boolean;
  readonly changes: readonly FieldChange[];
}

async function changedByEdit(trx: DatabaseTransaction, editId: string, after: string): Promise<ChangedSeries[]> {
  const { rows } = await sql<ChangedSeries>`
    select s.id, s.project_id, s.tags, s.deleted_at is not null as deleted, h.changes
    from series_history h join series s on s.id = h.series_id
    where h.edit_id = ${editId} and h.series_id > ${after}::uuid
    order by h.series_id limit ${SERIES_AT_ONCE} for no key update of s`.execute(trx);
  return rows;
}
