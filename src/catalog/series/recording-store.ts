/** Recordings: series that were taken together. One is made with its first series, and goes with its last. */
import { sql, type RawBuilder } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import { notFound, unprocessableField, VarveError } from '../../core/errors.ts';
import { nameKey } from '../../core/same-name.ts';
import type { NewSeries, RecordingLabel, RecordingSource } from '../../core/signal/series.ts';
import { commitChanges, type Change } from '../commit-feed.ts';
import type { Database, DatabaseTransaction } from '../database.ts';
import { oneRow } from '../one-row.ts';
import { recordHistory } from './history-store.ts';

export interface StoredRecording extends RecordingLabel {
  readonly project: string;
  /** Files that it was made from, in the order in which they came. */
  readonly sources: readonly RecordingSource[];
  readonly startNs: bigint | null;
  /** Series that it has. */
  readonly series: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Which recordings are wanted; what is undefined does not matter. */
export interface RecordingFilter {
  /** Null: of all projects. */
  readonly projectIds: readonly string[] | null;
  readonly project?: string;
  readonly name?: string;
  /** A part of the name, in any case. */
  readonly q?: string;
  /** Checksum of a file that it was made from. */
  readonly sha256?: string;
}

/** The place of a recording in their order: newest first. */
type RecordingPosition = string;

/** Lists recordings that have a series, newest first. */
export async function listRecordings(
  db: Database,
  { projectIds, project, name, q, sha256 }: RecordingFilter,
  { limit, after }: { limit: number; after: RecordingPosition | null },
): Promise<{ items: StoredRecording[]; after: RecordingPosition | null }> {
  const conditions = [
    ...(projectIds === null ? [] : [sql`r.project_id = any(${[...projectIds]}::uuid[])`]),
    ...(project === undefined ? [] : [sql`varve_nfc(p.name) = ${nameKey(project)}`]),
    ...(name === undefined ? [] : [sql`varve_nfc(r.name) = ${nameKey(name)}`]),
    ...(q === undefined ? [] : [sql`strpos(lower(varve_nfc(r.name)), lower(${nameKey(q)})) > 0`]),
    ...(sha256 === undefined ? [] : [sql`r.sources @> ${JSON.stringify([{ sha256 }])}::jsonb`]),
    ...(after === null ? [] : [sql`r.id < ${after}::uuid`]),
  ];
  const rows = await shown(db, conditions, limit + 1);
  const items = rows.slice(0, limit);
  return { items, after: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
}

/** @throws not-found for one that is not there, or has no series */
export async function getRecording(db: Database, id: string): Promise<StoredRecording> {
  const [found] = await shown(db, [sql`r.id = ${id}::uuid`], 1);
  if (!found) throw notFound('recording', id);
  return found;
}

async function shown(
  db: Database,
  conditions: readonly RawBuilder<unknown>[],
  limit: number,
): Promise<StoredRecording[]> {
  const { rows } = await sql<{
    id: string;
    project: string;
    name: string;
    sources: RecordingSource[];
    start_ns: bigint | null;
    series: number;
    created_at: Date;
    updated_at: Date;
  }>`
    select r.id, p.name as project, r.name, r.sources, r.start_ns, r.created_at, r.updated_at,
      (select count(*)::int from series s where s.recording_id = r.id and s.deleted_at is null) as series
    from recordings r join projects p on p.id = r.project_id
    where ${sql.join([HAS_SERIES, ...conditions], sql` and `)}
    order by r.id desc limit ${limit}`.execute(db);
  return rows.map((row) => ({
    id: row.id,
    project: row.project,
    name: row.name,
    sources: row.sources,
    startNs: row.start_ns,
    series: row.series,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }));
}

const HAS_SERIES = sql`exists (select from series s where s.recording_id = r.id and s.deleted_at is null)`;

/** Renames it, for all its series. @throws not-found; conflict `name-taken` */
export async function renameRecording(db: Database, id: string, name: string, tokenId: string | null): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const { rows: found } = await sql<{ name: string; project_id: string }>`
      select name, project_id from recordings where id = ${id}::uuid for no key update`.execute(trx);
    const [before] = found;
    if (!before) throw notFound('recording', id);
    const { rows: others } = await sql`
      select from recordings where project_id = ${before.project_id}::uuid and varve_nfc(name) = ${nameKey(name)} and id <> ${id}::uuid`.execute(
      trx,
    );
    if (others.length > 0) throw recordingTaken(name, 'the project has another recording of that name');
    if (before.name === name) return;
    await sql`update recordings set name = ${name}, updated_at = now() where id = ${id}::uuid`.execute(trx);
    await sql`select from series where recording_id = ${id}::uuid order by id for no key update`.execute(trx);
    const { rows: series } = await sql<{ id: string; deleted: boolean }>`
      update series set recording = ${name}, version = version + 1, updated_at = now()
      where recording_id = ${id}::uuid returning id, deleted_at is not null as deleted`.execute(trx);
    await sql`
      update heads h set shape_version = s.version from series s
      where s.id = h.series_id and s.recording_id = ${id}::uuid`.execute(trx);
    const changes = [{ field: 'recording', old: before.name, new: name }];
    await recordHistory(
      trx,
      { action: 'update', tokenId },
      series.map((each) => ({ seriesId: each.id, changes })),
    );
    const told = series.filter(({ deleted }) => !deleted);
    await commitChanges(
      trx,
      told.map((each): Change => ({ seriesId: each.id, projectId: before.project_id, kind: 'update', tokenId })),
    );
  });
}

type Wishing = { readonly projectId: string; readonly input: NewSeries };

/**
 * Finds or makes the recordings that new series are to belong to, and keeps them until the transaction ends.
 * @returns label of the recording by the input that wishes for it
 * @throws unprocessable `unknown-recording`; conflict `name-taken` for the name of one that came from another file
 */
export async function placeRecordings(
  trx: DatabaseTransaction,
  series: readonly Wishing[],
): Promise<ReadonlyMap<NewSeries, RecordingLabel>> {
  const wishing = series.filter(({ input }) => input.recording);
  if (wishing.length === 0) return new Map();
  const byKey = new Map<string, RecordingLabel>();
  const distinct = new Map(wishing.map((each) => [keyOf(each), each]));
  // In the order of keys, so that two who want the same ones wait in the same order.
  for (const [key, each] of [...distinct].sort(([a], [b]) => (a < b ? -1 : 1)))
    byKey.set(key, await placeOne(trx, each));
  return new Map(wishing.map((each) => [each.input, byKey.get(keyOf(each))!]));
}

function keyOf({ projectId, input: { recording } }: Wishing): string {
  return JSON.stringify([projectId, recording && ('id' in recording ? recording.id : nameKey(recording.name))]);
}

async function placeOne(trx: DatabaseTransaction, { projectId, input }: Wishing): Promise<RecordingLabel> {
  const wish = input.recording!;
  if ('id' in wish) {
    const { rows } = await sql<RecordingLabel>`
      select id, name from recordings where id = ${wish.id}::uuid and project_id = ${projectId}::uuid for key share`.execute(
      trx,
    );
    const [known] = rows;
    if (!known) throw unknownRecording(wish.id);
    return known;
  }
  const { name, source, startNs } = wish;
  const sources = JSON.stringify(source ? [source] : []);
  const { rows } = await sql<RecordingLabel & { sources: RecordingSource[]; is_new: boolean; is_empty: boolean }>`
    insert into recordings as r (id, project_id, name, sources, start_ns)
    values (${uuidv7()}::uuid, ${projectId}::uuid, ${name}, ${sources}::jsonb, ${startNs}::bigint)
    on conflict (project_id, varve_nfc(name)) do update set updated_at = r.updated_at
    returning id, name, sources, xmax = 0 as is_new, not ${HAS_SERIES} as is_empty`.execute(trx);
  const { id, name: called, sources: known, is_new: isNew, is_empty: isEmpty } = oneRow(rows);
  if (isNew || source === null) return { id, name: called };
  if (isEmpty) {
    // All its series were deleted: what comes now is another recording under the same name.
    await sql`update recordings set sources = ${sources}::jsonb, start_ns = ${startNs}::bigint where id = ${id}::uuid`.execute(
      trx,
    );
  } else if (!known.some(({ sha256 }) => sha256 === source.sha256)) {
    throw recordingTaken(name, `it came from another file: name it by its id to add to it, or choose another name`);
  }
  return { id, name: called };
}

/** The inputs whose recording, named by its id, is not in their project. */
export async function missingRecordings(db: Database, series: readonly Wishing[]): Promise<ReadonlySet<NewSeries>> {
  const wishing = series.filter(({ input: { recording } }) => recording && 'id' in recording);
  if (wishing.length === 0) return new Set();
  const ids = [...new Set(wishing.map(({ input }) => (input.recording as { id: string }).id))];
  const { rows } = await sql<{ id: string; project_id: string }>`
    select id, project_id from recordings where id = any(${ids}::uuid[])`.execute(db);
  const projects = new Map(rows.map((row) => [row.id, row.project_id]));
  const isThere = ({ projectId, input }: Wishing): boolean =>
    projects.get((input.recording as { id: string }).id.toLowerCase()) === projectId;
  return new Set(wishing.filter((each) => !isThere(each)).map(({ input }) => input));
}

export function unknownRecording(id: string): VarveError {
  return unprocessableField('recording.id', `the project has no recording ${id}`, 'unknown-recording');
}

/** Notes one more file that a recording was made from. */
export async function addRecordingSource(
  db: Database | DatabaseTransaction,
  id: string,
  source: RecordingSource,
): Promise<void> {
  await sql`
    update recordings set sources = sources || ${JSON.stringify([source])}::jsonb, updated_at = now()
    where id = ${id}::uuid and not sources @> ${JSON.stringify([{ sha256: source.sha256 }])}::jsonb`.execute(db);
}

/** Removes those of these recordings that have no series left, not even deleted ones. */
export async function dropEmptyRecordings(trx: DatabaseTransaction, ids: readonly string[]): Promise<void> {
  await sql`
    delete from recordings r where id = any(${[...ids]}::uuid[])
      and not exists (select from series s where s.recording_id = r.id)`.execute(trx);
}

function recordingTaken(name: string, why: string): VarveError {
  return new VarveError('conflict', `a recording named ${JSON.stringify(name)} exists: ${why}`, {
    slug: 'name-taken',
    errors: [{ field: 'recording', message: 'is taken' }],
  });
}
