/**
 * Arrow IPC on the way out, as a stream or as a file: a column `time` and a column a channel, a record batch for each batch of rows.
 * @see https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc
 */
import type * as Arrow from 'apache-arrow';
import type { OutBatch, OutShape } from '../core/batch.ts';
import type { Dtype, DtypeInfo, SampleArray } from '../core/dtype.ts';
import type { Channel } from '../core/series.ts';
import { joined } from './block-cutter.ts';

type Library = typeof Arrow;

/** Most rows of a record batch: readers work batch by batch, and hold one at a time. */
const MAX_BATCH_ROWS = 65_536;

/** The class of each dtype's Arrow type. */
const ARROW_TYPES = {
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
} as const satisfies Record<Dtype, keyof Library>;

/** `application/vnd.apache.arrow.stream` */
export function encodeArrowStream(batches: AsyncIterable<OutBatch>, shape: OutShape): AsyncGenerator<Uint8Array> {
  return encodeArrow(batches, shape, 'stream');
}

/** `application/vnd.apache.arrow.file`, which some know as Feather 2. */
export function encodeArrowFile(batches: AsyncIterable<OutBatch>, shape: OutShape): AsyncGenerator<Uint8Array> {
  return encodeArrow(batches, shape, 'file');
}

/**
 * Times are a timestamp[ns, UTC], or a duration[ns] since the start of the recording if the series' times are relative. Channels are of
 * the dtype; none is nullable, NaN is NaN. Metadata of the schema say what a shard's attributes say, in the same words; those of a
 * channel's field its unit and calibration.
 */
async function* encodeArrow(
  batches: AsyncIterable<OutBatch>,
  shape: OutShape,
  framing: 'stream' | 'file',
): AsyncGenerator<Uint8Array> {
  // The library takes a tenth of a second to load, which who never asks for Arrow need not wait for.
  const arrow = await import('apache-arrow');
  const schema = schemaOf(arrow, shape);
  // The library's queue has no bound. This one is emptied after each batch, so that the writer never runs ahead of the reader.
  const written: Uint8Array[] = [];
  class Sink extends arrow.AsyncByteQueue {
    override write(bytes: Uint8Array): void {
      if (bytes.byteLength > 0) written.push(bytes);
    }
  }
  /** The library's writes the schema into the footer only; the format has it at the start as well, where a reader of a stream finds it. */
  class FileWriter extends arrow.RecordBatchFileWriter {
    protected override _writeSchema(fileSchema: Arrow.Schema): this {
      return this._writeMagic()._writePadding(2)._writeMessage(arrow.Message.from(fileSchema));
    }
  }
  const writer = framing === 'file' ? new FileWriter() : new arrow.RecordBatchStreamWriter();
  writer.reset(new Sink(), schema);
  for await (const batch of batches) {
    for (let from = 0; from < batch.rows; from += MAX_BATCH_ROWS) {
      writer.write(recordBatch(arrow, schema, batch, from, Math.min(batch.rows, from + MAX_BATCH_ROWS)));
      yield joined(written.splice(0));
    }
  }
  writer.finish();
  yield joined(written.splice(0));
}

function schemaOf(arrow: Library, shape: OutShape): Arrow.Schema {
  const { name, project, unit, scale, offset, rate, timeReference, tags, channels } = shape.description;
  const timeType =
    timeReference === 'relative' ? new arrow.Duration(arrow.TimeUnit.NANOSECOND) : new arrow.TimestampNanosecond('UTC');
  const fields: Arrow.Field[] = [
    new arrow.Field('time', timeType, false),
    ...shape.channelLabels.map(
      (label, c) => new arrow.Field(label, new arrow[ARROW_TYPES[shape.dtype]](), false, fieldMetadata(channels[c])),
    ),
  ];
  const metadata: Record<string, string> = {
    series: shape.seriesId,
    name,
    project,
    unit: unit ?? '',
    kind: shape.kind,
    time_reference: timeReference,
    ...(rate !== null && { rate }),
    scale: String(scale),
    offset: String(offset),
    channels: JSON.stringify(channels),
    tags: JSON.stringify(tags),
  };
  return new arrow.Schema(fields, new Map(Object.entries(metadata)));
}

function fieldMetadata({ unit, scale, offset, gain, baseline }: Channel): Map<string, string> {
  const known = Object.entries({ unit, scale, offset, gain, baseline }).filter(([, value]) => value !== undefined);
  return new Map(known.map(([name, value]) => [name, String(value)]));
}

/** Rows `[from, to)` of a batch. */
function recordBatch(
  arrow: Library,
  schema: Arrow.Schema,
  { values, times, rows }: OutBatch,
  from: number,
  to: number,
): Arrow.RecordBatch {
  const channels = schema.fields.length - 1;
  const columns = [(times as BigInt64Array).subarray(from, to)] as SampleArray[];
  for (let c = 0; c < channels; c++) columns.push(columnOf(values, values.length / rows, c, from, to));
  const children = columns.map((data, i) => {
    const type = schema.fields[i].type as Arrow.DataType<never>;
    return arrow.makeData({ type, length: to - from, nullCount: 0, data } as never);
  });
  const type = new arrow.Struct(schema.fields);
  return new arrow.RecordBatch(schema, arrow.makeData({ type, length: to - from, nullCount: 0, children }));
}

function columnOf(values: SampleArray, channels: number, channel: number, from: number, to: number): SampleArray {
  if (channels === 1) return values.subarray(from, to);
  const column = new (values.constructor as DtypeInfo['array'])(to - from);
  for (let row = from; row < to; row++) column[row - from] = values[row * channels + channel];
  return column;
}
