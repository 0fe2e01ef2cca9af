import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { blockRows, mostBlockRows } from '../../src/core/chunk.ts';
import { emptyStats, extendStats } from '../../src/core/chunk-stats.ts';
import { DTYPES, type Dtype } from '../../src/core/dtype.ts';
import type { RowShape } from '../../src/core/missing-value.ts';

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

describe('statistics of a chunk', () => {
  test('are counted per channel, without NaN', () => {
    const values = Float64Array.of(1, NaN, 2, NaN, NaN, NaN, -3, NaN);
    expect(extendStats(emptyStats(2), shape('float64', 2), values)).toEqual({
      counts: [3, 0],
      mins: [-3, NaN],
      maxs: [2, NaN],
      sums: [0, 0],
    });
  });

  test('begin where the first number comes, however late', () => {
    const nothing = extendStats(emptyStats(1), shape('float32', 1), Float32Array.of(NaN, NaN));
    expect(nothing).toEqual(emptyStats(1));
    expect(extendStats(nothing, shape('float32', 1), Float32Array.of(NaN, 5))).toEqual({
      counts: [1],
      mins: [5],
      maxs: [5],
      sums: [5],
    });
  });

  test.each<[string, number[], number, number]>([
    ['infinities', [Infinity, -Infinity], -Infinity, Infinity],
    ['only the positive one', [Infinity], Infinity, Infinity],
    ['only the negative one', [-Infinity], -Infinity, -Infinity],
  ])('%s are values like any other', (_, values, min, max) => {
    expect(extendStats(emptyStats(1), shape('float64', 1), Float64Array.from(values))).toMatchObject({
      counts: [values.length],
      mins: [min],
      maxs: [max],
    });
  });

  test('extremes of 64-bit integers are their nearest float64, and the sum is exact', () => {
    const values = BigInt64Array.of(2n ** 63n - 1n, -(2n ** 63n), 5n);
    expect(extendStats(emptyStats(1), shape('int64', 1), values)).toEqual({
      counts: [3],
      mins: [-(2 ** 63)],
      maxs: [2 ** 63],
      sums: [4],
    });
  });

  test.each<[Dtype, number | bigint, (number | bigint)[], number[]]>([
    ['int8', -128, [-128, -127, 127, -128, 0], [3, -127, 127, 0]],
    ['uint8', 255, [255, 254, 0], [2, 0, 254, 254]],
    ['int16', -32768, [-32768, 5], [1, 5, 5, 5]],
    ['uint16', 0, [0, 65535, 0], [1, 65535, 65535, 65535]],
    ['int32', -1, [-1, 1, -2], [2, -2, 1, -1]],
    ['uint32', 2 ** 32 - 1, [2 ** 32 - 1, 1], [1, 1, 1, 1]],
    ['float32', Math.fround(0.1), [Math.fround(0.1), NaN, 2], [1, 2, 2, 2]],
    ['float64', -999, [-999, -999.5, NaN, 1], [2, -999.5, 1, -998.5]],
    // 2^53 and its neighbour are one double.
    ['int64', 2n ** 53n, [2n ** 53n, 2n ** 53n + 1n, 2n ** 53n], [1, 2 ** 53, 2 ** 53, 2 ** 53]],
    ['uint64', 2n ** 64n - 1n, [2n ** 64n - 1n, 2n ** 64n - 2n], [1, 2 ** 64, 2 ** 64, 2 ** 64]],
    ['int64', -(2n ** 63n), [-(2n ** 63n)], [0, NaN, NaN, 0]],
  ])('of %s do not count the missing value %s', (dtype, missingValue, list, [count, min, max, sum]) => {
    // A channel of it alone beside: all of it is missing.
    const values = new DTYPES[dtype].array(list.length * 2);
    list.forEach((value, i) => ([values[2 * i], values[2 * i + 1]] = [value, missingValue]));
    expect(extendStats(emptyStats(2), shape(dtype, 2, missingValue), values)).toEqual({
      counts: [count, 0],
      mins: [min, NaN],
      maxs: [max, NaN],
      sums: [sum, 0],
    });
  });

  test('what was counted before is not changed', () => {
    const before = emptyStats(1);
    extendStats(before, shape('int8', 1), Int8Array.of(1));
    expect(before).toEqual(emptyStats(1));
  });

  test('grown batch by batch they are those of all rows at once', () => {
    // Small integers: their sums are exact in any order.
    const anyValue = fc.oneof(fc.integer({ min: -1000, max: 1000 }), fc.constant(NaN));
    const dtype = fc.constantFrom<Dtype>('float64', 'float32', 'int16', 'int64');
    const split = fc.array(fc.nat(12), { maxLength: 6 });
    fc.assert(
      fc.property(dtype, fc.integer({ min: 1, max: 3 }), fc.array(anyValue), split, (dtype, channels, list, rows) => {
        const numbers = list.slice(0, list.length - (list.length % channels));
        const all = new DTYPES[dtype].array(numbers.length);
        const put = all as unknown as Record<number, number | bigint>;
        numbers.forEach((value, i) => (put[i] = dtype === 'int64' ? BigInt(value || 0) : value));
        let grown = emptyStats(channels);
        let at = 0;
        for (const count of [...rows, all.length]) {
          const end = Math.min(all.length, at + count * channels);
          grown = extendStats(grown, shape(dtype, channels), all.subarray(at, end));
          at = end;
        }
        expect(grown).toEqual(extendStats(emptyStats(channels), shape(dtype, channels), all));
        for (let c = 0; c < channels; c++) {
          const column = Array.from(all, Number).filter((value, i) => i % channels === c && !Number.isNaN(value));
          expect([grown.counts[c], grown.mins[c], grown.maxs[c], grown.sums[c]]).toEqual([
            column.length,
            column.length > 0 ? Math.min(...column) : NaN,
            column.length > 0 ? Math.max(...column) : NaN,
            column.reduce((sum, value) => sum + value, 0),
          ]);
        }
      }),
    );
  });
});
