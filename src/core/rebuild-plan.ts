/**
 * How the rows of one series are put together again from the shards that hold some of them, when nothing but the shards is left. Pure.
 *
 * A shard knows at which row of the series its datasets begin. Where a later shard begins inside an earlier one, the earlier one's rest was never
 * published: the same writes went to the later shard once more.
 */
import { nsOfRow, type Rate } from './rate.ts';
import { extendSegments, type RowRange, type Segment } from './segment.ts';

/** Rows of one series in one shard. */
export interface ShardPart {
  readonly shardId: string;
  /** Of the lease under which the shard was made: of two that begin at the same row, the higher is the later. */
  readonly token: bigint;
  readonly firstRow: number;
  readonly rows: number;
}

export interface PartsInOrder<P extends ShardPart> {
  /** In order of rows, not overlapping; the first `rows` rows of each part count. Parts of which none do are left out. */
  readonly kept: readonly { readonly part: P; readonly rows: number }[];
  /** Rows that no shard has. */
  readonly missing: readonly RowRange[];
  /** Rows that a later shard took the place of; those past its end are in no other. */
  readonly superseded: readonly { readonly part: P; readonly rows: RowRange }[];
  /** Rows of the series. */
  readonly rows: number;
}

export function orderParts<P extends ShardPart>(parts: readonly P[]): PartsInOrder<P> {
  const inOrder = parts
    .filter((part) => part.rows > 0)
    .sort((a, b) => a.firstRow - b.firstRow || (a.token < b.token ? -1 : 1));
  const kept: { part: P; rows: number }[] = [];
  const missing: RowRange[] = [];
  const superseded: { part: P; rows: RowRange }[] = [];
  let row = 0;
  for (const [i, part] of inOrder.entries()) {
    const end = part.firstRow + part.rows;
    const to = Math.min(end, inOrder[i + 1]?.firstRow ?? end);
    if (part.firstRow > row) missing.push({ from: row, to: part.firstRow });
    if (to > part.firstRow) kept.push({ part, rows: to - part.firstRow });
    if (to < end) superseded.push({ part, rows: { from: to, to: end } });
    row = to;
  }
  return { kept, missing, superseded, rows: row };
}

/**
 * The segments of a regular series from what its shards say of where rows begin, or begin anew.
 * @param starts in order of rows; a later shard repeats the time of its first row
 * @param rows of the series. Rows before the first start, and rows that are missing, are taken to be evenly spaced
 */
export function segmentsFromStarts(
  starts: readonly { readonly row: number; readonly startNs: bigint }[],
  rate: Rate,
  rows: number,
): Segment[] {
  const known = starts.filter(({ row }) => row < rows);
  const first = known[0];
  if (!first) return [];
  const runs = known.map(({ row, startNs }, i) => ({ startNs, rows: (known[i + 1]?.row ?? rows) - row }));
  if (first.row > 0) runs.unshift({ startNs: first.startNs - nsOfRow(rate, first.row), rows: first.row });
  return extendSegments(null, rate, 0, runs);
}
