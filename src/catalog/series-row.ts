/** Between a row of `series` and a Series. */
import type { Selectable } from 'kysely';
import { parseRate } from '../core/rate.ts';
import type { Dtype } from '../core/dtype.ts';
import type { Codec } from '../core/codec.ts';
import type { Channel, Sampling, Series } from '../core/series.ts';
import type { SeriesTable } from './tables.ts';

/** The columns readers see, qualified; join `projects as p` for the name. */
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
  's.time_reference',
  's.duplicates',
  's.codec',
  's.tags',
  's.provenance',
  's.version',
  's.created_at',
  's.updated_at',
  's.rows',
  's.first_ns',
  's.last_ns',
  's.commit',
  's.removed',
] as const;

type Columns = Pick<
  Selectable<SeriesTable>,
  | 'id'
  | 'name'
  | 'description'
  | 'kind'
  | 'dtype'
  | 'channels'
  | 'unit'
  | 'scale'
  | 'offset'
  | 'rate'
  | 'start_ns'
  | 'time_reference'
  | 'duplicates'
  | 'codec'
  | 'tags'
  | 'provenance'
  | 'version'
  | 'created_at'
  | 'updated_at'
  | 'rows'
  | 'first_ns'
  | 'last_ns'
  | 'commit'
  | 'removed'
>;

export type SeriesRow = Columns & { project: string };

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
    provenance: row.provenance,
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

function toSampling(row: Pick<SeriesRow, 'kind' | 'rate' | 'start_ns'>): Sampling {
  const rate = row.rate === null ? undefined : parseRate(row.rate);
  return row.kind === 'regular' && rate ? { kind: 'regular', rate, startNs: row.start_ns } : { kind: 'irregular' };
}
