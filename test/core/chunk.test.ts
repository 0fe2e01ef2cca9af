import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { hotChunkRows, MAX_HOT_CHUNK_BYTES, MIN_HOT_CHUNK_BYTES } from '../../src/core/chunk.ts';
import { emptyStats, extendStats } from '../../src/core/chunk-stats.ts';
import { DTYPES, type Dtype } from '../../src/core/dtype.ts';

describe('a hot chunk holds what a series sends at once, or in ten seconds', () => {
  test.each<[string, number, number, number | null, number]>([
    ['a slow sensor: the least', 8, 1, 0.1, 2048],
    ['irregular readings, one at a time: the least', 8, 1, null, 2048],
    ['an ECG of two int16 channels', 4, 1, 360, 4096],
    ['the same, a minute at once', 4, 21_600, 360, 32_768],
    ['384 int16 channels at 30 kHz: the most', 768, 30_000, 30_000, 1024],
    ['rows of odd length stay below the most', 3, 10_000_000, null, 262_144],
    ['a row of 16 KiB', 16_384, 1, null, 1],
    ['a row above the most', 2_000_000, 50, 1000, 1],
  ])('%s', (_, rowBytes, firstBatchRows, rateHz, rows) => {
    expect(hotChunkRows(rowBytes, firstBatchRows, rateHz)).toBe(rows);
  });

  test('it is a power of two within its limits', () => {
    const rowBytes = fc.oneof(fc.integer({ min: 1, max: 4096 }), fc.integer({ min: 1, max: 4_000_000 }));
    const rate = fc.option(
      fc.oneof(fc.double({ min: 3e-10, max: 100, noNaN: true }), fc.integer({ min: 1, max: 1e9 })),
    );
    fc.assert(
      fc.property(rowBytes, fc.integer({ min: 1, max: 2 ** 31 }), rate, (bytes, batch, hz) => {
        const rows = hotChunkRows(bytes, batch, hz);
        expect(Number.isInteger(Math.log2(rows))).toBe(true);
        if (rows > 1) expect(rows * bytes).toBeLessThanOrEqual(MAX_HOT_CHUNK_BYTES);
        expect((rows + 1) * bytes).toBeGreaterThan(MIN_HOT_CHUNK_BYTES);
        const wanted = Math.max(batch, (hz ?? 0) * 10);
        expect(rows >= wanted || rows * 2 * bytes > MAX_HOT_CHUNK_BYTES).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('statistics of a chunk', () => {
  test('are counted per channel, without NaN', () => {
    const values = Float64Array.of(1, NaN, 2, NaN, NaN, NaN, -3, NaN);
    expect(extendStats(emptyStats(2), 'float64', values, 2)).toEqual({
      counts: [3, 0],
      mins: [-3, NaN],
      maxs: [2, NaN],
      sums: [0, 0],
    });
  });

  test('begin where the first number comes, however late', () => {
    const nothing = extendStats(emptyStats(1), 'float32', Float32Array.of(NaN, NaN), 1);
    expect(nothing).toEqual(emptyStats(1));
    expect(extendStats(nothing, 'float32', Float32Array.of(NaN, 5), 1)).toEqual({
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
    expect(extendStats(emptyStats(1), 'float64', Float64Array.from(values), 1)).toMatchObject({
      counts: [values.length],
      mins: [min],
      maxs: [max],
    });
  });

  test('64-bit integers count as their nearest float64', () => {
    const values = BigInt64Array.of(2n ** 63n - 1n, -(2n ** 63n), 5n);
    expect(extendStats(emptyStats(1), 'int64', values, 1)).toEqual({
      counts: [3],
      mins: [-(2 ** 63)],
      maxs: [2 ** 63],
      sums: [5],
    });
  });

  test('what was counted before is not changed', () => {
    const before = emptyStats(1);
    extendStats(before, 'int8', Int8Array.of(1), 1);
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
          grown = extendStats(grown, dtype, all.subarray(at, end), channels);
          at = end;
        }
        expect(grown).toEqual(extendStats(emptyStats(channels), dtype, all, channels));
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
