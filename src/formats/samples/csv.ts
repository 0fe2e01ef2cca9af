/** `text/csv`: a header line of `time` and the channels' labels, then one line for each row. */
import type { Batch, OutBatch, OutShape, SampleShape } from '../../core/signal/batch.ts';
import { columnName, placesOfColumns, TIME_COLUMN } from '../../core/signal/column-names.ts';
import { invalidField } from '../../core/errors.ts';
import { parseTime, TIME_FORMS } from '../../core/time.ts';
import { BatchBuilder } from './batch-builder.ts';
import { csvField, csvTimeWriter } from '../text/csv-fields.ts';
import { csvRows } from '../text/csv-rows.ts';
import type { EpochUnit } from '../text/epoch-text.ts';
import { csvValueReader, csvValueWriter } from '../text/number-text.ts';
import { encodeTextRows } from '../text/text-rows.ts';

/**
 * Columns are found by the header's names, in any order; a channel called `time` has the column `time_`. Irregular series need `time`; rows of a regular series may have one,
 * which {@link StampFollower} hears. An empty field is NaN.
 * @throws `invalid-input` and `unprocessable` naming the place, such as `line 9 column V5`
 */
export async function* decodeCsv(source: AsyncIterable<Uint8Array>, shape: SampleShape): AsyncGenerator<Batch> {
  const labels = shape.channelLabels;
  const read = csvValueReader(shape.dtype, (line, channel) => `line ${line} column ${labels[channel]}`);
  const batch = new BatchBuilder(shape);
  let columns: CsvColumns | undefined;
  for await (const rows of csvRows(source)) {
    for (const { line, fields } of rows) {
      const isEmpty = fields.length === 1 && fields[0] === '';
      if (!columns) {
        if (!isEmpty) columns = columnsOf(fields, shape);
        continue;
      }
      // In a file of one column nobody can tell an empty line from an empty field.
      if (isEmpty && columns.count > 1) continue;
      if (isEmpty) throw invalidField(`line ${line}`, 'is empty; write nan for a missing value');
      if (fields.length !== columns.count) {
        throw invalidField(`line ${line}`, `has ${fields.length} fields, the header ${columns.count}`);
      }
      const { time, channels } = columns;
      const timeText = time < 0 ? '' : fields[time];
      const timeNs = shape.kind === 'regular' && timeText === '' ? null : timeOf(timeText, line);
      const field = (): string => `line ${line} column ${TIME_COLUMN}`;
      batch.push((c) => read(fields[channels[c]], line, c), timeNs, field);
      if (batch.full) yield batch.take();
    }
  }
  if (!columns)
    throw invalidField('body', `has no header line; ${[TIME_COLUMN, ...labels.map(columnName)].join(',')} is expected`);
  if (batch.rows > 0) yield batch.take();
}

interface CsvColumns {
  /** Columns of the file. */
  readonly count: number;
  /** Place of the time column, or -1. */
  readonly time: number;
  /** Place of each channel's column. */
  readonly channels: readonly number[];
}

function columnsOf(header: readonly string[], shape: SampleShape): CsvColumns {
  const names = header.map((name) => name.trim());
  const labels = shape.channelLabels.map((label) => label.trim());
  const { time, channels, unknown } = placesOfColumns(names, labels);
  if (time < 0 && shape.kind === 'irregular') throw missingColumn(TIME_COLUMN);
  const missing = channels.indexOf(-1);
  if (missing >= 0) throw missingColumn(columnName(labels[missing]));
  if (unknown >= 0) {
    const known = [TIME_COLUMN, ...labels.map(columnName)].join(', ');
    const message = `is no channel of the series, or is there twice; its columns are ${known}`;
    throw invalidField(`column ${names[unknown]}`, message);
  }
  return { count: header.length, time, channels };
}

function missingColumn(name: string): Error {
  return invalidField(`column ${name}`, 'is missing from the header line');
}

function timeOf(text: string, line: number): bigint {
  const ns = parseTime(text);
  if (ns === undefined) {
    throw invalidField(`line ${line} column ${TIME_COLUMN}`, `is not ${TIME_FORMS}`);
  }
  return ns;
}

export interface CsvOptions {
  /** Times as numbers of this unit; by default they are RFC 3339. */
  readonly epoch?: EpochUnit;
}

/** The header line, and one line for each row. Lines end with LF, as pandas, R and the shell's tools write them. */
export function encodeCsv(
  batches: AsyncIterable<OutBatch>,
  shape: OutShape,
  options: CsvOptions = {},
): AsyncGenerator<Uint8Array> {
  const channels = shape.channelLabels.length;
  const write = csvValueWriter(shape.dtype);
  const timeText = csvTimeWriter(options.epoch);
  const head = `${[TIME_COLUMN, ...shape.channelLabels.map(columnName)].map(csvField).join(',')}\n`;
  return encodeTextRows(batches, head, ({ values, times }, row) => {
    let line = timeText((times as BigInt64Array)[row]);
    for (let c = 0; c < channels; c++) line += `,${write(values[row * channels + c])}`;
    return `${line}\n`;
  });
}
