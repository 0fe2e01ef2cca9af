/** Series: create, get, change, delete, restore. Searching is in series-search.ts. */
import { sql } from 'kysely';
import { VarveError, notFound } from '../core/errors.ts';
import { formatRate, rateHz } from '../core/rate.ts';
import type { NewSeries, Series, SeriesPatch } from '../core/series.ts';
import type { TagUnit } from '../core/tag-value.ts';
import { nextCommit } from './commit-number.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { SERIES_COLUMNS, toSeries } from './series-row.ts';
import { storeUnits } from './tag-unit-store.ts';

/** A lane takes this many series: HDF5 creates and appends a few thousand a second per thread, and a shard opens with its groups. */
const SERIES_PER_LANE = 1000;
/** New series are spread over this many lanes, so that their writes can be drained side by side. */
const OPEN_LANES = 4;
/** A deleted series can be restored for this long. */
const RESTORE_DAYS = 7;

/** How a caller names a series: by id, or by name within a project. */
export type SeriesRef = { readonly id: string } | { readonly project: string; readonly name: string };

/**
 * @param units of the quantities among the tags
 * @throws conflict `name-taken` if the project has a series of that name; not-found for an unknown project
 */
export async function createSeries(
  db: Database,
  id: string,
  laneIdIfNew: string,
  input: NewSeries,
  units: readonly TagUnit[] = [],
): Promise<Series> {
  const { sampling } = input;
  const regular = sampling.kind === 'regular' ? sampling : null;
  try {
    await db.transaction().execute(async (trx) => {
      const project = await trx
        .selectFrom('projects')
        .select('id')
        .where('name', '=', input.project)
        .executeTakeFirst();
      if (!project) throw notFound('project', input.project);
      await storeUnits(trx, units);
      const laneId = await takePlaceInLane(trx, laneIdIfNew);
      await trx
        .insertInto('series')
        .values({
          id,
          project_id: project.id,
          lane_id: laneId,
          name: input.name,
          description: input.description,
          kind: sampling.kind,
          dtype: input.dtype,
          channels: JSON.stringify(input.channels),
          channel_count: input.channels.length,
          unit: input.unit,
          scale: input.scale,
          offset: input.offset,
          rate: regular ? formatRate(regular.rate) : null,
          rate_hz: regular ? rateHz(regular.rate) : null,
          start_ns: regular?.startNs ?? null,
          time_reference: input.timeReference,
          duplicates: input.duplicates,
          codec: input.codec,
          tags: JSON.stringify(input.tags),
          provenance: JSON.stringify(input.provenance),
        })
        .execute();
      await recordChange(trx, { seriesId: id, projectId: project.id, kind: 'create' });
    });
  } catch (error) {
    throw nameTaken(error, input.name);
  }
  return getSeries(db, { id });
}

async function takePlaceInLane(trx: DatabaseTransaction, laneIdIfNew: string): Promise<string> {
  // Only lanes that are free to lock count, so creators neither wait for each other nor for a publishing drain.
  const { rows } = await sql<{ id: string; series_count: number }>`
    select id, series_count from lanes where series_count < ${SERIES_PER_LANE}
    order by series_count, id limit ${OPEN_LANES} for no key update skip locked`.execute(trx);
  if (rows.length < OPEN_LANES) {
    const { rows: open } = await sql<{ n: number }>`
      select count(*)::int as n from lanes where series_count < ${SERIES_PER_LANE}`.execute(trx);
    if (open[0].n < OPEN_LANES || rows.length === 0) {
      await trx.insertInto('lanes').values({ id: laneIdIfNew, series_count: 1 }).execute();
      return laneIdIfNew;
    }
  }
  await trx
    .updateTable('lanes')
    .set({ series_count: rows[0].series_count + 1 })
    .where('id', '=', rows[0].id)
    .execute();
  return rows[0].id;
}

/** @throws not-found for an unknown or deleted series */
export async function getSeries(db: Database | DatabaseTransaction, ref: SeriesRef): Promise<Series> {
  let query = db
    .selectFrom('series as s')
    .innerJoin('projects as p', 'p.id', 's.project_id')
    .select(SERIES_COLUMNS)
    .where('s.deleted_at', 'is', null);
  query =
    'id' in ref
      ? query.where('s.id', '=', ref.id)
      : query.where('p.name', '=', ref.project).where('s.name', '=', ref.name);
  const row = await query.executeTakeFirst();
  if (!row) throw notFound('series', 'id' in ref ? ref.id : ref.name);
  return toSeries(row);
}

/**
 * @param units of the quantities among the tags
 * @param ifVersion refuse unless the metadata still have this version
 * @throws precondition-failed, conflict `name-taken`, not-found; unprocessable where channels do not match in number
 */
export async function updateSeries(
  db: Database,
  id: string,
  patch: SeriesPatch,
  units: readonly TagUnit[] = [],
  ifVersion?: number,
): Promise<Series> {
  try {
    await db.transaction().execute(async (trx) => {
      const row = await trx
        .selectFrom('series')
        .select(['project_id', 'version', 'tags', 'provenance', 'channel_count'])
        .where('id', '=', id)
        .where('deleted_at', 'is', null)
        .forNoKeyUpdate()
        .executeTakeFirst();
      if (!row) throw notFound('series', id);
      await storeUnits(trx, units);
      if (ifVersion !== undefined && ifVersion !== row.version) {
        throw new VarveError('precondition-failed', `the series has version ${row.version}, not ${ifVersion}`);
      }
      if (patch.channels && patch.channels.length !== row.channel_count) {
        throw new VarveError('unprocessable', `channels: the series has ${row.channel_count} channels`, {
          errors: [{ field: 'channels', message: `must describe the ${row.channel_count} channels of the series` }],
        });
      }
      const tags = Object.fromEntries(
        Object.entries({ ...row.tags, ...patch.tags }).filter(([, value]) => value !== null),
      );
      await trx
        .updateTable('series')
        .set({
          ...(patch.name !== undefined && { name: patch.name }),
          ...(patch.description !== undefined && { description: patch.description }),
          ...(patch.unit !== undefined && { unit: patch.unit }),
          ...(patch.scale !== undefined && { scale: patch.scale }),
          ...(patch.offset !== undefined && { offset: patch.offset }),
          ...(patch.channels && { channels: JSON.stringify(patch.channels) }),
          ...(patch.tags && { tags: JSON.stringify(tags) }),
          ...(patch.provenance && { provenance: JSON.stringify({ ...row.provenance, ...patch.provenance }) }),
          version: row.version + 1,
          updated_at: sql`now()`,
        })
        .where('id', '=', id)
        .execute();
      await recordChange(trx, { seriesId: id, projectId: row.project_id, kind: 'update' });
    });
  } catch (error) {
    throw nameTaken(error, patch.name ?? '');
  }
  return getSeries(db, { id });
}

/** Hides the series at once; its bytes stay until the deadline. @throws not-found */
export async function deleteSeries(db: Database, id: string): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const row = await trx
      .updateTable('series')
      .set({ deleted_at: sql`now()`, updated_at: sql`now()` })
      .where('id', '=', id)
      .where('deleted_at', 'is', null)
      .returning('project_id')
      .executeTakeFirst();
    if (!row) throw notFound('series', id);
    await recordChange(trx, { seriesId: id, projectId: row.project_id, kind: 'delete' });
  });
}

/** Undoes a delete. @throws not-found if there is no such series or its deadline has passed; conflict `name-taken` */
export async function restoreSeries(db: Database, id: string): Promise<Series> {
  try {
    await db.transaction().execute(async (trx) => {
      const row = await trx
        .updateTable('series')
        .set({ deleted_at: null, updated_at: sql`now()` })
        .where('id', '=', id)
        .where(sql<boolean>`coalesce(deleted_at > now() - make_interval(days => ${RESTORE_DAYS}), true)`)
        .returning(['project_id', 'name'])
        .executeTakeFirst();
      if (!row) throw notFound('series', id);
      await recordChange(trx, { seriesId: id, projectId: row.project_id, kind: 'restore' });
    });
  } catch (error) {
    throw nameTaken(error, id);
  }
  return getSeries(db, { id });
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

async function recordChange(
  trx: DatabaseTransaction,
  change: { seriesId: string; projectId: string; kind: string },
): Promise<void> {
  const commit = await nextCommit(trx);
  await trx
    .insertInto('changes')
    .values({ commit, ordinal: 0, project_id: change.projectId, series_id: change.seriesId, kind: change.kind })
    .execute();
}

const UNIQUE_VIOLATION = '23505';

function nameTaken(error: unknown, name: string): unknown {
  const { code, constraint } = error as { code?: string; constraint?: string };
  if (code !== UNIQUE_VIOLATION || constraint !== 'series_name') return error;
  return new VarveError('conflict', `name: a series named ${JSON.stringify(name)} exists in this project`, {
    slug: 'name-taken',
    errors: [{ field: 'name', message: 'is taken' }],
    cause: error,
  });
}
