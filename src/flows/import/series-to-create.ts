/** From a series of a file to the series that it becomes. */
import { formatRate, type Rate } from '../../core/signal/rate.ts';
import type { RecordedSeries } from '../../core/signal/recording.ts';
import type { Channel, NewSeries, RecordingSource, RecordingWish, Tags } from '../../core/signal/series.ts';

/** What is said of all series of an import. */
export interface ImportPlace {
  readonly project: string;
  /** Besides those the recording brings; these win. */
  readonly tags: Tags;
  /** Program that reads the file, and its version. */
  readonly importer: string;
  readonly recording: RecordingWish | null;
}

/** What a series of a recording will be called and say. */
export function seriesToCreate(
  { spec }: Pick<RecordedSeries, 'spec'>,
  source: RecordingSource,
  { project, tags, importer, recording }: ImportPlace,
): NewSeries {
  return {
    ...spec,
    project,
    tags: { ...spec.tags, ...tags },
    provenance: { ...spec.provenance, source, importer },
    recording,
  };
}

/** The first start that its series state. */
export function firstStart(series: readonly Pick<RecordedSeries, 'spec'>[]): bigint | null {
  const starts = series.flatMap(({ spec: { sampling } }) =>
    sampling.kind === 'regular' ? (sampling.startNs ?? []) : [],
  );
  return starts.length === 0 ? null : starts.reduce((first, start) => (start < first ? start : first));
}

/** Series as the wire and the core have them. */
interface Shaped {
  readonly dtype: string;
  readonly channels: readonly Pick<Channel, 'label'>[];
  readonly sampling: { readonly kind: 'irregular' } | { readonly kind: 'regular'; readonly rate: string | Rate };
}

/** What must be equal for the same rows to mean the same. */
export function shapeText({ dtype, channels, sampling }: Shaped): string {
  const rate = sampling.kind === 'irregular' ? null : sampling.rate;
  const text = typeof rate === 'string' || rate === null ? rate : formatRate(rate);
  return JSON.stringify([dtype, channels.map(({ label }) => label), sampling.kind, text]);
}
