/** Puts rows that came out of order into the order of time. Runs on either side of a thread: sorting a million times takes a second. */
import { viewAs } from '../../core/numbers/dtype.ts';
import { isErased, type Erasure } from '../../core/rows/erasure.ts';
import type { Piece } from '../../core/rows/read-plan.ts';
import type { DuplicateRule } from '../../core/signal/series.ts';
import { orderRows } from '../../core/rows/time-order.ts';
import { readPieces } from '../../storage/read/chunk-reader.ts';
import { DataRoot } from '../../storage/folder/data-root.ts';
import { eachOpened } from '../../storage/read/shard-files.ts';

export interface OrderTask {
  readonly dataRoot: string;
  /** All rows of some chunks, in the order they came. */
  readonly pieces: readonly Piece[];
  readonly rowBytes: number;
  /** The series' rule for duplicates. */
  readonly duplicates: DuplicateRule;
  /** What was taken out and may still be in the chunks. */
  readonly erasures: readonly Erasure[];
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** At most this many rows, after the first ones. */
  readonly skip: number;
  readonly most: number;
  /** Only rows of the time `startNs` count as rows to skip. */
  readonly isSkippedInTime: boolean;
}

export interface OrderedRows {
  /** Rows that were skipped. There are fewer than were to be skipped, if there are no more rows. */
  readonly skipped: number;
  readonly times: BigInt64Array;
  readonly values: Uint8Array;
  /** Where the rest begins if there were more than `most`. */
  readonly rest: RestOfRows | null;
}

/** A place between rows in order of time. Rows that come late do not move it: they are before its time, or behind all that have it. */
export interface RestOfRows {
  readonly ns: bigint;
  /** Rows of that time that come before. */
  readonly skip: number;
}

/** The rows whose times lie in `[startNs, endNs)`, in order of time. */
export async function orderStoredRows(task: OrderTask): Promise<OrderedRows> {
  const { times, values, rows } = await readChunkRows(task.dataRoot, task.pieces, 'both', task.erasures);
  const order = wantedRows(task, times, rows);
  let from = Math.min(task.skip, order.length);
  if (task.isSkippedInTime) while (from > 0 && times[order[from - 1]] !== task.startNs) from--;
  const to = Math.min(order.length, from + task.most);
  const kept = order.subarray(from, to);
  const chosen = new Uint8Array(kept.length * task.rowBytes);
  kept.forEach((row, i) => {
    chosen.set(values.subarray(row * task.rowBytes, (row + 1) * task.rowBytes), i * task.rowBytes);
  });
  return {
    times: BigInt64Array.from(kept, (row) => times[row]),
    values: chosen,
    skipped: from,
    rest: to < order.length ? restAt(order, times, to) : null,
  };
}

function restAt(order: Uint32Array, times: BigInt64Array, at: number): RestOfRows {
  const ns = times[order[at]];
  let first = at;
  while (first > 0 && times[order[first - 1]] === ns) first--;
  return { ns, skip: at - first };
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
export async function readChunkRows(
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
