/** Which rows of a regular series an edit means, when appends that are not visible yet count. */
import type { Rate } from './rate.ts';
import { extendSegments, selectRows, type RowRange, type Segment } from './segment.ts';

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

/** All segments of a series once runs of rows have been added. @param rows of the series before */
export function withRuns(
  segments: readonly Segment[],
  rate: Rate,
  rows: number,
  runs: readonly { readonly startNs: bigint; readonly rows: number }[],
): Segment[] {
  const newest = segments.at(-1) ?? null;
  const changed = extendSegments(newest, rate, rows, runs);
  const isGrown = newest !== null && changed[0]?.firstRow === newest.firstRow;
  return [...(isGrown ? segments.slice(0, -1) : segments), ...changed];
}
