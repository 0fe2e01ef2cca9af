/** Puts rows that came out of order into the order of time. Runs on either side of a thread: sorting a million times takes a second. */
import { viewAs } from '../core/dtype.ts';
import type { Piece } from '../core/read-plan.ts';
import type { DuplicateRule } from '../core/series.ts';
import { orderRows } from '../core/time-order.ts';
import { readPieces } from '../storage/chunk-reader.ts';
import { DataRoot } from '../storage/data-root.ts';

export interface OrderTask {
  readonly dataRoot: string;
  /** All rows of some chunks, in the order they came. */
  readonly pieces: readonly Piece[];
  readonly rowBytes: number;
  readonly duplicates: DuplicateRule;
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** At most this many rows. */
  readonly most: number;
}

export interface OrderedRows {
  readonly times: BigInt64Array;
  readonly values: Uint8Array;
  /** Where the rest begins if there were more than `most`. */
  readonly restNs: bigint | null;
}

/**
 * The rows whose times lie in `[startNs, endNs)`, in order of time, by the series' rule for duplicates. Rows of one time are not parted:
 * none come, but a rest, if more than `most` share the first one.
 */
export async function orderStoredRows(task: OrderTask): Promise<OrderedRows> {
  const { times, values } = await readRows(task.dataRoot, task.pieces, 'both');
  const order = orderRows(times, task.duplicates).filter((i) => times[i] >= task.startNs && times[i] < task.endNs);
  let count = Math.min(order.length, task.most);
  let restNs: bigint | null = null;
  if (count < order.length) {
    // The rest is asked for by time, so rows of one time stay together.
    while (count > 0 && times[order[count - 1]] === times[order[count]]) count--;
    restNs = times[order[count]];
  }
  const kept = order.subarray(0, count);
  const sorted = new Uint8Array(count * task.rowBytes);
  kept.forEach((row, i) => {
    sorted.set(values.subarray(row * task.rowBytes, (row + 1) * task.rowBytes), i * task.rowBytes);
  });
  return { times: BigInt64Array.from(kept, (row) => times[row]), values: sorted, restNs };
}

/** Times, and if wanted values, of pieces in their order. */
export async function readRows(
  dataRoot: string,
  pieces: readonly Piece[],
  want: 'times' | 'both',
): Promise<{ times: BigInt64Array; values: Uint8Array }> {
  const times: Uint8Array[] = [];
  const values: Uint8Array[] = [];
  for await (const piece of readPieces(new DataRoot(dataRoot), pieces, want)) {
    times.push(piece.times!);
    values.push(piece.values);
  }
  return { times: viewAs('int64', Buffer.concat(times)) as BigInt64Array, values: Buffer.concat(values) };
}
