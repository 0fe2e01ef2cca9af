import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  formatRate,
  halfPeriodNs,
  MAX_RATE_HZ,
  MIN_RATE_HZ,
  nsOfRow,
  parseRate,
  rateHz,
  rowAtOrAfter,
  type Rate,
} from '../../src/core/signal/rate.ts';

function rateOf(value: number | string): Rate {
  const rate = parseRate(value);
  if (!rate) throw new Error(`no rate: ${value}`);
  return rate;
}

describe('a rate is the rational its text says', () => {
  test.each<[number | string, bigint, bigint]>([
    [360, 360n, 1n],
    ['360', 360n, 1n],
    [' 360.0 ', 360n, 1n],
    [20.03, 2003n, 100n],
    [0.1 + 0.2, 7_500_000_000_000_001n, 25_000_000_000_000_000n],
    ['30000/1001', 30_000n, 1001n],
    ['720/2', 360n, 1n],
    ['2e3', 2000n, 1n],
    ['2.5E-3', 1n, 400n],
    ['1e+2', 100n, 1n],
    [1 / 3600, 1_388_888_888_888_889n, 5_000_000_000_000_000_000n],
    ['1/3600', 1n, 3600n],
    [1e9, 1_000_000_000n, 1n],
    [3e-10, 3n, 10_000_000_000n],
  ])('%s', (value, num, den) => {
    expect(parseRate(value)).toEqual({ num, den });
  });
});

test.each([
  0,
  -1,
  NaN,
  Infinity,
  1.000001e9,
  2.9e-10,
  5e-324,
  '',
  'fast',
  '-5',
  '1/0',
  '0/1',
  '1/2/3',
  '1.5/2',
  '1 / 2',
  '0x10',
  '1e100',
  '1e-100',
  '1'.repeat(26),
  `1/${'1'.repeat(151)}`,
])('%s is refused', (value) => {
  expect(parseRate(value)).toBeUndefined();
});

/** As clients send them: numbers of any size and precision, decimals, periods turned into rates, fractions. */
const anyRate = fc
  .oneof(
    fc.constantFrom<number | string>(20.03, '30000/1001', 1e9, 3e-10, 1 / 3600, 1 / 86_400, 360, 44_100, 250e6),
    fc.double({ min: MIN_RATE_HZ, max: MAX_RATE_HZ, noNaN: true }),
    fc.double({ min: -9.5, max: 9, noNaN: true }).map((exponent) => 10 ** exponent),
    fc.integer({ min: 1, max: 1e9 }).map((period) => 1 / period),
    fc.tuple(fc.integer({ min: 1, max: 1e9 }), fc.integer({ min: 1, max: 1e9 })).map(([num, den]) => `${num}/${den}`),
  )
  .map(rateOf);

test('every rate is read back from the text it is stored as', () => {
  fc.assert(
    fc.property(anyRate, (rate) => {
      expect(parseRate(formatRate(rate))).toEqual(rate);
    }),
    { numRuns: 1000 },
  );
});

test('a number is read as exactly its shortest decimal form', () => {
  fc.assert(
    fc.property(fc.double({ min: MIN_RATE_HZ, max: MAX_RATE_HZ, noNaN: true }), (hz) => {
      const { num, den } = rateOf(hz);
      const [mantissa, exponent = '0'] = hz.toString().split('e');
      const [whole, fraction = ''] = mantissa.split('.');
      const shift = Number(exponent) - fraction.length;
      const digits = BigInt(whole + fraction);
      // num / den = digits × 10^shift, crosswise
      expect(num * 10n ** BigInt(Math.max(0, -shift))).toBe(den * digits * 10n ** BigInt(Math.max(0, shift)));
      expect(rateHz({ num, den })).toBeCloseTo(hz, 6);
    }),
  );
});

test.each<[number | string, number, bigint]>([
  [360, 1, 2_777_777n],
  [360, 360 * 86_400 * 365, 31_536_000_000_000_000n], // a year later: not a nanosecond off
  [20.03, 2003, 100_000_000_000n],
  ['30000/1001', 30_000, 1_001_000_000_000n],
  ['30000/1001', 1_000_000_000_000, 33_366_666_666_666_666_666n],
  [1e9, 999_999_999_999, 999_999_999_999n],
  [3e-10, 3, 10_000_000_000_000_000_000n],
])('at %s Hz row %s begins %s ns after the start', (value, row, ns) => {
  expect(nsOfRow(rateOf(value), row)).toBe(ns);
});

const anyRow = fc.oneof(fc.integer({ min: 0, max: 1000 }), fc.integer({ min: 0, max: 1e12 }));

test('the row at or after the time of a row is that row', () => {
  fc.assert(
    fc.property(anyRate, anyRow, (rate, row) => {
      const ns = nsOfRow(rate, row);
      expect(rowAtOrAfter(rate, ns)).toBe(BigInt(row));
      expect(rowAtOrAfter(rate, ns + 1n)).toBe(BigInt(row) + 1n);
    }),
    { numRuns: 1000 },
  );
});

test('the row at or after any time is the first that is not before it', () => {
  fc.assert(
    fc.property(anyRate, fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }), (rate, ns) => {
      const row = rowAtOrAfter(rate, ns);
      expect(nsOfRow(rate, row) >= ns).toBe(true);
      if (row > 0n) expect(nsOfRow(rate, row - 1n) < ns).toBe(true);
      else expect(row).toBe(0n);
    }),
    { numRuns: 1000 },
  );
});

test.each<[number | string, bigint]>([
  [360, 1_388_888n],
  [1e9, 0n],
  [1, 500_000_000n],
  ['1/3600', 1_800_000_000_000n],
])('half a period at %s Hz is %s ns', (value, ns) => {
  expect(halfPeriodNs(rateOf(value))).toBe(ns);
});

test('a rate that was sent as a number comes back as that number', () => {
  const anyHz = fc.oneof(
    fc.double({ min: MIN_RATE_HZ, max: MAX_RATE_HZ, noNaN: true }),
    fc.double({ min: 0, max: 1, noNaN: true }).map((part) => MIN_RATE_HZ * (MAX_RATE_HZ / MIN_RATE_HZ) ** part),
  );
  fc.assert(
    fc.property(anyHz, (hz) => {
      const rate = rateOf(hz);
      expect(rateHz(rate)).toBe(hz);
      expect(parseRate(formatRate(rate))).toEqual(rate);
    }),
    { numRuns: 5000 },
  );
});
