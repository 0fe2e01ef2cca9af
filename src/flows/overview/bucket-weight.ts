/** What answers of buckets take in memory. */
import type { RowDetails } from '../../core/overview/bucket-fold.ts';

/** What a bucket of a channel takes while it is folded: count, extremes, sum, and whether it is told … */
const FOLDED_BYTES = 41;
/** … the first and the last value, with their places … */
const ENDS_BYTES = 32;
/** … the spread … */
const SPREAD_BYTES = 24;
/** … and places of the extremes. */
const PLACES_BYTES = 17;
/** What a value that is answered takes: in a list, in a column, and as text, twice. */
const ANSWERED_BYTES = 64;

/** @param columns aggregates of each bucket and channel */
export function bucketsBytes(values: number, details: RowDetails, columns: number): number {
  const folded =
    FOLDED_BYTES +
    (details.ends ? ENDS_BYTES : 0) +
    (details.spread ? SPREAD_BYTES : 0) +
    (details.places ? PLACES_BYTES : 0);
  return values * (folded + columns * ANSWERED_BYTES);
}
