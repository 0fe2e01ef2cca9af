/** `application/octet-stream`: little-endian values and nothing else. */
import type { Batch, OutBatch, OutShape, SampleShape } from '../../core/signal/batch.ts';
import { bytesOf, viewAs } from '../../core/numbers/dtype.ts';
import { invalidField } from '../../core/errors.ts';
import { fullBatchRows, recordBytes } from './batch-builder.ts';
import { BlockCutter } from '../binary/block-cutter.ts';
import { packRecords, unpackRecords } from '../binary/packed-records.ts';

/**
 * Rows × channels of the series' dtype; for irregular series packed records of an int64 time in ns and then the channels' values.
 * @throws `invalid-input` on `body` if it ends in mid-row
 */
export async function* decodeOctets(source: AsyncIterable<Uint8Array>, shape: SampleShape): AsyncGenerator<Batch> {
  const rowBytes = recordBytes(shape);
  const cutter = new BlockCutter(fullBatchRows(rowBytes) * rowBytes);
  for await (const piece of source) for (const block of cutter.push(piece)) yield batchOf(block, shape);
  const rest = cutter.rest();
  const torn = rest.length % rowBytes;
  if (torn > 0) {
    throw invalidField('body', `ends in mid-row: ${torn} bytes are left after the last row of ${rowBytes} bytes`);
  }
  if (rest.length > 0) yield batchOf(rest, shape);
}

function batchOf(block: Uint8Array, shape: SampleShape): Batch {
  const rows = block.length / recordBytes(shape);
  if (shape.kind === 'regular') return { rows, values: viewAs(shape.dtype, block), times: null };
  return { rows, ...unpackRecords(block, shape.dtype, shape.channelLabels.length) };
}

/** The same layout as {@link decodeOctets} reads. The pieces are the batches' own size; values are not copied unless times go between them. */
export async function* encodeOctets(batches: AsyncIterable<OutBatch>, shape: OutShape): AsyncGenerator<Uint8Array> {
  for await (const { values, times } of batches) {
    yield shape.kind === 'irregular' ? packRecords(times as BigInt64Array, values) : bytesOf(values);
  }
}
