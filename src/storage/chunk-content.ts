/** What the catalog says of a chunk's rows, found anew from their bytes. */
import { crc32 } from 'node:zlib';
import type { Chunk } from '../core/chunk.ts';
import { emptyStats, extendStats } from '../core/chunk-stats.ts';
import { viewAs } from '../core/dtype.ts';
import type { RowShape } from '../core/missing-value.ts';
import { extendSpan } from '../core/time-span.ts';

export type ChunkContent = Pick<Chunk, 'valuesCrc' | 'timesCrc' | 'stats' | 'firstNs' | 'lastNs' | 'sorted'>;

/**
 * @param values rows × channels
 * @param times int64 ns, one a row; null for regular series
 */
export function contentOf(shape: RowShape, values: Buffer, times: Buffer | null): ChunkContent {
  const span = times && extendSpan(null, viewAs('int64', times) as BigInt64Array);
  return {
    valuesCrc: crc32(values),
    timesCrc: times && crc32(times),
    stats: extendStats(emptyStats(shape.channels), shape, viewAs(shape.dtype, values)),
    firstNs: span && span.firstNs,
    lastNs: span && span.lastNs,
    sorted: span?.sorted ?? true,
  };
}

/**
 * What of a chunk's statistics does not match its bytes.
 * @returns names, such as `min of channel 2`; empty if all is well
 */
export function contentDifferences(said: ChunkContent, found: ChunkContent): string[] {
  const differences: string[] = [];
  found.stats.counts.forEach((count, c) => {
    const [min, max] = [found.stats.mins[c], found.stats.maxs[c]];
    if (said.stats.counts[c] !== count) differences.push(`count of channel ${c}`);
    if (!same(said.stats.mins[c], min)) differences.push(`min of channel ${c}`);
    if (!same(said.stats.maxs[c], max)) differences.push(`max of channel ${c}`);
    // Sums were added up append by append, so they may differ by rounding: less than eps a term, of at most all terms together.
    const tolerance = Number.EPSILON * count * count * Math.max(Math.abs(min), Math.abs(max));
    if (Math.abs(said.stats.sums[c] - found.stats.sums[c]) > tolerance) differences.push(`sum of channel ${c}`);
  });
  if (said.firstNs !== found.firstNs) differences.push('first time');
  if (said.lastNs !== found.lastNs) differences.push('last time');
  if (said.sorted !== found.sorted) differences.push('order of times');
  return differences;
}

const same = (a: number, b: number): boolean => a === b || (Number.isNaN(a) && Number.isNaN(b));
