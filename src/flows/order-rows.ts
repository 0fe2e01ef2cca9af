/** Puts rows that came out of order into the order of time. Runs on either side of a thread: sorting a million times takes a second. */
import { viewAs } from '../core/dtype.ts';
import { isErased, type Erasure } from '../core/erasure.ts';
import type { Piece } from '../core/read-plan.ts';
import type { DuplicateRule } from '../core/series.ts';
import { orderRows } from '../core/time-order.ts';
import { readPieces } from '../storage/chunk-reader.ts';
import { DataRoot } from '../storage/data-root.ts';
import { eachOpened } from '../storage/shard-files.ts';

export interface OrderTask {
  readonly dataRoot: string;
  /** All rows of some chunks, in the order they came. */
  readonly pieces: readonly Piece[];
  readonly rowBytes: number;
  /** The series' rule. */
  readonly duplicates: DuplicateRule;
  /** What was taken out and may still be in the chunks. */
  readonly erasures: readonly Erasure[];
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** At most this many rows, after the first ones. A row that is skipped may share its time with one that is not. */
  readonly skip: number;
  readonly most: number;
  /** Rows are counted: the rest is asked for by rank, not by time. */
  readonly isByRank: boolean;
}

export interface OrderedRows {
  readonly times: BigInt64Array;
  readonly values: Uint8Array;
  /** Where the rest begins if there were more than `most`. */
  readonly restNs: bigint | null;
}

/**
 * The rows whose times lie in `[startNs, endNs)`, in order of time. Unless they are counted, rows of one time are not parted: none come, but a rest, if more
 * than `most` share the first one.
 */
export async function orderStoredRows(task: OrderTask): Promise<OrderedRows> {
  const { times, values, rows } = await readRows(task.dataRoot, task.pieces, 'both', task.erasures);
  const order = wantedRows(task, times, rows).subarray(task.skip);
  let count = Math.min(order.length, task.most);
  let restNs: bigint | null = null;
  if (count < order.length) {
    // The rest is asked for by time, so rows of one time stay together.
    while (!task.isByRank && count > 0 && times[order[count - 1]] === times[order[count]]) count--;
    restNs = times[order[count]];
  }
  const kept = order.subarray(0, count);
  const chosen = new Uint8Array(count * task.rowBytes);
  kept.forEach((row, i) => {
    chosen.set(values.subarray(row * task.rowBytes, (row + 1) * task.rowBytes), i * task.rowBytes);
  });
  return {
    times: BigInt64Array.from(kept, (row) => times[row]),
    values: chosen,
    restNs,
  };
}

/** Positions in the order to answer. Rows that were taken out (their number is NaN) are left out before duplicates are looked for. */
function wantedRows({ duplicates, startNs, endNs }: OrderTask, times: BigInt64Array, rows: Float64Array): Uint32Array {
  const isWanted = (i: number): boolean => !Number.isNaN(rows[i]) && times[i] >= startNs && times[i] < endNs;
  const wanted = Uint32Array.from(times, (_, i) => i).filter(isWanted);
  return orderRows(times, wanted, duplicates);
}

/** Rows as they lie in pieces, one after the other. */
export interface StoredRows {
  readonly times: BigInt64Array;
  readonly values: Uint8Array;
  /** Row of the series; NaN if it was taken out. */
  readonly rows: Float64Array;
}

/** @param want leaves the values out where only times are needed */
export async function readRows(
  dataRoot: string,
  pieces: readonly Piece[],
  want: 'times' | 'both',
  erasures: readonly Erasure[] = [],
): Promise<StoredRows> {
  const times: Uint8Array[] = [];
  const values: Uint8Array[] = [];
  for await (const piece of readPieces(eachOpened(new DataRoot(dataRoot)), pieces, want)) {
    times.push(piece.times!);
    values.push(piece.values);
  }
  const allTimes = viewAs('int64', Buffer.concat(times)) as BigInt64Array;
  const rows = new Float64Array(allTimes.length);
  let at = 0;
  for (const { firstRow, rows: count, generation } of pieces.flatMap(({ blocks }) => blocks)) {
    const concerning = erasures.filter((erasure) => generation < erasure.generation);
    for (let i = 0; i < count; i++, at++) {
      rows[at] = isErased(firstRow + i, allTimes[at], concerning) ? NaN : firstRow + i;
    }
  }
  return { times: allTimes, values: Buffer.concat(values), rows };
}
