/** Statistics of a chunk, per channel, that can grow as rows are appended. */
import type { ChunkStats } from './chunk.ts';
import { isBigDtype, type SampleArray } from './dtype.ts';
import { toFloat64, type RowShape } from './missing-value.ts';

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
  const { dtype, channels, missingValue } = shape;
  const stats: ChunkStats = {
    counts: [...before.counts],
    mins: [...before.mins],
    maxs: [...before.maxs],
    sums: [...before.sums],
  };
  // Only where there is one: a comparison more in the loop would be paid for every series.
  const numbers = missingValue === null ? (values as Float64Array) : toFloat64(shape, values);
  const big = isBigDtype(dtype) && missingValue === null;
  for (let c = 0; c < channels; c++) {
    let count = 0;
    let sum = 0;
    let min = Infinity;
    let max = -Infinity;
    for (let i = c; i < values.length; i += channels) {
      const value = big ? Number(values[i]) : numbers[i];
      if (value !== value) continue; // NaN
      count++;
      sum += value;
      if (value < min) min = value;
      if (value > max) max = value;
    }
    if (count === 0) continue;
    const had = stats.counts[c] > 0;
    stats.counts[c] += count;
    stats.sums[c] += sum;
    stats.mins[c] = had ? Math.min(stats.mins[c], min) : min;
    stats.maxs[c] = had ? Math.max(stats.maxs[c], max) : max;
  }
  return stats;
}
