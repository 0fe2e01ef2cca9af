/** Numbers that lie in a file frame after frame, one number a channel in each. */
import type { Batch } from '../../core/signal/batch.ts';
import { DTYPES, viewAs, type Dtype } from '../../core/numbers/dtype.ts';
import { BlockCutter } from '../binary/block-cutter.ts';
import { fullBatchRows } from '../samples/batch-builder.ts';
import { readPart, type RecordingFiles } from './recording-files.ts';

export interface FlatFrames {
  readonly file: string;
  readonly fromByte: number;
  /** Frames that are there, as its size says. */
  readonly rows: number;
  readonly channels: number;
  readonly dtype: Dtype;
  readonly isBigEndian?: boolean;
}

/** Rows × channels, as they lie in the file. */
export async function* flatBatches(files: RecordingFiles, flat: FlatFrames): AsyncGenerator<Batch> {
  const { file, fromByte, rows, channels, dtype, isBigEndian } = flat;
  const frameBytes = channels * DTYPES[dtype].bytes;
  const cutter = new BlockCutter(fullBatchRows(frameBytes) * frameBytes);
  const batchOf = (block: Uint8Array): Batch => {
    if (isBigEndian) reverseBytes(block, DTYPES[dtype].bytes);
    return { rows: block.length / frameBytes, values: viewAs(dtype, block), times: null };
  };
  if (rows === 0) return;
  for await (const piece of files.open(file, fromByte, fromByte + rows * frameBytes)) {
    for (const block of cutter.push(piece)) yield batchOf(block);
  }
  const rest = cutter.rest();
  if (rest.length >= frameBytes) yield batchOf(rest.subarray(0, rest.length - (rest.length % frameBytes)));
}

/** Channels that lie one after the other are read side by side, in pieces of about this size in all. */
const SIDE_BY_SIDE_BYTES = 8 * 1024 * 1024;

/** Rows × channels of a file in which all numbers of a channel lie together. */
export async function* vectorBatches(files: RecordingFiles, flat: FlatFrames): AsyncGenerator<Batch> {
  const { file, fromByte, rows, channels, dtype, isBigEndian } = flat;
  const { array, bytes } = DTYPES[dtype];
  const full = fullBatchRows(channels * bytes);
  const step = Math.max(full, Math.floor(SIDE_BY_SIDE_BYTES / (channels * bytes)));
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    const values = new array(count * channels);
    for (let c = 0; c < channels; c++) {
      const part = await readPart(files, file, fromByte + (c * rows + row) * bytes, count * bytes);
      if (isBigEndian) reverseBytes(part, bytes);
      const column = viewAs(dtype, part);
      for (let i = 0; i < count; i++) values[i * channels + c] = column[i];
    }
    for (let from = 0; from < count; from += full) {
      const upTo = Math.min(count, from + full);
      yield { rows: upTo - from, values: values.subarray(from * channels, upTo * channels), times: null };
    }
  }
}

/** Turns the bytes of each number round, in place. */
function reverseBytes(bytes: Uint8Array, size: number): void {
  for (let at = 0; at + size <= bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}
