/** `application/x-ndjson`: one JSON object a row and line. */
import type { Batch, OutBatch, OutShape, SampleShape } from '../../core/signal/batch.ts';
import { invalidField, unprocessableField } from '../../core/errors.ts';
import { BatchBuilder } from './batch-builder.ts';
import { jsonObject, jsonTime, parseExactJson } from '../text/exact-json.ts';
import { jsonValueReader, jsonValueWriter } from '../text/number-text.ts';
import { textLines } from '../text/text-lines.ts';
import { encodeTextRows } from '../text/text-rows.ts';

/**
 * `{"time": …, "values": […]}` a line; `values` may be a scalar for one channel. Irregular series need `time` on each line; those of a
 * regular series may have one, which {@link StampFollower} hears. Empty lines are skipped, but count.
 * @throws `invalid-input` and `unprocessable` naming the place, such as `line 7 values[1]`; `limit-exceeded` for a line over 1 MiB
 */
export async function* decodeNdjson(source: AsyncIterable<Uint8Array>, shape: SampleShape): AsyncGenerator<Batch> {
  const channels = shape.channelLabels.length;
  const read = jsonValueReader(shape.dtype, (row, channel) => `line ${row} values[${channel}]`);
  const batch = new BatchBuilder(shape);
  let line = 0;
  for await (const lines of textLines(source)) {
    for (const text of lines) {
      line++;
      if (text.trim() === '') continue;
      const place = `line ${line}`;
      const item = jsonObject(parseExactJson(text, place), ['time', 'values'], place);
      if (item.values === undefined) throw invalidField(`${place} values`, 'is missing');
      const cells: unknown[] = Array.isArray(item.values) ? item.values : [item.values];
      if (cells.length !== channels) {
        throw unprocessableField(`${place} values`, `has ${cells.length} values; the series has ${channels} channels`);
      }
      const hasTime = item.time !== undefined && item.time !== null;
      const timeNs = shape.kind === 'regular' && !hasTime ? null : jsonTime(item.time, `${place} time`);
      batch.push(
        (c) => read(cells[c], line, c),
        timeNs,
        () => `${place} time`,
      );
      if (batch.full) yield batch.take();
    }
  }
  if (batch.rows > 0) yield batch.take();
}

/** The same lines; times are integer nanoseconds as strings, values always a list. */
export function encodeNdjson(batches: AsyncIterable<OutBatch>, shape: OutShape): AsyncGenerator<Uint8Array> {
  const channels = shape.channelLabels.length;
  const write = jsonValueWriter(shape.dtype);
  return encodeTextRows(batches, '', ({ values, times }, row) => {
    let cells = write(values[row * channels]);
    for (let c = 1; c < channels; c++) cells += `,${write(values[row * channels + c])}`;
    return `{"time":"${(times as BigInt64Array)[row]}","values":[${cells}]}\n`;
  });
}
