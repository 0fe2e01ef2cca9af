/** Statistics of a chunk, per channel, that can grow as rows are appended. */
import type { ChunkStats } from './chunk.ts';
import { DTYPES, isBigDtype, type Dtype, type SampleArray } from './dtype.ts';
import type { RowShape } from './missing-value.ts';
import { Moments } from './moments.ts';

export function emptyStats(channels: number): ChunkStats {
  return {
    counts: new Array<number>(channels).fill(0),
    mins: new Array<number>(channels).fill(NaN),
    maxs: new Array<number>(channels).fill(NaN),
    sums: new Array<number>(channels).fill(0),
  };
}

/**
 * Statistics with more rows added; NaN and the missing value do not count.
 * @param values rows × channels, row-major, raw. 64-bit integers are taken as their nearest float64.
 */
export function extendStats(before: ChunkStats, shape: RowShape, values: SampleArray): ChunkStats {
  const { channels } = shape;
  const stats: ChunkStats = {
    counts: [...before.counts],
    mins: [...before.mins],
    maxs: [...before.maxs],
    sums: [...before.sums],
  };
  const more = new Moments(shape, channels, false);
  more.addRows(values);
  for (let c = 0; c < channels; c++) {
    const count = more.counts[c];
    if (count === 0) continue;
    const [min, max] = [Number(more.mins[c]), Number(more.maxs[c])];
    const had = stats.counts[c] > 0;
    stats.counts[c] += count;
    stats.sums[c] += Number(more.sum(c));
    stats.mins[c] = had ? Math.min(stats.mins[c], min) : min;
    stats.maxs[c] = had ? Math.max(stats.maxs[c], max) : max;
  }
  return stats;
}

/** Integers up to here are doubles, and so is every sum on the way to one. */
const MOST_EXACT = 2 ** 53;
/** A sum of floats has lost at most fourteen bits to cancellation if it is this part of what it could be. */
const LEAST_PART = 2 ** -14;

/** True where minimum and maximum are those of the rows: they are kept as float64, and 64-bit integers may be beyond what that holds. */
export function tellsExtremes({ mins, maxs }: ChunkStats, dtype: Dtype): boolean {
  if (!isBigDtype(dtype)) return true;
  return [...mins, ...maxs].every((value) => Number.isNaN(value) || Number.isSafeInteger(value));
}

/**
 * True where the sum is that of the rows, or of floats next to it. It is kept as float64, and grew append by append: of large numbers that
 * cancel each other, little is left that is right.
 */
export function tellsSum({ counts, mins, maxs, sums }: ChunkStats, dtype: Dtype): boolean {
  const isWhole = DTYPES[dtype].kind === 'int';
  return counts.every((count, c) => {
    if (count === 0) return true;
    const most = count * Math.max(-mins[c], maxs[c]);
    return isWhole ? most <= MOST_EXACT : Number.isFinite(sums[c]) && Math.abs(sums[c]) >= most * LEAST_PART;
  });
}
