/**
 * Arrow IPC, written record batch by record batch, as a stream or as a file.
 * @see https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc
 */
import type * as Arrow from 'apache-arrow';
import type { Dtype } from '../../core/numbers/dtype.ts';
import type { TimeReference } from '../../core/signal/series.ts';
import { joinBytes } from './block-cutter.ts';

export type ArrowLibrary = typeof Arrow;

/** The class of each dtype's Arrow type. */
const NUMBER_TYPES = {
  int8: 'Int8',
  int16: 'Int16',
  int32: 'Int32',
  int64: 'Int64',
  uint8: 'Uint8',
  uint16: 'Uint16',
  uint32: 'Uint32',
  uint64: 'Uint64',
  float32: 'Float32',
  float64: 'Float64',
} as const satisfies Record<Dtype, keyof ArrowLibrary>;

/** The library takes a tenth of a second to load, which who never asks for Arrow need not wait for. */
export function loadArrow(): Promise<ArrowLibrary> {
  return import('apache-arrow');
}

export function arrowNumberType(arrow: ArrowLibrary, dtype: Dtype): Arrow.DataType {
  return new arrow[NUMBER_TYPES[dtype]]();
}

/** A timestamp[ns, UTC], or a duration[ns] since the start of the recording. */
export function timeType(arrow: ArrowLibrary, reference: TimeReference): Arrow.DataType {
  return reference === 'relative'
    ? new arrow.Duration(arrow.TimeUnit.NANOSECOND)
    : new arrow.TimestampNanosecond('UTC');
}

/** @param children one a field of the schema */
export function toRecordBatch(
  arrow: ArrowLibrary,
  schema: Arrow.Schema,
  children: readonly Arrow.Data[],
  rows: number,
): Arrow.RecordBatch {
  const type = new arrow.Struct(schema.fields);
  return new arrow.RecordBatch(schema, arrow.makeData({ type, length: rows, nullCount: 0, children: [...children] }));
}

/** Bytes as the batches come; the schema comes with the first of them, or alone if there is none. */
export async function* writeRecordBatches(
  arrow: ArrowLibrary,
  schema: Arrow.Schema,
  batches: AsyncIterable<Arrow.RecordBatch>,
  framing: 'stream' | 'file',
): AsyncGenerator<Uint8Array> {
  // The library's queue has no bound. This one is emptied after each batch, so that the writer never runs ahead of the reader.
  const written: Uint8Array[] = [];
  class Sink extends arrow.AsyncByteQueue {
    override write(bytes: Uint8Array): void {
      if (bytes.byteLength > 0) written.push(bytes);
    }
  }
  /**
   * The library writes the schema of a file into its footer only. The format has it at the start as well, where a
   * reader of a stream finds it.
   */
  class FileWriter extends arrow.RecordBatchFileWriter {
    protected override _writeSchema(fileSchema: Arrow.Schema): this {
      return this._writeMagic()._writePadding(2)._writeMessage(arrow.Message.from(fileSchema));
    }
  }
  const writer = framing === 'file' ? new FileWriter() : new arrow.RecordBatchStreamWriter();
  writer.reset(new Sink(), schema);
  for await (const batch of batches) {
    writer.write(batch);
    yield joinBytes(written.splice(0));
  }
  writer.finish();
  yield joinBytes(written.splice(0));
}
