import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatTime, INT64_MAX, INT64_MIN, parseTime } from '../../src/core/time.ts';

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
    ['2016-12-31T23:59:60Z', 1_483_228_800_000_000_000n], // a leap second is the next day's first
    ['2016-12-31T23:59:60.5Z', 1_483_228_800_500_000_000n],
    ['1990-12-31T15:59:60-08:00', 662_688_000_000_000_000n], // RFC 3339, section 5.8
    ['1937-01-01T12:00:27.87+00:20', -1_041_337_172_130_000_000n],
    ['0', 0n],
    ['2026', 2026n],
    ['-1', -1n],
    ['+5', 5n],
    ['1777593600000000001', MAY_1 + 1n],
    ['9223372036854775807', INT64_MAX],
    ['-9223372036854775808', INT64_MIN],
    ['2262-04-11T23:47:16.854775807Z', INT64_MAX],
    ['1677-09-21T00:12:43.145224192Z', INT64_MIN],
  ])('%s', (text, ns) => {
    expect(parseTime(text)).toBe(ns);
  });
});

describe('what is no time, or lies outside int64 nanoseconds, is refused', () => {
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
    '1677-09-21T00:12:43.145224191Z',
    '2262-04-11T23:47:16.854775808Z',
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

const anyTime = fc.bigInt({ min: INT64_MIN, max: INT64_MAX });

test('every int64 time is read back from its text, and from its digits', () => {
  fc.assert(
    fc.property(anyTime, (ns) => {
      expect(parseTime(formatTime(ns))).toBe(ns);
      expect(parseTime(String(ns))).toBe(ns);
    }),
  );
});

test('the same instant in any offset is the same time', () => {
  // A day off the ends, so that the local clock time is still a date Date can print.
  const inner = fc.bigInt({ min: INT64_MIN / 1_000_000n + 86_400_000n, max: INT64_MAX / 1_000_000n - 86_400_000n });
  fc.assert(
    fc.property(inner, fc.integer({ min: -23 * 60 - 59, max: 23 * 60 + 59 }), (ms, minutes) => {
      const local = new Date(Number(ms) + minutes * 60_000).toISOString().slice(0, -1);
      const clock = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60].map((n) => String(n).padStart(2, '0'));
      expect(parseTime(`${local}${minutes < 0 ? '-' : '+'}${clock.join(':')}`)).toBe(ms * 1_000_000n);
    }),
  );
});
