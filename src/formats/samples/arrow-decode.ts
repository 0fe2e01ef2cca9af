/**
 * Arrow IPC on the way in, as a stream or a file. It has the column `time` and one for each channel, found by its label
 * (`time_` for a channel called `time`). The metadata are read here and not by a library. The libraries that there are
 * believe every length they read, and a hundred damaged bytes make them take all memory.
 * @see https://github.com/apache/arrow/tree/main/format (Schema.fbs, Message.fbs)
 */
import type { Batch, SampleShape } from '../../core/signal/batch.ts';
import { columnName, placesOfColumns, TIME_COLUMN } from '../../core/signal/column-names.ts';
import { copyValues } from '../../core/numbers/copy-values.ts';
import { DTYPES } from '../../core/numbers/dtype.ts';
import { invalidField, unprocessableField, type VarveError } from '../../core/errors.ts';
import { isTime, TIME_FORMS } from '../../core/time.ts';
import {
  columnCells,
  columnsOfBatch,
  FIELD,
  isValid,
  dtypeOfColumn,
  RECORD_BATCH,
  refuseBigEndian,
  SCHEMA,
  unitOf,
} from '../binary/arrow-columns.ts';
import { arrowMessages, orDamaged, type ArrowMessage } from '../binary/arrow-messages.ts';
import type { StampFollower } from '../../core/signal/stamps.ts';
import { followerOf, fullBatchRows, recordBytes, toldTimes } from './batch-builder.ts';
import type { FlatTable } from '../binary/flatbuffer.ts';

/**
 * Values must be of the series' dtype; null is NaN, where the dtype has one. Irregular series need `time`: a timestamp or a duration
 * of any unit, or int64 ns; a timestamp without a zone is taken as UTC. Rows of a regular series may have one,
 * which {@link StampFollower} hears. Batches must not be compressed.
 * @throws `invalid-input` and `unprocessable` naming `body` or the column; `limit-exceeded` for a record batch over 256 MiB
 */
export async function* decodeArrow(source: AsyncIterable<Uint8Array>, shape: SampleShape): AsyncGenerator<Batch> {
  let columns: ArrowColumns | undefined;
  const follower = followerOf(shape);
  let firstRow = 0;
  for await (const message of arrowMessages(source)) {
    if (!columns) {
      if (message.kind !== 'schema') {
        throw invalidField('body', 'has its schema behind its record batches, if at all; send it as an Arrow stream');
      }
      columns = orDamaged(() => columnsOf(message.header, shape));
    } else if (message.kind === 'batch') {
      for (const part of partsOf(message, columns, shape, { follower, firstRow })) {
        firstRow += part.rows;
        yield part;
      }
    }
  }
  if (!columns) throw invalidField('body', 'is no Arrow IPC stream or file: it has no schema');
}

interface ArrowColumns {
  readonly count: number;
  readonly time: { readonly place: number; readonly unitNs: bigint } | null;
  /** Place of each channel's column. */
  readonly channels: readonly number[];
}

function columnsOf(schema: FlatTable, shape: SampleShape): ArrowColumns {
  refuseBigEndian(schema);
  const fields = schema.tables(SCHEMA.fields);
  const names = fields.map((field) => field.text(FIELD.name));
  const { time: timePlace, channels, unknown } = placesOfColumns(names, shape.channelLabels);
  if (timePlace < 0 && shape.kind === 'irregular') throw missingColumn(TIME_COLUMN);
  const coded = [timePlace, ...channels].find((place) => place >= 0 && fields[place].table(FIELD.dictionary));
  if (coded !== undefined) {
    throw unprocessableField(`column ${names[coded]}`, 'is dictionary-encoded; plain numbers are read');
  }
  channels.forEach((place, c) => {
    if (place < 0) throw missingColumn(columnName(shape.channelLabels[c]));
    const found = dtypeOfColumn(fields[place]);
    if (found !== shape.dtype) {
      throw unprocessableField(`column ${names[place]}`, `has ${found ?? 'no numbers'}, the series ${shape.dtype}`);
    }
  });
  if (unknown >= 0) {
    const known = [TIME_COLUMN, ...shape.channelLabels.map(columnName)].join(', ');
    const message = `is no channel of the series, or is there twice; its columns are ${known}`;
    throw invalidField(`column ${names[unknown]}`, message);
  }
  const time = timePlace < 0 ? null : { place: timePlace, unitNs: unitOf(fields[timePlace]) };
  return { count: fields.length, time, channels };
}

function missingColumn(name: string): VarveError {
  return invalidField(`column ${name}`, 'is missing');
}

/** The rows of a record batch, in batches of our own size. */
function* partsOf(
  { header, body }: ArrowMessage,
  columns: ArrowColumns,
  shape: SampleShape,
  { follower, firstRow }: { readonly follower: StampFollower | null; readonly firstRow: number },
): Generator<Batch> {
  const { dtype, kind, channelLabels } = shape;
  const { rows, time, channels } = orDamaged(() => {
    const length = header.length(RECORD_BATCH.length);
    // Other types than those of fixed width have been refused: each has two buffers.
    const column = columnsOfBatch(header, body, length, new Array<number>(columns.count).fill(2));
    return {
      rows: length,
      time: columns.time && {
        ...columnCells(column(columns.time.place), 'int64', length),
        unitNs: columns.time.unitNs,
      },
      channels: columns.channels.map((place) => columnCells(column(place), dtype, length)),
    };
  });
  const timeOf = (row: number): bigint => {
    const { values, valid, unitNs } = time as NonNullable<typeof time>;
    if (!isValid(valid, row)) throw invalidField(`row ${row} column ${TIME_COLUMN}`, 'is null');
    const ns = (values as BigInt64Array)[row] * unitNs;
    if (isTime(ns)) return ns;
    throw invalidField(`row ${row} column ${TIME_COLUMN}`, `is not ${TIME_FORMS}`);
  };
  /** Hears the times of a regular series, whose rows may have none. */
  const hear = (from: number, count: number): Pick<Batch, 'startNs' | 'stamps' | 'heard'> => {
    let startNs: bigint | undefined;
    for (let row = from; row < from + count; row++) {
      if (!isValid(time!.valid, row)) continue;
      const ns = timeOf(row);
      if (firstRow + row === 0) startNs = ns;
      follower?.add(firstRow + row, ns, () => `row ${firstRow + row} column ${TIME_COLUMN}`);
    }
    return toldTimes(startNs, follower);
  };
  const most = fullBatchRows(recordBytes(shape));
  for (let from = 0; from < rows; from += most) {
    const count = Math.min(most, rows - from);
    const values = new DTYPES[dtype].array(count * channels.length);
    channels.forEach((cells, c) => {
      copyValues(values, { at: c, step: channels.length }, cells.values, { at: from, step: 1 }, count);
      if (!cells.valid) return;
      for (let i = 0; i < count; i++) {
        if (isValid(cells.valid, from + i)) continue;
        if (DTYPES[dtype].kind === 'int') {
          throw unprocessableField(`row ${from + i} column ${channelLabels[c]}`, `is null, which ${dtype} cannot hold`);
        }
        values[i * channels.length + c] = NaN;
      }
    });
    const times = kind === 'irregular' ? BigInt64Array.from({ length: count }, (_, i) => timeOf(from + i)) : null;
    yield { rows: count, values, times, ...(kind === 'regular' && time && hear(from, count)) };
  }
}
