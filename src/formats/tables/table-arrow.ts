/** Tables as Arrow IPC. Texts are dictionaries, what is missing is null. */
import type * as Arrow from 'apache-arrow';

import type { Table, TableBatch, TableColumn } from '../../core/signal/sample-table.ts';
import {
  loadArrow,
  arrowNumberType,
  timeType,
  toRecordBatch,
  writeRecordBatches,
  type ArrowLibrary,
} from '../binary/arrow-writer.ts';
import { MAX_BATCH_ROWS } from '../samples/cut-batches.ts';

/**
 * The metadata of the schema have what {@link Table.about} says, as JSON where it is no text. Those of a field have
 * what its column says.
 */
export async function* encodeTableArrow(
  batches: AsyncIterable<TableBatch>,
  table: Table,
  framing: 'stream' | 'file',
): AsyncGenerator<Uint8Array> {
  const arrow = await loadArrow();
  const metadata = Object.entries(table.about).map(([name, value]): [string, string] => [
    name,
    typeof value === 'string' ? value : JSON.stringify(value),
  ]);
  const fields = table.columns.map(
    (column, number) =>
      new arrow.Field(
        column.name,
        typeOf(arrow, column, number, table),
        column.nullable ?? false,
        new Map(Object.entries(column.about ?? {})),
      ),
  );
  const schema = new arrow.Schema(fields, new Map(metadata));
  const words = table.columns.map((column) =>
    column.words ? arrow.vectorFromArray([...column.words], new arrow.Utf8()) : null,
  );
  yield* writeRecordBatches(arrow, schema, recordBatches(arrow, schema, words, batches), framing);
}

/** @param number of the column: its dictionary is called so. The library would count those of its process, and no answer be like the one before. */
function typeOf(arrow: ArrowLibrary, { type }: TableColumn, number: number, { timeReference }: Table): Arrow.DataType {
  if (type === 'time') return timeType(arrow, timeReference);
  return type === 'text'
    ? new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32(), number)
    : arrowNumberType(arrow, type === 'number' ? 'float64' : type);
}

async function* recordBatches(
  arrow: ArrowLibrary,
  schema: Arrow.Schema,
  words: readonly (Arrow.Vector | null)[],
  batches: AsyncIterable<TableBatch>,
): AsyncGenerator<Arrow.RecordBatch> {
  for await (const { rows, columns, present } of batches) {
    for (let from = 0; from < rows; from += MAX_BATCH_ROWS) {
      const length = Math.min(MAX_BATCH_ROWS, rows - from);
      const children = columns.map((column, c): Arrow.Data => {
        const { type } = schema.fields[c];
        const data = Array.isArray(column)
          ? Float64Array.from(column.slice(from, from + length), Number)
          : column.subarray(from, from + length);
        const nulls = nullsOf(present[c]?.subarray(from, from + length));
        const dictionary = words[c];
        return arrow.makeData({ type, length, data, ...nulls, ...(dictionary && { dictionary }) } as never);
      });
      yield toRecordBatch(arrow, schema, children, length);
    }
  }
}

/** A bit a row, the least significant first: 1 where there is a value. */
function nullsOf(present: Uint8Array | undefined): { nullCount: number; nullBitmap?: Uint8Array } {
  if (!present) return { nullCount: 0 };
  const nullBitmap = new Uint8Array(Math.ceil(present.length / 8));
  let nullCount = 0;
  present.forEach((isThere, i) => {
    if (isThere) nullBitmap[i >>> 3] |= 1 << (i & 7);
    else nullCount++;
  });
  return nullCount === 0 ? { nullCount } : { nullCount, nullBitmap };
}
