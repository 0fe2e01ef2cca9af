/** From stored to physical values: raw × scale × channel scale + offset, (raw − baseline) / gain, or (raw + shift) × slope. */
import type { SampleArray } from '../numbers/dtype.ts';
import { toFloat64, type RowShape } from '../numbers/missing-value.ts';
import type { Channel } from './series.ts';

/** The linear map of one channel. */
export type Calibration =
  | { readonly form: 'identity' }
  | { readonly form: 'linear'; readonly slope: number; readonly intercept: number }
  | { readonly form: 'converter'; readonly gain: number; readonly baseline: number }
  | { readonly form: 'ranges'; readonly slope: number; readonly shift: number }
  | { readonly form: 'converted'; readonly of: Calibration; readonly conversion: Conversion };

/** From one unit to another: `x × multiply / divide + add`. Of factor and divisor, one is 1 where the units allow it. */
export interface Conversion {
  readonly multiply: number;
  readonly divide: number;
  readonly add: number;
}

/** A channel whose physical values are wanted in another unit than its own. */
export interface ConvertedChannel extends Channel {
  readonly conversion?: Conversion;
}

/** The map a channel's fields and its series' defaults say. A channel's own offset replaces the series'. */
export function calibrationOf(series: { scale: number; offset: number }, channel: ConvertedChannel): Calibration {
  const { conversion, ...unconverted } = channel;
  if (conversion) return { form: 'converted', of: calibrationOf(series, unconverted), conversion };
  if (channel.gain !== undefined) {
    return { form: 'converter', gain: channel.gain, baseline: channel.baseline ?? 0 };
  }
  const { digital_min, digital_max, physical_min, physical_max } = channel;
  if (
    physical_min !== undefined &&
    physical_max !== undefined &&
    digital_min !== undefined &&
    digital_max !== undefined
  ) {
    // Terms are computed in this order, as EDFlib does (and pyEDFlib and edfio with it), so that the last bit is the
    // same.
    const slope = (physical_max - physical_min) / (digital_max - digital_min);
    return { form: 'ranges', slope, shift: physical_max / slope - digital_max };
  }
  const slope = series.scale * (channel.scale ?? 1);
  const intercept = channel.offset ?? series.offset;
  return slope === 1 && intercept === 0 ? { form: 'identity' } : { form: 'linear', slope, intercept };
}

/** What is left to say of a channel where its calibration has been applied. */
export function withoutCalibration(channel: ConvertedChannel): Channel {
  const { conversion, scale, offset, gain, baseline, digital_min, digital_max, physical_min, physical_max, ...about } =
    channel;
  return about;
}

/**
 * Physical float64 values of rows × channels (row-major), each channel by its own map; the missing value is NaN.
 * 64-bit integers are rounded to double first, as NumPy's astype does.
 */
export function toPhysical(
  shape: Omit<RowShape, 'channels'>,
  values: SampleArray,
  calibrations: readonly Calibration[],
): Float64Array {
  const out = toFloat64(shape, values);
  const channels = calibrations.length;
  for (let c = 0; c < channels; c++) {
    const map = calibrations[c];
    if (map.form === 'linear') {
      for (let i = c; i < out.length; i += channels) out[i] = out[i] * map.slope + map.intercept;
    } else if (map.form === 'converter') {
      for (let i = c; i < out.length; i += channels) out[i] = (out[i] - map.baseline) / map.gain;
    } else if (map.form === 'ranges') {
      for (let i = c; i < out.length; i += channels) out[i] = (out[i] + map.shift) * map.slope;
    } else if (map.form === 'converted') {
      for (let i = c; i < out.length; i += channels) out[i] = toPhysicalValue(map, out[i]);
    }
  }
  return out;
}

/**
 * The physical value of one stored value that is not missing, or of a mean. A mean may well be equal to the missing
 * value.
 */
export function toPhysicalValue(map: Calibration, value: number | bigint): number {
  const number = Number(value);
  switch (map.form) {
    case 'identity':
      return number;
    case 'linear':
      return number * map.slope + map.intercept;
    case 'converter':
      return (number - map.baseline) / map.gain;
    case 'ranges':
      return (number + map.shift) * map.slope;
    case 'converted':
      return converted(map.conversion, toPhysicalValue(map.of, number), 1);
  }
}

/** The sum of `count` values in the other unit. */
function converted({ multiply, divide, add }: Conversion, sum: number, count: number): number {
  const scaled = (sum * multiply) / divide;
  return add === 0 ? scaled : scaled + add * count;
}

/** The sum of `count` physical values, from that of the stored ones. */
export function toPhysicalSum(map: Calibration, sum: number, count: number): number {
  switch (map.form) {
    case 'identity':
      return sum;
    case 'linear':
      return sum * map.slope + map.intercept * count;
    case 'converter':
      return (sum - map.baseline * count) / map.gain;
    case 'ranges':
      return (sum + map.shift * count) * map.slope;
    case 'converted':
      return converted(map.conversion, toPhysicalSum(map.of, sum, count), count);
  }
}

/** Physical units a unit of value; negative where larger values mean less. */
export function slopeOf(map: Calibration): number {
  if (map.form === 'identity') return 1;
  if (map.form === 'converted') return (slopeOf(map.of) * map.conversion.multiply) / map.conversion.divide;
  return map.form === 'converter' ? 1 / map.gain : map.slope;
}
