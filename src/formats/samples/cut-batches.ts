/** Batches of one number of rows, whatever pieces the rows were read in: an answer is the same however its chunks lie. */
import type { OutBatch } from '../../core/signal/batch.ts';
import type { SampleArray } from '../../core/numbers/dtype.ts';

/** Most rows of a batch … */
export const MAX_BATCH_ROWS = 65_536;
/** … and most bytes of its values, unless one row has more. */
const MAX_BATCH_BYTES = 1024 * 1024;

/** Rows of a batch whose rows have so many bytes. */
export function batchRows(rowBytes: number): number {
  return Math.max(1, Math.min(MAX_BATCH_ROWS, Math.floor(MAX_BATCH_BYTES / rowBytes)));
}

/**
 * @param batches with times
 * @param rows of each batch but the last
 * @yields no empty ones; `firstRow` of the first of its rows
 */
export async function* cutBatches(batches: AsyncIterable<OutBatch>, rows: number): AsyncGenerator<OutBatch> {
  let open: OutBatch | null = null;
  let filled = 0;
  for await (const batch of batches) {
    const channels = batch.values.length / batch.rows;
    for (let from = 0; from < batch.rows;) {
      if (!open && batch.rows - from >= rows) {
        yield part(batch, from, from + rows);
        from += rows;
        continue;
      }
      open ??= room(batch, from, rows);
      const count = Math.min(rows - filled, batch.rows - from);
      const { values, times } = part(batch, from, from + count);
      (open.values as BigInt64Array).set(values as BigInt64Array, filled * channels);
      open.times!.set(times!, filled);
      filled += count;
      from += count;
      if (filled < rows) continue;
      yield open;
      open = null;
      filled = 0;
    }
  }
  if (open) yield part(open, 0, filled);
}

function part({ firstRow, rows, values, times }: OutBatch, from: number, to: number): OutBatch {
  const channels = values.length / rows;
  return {
    firstRow: firstRow + from,
    rows: to - from,
    values: values.subarray(from * channels, to * channels),
    times: times!.subarray(from, to),
  };
}

/** Makes a batch with room for rows of another one, from a row on. */
function room({ firstRow, rows: given, values }: OutBatch, from: number, rows: number): OutBatch {
  const Values = values.constructor as new (length: number) => SampleArray;
  return {
    firstRow: firstRow + from,
    rows,
    values: new Values((values.length / given) * rows),
    times: new BigInt64Array(rows),
  };
}
