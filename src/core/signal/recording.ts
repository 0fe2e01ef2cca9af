/** A recording as importers see it, whatever file it came in: series to create, their samples, marks on their time line. */
import type { Batch } from './batch.ts';
import type { NewAnnotation, NewSeries } from './series.ts';

export interface RecordedSeries {
  /** Everything but the project, which the importer's caller chooses. */
  readonly spec: Omit<NewSeries, 'project'>;
  /** Rows if the file says so beforehand (for a progress bar). */
  readonly rows: number | null;
  /**
   * Samples in order, in batches of bounded size. Regular series state their start in `spec.sampling`. A later batch with
   * a `startNs` begins a segment: there is a gap before it, however small.
   */
  batches(): AsyncIterable<Batch> | Iterable<Batch>;
  readonly annotations: readonly NewAnnotation[];
}

export interface Recording {
  readonly series: readonly RecordedSeries[];
  /** Things the reader had to assume or leave out, in words a person can act on. */
  readonly notes: readonly string[];
  /** Names of the files that it was read from, where there are several or its reader finds them itself. */
  readonly sources?: readonly string[];
}
