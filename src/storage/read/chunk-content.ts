/** What the catalog says of a chunk's rows, found anew from their bytes. */
import { crc32 } from 'node:zlib';
import type { Chunk } from '../../core/rows/chunk.ts';
import { StatsReader, statsOf } from '../../core/rows/chunk-stats.ts';
import { DTYPES, viewAs } from '../../core/numbers/dtype.ts';
import type { RowShape } from '../../core/numbers/missing-value.ts';
import { extendSpan } from '../../core/signal/time-span.ts';

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
    stats: statsOf(shape, viewAs(shape.dtype, values)),
    firstNs: span && span.firstNs,
    lastNs: span && span.lastNs,
    sorted: span?.sorted ?? true,
  };
}

/** Statistics of floats may differ by rounding between one version of this code and another. */
const STATS_TOLERANCE = 2 ** -40;

/**
 * Says what in a chunk's statistics does not match its bytes.
 * @returns names, such as `min of channel 2`; empty if all is well
 */
export function contentDifferences(shape: RowShape, said: ChunkContent, found: ChunkContent): string[] {
  const differences = said.stats && found.stats ? statsDifferences(shape, said.stats, found.stats) : [];
  if (said.firstNs !== found.firstNs) differences.push('first time');
  if (said.lastNs !== found.lastNs) differences.push('last time');
  if (said.sorted !== found.sorted) differences.push('order of times');
  return differences;
}

function statsDifferences(shape: RowShape, said: Uint8Array, found: Uint8Array): string[] {
  if (Buffer.compare(said, found) === 0) return [];
  const reader = new StatsReader(shape);
  if (said.length !== reader.bytes) return ['length of statistics'];
  const differences: string[] = [];
  for (let c = 0; c < shape.channels; c++) {
    const [a, b] = [reader.told(said, c), reader.told(found, c)];
    if (a?.count !== b?.count) differences.push(`count of channel ${c}`);
    if (!a || !b) continue;
    if (a.min !== b.min) differences.push(`min of channel ${c}`);
    if (a.max !== b.max) differences.push(`max of channel ${c}`);
    const most = b.count * Math.max(Math.abs(Number(b.min)), Math.abs(Number(b.max)));
    const isFloat = DTYPES[shape.dtype].kind === 'float';
    const isSum = isFloat ? near(a.sum, b.sum, most) : a.sum === b.sum && a.low === b.low;
    if (!isSum) differences.push(`sum of channel ${c}`);
    if (!near(a.squares, b.squares, b.squares)) differences.push(`squares of channel ${c}`);
  }
  return differences;
}

const near = (a: number, b: number, of: number): boolean => a === b || Math.abs(a - b) <= STATS_TOLERANCE * of;
