import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  calibrationOf,
  slopeOf,
  toPhysical,
  toPhysicalValue,
  type Calibration,
} from '../../src/core/signal/calibration.ts';
import { DTYPES, type Dtype } from '../../src/core/numbers/dtype.ts';
import type { Channel } from '../../src/core/signal/series.ts';

const plain = (dtype: Dtype): { dtype: Dtype; missingValue: null } => ({ dtype, missingValue: null });

const PLAIN = { scale: 1, offset: 0 };
const MICROVOLT = { scale: 0.001, offset: 5 };

describe('a channel says its map, its series the rest', () => {
  test.each<[string, { scale: number; offset: number }, Omit<Channel, 'label'>, Calibration]>([
    ['nothing said: the value itself', PLAIN, {}, { form: 'identity' }],
    ['the series alone', MICROVOLT, {}, { form: 'linear', slope: 0.001, intercept: 5 }],
    ['scales multiply', MICROVOLT, { scale: 3 }, { form: 'linear', slope: 0.003, intercept: 5 }],
    [
      "a channel's own offset replaces the series'",
      MICROVOLT,
      { offset: 7 },
      { form: 'linear', slope: 0.001, intercept: 7 },
    ],
    ['an offset of 0 is one', MICROVOLT, { offset: 0 }, { form: 'linear', slope: 0.001, intercept: 0 }],
    ['scales that cancel', { scale: 2, offset: 0 }, { scale: 0.5 }, { form: 'identity' }],
    ['an offset alone', PLAIN, { offset: 1 }, { form: 'linear', slope: 1, intercept: 1 }],
    [
      "a converter's terms come before all",
      MICROVOLT,
      { gain: 200, baseline: 1024 },
      { form: 'converter', gain: 200, baseline: 1024 },
    ],
    [
      'the ranges of a converter and what they stand for',
      MICROVOLT,
      { digital_min: -2048, digital_max: 2047, physical_min: 4, physical_max: -4 },
      { form: 'ranges', slope: -8 / 4095, shift: -4 / (-8 / 4095) - 2047 },
    ],
    ["a converter's range alone says nothing", PLAIN, { digital_min: 0, digital_max: 1 }, { form: 'identity' }],
    ['a gain without a baseline', PLAIN, { gain: 200 }, { form: 'converter', gain: 200, baseline: 0 }],
  ])('%s', (_, series, channel, map) => {
    expect(calibrationOf(series, { label: 'c0', ...channel })).toEqual(map);
  });
});

test("a converter's terms give WFDB's own numbers, to the last bit, where a rounded scale would not", () => {
  const map = calibrationOf(PLAIN, { label: 'MLII', gain: 200, baseline: 1024 });
  const raw = Int16Array.from({ length: 65_536 }, (_, i) => i - 32_768);
  const physical = toPhysical(plain('int16'), raw, [map]);
  let different = 0;
  raw.forEach((value, i) => {
    if (!Object.is(physical[i], (value - 1024) / 200)) throw new Error(`${value} became ${physical[i]}`);
    if (physical[i] !== value * (1 / 200) - 1024 / 200) different++;
  });
  expect(different).toBeGreaterThan(1000);
});

test('each channel goes by its own map', () => {
  const maps: Calibration[] = [
    { form: 'identity' },
    { form: 'linear', slope: 0.5, intercept: 1 },
    { form: 'converter', gain: 4, baseline: 2 },
    { form: 'ranges', slope: 3, shift: 1 },
  ];
  const values = Int16Array.of(1, 2, 3, 4, -4, -5, -6, -7);
  expect([...toPhysical(plain('int16'), values, maps)]).toEqual([1, 2, 0.25, 15, -4, -1.5, -2, -18]);
  expect([...values].map((value, i) => toPhysicalValue(maps[i % 4], value))).toEqual([
    1, 2, 0.25, 15, -4, -1.5, -2, -18,
  ]);
  expect(maps.map(slopeOf)).toEqual([1, 0.5, 0.25, 3]);
});

test('NaN stays NaN, and 64-bit integers are rounded to double first', () => {
  const half: Calibration = { form: 'linear', slope: 0.5, intercept: 0 };
  expect([...toPhysical(plain('float32'), Float32Array.of(NaN, 1), [half])]).toEqual([NaN, 0.5]);
  expect([...toPhysical(plain('uint64'), BigUint64Array.of(2n ** 64n - 1n, 2n ** 53n + 1n), [half])]).toEqual([
    2 ** 63,
    2 ** 52,
  ]);
});

test.each<[Dtype, number | bigint, (number | bigint)[], number[]]>([
  ['int8', -128, [-128, -127], [NaN, -127]],
  ['uint32', 0, [0, 1], [NaN, 1]],
  ['float32', Math.fround(0.1), [Math.fround(0.1), NaN, 0.5], [NaN, NaN, 0.5]],
  ['int64', 2n ** 53n, [2n ** 53n, 2n ** 53n + 1n, 2n ** 53n - 1n], [NaN, 2 ** 53, 2 ** 53 - 1]],
  ['uint64', 2n ** 64n - 1n, [2n ** 64n - 1n, 2n ** 64n - 2n], [NaN, 2 ** 64]],
])(
  'of %s the missing value %s is NaN, calibrated or not, and its neighbours are not',
  (dtype, missingValue, list, wanted) => {
    const values = new DTYPES[dtype].array(list.length);
    list.forEach((value, i) => (values[i] = value));
    const before = values.slice();
    expect([...toPhysical({ dtype, missingValue }, values, [{ form: 'identity' }])]).toEqual(wanted);
    const doubled: Calibration = { form: 'converter', gain: 0.5, baseline: 0 };
    expect([...toPhysical({ dtype, missingValue }, values, [doubled])]).toEqual(wanted.map((value) => value * 2));
    expect(values).toEqual(before);
  },
);

test('the values are not touched', () => {
  fc.assert(
    fc.property(fc.float64Array(), (values) => {
      const before = Float64Array.from(values);
      const physical = toPhysical(plain('float64'), values, [{ form: 'linear', slope: 2, intercept: 1 }]);
      expect(values).toEqual(before);
      expect([...physical]).toEqual([...before].map((value) => value * 2 + 1));
    }),
  );
});
