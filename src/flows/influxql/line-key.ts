/** What identifies a point beside its time: measurement and tags, as line protocol writes them. */
import type { Tags } from '../../core/signal/series.ts';
import { keyTextOf, MEASUREMENT_TAG } from '../../formats/line-protocol/line-names.ts';

/** Tags of a point alone, in alphabetical order; those that begin with `_` are ours. */
export function pointTags(tags: Tags): [key: string, value: string][] {
  return Object.entries(tags)
    .flatMap(([key, value]): [string, string][] =>
      key.startsWith('_') || typeof value !== 'string' ? [] : [[key, value]],
    )
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** @returns null of a series that has no measurement */
export function lineKey(tags: Tags): string | null {
  const measurement = tags[MEASUREMENT_TAG];
  if (typeof measurement !== 'string') return null;
  return keyTextOf({ measurement, tags: pointTags(tags) });
}
