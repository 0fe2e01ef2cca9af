import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DTYPE_NAMES, DTYPES, isBigDtype, type Dtype } from '../../src/core/numbers/dtype.ts';
import { nearestNumber } from '../../src/core/numbers/fraction.ts';
import { Moments } from '../../src/core/numbers/moments.ts';
import { arrayOf } from '../formats/streams.ts';
import { exactly, sumOf, wholeSumOf } from './exact.ts';

const shape = (dtype: Dtype, missingValue: number | bigint | null = null) => ({ dtype, channels: 1, missingValue });

/** The moments of parts that were added one by one, and merged the other way round as well. */
function momentsOf(dtype: Dtype, parts: readonly (readonly (number | bigint)[])[]): Moments[] {
  const grown = new Moments(shape(dtype), 1, true);
  const merged = new Moments(shape(dtype), 1, true);
  for (const part of parts) {
    grown.addRows(arrayOf(dtype, part));
    const own = new Moments(shape(dtype), 1, true);
    own.addRows(arrayOf(dtype, part));
    merged.addMoments(0, own, 0);
  }
  return [grown, merged];
}

function isNear(found: number, wanted: number, tolerance: number): boolean {
  return Math.abs(found - wanted) <= tolerance || found === wanted;
}

describe('moments are those of exact arithmetic', () => {
  const values = (dtype: Dtype): fc.Arbitrary<number | bigint> => {
    const { range } = DTYPES[dtype];
    if (range) {
      const any = fc.oneof(
        fc.bigInt(range),
        fc.constantFrom(range.min, range.max),
        fc.bigInt({ min: range.max - 9n, max: range.max }),
      );
      return isBigDtype(dtype) ? any : any.map(Number);
    }
    const ordinary = fc.double({ min: -1e6, max: 1e6, noNaN: true });
    const raised = fc.integer({ min: 1, max: 5 }).map((n) => 1e15 + n);
    const all = fc.oneof(ordinary, raised, fc.double({ noNaN: true, noDefaultInfinity: true }));
    return dtype === 'float32' ? ordinary.map(Math.fround) : all;
  };

  test.each(DTYPE_NAMES)('of %s', (dtype) => {
    const parts = fc.array(fc.array(values(dtype), { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(parts, (given) => {
        const all = given.flat();
        const exact = exactly(all);
        const most = Math.max(...all.map((value) => Math.abs(Number(value))));
        for (const moments of momentsOf(dtype, given)) {
          expect(moments.counts[0]).toBe(all.length);
          const numbers = all.map(Number);
          expect(Number(moments.mins[0]) === Math.min(...numbers)).toBe(true);
          expect(Number(moments.maxs[0]) === Math.max(...numbers)).toBe(true);
          const mean = moments.mean(0);
          expect(mean >= Math.min(...numbers) && mean <= Math.max(...numbers)).toBe(true);
          if (DTYPES[dtype].kind === 'int') {
            expect(BigInt(moments.sum(0))).toBe(wholeSumOf(exact));
            expect(mean).toBe(exact.mean);
          } else {
            expect(
              isNear(Number(moments.sum(0)), sumOf(exact), all.length * most * 2 ** -90) ||
                isNear(Number(moments.sum(0)) / sumOf(exact), 1, 2 ** -51),
            ).toBe(true);
            expect(isNear(mean, exact.mean, most * 2 ** -52)).toBe(true);
          }
          if (all.length > 1) expect(isNear(moments.deviation(0), exact.std, exact.std * 1e-13)).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('of zeros before the least of all numbers', () => {
    for (const moments of momentsOf('float64', [[0, 0], [5e-324]])) {
      expect([moments.mean(0), moments.deviation(0)]).toEqual([0, 5e-324]);
    }
  });

  test('of numbers that are large beside their spread', () => {
    const run = (base: number): number[] => Array.from({ length: 100_000 }, (_, i) => base + 1 + (i % 5));
    for (const base of [0, 1e12, 1e15]) {
      for (const moments of momentsOf('float64', [run(base).slice(0, 7), run(base).slice(7)])) {
        expect(moments.deviation(0)).toBeCloseTo(Math.sqrt(200_000 / 99_999), 12);
        expect(moments.mean(0)).toBe(base + 3);
      }
    }
    const same = new Array<bigint>(100_000).fill(1_702_878_157_125_929_618n);
    for (const moments of momentsOf('int64', [same.slice(0, 3), same.slice(3)])) {
      expect(moments.sum(0)).toBe(170_287_815_712_592_961_800_000n);
      expect(moments.mean(0)).toBe(Number(same[0]));
      expect(moments.deviation(0)).toBe(0);
    }
  });

  test('of numbers that cancel each other, overflow on the way, or are subnormal', () => {
    const sums: [number[][], number][] = [
      [[[1e16, 1, -1e16]], 1],
      [[[1e16], [1], [-1e16]], 1],
      [[[1e308, 1e308, -1e308]], 1e308],
      [[[1e308], [1e308], [-1e308]], 1e308],
      [[[5e-324, 5e-324], [5e-324]], 1.5e-323],
    ];
    for (const [parts, sum] of sums) {
      for (const moments of momentsOf('float64', parts)) expect(moments.sum(0)).toBe(sum);
    }
    for (const [scale, digits] of [
      [1e-320, 3],
      [1e-200, 12],
      [1e200, 12],
      [1e307, 12],
    ]) {
      const [moments] = momentsOf('float64', [[scale, 2 * scale], [3 * scale]]);
      expect(moments.deviation(0) / scale).toBeCloseTo(1, digits);
    }
    expect(momentsOf('float64', [[1.7e308], [1.7e308]])[0].mean(0)).toBe(1.7e308);
  });

  test('infinities make what they make, and NaN and the missing value do not count', () => {
    const [moments] = momentsOf('float64', [
      [1, Infinity],
      [NaN, 3],
    ]);
    expect([moments.counts[0], moments.sum(0), moments.mean(0), moments.deviation(0)]).toEqual([
      3,
      Infinity,
      Infinity,
      NaN,
    ]);
    expect(momentsOf('float64', [[Infinity], [-Infinity]])[0].mean(0)).toBeNaN();
    const missing = new Moments(shape('int64', -7n), 1, true);
    missing.addRows(BigInt64Array.of(-7n, 2n ** 62n, -7n, 2n ** 62n + 2n, -7n));
    expect([missing.counts[0], missing.sum(0), missing.deviation(0)]).toEqual([2, 2n ** 63n + 2n, Math.SQRT2]);
    expect(new Moments(shape('int8'), 1, true).mean(0)).toBeNaN();
  });
});

test('a fraction is rounded once', () => {
  fc.assert(
    fc.property(
      fc.double({ noNaN: true, noDefaultInfinity: true, min: 1e-300 }),
      fc.bigInt(1n, 10n ** 30n),
      (value, more) => {
        const digits = BigInt(Math.trunc(value)) === 0n ? 0n : BigInt(Math.trunc(value));
        expect(nearestNumber(digits * more, more)).toBe(Number(digits));
      },
    ),
  );
  // Just above, at and below the middle between two doubles.
  const [one, half] = [2n ** 60n, 2n ** 7n];
  expect(nearestNumber(one + half, 1n)).toBe(2 ** 60);
  expect(nearestNumber((one + half) * 10n ** 40n + 1n, 10n ** 40n)).toBe(2 ** 60 + 256);
  expect(nearestNumber(-(one + 3n * half), 1n)).toBe(-(2 ** 60 + 512));
});
