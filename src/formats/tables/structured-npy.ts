/** A table as one structured `.npy` array. */
import { DTYPES, isBigDtype, type Dtype } from '../../core/numbers/dtype.ts';
import { npyHead } from '../samples/npy.ts';

export interface NpyField {
  readonly name: string;
  readonly dtype: Dtype;
  /** Numbers of each row; null: one, and no array. */
  readonly width: number | null;
  /** Values by number of the row's field, then by row. A missing value is NaN; for an integer it is `none`. */
  readonly values: readonly (readonly (number | bigint | null)[])[];
  /** Default: 0. */
  readonly none?: number | bigint;
}

/** @see https://numpy.org/neps/nep-0001-npy-format.html */
export function npyTable(fields: readonly NpyField[], rows: number): Uint8Array {
  const descr = fields.map(({ name, dtype, width }) => {
    const shape = width === null ? '' : `, (${width},)`;
    return `('${name}', '${DTYPES[dtype].npy}'${shape})`;
  });
  const head = npyHead(`[${descr.join(', ')}]`, `(${rows},)`);
  const rowBytes = fields.reduce((sum, { dtype, values }) => sum + DTYPES[dtype].bytes * values.length, 0);
  const bytes = Buffer.alloc(head.length + rows * rowBytes);
  bytes.set(head);
  let offset = head.length;
  for (const { dtype, values, none } of fields) {
    for (const column of values) {
      write(bytes, offset, rowBytes, dtype, column, none ?? 0);
      offset += DTYPES[dtype].bytes;
    }
  }
  return bytes;
}

function write(
  bytes: Buffer,
  offset: number,
  step: number,
  dtype: Dtype,
  values: readonly (number | bigint | null)[],
  none: number | bigint,
): void {
  const { array, bytes: size, kind } = DTYPES[dtype];
  const one = new array(1);
  const raw = new Uint8Array(one.buffer);
  values.forEach((value, i) => {
    const number = value ?? (kind === 'float' ? NaN : none);
    one[0] = isBigDtype(dtype) ? BigInt(number) : Number(number);
    bytes.set(raw.subarray(0, size), offset + i * step);
  });
}
