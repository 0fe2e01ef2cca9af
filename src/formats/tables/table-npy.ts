/**
 * A table of times and numbers, as records of `time` and `values`. So an irregular series with as many channels would
 * look.
 */
import { copyValues } from '../../core/numbers/copy-values.ts';
import type { Table, TableBatch } from '../../core/signal/sample-table.ts';
import { npyHeader } from '../samples/npy.ts';
import { packRecords } from '../binary/packed-records.ts';

/**
 * Values are float64, NaN where there is none.
 * @param table with its time first, its number of rows, and no texts
 */
export async function* encodeTableNpy(batches: AsyncIterable<TableBatch>, table: Table): AsyncGenerator<Uint8Array> {
  const channelLabels = table.columns.slice(1).map(({ name }) => name);
  yield npyHeader({ kind: 'irregular', dtype: 'float64', channelLabels, totalRows: table.rows! });
  for await (const { rows, columns, present } of batches) {
    const [times, ...numbers] = columns;
    const values = new Float64Array(rows * numbers.length);
    for (const [c, column] of numbers.entries()) {
      const isThere = present[c + 1];
      if (column instanceof Float64Array && !isThere) {
        copyValues(values, { at: c, step: numbers.length }, column, { at: 0, step: 1 }, rows);
        continue;
      }
      for (let row = 0; row < rows; row++) {
        values[row * numbers.length + c] = isThere?.[row] === 0 ? NaN : Number(column[row]);
      }
    }
    yield packRecords(times as BigInt64Array, values);
  }
}
