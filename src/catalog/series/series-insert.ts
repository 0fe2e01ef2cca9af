/** New rows of `series` and `heads`, one or thousands, with few statements. */
import { sql } from 'kysely';
import { formatRate, rateHz } from '../../core/signal/rate.ts';
import { nameKey } from '../../core/same-name.ts';
import type { NewSeries, RecordingLabel } from '../../core/signal/series.ts';
import type { TagUnit } from '../../core/signal/tag-value.ts';
import type { Change } from '../commit-feed.ts';
import type { DatabaseTransaction } from '../database.ts';
import { placeRecordings } from './recording-store.ts';
import { storeUnits } from './tag-unit-store.ts';

/** Rows of one statement: some hundred kilobytes of JSON. */
const ROWS_AT_ONCE = 1000;

export interface SeriesToInsert {
  readonly id: string;
  readonly laneId: string;
  readonly projectId: string;
  readonly input: NewSeries;
}

/**
 * Leaves out those whose names are taken, in the catalog or by one that comes before; tells the history of the others.
 * @param units of the quantities among their tags
 * @returns the ids of those that are stored, and what the transaction's commit is to tell of them
 */
export async function insertSeries(
  trx: DatabaseTransaction,
  series: readonly SeriesToInsert[],
  units: readonly TagUnit[],
  tokenId: string | null,
): Promise<{ stored: ReadonlySet<string>; changes: Change[] }> {
  await storeUnits(trx, units);
  const labels = await placeRecordings(trx, series);
  const stored = new Set<string>();
  // In the order of names, so that two who insert the same names wait in the same order. The sort is stable: if two
  // series have one name, the first is stored.
  const inOrder = [...series].sort(
    (a, b) => byCodeUnits(a.projectId, b.projectId) || byCodeUnits(nameKey(a.input.name), nameKey(b.input.name)),
  );
  let records = recordsOf(inOrder, 0, labels);
  for (let from = 0; from < inOrder.length; from += ROWS_AT_ONCE) {
    const storing = storeRecords(trx, records, tokenId);
    // While Postgres works on some, the next are written.
    records = recordsOf(inOrder, from + ROWS_AT_ONCE, labels);
    for (const id of await storing) stored.add(id);
  }
  const changes = series
    .filter(({ id }) => stored.has(id))
    .map(({ id, projectId }): Change => ({ seriesId: id, projectId, kind: 'create', tokenId }));
  return { stored, changes };
}

type Labels = ReadonlyMap<NewSeries, RecordingLabel>;

function recordsOf(series: readonly SeriesToInsert[], from: number, labels: Labels): string {
  return JSON.stringify(series.slice(from, from + ROWS_AT_ONCE).map((each) => recordOf(each, labels)));
}

/**
 * Stores series, their heads and the beginning of their history in one statement. What a series was created as is told
 * from what it is and what has changed since.
 * @param records as JSON
 * @returns the ids of those that are stored
 */
async function storeRecords(trx: DatabaseTransaction, records: string, tokenId: string | null): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    with given as materialized (
      select * from jsonb_to_recordset(${records}::jsonb) as r(id uuid, project_id uuid, lane_id uuid, name text,
        description text, kind text, dtype text, channels jsonb, unit text, scale double precision, "offset" double precision,
        rate text, rate_hz double precision, start_ns bigint, start_tolerance double precision, time_reference text, duplicates text, codec text, tags jsonb,
        continuity text, resolution double precision, missing_value text, time_zone text, external_ids jsonb, provenance jsonb, recording_id uuid, recording text)
    ), stored as (
      insert into series (id, project_id, name, description, kind, dtype, channels, channel_count, unit, scale, "offset",
        rate, rate_hz, start_ns, start_tolerance, time_reference, duplicates, codec, tags,
        continuity, resolution, missing_value, time_zone, external_ids, provenance, recording_id, recording)
      select r.id, r.project_id, r.name, r.description, r.kind, r.dtype, r.channels, jsonb_array_length(r.channels), r.unit,
        coalesce(r.scale, 1), coalesce(r."offset", 0), r.rate, r.rate_hz, r.start_ns, r.start_tolerance, r.time_reference, r.duplicates, r.codec, r.tags,
        r.continuity, r.resolution, r.missing_value, r.time_zone,
        coalesce(r.external_ids, '{}'), coalesce(r.provenance, '{}'), r.recording_id, r.recording from given r
      on conflict (project_id, varve_nfc(name)) where deleted_at is null do nothing
      returning id
    ), headed as (
      insert into heads (series_id, lane_id, project_id) select r.id, r.lane_id, r.project_id from stored join given r on r.id = stored.id
    )
    insert into series_history (series_id, id, action, token_id) select id, id, 'create', ${tokenId}::uuid from stored
    returning id`.execute(trx);
  return rows.map(({ id }) => id);
}

/** What is as the columns' defaults is left out: most of a series is. */
function recordOf({ id, laneId, projectId, input }: SeriesToInsert, labels: Labels): Record<string, unknown> {
  const recording = labels.get(input);
  const regular = input.sampling.kind === 'regular' ? input.sampling : null;
  return {
    id,
    project_id: projectId,
    lane_id: laneId,
    name: input.name,
    description: input.description ?? undefined,
    kind: input.sampling.kind,
    dtype: input.dtype,
    channels: input.channels,
    unit: input.unit ?? undefined,
    scale: input.scale === 1 ? undefined : input.scale,
    offset: input.offset === 0 ? undefined : input.offset,
    rate: regular ? formatRate(regular.rate) : undefined,
    rate_hz: regular ? rateHz(regular.rate) : undefined,
    start_ns: regular?.startNs?.toString(),
    start_tolerance: regular?.startTolerance,
    time_reference: input.timeReference,
    duplicates: input.duplicates,
    codec: input.codec,
    tags: input.tags,
    continuity: input.continuity ?? undefined,
    resolution: input.resolution ?? undefined,
    missing_value: input.missingValue?.toString(),
    time_zone: input.timeZone ?? undefined,
    external_ids: isEmpty(input.externalIds) ? undefined : input.externalIds,
    provenance: isEmpty(input.provenance) ? undefined : input.provenance,
    recording_id: recording?.id,
    recording: recording?.name,
  };
}

function isEmpty(object: object): boolean {
  return Object.keys(object).length === 0;
}

function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
