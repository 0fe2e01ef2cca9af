/** Groups rows anew: what is cut by rows of the answer is the same wherever the rows lie, and in whatever pieces they were read. */
import type { ColumnData, TableBatch } from '../core/table.ts';

/**
 * @param batches columns of any width: values of a row follow each other
 * @param most rows of a group; only the last has fewer
 * @yields groups in memory that is not used again; a part of a batch may be lent as it is
 */
export async function* groupRows(batches: AsyncIterable<TableBatch>, most: number): AsyncGenerator<TableBatch> {
  let open: OpenGroup | null = null;
  for await (const batch of batches) {
    for (let from = 0; from < batch.rows;) {
      const to: number = Math.min(batch.rows, from + most - (open?.rows ?? 0));
      if (!open && to - from === most) yield slice(batch, from, to);
      else {
        open ??= new OpenGroup(batch, most);
        open.add(slice(batch, from, to));
        if (open.rows === most) {
          yield open.take();
          open = null;
        }
      }
      from = to;
    }
  }
  if (open) yield open.take();
}

class OpenGroup {
  rows = 0;
  readonly #columns: readonly ColumnData[];
  readonly #present: (Uint8Array | null)[];
  readonly #most: number;

  constructor({ rows, columns }: TableBatch, most: number) {
    this.#most = most;
    this.#columns = columns.map((column) => {
      const length = (column.length / rows) * most;
      if (Array.isArray(column)) return new Array<number>(length).fill(0);
      return new (column.constructor as Float64ArrayConstructor)(length);
    });
    this.#present = columns.map(() => null);
  }

  add({ rows, columns, present }: TableBatch): void {
    columns.forEach((column, c) => {
      const at = this.rows * (column.length / rows);
      const own = this.#columns[c];
      if (!Array.isArray(own)) (own as Float64Array).set(column as Float64Array, at);
      else for (let i = 0; i < column.length; i++) own[at + i] = column[i];
      const here = present[c];
      if (here) (this.#present[c] ??= new Uint8Array(this.#most).fill(1)).set(here, this.rows);
    });
    this.rows += rows;
  }

  take(): TableBatch {
    const whole = { rows: this.#most, columns: this.#columns, present: this.#present };
    return slice(whole, 0, this.rows);
  }
}

function slice({ rows, columns, present }: TableBatch, from: number, to: number): TableBatch {
  return {
    rows: to - from,
    columns: columns.map((column): ColumnData => {
      const width = column.length / rows;
      const [begin, end] = [from * width, to * width];
      return Array.isArray(column) ? column.slice(begin, end) : column.subarray(begin, end);
    }),
    present: present.map((each) => each && each.subarray(from, to)),
  };
}
