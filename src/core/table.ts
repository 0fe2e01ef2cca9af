/** A table on the move: typed columns, in batches of rows. Answers of many series, and of buckets, are made of them. */
import { DTYPES, isBigDtype, type Dtype, type SampleArray } from './dtype.ts';
import type { TimeReference } from './series.ts';

/** `time`: int64 ns UTC. `text`: int32 places in the words of the column. */
export type ColumnType = Dtype | 'time' | 'text';

export interface TableColumn {
  readonly name: string;
  readonly type: ColumnType;
  /** Of a `text` column: each is said once. */
  readonly words?: readonly string[];
  /** True if rows may have no value, which is not the same as NaN. */
  readonly nullable?: boolean;
  /** What a file says of it: unit, series, channel … */
  readonly about?: Readonly<Record<string, string>>;
}

export interface Table {
  readonly columns: readonly TableColumn[];
  readonly timeReference: TimeReference;
  /** Rows that will follow in all, where that is known before the first. */
  readonly rows: number | null;
  /** What a file says of the whole; plain JSON. */
  readonly about: Readonly<Record<string, unknown>>;
}

/** Consecutive rows. */
export interface TableBatch {
  readonly rows: number;
  /** One array a column: BigInt64Array of times, Int32Array of places of words, else of the column's dtype. */
  readonly columns: readonly SampleArray[];
  /** One a column: 1 where there is a value, 0 where not; null: everywhere. */
  readonly present: readonly (Uint8Array | null)[];
}

/** The column of a batch that these values make. */
export function columnOf(
  values: readonly (number | bigint | null)[],
  dtype: Dtype,
): { data: SampleArray; present: Uint8Array | null } {
  const data = new DTYPES[dtype].array(values.length);
  const isBig = isBigDtype(dtype);
  let present: Uint8Array | null = null;
  values.forEach((value, i) => {
    if (value !== null) data[i] = isBig ? BigInt(value) : Number(value);
    else {
      present ??= new Uint8Array(values.length).fill(1);
      present[i] = 0;
    }
  });
  return { data, present };
}
