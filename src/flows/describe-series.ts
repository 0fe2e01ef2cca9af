/** What a shard says of a series, so that it can be read without us. */
import { formatRate } from '../core/rate.ts';
import type { Series } from '../core/series.ts';
import type { SeriesDescription } from '../storage/shard-commit.ts';

export function describeSeries(series: Series): SeriesDescription {
  const { name, project, unit, scale, offset, timeReference, duplicates, codec, sampling } = series;
  const { continuity, resolution, missingValue, timeZone } = series;
  return {
    dtype: series.dtype,
    name,
    project,
    unit,
    scale,
    offset,
    rate: sampling.kind === 'regular' ? formatRate(sampling.rate) : null,
    timeReference,
    duplicates,
    codec,
    continuity,
    resolution,
    missingValue,
    timeZone,
    channels: JSON.stringify(series.channels),
    tags: JSON.stringify(series.tags),
  };
}
