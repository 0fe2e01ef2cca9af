/** A table on the move: typed columns, in batches of rows. Answers of many series, and of buckets, are made of them. */
import { DTYPES, isBigDtype, type Dtype, type SampleArray } from '../numbers/dtype.ts';
import type { TimeReference } from './series.ts';

/** Numbers of any length: doubles, and bigints past 2^53. Formats whose columns have a type of fixed width have them as float64. */
export type NumberType = Dtype | 'number';

/** `time`: int64 ns UTC. `text`: int32 places in the words of the column. */
export type ColumnType = NumberType | 'time' | 'text';

/** Data of a column: a typed array; for the type `number` a list. */
export type ColumnData = SampleArray | (number | bigint)[];

export interface TableColumn {
  readonly name: string;
  readonly type: ColumnType;
  /** Texts of a `text` column, each said once. */
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
  /** One array for each column: BigInt64Array of times, Int32Array of places of words, else of the column's type. */
  readonly columns: readonly ColumnData[];
  /** One array for each column: 1 where there is a value, 0 where not; null: there is one everywhere. */
  readonly present: readonly (Uint8Array | null)[];
}

/** The column of a batch that these values make. */
export function columnOf(
  values: readonly (number | bigint | null)[],
  type: NumberType,
): { data: ColumnData; present: Uint8Array | null } {
  const data: ColumnData = type === 'number' ? new Array(values.length).fill(0) : new DTYPES[type].array(values.length);
  const isBig = type !== 'number' && isBigDtype(type);
  let present: Uint8Array | null = null;
  values.forEach((value, i) => {
    if (value !== null) data[i] = type === 'number' ? value : isBig ? BigInt(value) : Number(value);
    else {
      present ??= new Uint8Array(values.length).fill(1);
      present[i] = 0;
    }
  });
  return { data, present };
}
