/** From planned pieces to the bytes of an answer: read, select, convert, encode. Runs on either side of a thread. */
import type { OutBatch, OutShape } from '../core/batch.ts';
import { toPhysical, type Calibration } from '../core/calibration.ts';
import { copyValues } from '../core/copy-values.ts';
import { bytesOf, DTYPES, viewAs, type Dtype, type SampleArray } from '../core/dtype.ts';
import type { RowShape } from '../core/missing-value.ts';
import type { Rate } from '../core/rate.ts';
import type { Piece } from '../core/read-plan.ts';
import { timesOfRows, type Segment } from '../core/segment.ts';
import { npyHeader } from '../formats/npy.ts';
import { WIRE_FORMATS, type Spelling, type WireFormatName } from '../formats/wire-formats.ts';
import { readPieces } from '../storage/chunk-reader.ts';
import { DataRoot } from '../storage/data-root.ts';
import { eachOpened, type ShardFiles } from '../storage/shard-files.ts';

/** Rows to answer, in order: where to read them, or the rows themselves where they had to be put in order first. */
export type Section =
  | { readonly kind: 'stored'; readonly pieces: readonly Piece[] }
  | {
      readonly kind: 'held';
      readonly firstRow: number;
      /** Number of the last of them: there may be others in between. */
      readonly lastRow: number;
      readonly times: BigInt64Array;
      readonly values: Uint8Array;
    };

/** The rows of an answer, of what is stored. */
export interface RowsTask extends RowShape {
  readonly dataRoot: string;
  readonly sections: readonly Section[];
  /** Channels to answer, in this order; null: all. */
  readonly selected: readonly number[] | null;
  /** One a selected channel; null: raw values. */
  readonly calibrations: readonly Calibration[] | null;
  /** Regular series: for formats that have a time on every row. */
  readonly clock: { readonly rate: Rate; readonly segments: readonly Segment[] } | null;
  readonly shape: OutShape;
}

export interface PrintTask extends RowsTask {
  readonly format: WireFormatName;
  readonly spelling?: Spelling;
}

/**
 * @param files where shards are opened, if there is something to be shared; else each is opened for this answer
 * @param lend what is yielded is valid until the next is asked for
 */
export async function* printSamples(
  task: PrintTask,
  files: ShardFiles = eachOpened(new DataRoot(task.dataRoot)),
  lend = false,
): AsyncGenerator<Uint8Array> {
  if (canCopy(task)) yield* copyBytes(task, files, lend);
  else {
    const { encode, isPacked } = WIRE_FORMATS[task.format];
    yield* encode(rowBatches(task, files, !isPacked), task.shape, task.spelling);
  }
}

/** True where the answer is what lies in the shards, byte for byte. */
export function canCopy(task: PrintTask): boolean {
  return (
    WIRE_FORMATS[task.format].isPacked &&
    task.shape.kind === 'regular' &&
    task.selected === null &&
    task.calibrations === null
  );
}

/** Bytes of the answer where they are known beforehand. */
export function printedBytes({ format, shape }: PrintTask): number | null {
  if (!WIRE_FORMATS[format].isPacked) return null;
  const rowBytes = shape.channelLabels.length * DTYPES[shape.dtype].bytes + (shape.kind === 'irregular' ? 8 : 0);
  return (format === 'npy' ? npyHeader(shape).length : 0) + shape.totalRows * rowBytes;
}

async function* copyBytes(task: PrintTask, files: ShardFiles, lend: boolean): AsyncGenerator<Uint8Array> {
  // With the first rows, not before them: one packet, and an error in them can still be told.
  let header = task.format === 'npy' ? npyHeader(task.shape) : null;
  for (const section of task.sections) {
    if (section.kind === 'held') continue;
    for await (const { values } of readPieces(files, section.pieces, 'values', { lend })) {
      if (header) yield header;
      header = null;
      yield values;
    }
  }
  if (header) yield header;
}

/**
 * The rows as blocks of bytes, in turn int64 times and values. After those of a regular series comes a last block of its segments: pairs
 * of int64, the number of a row within this answer and its time, where rows begin, or begin anew after a gap.
 */
export async function* rowBlocks(task: RowsTask): AsyncGenerator<Uint8Array> {
  const files = eachOpened(new DataRoot(task.dataRoot));
  const starts: bigint[] = [];
  let written = 0;
  let nextRow = -1;
  for await (const { firstRow, rows, values, times: known } of rowBatches(task, files, true)) {
    const times = known as BigInt64Array;
    for (const segment of task.clock?.segments ?? []) {
      const from = Math.max(firstRow, segment.firstRow);
      if (from >= Math.min(firstRow + rows, segment.firstRow + segment.rows)) continue;
      if (from === segment.firstRow || from !== nextRow) {
        starts.push(BigInt(written + from - firstRow), times[from - firstRow]);
      }
    }
    yield bytesOf(times);
    yield bytesOf(values);
    written += rows;
    nextRow = firstRow + rows;
  }
  if (task.clock) yield bytesOf(BigInt64Array.from(starts));
}

/** @param withTimes of regular series, too, where they are computed */
export async function* rowBatches(task: RowsTask, files: ShardFiles, withTimes: boolean): AsyncGenerator<OutBatch> {
  const rowBytes = task.channels * DTYPES[task.dtype].bytes;
  for (const section of task.sections) {
    if (section.kind === 'held') {
      yield outBatch(task, section.firstRow, section.values, section.times);
      continue;
    }
    for await (const { piece, values, times } of readPieces(files, section.pieces)) {
      const firstRow = piece.blocks[0].firstRow;
      const range = { from: firstRow, to: firstRow + values.length / rowBytes };
      const stored = times && (viewAs('int64', times) as BigInt64Array);
      const computed = withTimes && task.clock ? timesOfRows(task.clock.segments, task.clock.rate, range) : null;
      yield outBatch(task, firstRow, values, stored ?? computed);
    }
  }
}

function outBatch(task: RowsTask, firstRow: number, bytes: Uint8Array, times: BigInt64Array | null): OutBatch {
  const stored = viewAs(task.dtype, bytes);
  const chosen = task.selected ? pick(stored, task.channels, task.selected, task.dtype) : stored;
  const values = task.calibrations ? toPhysical(task, chosen, task.calibrations) : chosen;
  return { firstRow, rows: stored.length / task.channels, values, times };
}

/** Selected channels of rows × channels, row-major. */
function pick(values: SampleArray, channels: number, selected: readonly number[], dtype: Dtype): SampleArray {
  const rows = values.length / channels;
  const out = new DTYPES[dtype].array(rows * selected.length);
  for (let s = 0; s < selected.length; s++) {
    copyValues(out, { at: s, step: selected.length }, values, { at: selected[s], step: channels }, rows);
  }
  return out;
}
