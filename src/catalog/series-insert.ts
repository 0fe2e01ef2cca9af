/** New rows of `series`, one or thousands, with few statements. */
import { sql } from 'kysely';
import { formatRate, rateHz } from '../core/rate.ts';
import type { NewSeries } from '../core/series.ts';
import { changesBetween, UNDESCRIBED } from '../core/series-history.ts';
import type { TagUnit } from '../core/tag-value.ts';
import { recordChanges } from './change-feed.ts';
import type { DatabaseTransaction } from './database.ts';
import { recordHistory } from './series-history.ts';
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
 * Leaves out those whose names are taken, in the catalog or by one that comes before; tells the history and the feed of changes of the others.
 * @param units of the quantities among their tags
 * @returns the ids of those that are stored
 */
export async function insertSeries(
  trx: DatabaseTransaction,
  series: readonly SeriesToInsert[],
  units: readonly TagUnit[],
  tokenId: string | null,
): Promise<ReadonlySet<string>> {
  await storeUnits(trx, units);
  const stored = new Set<string>();
  // By name, so that two who insert the same names wait in the same order. The sort is stable: of two of a name the first is stored.
  const inOrder = [...series].sort((a, b) => order(a.projectId, b.projectId) || order(a.input.name, b.input.name));
  for (let from = 0; from < inOrder.length; from += ROWS_AT_ONCE) {
    const some = inOrder.slice(from, from + ROWS_AT_ONCE);
    const { rows } = await sql<{ id: string }>`
      insert into series (id, project_id, lane_id, name, description, kind, dtype, channels, channel_count, unit, scale, "offset",
        rate, rate_hz, start_ns, time_reference, duplicates, codec, tags, provenance)
      select r.id, r.project_id, r.lane_id, r.name, r.description, r.kind, r.dtype, r.channels, jsonb_array_length(r.channels), r.unit,
        r.scale, r."offset", r.rate, r.rate_hz, r.start_ns, r.time_reference, r.duplicates, r.codec, r.tags, r.provenance
      from jsonb_to_recordset(${JSON.stringify(some.map(recordOf))}::jsonb) as r(id uuid, project_id uuid, lane_id uuid, name text,
        description text, kind text, dtype text, channels jsonb, unit text, scale double precision, "offset" double precision,
        rate text, rate_hz double precision, start_ns bigint, time_reference text, duplicates text, codec text, tags jsonb,
        provenance jsonb)
      on conflict (project_id, name) where deleted_at is null do nothing
      returning id`.execute(trx);
    for (const { id } of rows) stored.add(id);
    const created = some.filter(({ id }) => stored.has(id));
    await recordHistory(
      trx,
      { action: 'create', tokenId },
      created.map(({ id, input }) => ({ seriesId: id, changes: changesBetween(UNDESCRIBED, input) })),
    );
  }
  await recordChanges(
    trx,
    'create',
    series.filter(({ id }) => stored.has(id)).map(({ id, projectId }) => ({ seriesId: id, projectId })),
  );
  return stored;
}

function recordOf({ id, laneId, projectId, input }: SeriesToInsert): Record<string, unknown> {
  const regular = input.sampling.kind === 'regular' ? input.sampling : null;
  return {
    id,
    project_id: projectId,
    lane_id: laneId,
    name: input.name,
    description: input.description,
    kind: input.sampling.kind,
    dtype: input.dtype,
    channels: input.channels,
    unit: input.unit,
    scale: input.scale,
    offset: input.offset,
    rate: regular && formatRate(regular.rate),
    rate_hz: regular && rateHz(regular.rate),
    start_ns: regular?.startNs?.toString() ?? null,
    time_reference: input.timeReference,
    duplicates: input.duplicates,
    codec: input.codec,
    tags: input.tags,
    provenance: input.provenance,
  };
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
