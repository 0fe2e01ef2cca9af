/** Which rows of a regular series an edit means. */
import type { Rate } from './rate.ts';
import { selectRows, type RowRange, type Segment } from './segment.ts';

/** Rows of a regular series with times in `[startNs, endNs)`, but for those that have expired; null if there are none. */
export function rowsOfRange(
  segments: readonly Segment[],
  rate: Rate,
  startNs: bigint,
  endNs: bigint,
  expiredNs: bigint | null,
): RowRange | null {
  const begin = expiredNs !== null && expiredNs > startNs ? expiredNs : startNs;
  const ranges = selectRows(segments, rate, begin, endNs);
  return ranges.length === 0 ? null : { from: ranges[0].from, to: ranges.at(-1)!.to };
}
