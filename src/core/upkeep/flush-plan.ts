/** When a lane is to be flushed, and how much of it at once. Pure. */

/** What is fresh in a lane, but for what cannot be read. */
export interface LaneBacklog {
  readonly laneId: string;
  readonly bytes: number;
  readonly chunks: number;
  /** Series with fresh chunks. */
  readonly series: number;
  /** Bytes of the series that has most bytes; chunks of the one that has most chunks. */
  readonly mostBytes: number;
  readonly mostChunks: number;
  /** Age of the oldest fresh chunk; null: nothing is fresh. */
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
export const MOST_FRESH_BYTES = 64 * 1024 ** 2;
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

/** A lane that has so much is behind: only then is its flush worth the memory of several threads, some 50 MB each. */
export const BEHIND_BYTES = 96 * 1024 ** 2;

/**
 * If there is so much for each, a flush is written by several threads side by side, one shard each. Starting a thread
 * takes as long as writing a few MiB.
 */
const SIDE_BYTES = 8 * 1024 ** 2;

/** One shard of those that a flush writes side by side. */
export interface FlushSide {
  /** Positions of series that are in it whole. */
  readonly series: readonly number[];
  /** Which part of the one series that is cut this side has; there are as many parts as sides. */
  readonly part: number;
}

/**
 * Shares the series of a flush out. One that outweighs all others is cut, so that every side has a part of it; the others go where least is.
 * @param bytes of each series
 * @param most sides
 * @returns one side at least, and the position of the series that is cut, if any is
 */
export function planSides(bytes: readonly number[], most: number): { sides: FlushSide[]; cut: number | null } {
  const total = bytes.reduce((sum, each) => sum + each, 0);
  const count = Math.max(1, Math.min(most, Math.floor(total / SIDE_BYTES)));
  const heavy = bytes.findIndex((each) => each > total / 2);
  const cut = count > 1 && heavy >= 0 ? heavy : null;
  const sides = Array.from({ length: count }, (_, part) => ({
    bytes: cut === null ? 0 : bytes[cut] / count,
    series: [] as number[],
    part,
  }));
  const inOrder = bytes.map((_, at) => at).filter((at) => at !== cut);
  for (const at of inOrder.sort((a, b) => bytes[b] - bytes[a])) {
    const least = sides.reduce((a, b) => (b.bytes < a.bytes ? b : a));
    least.bytes += bytes[at];
    least.series.push(at);
  }
  return { sides: sides.map(({ series, part }) => ({ series: series.sort((a, b) => a - b), part })), cut };
}
