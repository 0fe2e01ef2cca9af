import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { blockRows, mostBlockRows } from '../../src/core/rows/chunk.ts';
import { StatsReader, statsOf } from '../../src/core/rows/chunk-stats.ts';
import { DTYPE_NAMES, DTYPES, isBigDtype, type Dtype, type SampleArray } from '../../src/core/numbers/dtype.ts';
import type { RowShape } from '../../src/core/numbers/missing-value.ts';
import { Moments, type KnownNumbers } from '../../src/core/numbers/moments.ts';
import { arrayOf } from '../formats/streams.ts';
import { exactly, wholeSumOf } from './exact.ts';

describe('a block has as many rows as are inflated quickly, or as a wide series brings fast', () => {
  test.each<[string, number, number, number, number]>([
    ['one channel of float64', 8, 1, 1e9, 32_768],
    ['rows of odd length', 3, 3, 1e9, 65_536],
    ['16 channels of int32', 64, 16, 1e9, 4_096],
    ['384 channels of int16: at least 1 MiB', 768, 384, 1e9, 2_048],
    ['no more than there are', 8, 1, 1_000, 1_024],
    ['one row', 8, 1, 1, 1],
    ['none', 8, 1, 0, 1],
    ['a row above the most', 2_000_000, 4, 50, 1],
  ])('%s', (_, rowBytes, channels, rows, expected) => {
    expect(blockRows(rowBytes, channels, rows)).toBe(expected);
  });

  test('it is a power of two within its limits', () => {
    const rowBytes = fc.oneof(fc.integer({ min: 1, max: 4096 }), fc.integer({ min: 1, max: 4_000_000 }));
    fc.assert(
      fc.property(rowBytes, fc.integer({ min: 1, max: 1024 }), (bytes, channels) => {
        const rows = mostBlockRows(bytes, channels);
        expect(Number.isInteger(Math.log2(rows))).toBe(true);
        if (channels > 16) expect(rows * bytes).toBeGreaterThanOrEqual(1024 ** 2);
        else if (rows > 1) expect(rows * bytes).toBeLessThanOrEqual(256 * 1024);
        if (channels <= 16) expect(rows * bytes).toBeGreaterThan(Math.min(bytes, 128 * 1024) - 1);
      }),
      { numRuns: 1000 },
    );
  });
});

function shape(dtype: Dtype, channels: number, missingValue: number | bigint | null = null): RowShape {
  return { dtype, channels, missingValue };
}

/** What statistics say of each channel; null: nothing counts. */
function told(shape: RowShape, values: SampleArray): (KnownNumbers | null)[] {
  const reader = new StatsReader(shape);
  const stats = statsOf(shape, values)!;
  expect(stats).toHaveLength(reader.bytes);
  return Array.from({ length: shape.channels }, (_, c) => reader.told(stats, c));
}

const sumOf = ({ sum, low }: KnownNumbers): bigint => BigInt(sum) + BigInt(low);

describe('statistics of a chunk', () => {
  test('are counted per channel, without NaN', () => {
    const values = Float64Array.of(1, NaN, 2, NaN, NaN, NaN, -3, NaN);
    expect(told(shape('float64', 2), values)).toEqual([
      { count: 3, min: -3, max: 2, sum: 0, low: 0, squares: 14 },
      null,
    ]);
  });

  test.each([[[Infinity, -Infinity]], [[Infinity, 1]], [[-Infinity]]])(
    'are not kept of %p: nobody can subtract infinities',
    (values) => expect(statsOf(shape('float64', 1), Float64Array.from(values))).toBeNull(),
  );

  test('are not kept where they would take more than a 64th of the rows of a wide series', () => {
    expect(statsOf(shape('int16', 384), new Int16Array(384 * 100))).toBeNull();
    expect(statsOf(shape('int16', 384), new Int16Array(384 * 2048))).toHaveLength(384 * 24);
    for (const dtype of DTYPE_NAMES) {
      const widest = mostBlockRows(384 * DTYPES[dtype].bytes, 384);
      expect(statsOf(shape(dtype, 384), new DTYPES[dtype].array(384 * widest))).not.toBeNull();
      expect(statsOf(shape(dtype, 16), new DTYPES[dtype].array(16))).not.toBeNull();
    }
  });

  test.each<[Dtype, number | bigint, (number | bigint)[], [number, number | bigint, number | bigint, bigint] | null]>([
    ['int8', -128, [-128, -127, 127, -128, 0], [3, -127, 127, 0n]],
    ['uint8', 255, [255, 254, 0], [2, 0, 254, 254n]],
    ['int16', -32768, [-32768, 5], [1, 5, 5, 5n]],
    ['uint16', 0, [0, 65535, 0], [1, 65535, 65535, 65535n]],
    ['int32', -1, [-1, 1, -2], [2, -2, 1, -1n]],
    ['uint32', 2 ** 32 - 1, [2 ** 32 - 1, 1], [1, 1, 1, 1n]],
    ['float32', Math.fround(0.1), [Math.fround(0.1), NaN, 2], [1, 2, 2, 2n]],
    ['float64', -999, [-999, -1000, NaN, 1], [2, -1000, 1, -999n]],
    // 2^53 and its neighbour are one double.
    ['int64', 2n ** 53n, [2n ** 53n, 2n ** 53n + 1n, 2n ** 53n], [1, 2n ** 53n + 1n, 2n ** 53n + 1n, 2n ** 53n + 1n]],
    ['uint64', 2n ** 64n - 1n, [2n ** 64n - 1n, 2n ** 64n - 2n], [1, 2n ** 64n - 2n, 2n ** 64n - 2n, 2n ** 64n - 2n]],
    ['int64', -(2n ** 63n), [-(2n ** 63n)], null],
  ])('of %s do not count the missing value %s', (dtype, missingValue, list, wanted) => {
    // A channel of it alone beside: all of it is missing.
    const values = new DTYPES[dtype].array(list.length * 2);
    list.forEach((value, i) => ([values[2 * i], values[2 * i + 1]] = [value, missingValue]));
    const [found, beside] = told(shape(dtype, 2, missingValue), values);
    expect(beside).toBeNull();
    expect(found && [found.count, found.min, found.max, sumOf(found)]).toEqual(wanted);
  });

  test.each(DTYPE_NAMES)('of %s that are merged say of all rows what the rows say', (dtype) => {
    const { range } = DTYPES[dtype];
    const big = isBigDtype(dtype);
    const whole = range && fc.oneof(fc.bigInt(range), fc.constantFrom(range.min, range.max, range.max - 1n));
    const value: fc.Arbitrary<number | bigint> = whole
      ? big
        ? whole
        : whole.map(Number)
      : fc
          .oneof(
            fc.double({ min: -1e6, max: 1e6, noNaN: true }),
            fc.nat(5).map((n) => 1e15 + n),
            ...(dtype === 'float64' ? [fc.double({ noNaN: true, noDefaultInfinity: true })] : []),
          )
          .map((each) => (dtype === 'float32' ? Math.fround(each) : each));
    const parts = fc.array(fc.array(value, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 5 });
    const one = shape(dtype, 1);
    fc.assert(
      fc.property(parts, (lists) => {
        const merged = new Moments(one, 1, true);
        for (const list of lists) merged.addTold(0, told(one, arrayOf(dtype, list))[0]!);
        const all = lists.flat();
        const exact = exactly(all);
        const numbers = all.map(Number);
        const most = Math.max(...numbers.map(Math.abs));
        expect(merged.counts[0]).toBe(all.length);
        expect([Number(merged.mins[0]), Number(merged.maxs[0])].map((each) => each + 0)).toEqual([
          Math.min(...numbers) + 0,
          Math.max(...numbers) + 0,
        ]);
        if (range) {
          expect(BigInt(merged.sum(0))).toBe(wholeSumOf(exact));
          expect(merged.mean(0)).toBe(exact.mean);
        } else {
          const isNear = (found: number, wanted: number, error: number): boolean =>
            found === wanted || Math.abs(found - wanted) <= error;
          expect(isNear(merged.mean(0), exact.mean, most * 2 ** -52)).toBe(true);
        }
        if (all.length > 1) {
          expect(Math.abs(merged.deviation(0) - exact.std)).toBeLessThanOrEqual(exact.std * 1e-12);
        }
      }),
      { numRuns: 200 },
    );
  });
});
