/** What every imported series has in common. */
import type { RecordedSeries } from '../../core/signal/recording.ts';
import { UNSAID } from '../../core/signal/series.ts';

type Spec = RecordedSeries['spec'];

/** The fields an importer must decide, and those it may. */
export type ImportedFields = Pick<Spec, 'name' | 'dtype' | 'channels' | 'sampling' | 'provenance'> & Partial<Spec>;

/** A series without rows, which is there for its annotations. */
export function annotationSeries(
  fields: Pick<Spec, 'name' | 'timeReference' | 'provenance'> & Partial<Spec>,
  annotations: RecordedSeries['annotations'],
): RecordedSeries {
  const channels = [{ label: 'annotations' }];
  const spec = importedSpec({ dtype: 'uint8', channels, sampling: { kind: 'irregular' }, ...fields });
  return { spec, rows: 0, batches: () => [], annotations };
}

/** A series to create. Duplicate times are kept: nothing of a file may vanish. Values stay raw; the channels say what they mean. */
export function importedSpec(fields: ImportedFields): Spec {
  return {
    description: null,
    unit: null,
    scale: 1,
    offset: 0,
    timeReference: 'utc',
    duplicates: 'keep',
    codec: 'gzip',
    tags: {},
    ...UNSAID,
    ...fields,
  };
}
