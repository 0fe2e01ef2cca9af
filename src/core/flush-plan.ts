/** When a lane is to be flushed, and how much of it at once. Pure. */

/** What is fresh in a lane, but for what cannot be read. */
export interface LaneBacklog {
  readonly laneId: string;
  readonly bytes: number;
  readonly chunks: number;
  /** Series with fresh chunks. */
  readonly series: number;
  /** Of the series that has most of each. */
  readonly mostBytes: number;
  readonly mostChunks: number;
  /** Of the oldest fresh chunk; null: nothing is fresh. */
  readonly ageMs: number | null;
  /** Since when something was edited, or has expired, that no shard tells; null: shards tell all of it. */
  readonly untoldMs: number | null;
}

export type FlushReason = 'bytes' | 'chunks' | 'series' | 'worthwhile' | 'age' | 'untold' | 'asked';

export interface FlushLimits {
  /** What was appended is in a shard after so long, however little it is. */
  readonly ageMs: number;
}

export const DEFAULT_FLUSH_LIMITS: FlushLimits = { ageMs: 15 * 60 * 1000 };

/** Fresh bytes that one flush takes: what it holds in memory follows from it. */
export const MOST_FLUSH_BYTES = 256 * 1024 ** 2;
/** A lane with so much does not wait … */
const MOST_FRESH_BYTES = 64 * 1024 ** 2;
const MOST_FRESH_CHUNKS = 200_000;
/** … nor one with a series of so much: reads of it get slower. */
const MOST_SERIES_BYTES = 4 * 1024 ** 2;
const MOST_SERIES_CHUNKS = 5_000;
/** After a minute it is flushed if every series has enough to outweigh what HDF5 takes for it. */
const WORTHWHILE_MS = 60_000;
const WORTHWHILE_SERIES_BYTES = 4 * 1024;

/** @returns why the lane is to be flushed now; null: it may wait */
export function flushReason(lane: LaneBacklog, limits: FlushLimits = DEFAULT_FLUSH_LIMITS): FlushReason | null {
  if (lane.bytes >= MOST_FRESH_BYTES) return 'bytes';
  if (lane.chunks >= MOST_FRESH_CHUNKS) return 'chunks';
  if (lane.mostBytes > MOST_SERIES_BYTES || lane.mostChunks > MOST_SERIES_CHUNKS) return 'series';
  const isWorthwhile = lane.bytes >= lane.series * WORTHWHILE_SERIES_BYTES;
  if (lane.ageMs !== null && lane.ageMs >= WORTHWHILE_MS && isWorthwhile) return 'worthwhile';
  if (lane.ageMs !== null && lane.ageMs >= limits.ageMs) return 'age';
  if (lane.untoldMs !== null && lane.untoldMs >= limits.ageMs) return 'untold';
  return null;
}
