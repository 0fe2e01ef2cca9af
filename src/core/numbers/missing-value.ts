/** The stored value that stands for no measurement: what NaN is among floats, in a type that has none. */
import { isBigDtype, type Dtype, type SampleArray } from './dtype.ts';

/** What rows are made of, as far as counting and converting them goes. */
export interface RowShape {
  readonly dtype: Dtype;
  readonly channels: number;
  /** As arrays of the dtype hold it; null: every value but NaN is one. */
  readonly missingValue: number | bigint | null;
}

/** Puts NaN in the place of the missing value. @param values widened to float64, which holds all types exactly but 64-bit integers */
export function blankMissing(values: Float64Array, missingValue: number): void {
  for (let i = 0; i < values.length; i++) if (values[i] === missingValue) values[i] = NaN;
}

/**
 * A copy as float64, with NaN in the place of the missing value. 64-bit integers are first compared with it, then
 * rounded to the nearest double.
 */
export function toFloat64({ dtype, missingValue }: Omit<RowShape, 'channels'>, values: SampleArray): Float64Array {
  const out = new Float64Array(values.length);
  if (!isBigDtype(dtype)) {
    out.set(values as Float64Array);
    if (missingValue !== null) blankMissing(out, missingValue as number);
  } else if (missingValue === null) {
    for (let i = 0; i < out.length; i++) out[i] = Number(values[i]);
  } else {
    for (let i = 0; i < out.length; i++) out[i] = values[i] === missingValue ? NaN : Number(values[i]);
  }
  return out;
}
