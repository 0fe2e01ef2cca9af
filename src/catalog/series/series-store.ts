/** Series: create, get, change, delete, restore. Searching is in series-search.ts. */
import { sql, type RawBuilder } from 'kysely';
import { VarveError, notFound, unprocessableField } from '../../core/errors.ts';
import {
  MAX_EXTERNAL_IDS,
  MAX_PROVENANCE_BYTES,
  type NewSeries,
  type Series,
  type SeriesPatch,
} from '../../core/signal/series.ts';
import { changesBetween, type DescribedFields } from '../../core/tags/series-changes.ts';
import { nameKey } from '../../core/same-name.ts';
import { MAX_TAGS, withoutKeys } from '../../core/tags/tag-edit.ts';
import type { TagUnit } from '../../core/signal/tag-value.ts';
import { RESTORE_DAYS } from '../../core/upkeep/retention.ts';
import { commitChanges, type Change } from '../commit-feed.ts';
import type { Database, DatabaseTransaction } from '../database.ts';
import { takePlaces } from './lane-store.ts';
import { recordHistory } from './history-store.ts';
import { insertSeries } from './series-insert.ts';
import { DESCRIPTION_COLUMNS, SERIES_COLUMNS, toDescribed, toSeries } from './series-row.ts';
import { storeUnits } from './tag-unit-store.ts';
import { oneRow } from '../one-row.ts';

/** How a caller names a series: by id, or by name within a project. */
export type SeriesRef = { readonly id: string } | { readonly project: string; readonly name: string };

/**
 * @param units of the quantities among the tags
 * @param tokenId who asks; null: nobody
 * @throws conflict `name-taken` if the project has a series of that name; not-found for an unknown project
 */
export async function createSeries(
  db: Database,
  id: string,
  laneIdIfNew: string,
  input: NewSeries,
  units: readonly TagUnit[] = [],
  tokenId: string | null = null,
): Promise<Series> {
  await db
    .transaction()
    .execute(async (trx) =>
      commitChanges(trx, await createSeriesWithin(trx, { id, input, units, newLaneId: () => laneIdIfNew, tokenId })),
    );
  return getSeries(db, { id });
}

/** Does what {@link createSeries} does, as a part of a transaction. @returns what its commit is to tell */
export async function createSeriesWithin(
  trx: DatabaseTransaction,
  series: { id: string; input: NewSeries; units: readonly TagUnit[]; newLaneId: () => string; tokenId: string | null },
): Promise<Change[]> {
  const { id, input } = series;
  const projectId = (await projectIds(trx, [input.project])).get(nameKey(input.project));
  if (projectId === undefined) throw notFound('project', input.project);
  const { id: laneId } = oneRow(await takePlaces(trx, 1, series.newLaneId));
  const { changes } = await insertSeries(trx, [{ id, laneId, projectId, input }], series.units, series.tokenId);
  if (changes.length === 0) throw nameTaken(input.name);
  return changes;
}

/** Ids of projects, by name as {@link nameKey} has it; unknown ones are left out. */
export async function projectIds(
  db: Database | DatabaseTransaction,
  names: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const rows = await db
    .selectFrom('projects')
    .select(['id', 'name'])
    .where(sql`varve_nfc(name)`, '=', sql<string>`any(${names.map(nameKey)}::text[])`)
    .execute();
  return new Map(rows.map(({ id, name }) => [nameKey(name), id]));
}

/** Series of a project that are there, counted up to `most`. */
export async function countSeries(db: Database, projectId: string, most: number): Promise<number> {
  const { rows } = await sql<{ count: bigint }>`
    select count(*) as count from (
      select from series where project_id = ${projectId}::uuid and deleted_at is null limit ${most}) s`.execute(db);
  return Number(oneRow(rows).count);
}

/** Up to where the samples of series have expired, by id; those of which nothing has expired are left out. */
export async function expiredTimes(db: Database, ids: readonly string[]): Promise<Map<string, bigint>> {
  const rows = await db.selectFrom('heads').select(['series_id', 'expired_ns']).where('series_id', 'in', ids).execute();
  return new Map(rows.flatMap(({ series_id: id, expired_ns: ns }) => (ns === null ? [] : [[id, ns]])));
}

/**
 * Does what {@link getSeries} does, for many series in one or two statements. @returns in the order given; null for one
 * that is unknown or deleted
 */
export async function findSeries(db: Database, refs: readonly SeriesRef[]): Promise<(Series | null)[]> {
  const ids = refs.flatMap((ref) => ('id' in ref ? [ref.id] : []));
  const names = refs.flatMap((ref) => ('id' in ref ? [] : [ref]));
  const keyOf = (project: string, name: string): string => JSON.stringify([nameKey(project), nameKey(name)]);
  const [byId, byName] = await Promise.all([
    ids.length === 0
      ? []
      : selectSeries(db)
          .where('s.id', '=', sql<string>`any(${ids}::uuid[])`)
          .execute(),
    names.length === 0
      ? []
      : selectSeries(db)
          .where(
            sql<boolean>`(varve_nfc(p.name), varve_nfc(s.name)) in (select * from unnest(
              ${names.map(({ project }) => nameKey(project))}::text[], ${names.map(({ name }) => nameKey(name))}::text[]))`,
          )
          .execute(),
  ]);
  const found = new Map<string, Series>();
  for (const row of byId) found.set(row.id, toSeries(row));
  for (const row of byName) found.set(keyOf(row.project, row.name), toSeries(row));
  return refs.map((ref) => found.get('id' in ref ? ref.id : keyOf(ref.project, ref.name)) ?? null);
}

function selectSeries(db: Database | DatabaseTransaction) {
  return db
    .selectFrom('series as s')
    .innerJoin('heads as h', 'h.series_id', 's.id')
    .innerJoin('projects as p', 'p.id', 's.project_id')
    .select(SERIES_COLUMNS)
    .where('s.deleted_at', 'is', null);
}

/** @throws not-found for an unknown or deleted series */
export async function getSeries(db: Database | DatabaseTransaction, ref: SeriesRef): Promise<Series> {
  const query = selectSeries(db);
  const row = await (
    'id' in ref
      ? query.where('s.id', '=', ref.id)
      : query
          .where(sql`varve_nfc(p.name)`, '=', nameKey(ref.project))
          .where(sql`varve_nfc(s.name)`, '=', nameKey(ref.name))
  ).executeTakeFirst();
  if (!row) throw notFound('series', 'id' in ref ? ref.id : ref.name);
  return toSeries(row);
}

/**
 * @param options units of the quantities among the tags; refuse unless the metadata still have `ifVersion`; who asks, null: nobody
 * @throws precondition-failed, conflict `name-taken`, not-found; unprocessable where channels do not match in number, or tags or provenance become too much
 */
export async function updateSeries(
  db: Database,
  id: string,
  patch: SeriesPatch,
  {
    units = [],
    ifVersion,
    tokenId = null,
  }: { units?: readonly TagUnit[]; ifVersion?: number; tokenId?: string | null } = {},
): Promise<Series> {
  try {
    await db.transaction().execute(async (trx) => {
      const row = await trx
        .selectFrom('series')
        .select(['project_id', 'version', 'channel_count', 'kind', ...DESCRIPTION_COLUMNS])
        .where('id', '=', id)
        .where('deleted_at', 'is', null)
        .forNoKeyUpdate()
        .executeTakeFirst();
      if (!row) throw notFound('series', id);
      await storeUnits(trx, units);
      assertVersion(row.version, ifVersion);
      if (patch.channels && patch.channels.length !== row.channel_count) {
        throw new VarveError('unprocessable', `channels: the series has ${row.channel_count} channels`, {
          errors: [{ field: 'channels', message: `must describe the ${row.channel_count} channels of the series` }],
        });
      }
      if (patch.startTolerance !== undefined && row.kind !== 'regular') {
        throw unprocessableField('sampling.start_tolerance', 'an irregular series has none', 'not-regular');
      }
      const tags = merged(row.tags, patch.tags ?? {});
      if (patch.tags && Object.keys(tags).length > MAX_TAGS)
        throw unprocessableField('tags', `must be at most ${MAX_TAGS}`);
      const externalIds = merged(row.external_ids, patch.externalIds ?? {});
      if (patch.externalIds && Object.keys(externalIds).length > MAX_EXTERNAL_IDS)
        throw unprocessableField('external_ids', `must be at most ${MAX_EXTERNAL_IDS}`);
      const provenance = merged(row.provenance, patch.provenance ?? {});
      if (patch.provenance && Buffer.byteLength(JSON.stringify(provenance)) > MAX_PROVENANCE_BYTES)
        throw unprocessableField('provenance', `must have at most ${MAX_PROVENANCE_BYTES} bytes of JSON`);
      const before = toDescribed(row);
      const after: DescribedFields = {
        ...before,
        ...definedOf(patch),
        tags,
        externalIds,
        provenance,
      };
      await trx
        .updateTable('series')
        .set({
          name: after.name,
          description: after.description,
          unit: after.unit,
          scale: after.scale,
          offset: after.offset,
          ...(patch.channels && { channels: JSON.stringify(after.channels) }),
          continuity: after.continuity,
          resolution: after.resolution,
          time_zone: after.timeZone,
          start_tolerance: after.startTolerance,
          ...(patch.tags && { tags: JSON.stringify(tags) }),
          ...(patch.externalIds && { external_ids: JSON.stringify(externalIds) }),
          ...(patch.provenance && { provenance: JSON.stringify(provenance) }),
          version: row.version + 1,
          updated_at: sql`now()`,
        })
        .where('id', '=', id)
        .execute();
      if (patch.name !== undefined || patch.channels || patch.startTolerance !== undefined) {
        await trx
          .updateTable('heads')
          .set({ shape_version: row.version + 1 })
          .where('series_id', '=', id)
          .execute();
      }
      await recordHistory(trx, { action: 'update', tokenId }, [
        { seriesId: id, changes: changesBetween(before, after) },
      ]);
      await commitChanges(trx, [{ seriesId: id, projectId: row.project_id, kind: 'update', tokenId }]);
    });
  } catch (error) {
    throw asNameTaken(error, patch.name ?? '');
  }
  return getSeries(db, { id });
}

/** @throws precondition-failed if the metadata have another version than the one insisted on */
export function assertVersion(version: number, wanted: number | undefined): void {
  if (wanted === undefined || wanted === version) return;
  throw new VarveError('precondition-failed', `the series has version ${version}, not ${wanted}`);
}

/** Hides the series at once; its bytes stay until the deadline. @throws not-found */
export async function deleteSeries(db: Database, id: string, tokenId: string | null = null): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const row = await trx
      .updateTable('series')
      .set({ deleted_at: sql`now()`, updated_at: sql`now()` })
      .where('id', '=', id)
      .where('deleted_at', 'is', null)
      .returning('project_id')
      .executeTakeFirst();
    if (!row) throw notFound('series', id);
    await setDeleted(trx, id, sql<Date>`now()`);
    await recordHistory(trx, { action: 'delete', tokenId }, [{ seriesId: id, changes: [] }]);
    await commitChanges(trx, [{ seriesId: id, projectId: row.project_id, kind: 'delete', tokenId }]);
  });
}

/** Undoes a delete. @throws not-found; gone `deadline-passed`; conflict `name-taken` */
export async function restoreSeries(db: Database, id: string, tokenId: string | null = null): Promise<Series> {
  let name = id;
  try {
    await db.transaction().execute(async (trx) => {
      const row = await trx
        .selectFrom('series')
        .select(['project_id', 'name'])
        .select(sql<Date | null>`deleted_at + make_interval(days => ${RESTORE_DAYS})`.as('deadline'))
        .select(
          sql<boolean>`coalesce(deleted_at <= now() - make_interval(days => ${RESTORE_DAYS}), false)`.as('is_late'),
        )
        .where('id', '=', id)
        .forNoKeyUpdate()
        .executeTakeFirst();
      if (!row) throw notFound('series', id);
      name = row.name;
      const head = await lockHeadAfterSeries(trx, id);
      if (row.is_late || head.purged_at) {
        const message = `the deletion of series ${id} could be undone until ${row.deadline!.toISOString()}`;
        throw new VarveError('gone', message, { slug: 'deadline-passed' });
      }
      await trx
        .updateTable('series')
        .set({ deleted_at: null, updated_at: sql`now()` })
        .where('id', '=', id)
        .execute();
      await setDeleted(trx, id, null);
      await recordHistory(trx, { action: 'restore', tokenId }, [{ seriesId: id, changes: [] }]);
      await commitChanges(trx, [{ seriesId: id, projectId: row.project_id, kind: 'restore', tokenId }]);
    });
  } catch (error) {
    throw asNameTaken(error, name);
  }
  return getSeries(db, { id });
}

/**
 * Locks the head of a series that the transaction has locked. The order of locks is series, then heads. Committers wait
 * for neither.
 */
export async function lockHeadAfterSeries(trx: DatabaseTransaction, seriesId: string) {
  return trx
    .selectFrom('heads')
    .select(['rows', 'edits', 'expired_ns', 'sealed_at', 'purged_at'])
    .where('series_id', '=', seriesId)
    .forNoKeyUpdate()
    .executeTakeFirstOrThrow();
}

/** The head of a deleted series says so, too: appends look at nothing else. */
async function setDeleted(trx: DatabaseTransaction, seriesId: string, at: RawBuilder<Date> | null): Promise<void> {
  await trx.updateTable('heads').set({ deleted_at: at }).where('series_id', '=', seriesId).execute();
}

/**
 * The series that had this name when it was deleted, the one deleted last. Otherwise the one that has the name now;
 * null if there is neither.
 */
export async function deletedSeriesId(db: Database, project: string, name: string): Promise<string | null> {
  const named = db
    .selectFrom('series as s')
    .innerJoin('projects as p', 'p.id', 's.project_id')
    .select('s.id')
    .where('p.name', '=', project)
    .where('s.name', '=', name);
  // Two statements, each with an index to lead it.
  const deleted = named.where('s.deleted_at', 'is not', null).orderBy('s.deleted_at', 'desc').limit(1);
  const row = (await deleted.executeTakeFirst()) ?? (await named.where('s.deleted_at', 'is', null).executeTakeFirst());
  return row?.id ?? null;
}

/** The project of a series, deleted or not; null if there is no such series. */
export async function seriesProject(db: Database, id: string): Promise<string | null> {
  const row = await db
    .selectFrom('series as s')
    .innerJoin('projects as p', 'p.id', 's.project_id')
    .select('p.name')
    .where('s.id', '=', id)
    .executeTakeFirst();
  return row?.name ?? null;
}

/**
 * Merges as RFC 7396 does, one level deep: null takes out. A key that is set takes the place of the same one in another
 * spelling.
 */
function merged<T>(
  before: Readonly<Record<string, T>>,
  patch: Readonly<Record<string, T | null>>,
): Readonly<Record<string, T>> {
  const set = Object.entries(patch).filter((entry): entry is [string, T] => entry[1] !== null);
  return { ...withoutKeys(before, Object.keys(patch)), ...Object.fromEntries(set) };
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function definedOf<T extends object>(fields: T): Defined<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>;
}

const UNIQUE_VIOLATION = '23505';

function asNameTaken(error: unknown, name: string): unknown {
  const { code, constraint } = error as { code?: string; constraint?: string };
  return code === UNIQUE_VIOLATION && constraint === 'series_name' ? nameTaken(name, error) : error;
}

export function nameTaken(name: string, cause?: unknown): VarveError {
  return new VarveError('conflict', `name: a series named ${JSON.stringify(name)} exists in this project`, {
    slug: 'name-taken',
    errors: [{ field: 'name', message: 'is taken' }],
    cause,
  });
}
