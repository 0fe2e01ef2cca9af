/** What the aggregates of buckets are, channel by channel. */
import { fillGaps, type Aggregate, type Fill } from '../../core/overview/aggregate-span.ts';
import { slopeOf, toPhysicalSum, toPhysicalValue, type Calibration } from '../../core/signal/calibration.ts';
import { DTYPES, type Dtype } from '../../core/numbers/dtype.ts';
import type { BucketFold } from '../../core/overview/bucket-fold.ts';
import type { NumberType } from '../../core/signal/sample-table.ts';

/** Null where a bucket has none. */
export type Value = number | bigint | null;

/** One aggregate of one channel. */
export interface WantedValues {
  readonly name: Aggregate;
  /** Number of the channel among those that were folded. */
  readonly channel: number;
  /** Null: raw values. */
  readonly calibration: Calibration | null;
  readonly fill: Fill;
}

/**
 * Computes values of an aggregate.
 * @param kept buckets that are answered, in order
 * @param start where these begin
 * @returns one value for each bucket
 */
export function aggregateValues(
  fold: BucketFold,
  { name, channel, calibration, fill }: WantedValues,
  kept: readonly number[],
  start: BigInt64Array,
): Value[] {
  const values = kept.map((bucket) => valueOf(fold, name, bucket * fold.channels + channel, calibration));
  return fill === 'previous' || fill === 'linear' ? fillGaps(values, start, fill) : values;
}

/** @param dtype of the values as they are stored */
export function aggregateType(name: Aggregate, dtype: Dtype, isCalibrated: boolean, fill: Fill): NumberType {
  if (name === 'count') return 'int64';
  // Sums of integers have every digit.
  if (name === 'sum' && DTYPES[dtype].kind === 'int' && fill !== 'linear' && !isCalibrated) return 'number';
  const isStored = name === 'min' || name === 'max' || name === 'first' || name === 'last';
  return isStored && fill !== 'linear' && !isCalibrated ? dtype : 'float64';
}

function valueOf(fold: BucketFold, name: Aggregate, at: number, calibration: Calibration | null): Value {
  const count = fold.counts[at];
  if (name === 'count') return count;
  const isOfRows = name === 'first' || name === 'last';
  if (count === 0 || (isOfRows && fold.told[at] === 1)) return null;
  const falls = calibration !== null && slopeOf(calibration) < 0;
  const physical = (value: number | bigint): Value => (calibration ? toPhysicalValue(calibration, value) : value);
  switch (name) {
    case 'min':
      return physical((falls ? fold.maxs : fold.mins)[at]);
    case 'max':
      return physical((falls ? fold.mins : fold.maxs)[at]);
    case 'first':
      return physical(fold.firsts![at]);
    case 'last':
      return physical(fold.lasts![at]);
    case 'mean':
      return calibration ? physicalMean(fold, at, calibration) : fold.mean(at);
    case 'sum':
      return calibration ? toPhysicalSum(calibration, Number(fold.sum(at)), count) : fold.sum(at);
    case 'std': {
      if (count < 2) return null;
      const deviation = fold.deviation(at);
      return calibration ? deviation * Math.abs(slopeOf(calibration)) : deviation;
    }
  }
}

/** Clamps a value between the physical minimum and maximum, whatever rounding does to each. */
function physicalMean(fold: BucketFold, at: number, calibration: Calibration): number {
  const mean = toPhysicalValue(calibration, fold.mean(at));
  const ends = [fold.mins[at], fold.maxs[at]].map((value) => toPhysicalValue(calibration, value));
  return Math.min(Math.max(...ends), Math.max(Math.min(...ends), mean));
}
