/** Orders stored rows in a codec thread, or on the main thread where that is quicker. */
import type { DuplicateRule } from '../../core/signal/series.ts';
import type { Erasure } from '../../core/rows/erasure.ts';
import { planRead, type PlannedChunk } from '../../core/rows/read-plan.ts';
import { visibleSlices } from '../../core/rows/visible-rows.ts';
import type { CodecPool } from '../../storage/threads/codec-pool.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import {
  countWindows,
  rowsInOrderAtOnce,
  type CountedWindows,
  type CountTask,
  type SortableChunk,
} from './order-windows.ts';
import { orderStoredRows, type OrderTask, type OrderedRows } from './order-rows.ts';

/**
 * Most rows that are put in order on the main thread. They take less than a millisecond, which is what handing over to
 * a thread costs.
 */
const ORDER_HERE_ROWS = 8_192;

export function orderHere(codec: Pick<CodecPool, 'run'>, task: OrderTask): Promise<OrderedRows> {
  const rows = task.pieces.reduce((sum, { blocks }) => sum + blocks.reduce((n, block) => n + block.rows, 0), 0);
  return rows <= ORDER_HERE_ROWS ? orderStoredRows(task) : codec.run<OrderedRows>('order', task);
}

export function countHere(codec: Pick<CodecPool, 'run'>, task: CountTask): Promise<CountedWindows> {
  const rows = task.chunks.reduce((sum, chunk) => sum + chunk.rows, 0);
  return rows <= ORDER_HERE_ROWS ? countWindows(task) : codec.run<CountedWindows>('windows', task);
}

/** A chunk whose times are told. */
type TimedChunkLocation = PlannedChunk & Pick<SortableChunk, 'firstNs' | 'lastNs' | 'sorted'>;

export interface SeenTimes {
  /** Chunks of an irregular series. */
  readonly chunks: readonly PlannedChunk[];
  readonly duplicates: DuplicateRule;
  readonly erasures: readonly Erasure[];
  readonly startNs: bigint;
  readonly endNs: bigint;
}

/** Chunks whose values have no bytes: only times are planned and read. */
export function timesOnly<C extends PlannedChunk>(chunks: readonly C[]): C[] {
  return chunks.map((chunk) => ({ ...chunk, codec: 'none', values: { offset: 0, length: 0 }, valuesCrc: 0 }));
}

/** The times in `[startNs, endNs)` that a reader sees of some chunks, in order. No values are read. */
export async function seenTimes(
  { root, codec }: { readonly root: DataRoot; readonly codec: Pick<CodecPool, 'run'> },
  { chunks, duplicates, erasures, startNs, endNs }: SeenTimes,
): Promise<BigInt64Array> {
  const { times } = await orderHere(codec, {
    dataRoot: root.root,
    pieces: planRead(
      chunks.map(({ firstRow, rows }) => ({ from: firstRow, to: firstRow + rows })),
      visibleSlices(timesOnly(chunks)),
      0,
    ),
    rowBytes: 0,
    duplicates,
    erasures,
    startNs,
    endNs,
    skip: 0,
    most: Infinity,
    isSkippedInTime: false,
  });
  return times;
}

/** What times take in memory while they are counted: more are put in order window by window. */
const COUNT_BYTES = 16 * 1024 * 1024;

/** How many rows with times in `[startNs, endNs)` a reader sees of some chunks. No values are read. */
export async function seenRows(
  { root, codec }: { readonly root: DataRoot; readonly codec: Pick<CodecPool, 'run'> },
  { chunks, duplicates, erasures, startNs, endNs }: SeenTimes & { readonly chunks: readonly TimedChunkLocation[] },
): Promise<number> {
  const sortable = visibleSlices(timesOnly(chunks)).map((slice): SortableChunk => {
    const { generation, firstNs, lastNs, sorted } = slice.chunk;
    const range = { from: slice.from, to: slice.to };
    const pieces = planRead([range], [slice], 0);
    return { firstRow: slice.from, rows: slice.to - slice.from, generation, firstNs, lastNs, sorted, pieces };
  });
  const { rows } = await countHere(codec, {
    dataRoot: root.root,
    rowBytes: 0,
    duplicates,
    erasures,
    chunks: sortable,
    startNs,
    endNs,
    skip: 0,
    most: Infinity,
    isSkippedInTime: false,
    windowRows: rowsInOrderAtOnce(COUNT_BYTES, 0),
    heldRows: 0,
  });
  return rows;
}
