/**
 * Arrow IPC on the way out, as a stream or as a file. It has a column `time`, one for each channel, and a record batch
 * for each batch of rows.
 * @see https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc
 */
import type * as Arrow from 'apache-arrow';
import type { OutBatch, OutShape } from '../../core/signal/batch.ts';
import { columnName, TIME_COLUMN } from '../../core/signal/column-names.ts';
import { copyValues } from '../../core/numbers/copy-values.ts';
import { DTYPES, type DtypeInfo, type SampleArray } from '../../core/numbers/dtype.ts';
import type { Channel } from '../../core/signal/series.ts';
import { batchRows, cutBatches } from './cut-batches.ts';
import {
  loadArrow,
  arrowNumberType,
  timeType,
  toRecordBatch,
  writeRecordBatches,
  type ArrowLibrary,
} from '../binary/arrow-writer.ts';

/** `application/vnd.apache.arrow.stream` */
export function encodeArrowStream(batches: AsyncIterable<OutBatch>, shape: OutShape): AsyncGenerator<Uint8Array> {
  return encodeArrow(batches, shape, 'stream');
}

/** `application/vnd.apache.arrow.file`, which some know as Feather 2. */
export function encodeArrowFile(batches: AsyncIterable<OutBatch>, shape: OutShape): AsyncGenerator<Uint8Array> {
  return encodeArrow(batches, shape, 'file');
}

/**
 * Times are a timestamp[ns, UTC], or a duration[ns] since the start of the recording if the series' times are relative.
 * Channels are of the dtype; none is nullable, NaN is NaN. The metadata of the schema say what a shard's attributes
 * say, in the same words. Those of a channel's field say its unit and calibration, and its label where the field is not
 * called so.
 */
async function* encodeArrow(
  batches: AsyncIterable<OutBatch>,
  shape: OutShape,
  framing: 'stream' | 'file',
): AsyncGenerator<Uint8Array> {
  const arrow = await loadArrow();
  const schema = schemaOf(arrow, shape);
  const rows = batchRows(shape.channelLabels.length * DTYPES[shape.dtype].bytes);
  yield* writeRecordBatches(arrow, schema, recordBatches(arrow, schema, cutBatches(batches, rows)), framing);
}

async function* recordBatches(
  arrow: ArrowLibrary,
  schema: Arrow.Schema,
  batches: AsyncIterable<OutBatch>,
): AsyncGenerator<Arrow.RecordBatch> {
  for await (const batch of batches) yield recordBatch(arrow, schema, batch);
}

function schemaOf(arrow: ArrowLibrary, shape: OutShape): Arrow.Schema {
  const { name, project, unit, scale, offset, missingValue, rate, timeReference, tags, channels } = shape.description;
  const fields: Arrow.Field[] = [
    new arrow.Field(TIME_COLUMN, timeType(arrow, timeReference), false),
    ...shape.channelLabels.map(
      (label, c) =>
        new arrow.Field(columnName(label), arrowNumberType(arrow, shape.dtype), false, fieldMetadata(channels[c])),
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
    ...(missingValue !== null && { missing_value: String(missingValue) }),
    channels: JSON.stringify(channels),
    tags: JSON.stringify(tags),
  };
  return new arrow.Schema(fields, new Map(Object.entries(metadata)));
}

/** What its values mean; the metadata of the schema say the rest. */
const FIELD_METADATA = [
  'unit',
  'scale',
  'offset',
  'gain',
  'baseline',
  'digital_min',
  'digital_max',
  'physical_min',
  'physical_max',
] as const satisfies readonly (keyof Channel)[];

function fieldMetadata(channel: Channel): Map<string, string> {
  const known = FIELD_METADATA.filter((name) => channel[name] !== undefined);
  const label: [string, string][] = columnName(channel.label) === channel.label ? [] : [['label', channel.label]];
  return new Map([...label, ...known.map((name): [string, string] => [name, String(channel[name])])]);
}

function recordBatch(arrow: ArrowLibrary, schema: Arrow.Schema, { values, times, rows }: OutBatch): Arrow.RecordBatch {
  const channels = schema.fields.length - 1;
  const columns = [times!] as SampleArray[];
  for (let c = 0; c < channels; c++) columns.push(channelColumn(values, channels, c, rows));
  const children = columns.map((data, i) => {
    const type = schema.fields[i].type as Arrow.DataType<never>;
    return arrow.makeData({ type, length: rows, nullCount: 0, data } as never) as Arrow.Data;
  });
  return toRecordBatch(arrow, schema, children, rows);
}

function channelColumn(values: SampleArray, channels: number, channel: number, rows: number): SampleArray {
  if (channels === 1) return values;
  const column = new (values.constructor as DtypeInfo['array'])(rows);
  copyValues(column, { at: 0, step: 1 }, values, { at: channel, step: channels }, rows);
  return column;
}
