/** Between a row of `series`, with that of its head, and a Series. */
import type { Selectable } from 'kysely';
import { parseRate } from '../../core/signal/rate.ts';
import { parseNumber, type Dtype } from '../../core/numbers/dtype.ts';
import type { Codec } from '../../core/signal/codec.ts';
import type { Channel, ContentHash, Continuity, Sampling, Series } from '../../core/signal/series.ts';
import type { DescribedFields } from '../../core/tags/series-changes.ts';
import type { HeadsTable, SeriesTable, StoredHash } from '../tables.ts';

/** The columns readers see, qualified; join `projects as p` for the name, and `heads as h`. */
export const SERIES_COLUMNS = [
  's.id',
  'p.name as project',
  's.name',
  's.description',
  's.kind',
  's.dtype',
  's.channels',
  's.unit',
  's.scale',
  's.offset',
  's.rate',
  's.start_ns',
  's.start_tolerance',
  's.time_reference',
  's.duplicates',
  's.codec',
  's.tags',
  's.continuity',
  's.resolution',
  's.missing_value',
  's.time_zone',
  's.external_ids',
  's.provenance',
  's.recording_id',
  's.recording',
  's.content_hash',
  's.version',
  's.created_at',
  's.updated_at',
  'h.sealed_at',
  'h.rows',
  'h.first_ns',
  'h.last_ns',
  'h.commit',
  'h.removed',
] as const;

/** The same for statements that are texts. */
export const SERIES_COLUMNS_TEXT = SERIES_COLUMNS.map((column) =>
  column.replace(/^(s|h)\.(offset|commit)$/, '$1."$2"'),
).join(', ');

type SelectedColumn = (typeof SERIES_COLUMNS)[number];
type NameIn<
  Table,
  Alias extends string,
  C = SelectedColumn,
> = C extends `${Alias}.${infer Name extends keyof Table & string}` ? Name : never;

export type SeriesRow = Pick<Selectable<SeriesTable>, NameIn<SeriesTable, 's'>> &
  Pick<Selectable<HeadsTable>, NameIn<HeadsTable, 'h'>> & { project: string };

/** Field by field: to spread {@link toDescribed} into it takes forty times as long, and a page has a hundred. */
export function toSeries(row: SeriesRow): Series {
  return {
    id: row.id,
    project: row.project,
    name: row.name,
    description: row.description,
    dtype: row.dtype as Dtype,
    channels: row.channels as Channel[],
    unit: row.unit,
    scale: row.scale,
    offset: row.offset,
    sampling: toSampling(row),
    timeReference: row.time_reference,
    duplicates: row.duplicates,
    codec: row.codec as Codec,
    tags: row.tags,
    continuity: row.continuity as Continuity | null,
    resolution: row.resolution,
    timeZone: row.time_zone,
    externalIds: row.external_ids,
    provenance: row.provenance,
    recording: row.recording_id === null ? null : { id: row.recording_id, name: row.recording! },
    missingValue: row.missing_value === null ? null : parseNumber(row.dtype as Dtype, row.missing_value),
    sealedAt: row.sealed_at,
    contentHash: row.content_hash && toContentHash(row.content_hash),
    version: row.version,
    rows: Number(row.rows),
    removed: Number(row.removed),
    firstNs: row.first_ns,
    lastNs: row.last_ns,
    commit: row.commit,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

export function toContentHash(stored: StoredHash): ContentHash {
  return { ...stored, commit: BigInt(stored.commit) };
}

/** What clients say of a series and may change. */
export const DESCRIPTION_COLUMNS = [
  'name',
  'description',
  'unit',
  'scale',
  'offset',
  'channels',
  'tags',
  'continuity',
  'resolution',
  'time_zone',
  'external_ids',
  'provenance',
  'start_tolerance',
] as const;

export type DescribedRow = Pick<Selectable<SeriesTable>, (typeof DESCRIPTION_COLUMNS)[number]>;

export function toDescribed(row: DescribedRow): DescribedFields {
  return {
    name: row.name,
    description: row.description,
    unit: row.unit,
    scale: row.scale,
    offset: row.offset,
    channels: row.channels as Channel[],
    tags: row.tags,
    continuity: row.continuity as Continuity | null,
    resolution: row.resolution,
    timeZone: row.time_zone,
    externalIds: row.external_ids,
    provenance: row.provenance,
    startTolerance: row.start_tolerance,
  };
}

function toSampling(row: Pick<SeriesRow, 'kind' | 'rate' | 'start_ns' | 'start_tolerance'>): Sampling {
  const rate = row.rate === null ? undefined : parseRate(row.rate);
  if (row.kind !== 'regular' || !rate) return { kind: 'irregular' };
  const regular = { kind: 'regular', rate, startNs: row.start_ns } as const;
  return row.start_tolerance === null ? regular : { ...regular, startTolerance: row.start_tolerance };
}
