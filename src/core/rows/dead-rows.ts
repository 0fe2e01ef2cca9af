/** How much of what chunks and summaries store is no data any more. */
import { erasuresOf, type Erasure } from './erasure.ts';
import { clipRows, countRows, withoutRows } from '../signal/row-ranges.ts';
import type { RowRange } from '../signal/segment.ts';
import { visibleSlices } from './visible-rows.ts';

export interface StoredChunk {
  readonly shardId: string;
  readonly firstRow: number;
  readonly rows: number;
  readonly generation: number;
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
  /** Bytes of its values and times, as they are stored; its share, if the block is shared. */
  readonly storedBytes: number;
}

/**
 * Stored bytes whose rows nobody can read, by shard. If an erasure takes away some of an irregular chunk's time, it is
 * taken to have the same share of the rows. They need not be read for an estimate.
 * @param holes rows of a regular series that were removed or have expired, in order
 * @param erasures of an irregular series
 */
export function deadBytes(
  chunks: readonly StoredChunk[],
  holes: readonly RowRange[],
  erasures: readonly Erasure[],
): Map<string, number> {
  const dead = new Map<string, number>();
  const live = new Map<StoredChunk, number>();
  for (const { chunk, from, to } of visibleSlices(chunks)) {
    const rows = countRows(withoutRows([{ from, to }], holes));
    live.set(chunk, (live.get(chunk) ?? 0) + rows * (1 - erasedShare(chunk, erasures)));
  }
  for (const chunk of chunks) {
    const bytes = chunk.storedBytes * (1 - (live.get(chunk) ?? 0) / chunk.rows);
    if (bytes > 0) dead.set(chunk.shardId, (dead.get(chunk.shardId) ?? 0) + bytes);
  }
  return dead;
}

export interface StoredCells {
  readonly shardId: string;
  readonly factor: number;
  readonly firstCell: number;
  readonly lastCell: number;
  /** Irregular. */
  readonly lastNs: bigint | null;
  readonly storedBytes: number;
}

/**
 * Stored bytes of cells that have expired and that a rewriting would drop, by shard. Cells of irregular series tell
 * their times only when they are read, so whole blocks count there.
 * @param beforeNs cells that end before have expired; `expired` says it in rows of a regular series
 */
export function deadSummaryBytes(
  blocks: readonly StoredCells[],
  beforeNs: bigint | null,
  expired: readonly RowRange[],
): Map<string, number> {
  const dead = new Map<string, number>();
  for (const { shardId, factor, firstCell, lastCell, lastNs, storedBytes } of blocks) {
    const cells = { from: firstCell, to: lastCell + 1 };
    const whole = expired.map(({ from, to }) => ({ from: Math.ceil(from / factor), to: Math.floor(to / factor) }));
    const gone = countRows(clipRows(whole, cells));
    const share = lastNs === null ? gone / (lastCell + 1 - firstCell) : beforeNs !== null && lastNs < beforeNs ? 1 : 0;
    if (share > 0) dead.set(shardId, (dead.get(shardId) ?? 0) + storedBytes * share);
  }
  return dead;
}

function erasedShare(chunk: StoredChunk, erasures: readonly Erasure[]): number {
  const concerning = erasuresOf(chunk, erasures);
  if (concerning.length === 0) return 0;
  const [first, last] = [chunk.firstNs!, chunk.lastNs! + 1n];
  const share = concerning.reduce((sum, { startNs, endNs }) => {
    const from = startNs > first ? startNs : first;
    const to = endNs < last ? endNs : last;
    return sum + Number(to - from) / Number(last - first);
  }, 0);
  return Math.min(1, share);
}
