import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  formatTime,
  INT64_MAX,
  INT64_MIN,
  openRange,
  parseBound,
  parseTime,
  TIME_MAX,
  TIME_MIN,
} from '../../src/core/time.ts';

const MAY_1 = 1_777_593_600_000_000_000n; // 2026-05-01T00:00:00Z, as `date -u +%s` says
const SECOND = 1_000_000_000n;
const HOUR = 3600n * SECOND;

describe('a time is read to the nanosecond', () => {
  test.each<[string, bigint]>([
    ['1970-01-01T00:00:00Z', 0n],
    ['1970-01-01', 0n],
    ['2026-05-01', MAY_1],
    ['2026-05-01T09:00:00Z', MAY_1 + 9n * HOUR],
    ['2026-05-01t09:00:00z', MAY_1 + 9n * HOUR],
    ['2026-05-01 09:00:00', MAY_1 + 9n * HOUR],
    ['2026-05-01T09:00', MAY_1 + 9n * HOUR],
    ['  2026-05-01T09:00:00 Z ', MAY_1 + 9n * HOUR],
    ['2026-05-01T09:00:00.1Z', MAY_1 + 9n * HOUR + 100_000_000n],
    ['2026-05-01T09:00:00,25Z', MAY_1 + 9n * HOUR + 250_000_000n],
    ['2026-05-01T09:00:00.000000001Z', MAY_1 + 9n * HOUR + 1n],
    ['2026-05-01T09:00:00.123456789Z', MAY_1 + 9n * HOUR + 123_456_789n],
    ['2026-05-01T09:00:00+00:00', MAY_1 + 9n * HOUR],
    ['2026-05-01T09:00:00+02:00', MAY_1 + 7n * HOUR],
    ['2026-05-01T09:00:00+0200', MAY_1 + 7n * HOUR],
    ['2026-05-01T09:00:00-02:30', MAY_1 + 11n * HOUR + HOUR / 2n],
    ['2026-05-01T00:30:00+05:45', MAY_1 - 5n * HOUR - HOUR / 4n],
    ['2026-05-01T00:00:00+23:59', MAY_1 - 24n * HOUR + 60n * SECOND],
    ['1969-12-31T23:59:59.999999999Z', -1n],
    ['2024-02-29', 1_709_164_800_000_000_000n],
    ['2000-02-29', 951_782_400_000_000_000n],
    ['1937-01-01T12:00:27.87+00:20', -1_041_337_172_130_000_000n],
    ['0', 0n],
    ['2026', 2026n],
    ['-1', -1n],
    ['+5', 5n],
    ['1777593600000000001', MAY_1 + 1n],
    ['9214646399999999999', TIME_MAX],
    ['-9214560000000000000', TIME_MIN],
    ['2261-12-31T23:59:59.999999999Z', TIME_MAX],
    ['1678-01-01T00:00:00Z', TIME_MIN],
    ['1678-01-01', TIME_MIN],
    ['2262-01-01T00:30:00+01:00', TIME_MAX + 1n - HOUR / 2n],
  ])('%s', (text, ns) => {
    expect(parseTime(text)).toBe(ns);
  });
});

describe('what is no time, or lies outside the years 1678 to 2261, is refused', () => {
  test.each([
    '',
    ' ',
    'now',
    '1.5',
    '1e9',
    '0x10',
    '--1',
    '2026-5-1',
    '2026-05',
    '26-05-01',
    '12026-05-01',
    '2026-00-01',
    '2026-13-01',
    '2026-01-00',
    '2026-04-31',
    '2025-02-29',
    '1900-02-29',
    '2026-05-01T24:00:00Z',
    '2026-05-01T09:60:00Z',
    '2026-05-01T09:00:61Z',
    '2016-12-31T23:59:60Z', // a leap second has no place on this scale
    '2016-12-31T23:59:60.5Z',
    '1990-12-31T15:59:60-08:00',
    '2026-02-30T00:00:00Z',
    '2026-02-31',
    '2026-05-01T09',
    '2026-05-01T9:00:00Z',
    '2026-05-01T09:00:00.Z',
    '2026-05-01T09:00:00.1234567891Z',
    '2026-05-01T09:00:00+2',
    '2026-05-01T09:00:00+24:00',
    '2026-05-01T09:00:00+02:60',
    '2026-05-01T09:00:00ZZ',
    '2026-05-01T09:00:00 CET',
    '2026-05-01Z',
    '٢٠٢٦-05-01',
    '0001-01-01',
    '0050-01-01',
    '0099-12-31T23:59:59Z',
    '0000-01-01',
    '9999-12-31',
    '1677-12-31T23:59:59.999999999Z',
    '2262-01-01T00:00:00Z',
    '2261-12-31T23:30:00-01:00',
    '9214646400000000000',
    '-9214560000000000001',
    '9223372036854775807',
    '-9223372036854775808', // NaT
    '9223372036854775808',
    '-9223372036854775809',
    '99999999999999999999',
  ])('%s', (text) => {
    expect(parseTime(text)).toBeUndefined();
  });
});

test.each<[bigint, string]>([
  [0n, '1970-01-01T00:00:00Z'],
  [-1n, '1969-12-31T23:59:59.999999999Z'],
  [-SECOND, '1969-12-31T23:59:59Z'],
  [MAY_1 + 100_000_000n, '2026-05-01T00:00:00.1Z'],
  [MAY_1 + 10n, '2026-05-01T00:00:00.00000001Z'],
  [INT64_MAX, '2262-04-11T23:47:16.854775807Z'],
  [INT64_MIN, '1677-09-21T00:12:43.145224192Z'],
])('%s is written %s, with no more digits than it needs', (ns, text) => {
  expect(formatTime(ns)).toBe(text);
});

const anyTime = fc.bigInt({ min: TIME_MIN, max: TIME_MAX });

test('every time is read back from its text, and from its digits', () => {
  fc.assert(
    fc.property(anyTime, (ns) => {
      expect(parseTime(formatTime(ns))).toBe(ns);
      expect(parseTime(String(ns))).toBe(ns);
    }),
  );
});

test('the same instant in any offset is the same time', () => {
  const inner = fc.bigInt({ min: TIME_MIN / 1_000_000n, max: TIME_MAX / 1_000_000n });
  fc.assert(
    fc.property(inner, fc.integer({ min: -23 * 60 - 59, max: 23 * 60 + 59 }), (ms, minutes) => {
      const local = new Date(Number(ms) + minutes * 60_000).toISOString().slice(0, -1);
      const clock = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60].map((n) => String(n).padStart(2, '0'));
      expect(parseTime(`${local}${minutes < 0 ? '-' : '+'}${clock.join(':')}`)).toBe(ms * 1_000_000n);
    }),
  );
});

test('a bound that no time can have leaves its side open', () => {
  const cases: [string | number, bigint][] = [
    ['9999-12-31', INT64_MAX],
    ['9999-12-31T23:59:59.999999999Z', INT64_MAX],
    ['2262-04-11T23:47:16.854775808Z', INT64_MAX],
    ['99999999999999999999', INT64_MAX],
    [1e20, INT64_MAX],
    ['0001-01-01', INT64_MIN],
    ['0001-01-01T00:00:00+14:00', INT64_MIN],
    ['0099-12-31T23:59:59Z', INT64_MIN],
    ['-99999999999999999999', INT64_MIN],
    [-1e20, INT64_MIN],
    ['2262-02-01', TIME_MAX + 1n + 31n * 24n * HOUR],
    ['2026-05-01', MAY_1],
    [17, 17n],
  ];
  for (const [value, ns] of cases) expect([value, parseBound(value)]).toEqual([value, ns]);
  for (const value of ['9999-02-30', '9999-12-31T23:59:60Z', 'now', '', 1.5, NaN, Infinity, 2 ** 60]) {
    expect([value, parseBound(value)]).toEqual([value, undefined]);
  }
  expect(openRange({ start: INT64_MIN, end: INT64_MAX })).toEqual({});
  expect(openRange({ start: TIME_MIN, end: TIME_MAX + 1n })).toEqual({});
  expect(openRange({ start: TIME_MIN + 1n, end: TIME_MAX })).toEqual({ startNs: TIME_MIN + 1n, endNs: TIME_MAX });
  expect(openRange({ start: INT64_MAX, end: INT64_MIN })).toEqual({ startNs: INT64_MAX, endNs: INT64_MIN });
});
