/** Spans, their borders, and what is filled in. */
import { describe, expect, test } from '@jest/globals';
import { fillGaps, fixedBorders, parseEvery } from '../../src/core/overview/aggregate-span.ts';
import { INT64_MAX, INT64_MIN } from '../../src/core/time.ts';

describe('a span', () => {
  test.each([
    ['1ns', { kind: 'fixed', ns: 1n }],
    ['250us', { kind: 'fixed', ns: 250_000n }],
    ['15m', { kind: 'fixed', ns: 900_000_000_000n }],
    ['1d', { kind: 'calendar', unit: 'day', count: 1 }],
    ['2w', { kind: 'calendar', unit: 'week', count: 2 }],
    ['3mo', { kind: 'calendar', unit: 'month', count: 3 }],
  ])('%s is read', (text, every) => {
    expect(parseEvery(text)).toEqual(every);
  });

  test.each(['', '0s', '1', 's', '-1s', '1.5h', '1 s', '1M', '1min', '99999999999999h', '999999999d'])(
    '%p is none',
    (text) => {
      expect(parseEvery(text)).toBeUndefined();
    },
  );
});

describe('fixed borders', () => {
  test('are counted from 1970, before it too, and cover the range', () => {
    expect([...fixedBorders(10n, -15n, 11n)]).toEqual([-20n, -10n, 0n, 10n, 20n]);
    expect([...fixedBorders(10n, 20n, 30n)]).toEqual([20n, 30n]);
  });

  test('stay within int64', () => {
    expect([...fixedBorders(10n ** 18n, INT64_MAX - 5n, INT64_MAX)].at(-1)).toBe(INT64_MAX);
    expect([...fixedBorders(10n ** 18n, INT64_MIN, INT64_MIN + 5n)][0]).toBe(INT64_MIN);
  });
});

describe('gaps', () => {
  const at = BigInt64Array.from([0n, 10n, 20n, 40n, 50n]);

  test('take the value before, or one on the line, and stay where there is none', () => {
    expect(fillGaps([null, 1, null, null, 9], at, 'previous')).toEqual([null, 1, 1, 1, 9]);
    expect(fillGaps([null, 1, null, null, 9], at, 'linear')).toEqual([null, 1, 3, 7, 9]);
    expect(fillGaps([2, null, null, null, null], at, 'linear')).toEqual([2, null, null, null, null]);
  });
});
