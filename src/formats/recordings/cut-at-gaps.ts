/** Rows that come without times, cut where a file says that time has passed between them. */
import type { Batch } from '../../core/signal/batch.ts';
import { halfPeriodNs, nsOfRow, type Rate } from '../../core/signal/rate.ts';

/** A row at which a segment begins. */
export interface SegmentBegin {
  readonly row: number;
  readonly startNs: bigint;
}

/**
 * Those that leave a gap: half a period at least after where the rows before would go on. Rows that would begin before
 * that follow at once.
 * @param begins in order of rows
 * @returns the first of all, and those after a gap; and how many would begin more than half a period early
 */
export function gapsAmong(begins: Iterable<SegmentBegin>, rate: Rate): { gaps: SegmentBegin[]; early: number } {
  const toleranceNs = halfPeriodNs(rate);
  const gaps: SegmentBegin[] = [];
  let early = 0;
  for (const begin of begins) {
    const last = gaps.at(-1);
    const off = last ? begin.startNs - (last.startNs + nsOfRow(rate, begin.row - last.row)) : 0n;
    if (off < -toleranceNs) early++;
    if (!last || off > toleranceNs) gaps.push(begin);
  }
  return { gaps, early };
}

/** The same rows. A batch that begins a segment says when; that of the first row does not, for the series says it. */
export async function* cutAtGaps(
  batches: AsyncIterable<Batch>,
  begins: readonly SegmentBegin[],
  channels: number,
): AsyncGenerator<Batch> {
  let at = 0;
  let next = 0;
  for await (const { rows, values } of batches) {
    for (let from = 0; from < rows;) {
      while (next < begins.length && begins[next].row < at) next++;
      const begin = begins[next]?.row === at ? begins[next++] : undefined;
      const upTo = begins[next] === undefined ? rows : Math.min(rows, from + (begins[next].row - at));
      yield {
        rows: upTo - from,
        values: values.subarray(from * channels, upTo * channels),
        times: null,
        ...(begin && begin.row > 0 && { startNs: begin.startNs }),
      };
      at += upTo - from;
      from = upTo;
    }
  }
}
