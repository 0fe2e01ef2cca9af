import { describe, expect, test } from '@jest/globals';
import {
  formatPosition,
  isExactly,
  parsePosition,
  placeWithin,
  type BegunChunk,
  type LivePosition,
} from '../../src/core/rows/live-position.ts';
import { INT64_MAX, INT64_MIN } from '../../src/core/time.ts';

const ID = '0198c5e0-7c3a-7b61-9d0e-1f5a2b3c4d5e';
const END: LivePosition = { commit: 17n, edits: 2, rows: 40, latestNs: -5n, within: null };
const WITHIN: LivePosition = { ...END, within: { fromRow: 30, startNs: 9n, skip: 3 } };

describe('a position', () => {
  test.each([[END], [WITHIN], [{ ...END, latestNs: null }], [{ ...END, latestNs: INT64_MIN }]])(
    'comes back as it was told: %#',
    (position) => {
      expect(parsePosition(ID, formatPosition(ID, position))).toEqual(position);
    },
  );

  test('is that of its series alone, and a number is a commit', () => {
    expect(parsePosition(ID.replace('4d5e', '4d5f'), formatPosition(ID, END))).toBe('other');
    expect(parsePosition(ID, '17')).toEqual({ after: 17n });
  });

  test.each([
    '',
    'x',
    '-1',
    '1.5',
    '2b3c4d5e_1',
    '2b3c4d5e_1_2_-3_4',
    '2b3c4d5e_1_2_3_9223372036854775808',
    '2b3c4d5e_1_2_3_4_5',
    '2b3c4d5e_1_2__4',
    '1234567890123456789',
  ])('is not %j', (text) => {
    expect(parsePosition(ID, text)).toBeUndefined();
  });
});

describe('of a chunk that has been told in part', () => {
  const chunk = (more: Partial<BegunChunk>): BegunChunk => ({
    firstRow: 0,
    rows: 100,
    endRow: 100,
    before: 40,
    ...more,
  });

  test('the rest is known where what was told is exactly what lies before', () => {
    const place = placeWithin(END);
    expect(place).toEqual({ fromRow: 40, startNs: -4n, skip: 0 });
    expect(isExactly(END, place, chunk({}))).toBe(true);
    // A row that came late lies among those that were told.
    expect(isExactly(END, place, chunk({ before: 41 }))).toBe(false);
    // One that is missing may have given its place to a late one of its time.
    expect(isExactly(END, place, chunk({ rows: 99 }))).toBe(false);
  });

  test('a place within it holds for the chunk itself, and for one with rows before only if these lie before the place', () => {
    const own = chunk({ firstRow: 30, rows: 70, before: 10 });
    expect(isExactly(WITHIN, placeWithin(WITHIN), own)).toBe(true);
    expect(isExactly(WITHIN, placeWithin(WITHIN), chunk({}))).toBe(true);
    expect(isExactly({ ...WITHIN, latestNs: 20n }, placeWithin({ ...WITHIN, latestNs: 20n }), chunk({}))).toBe(false);
  });

  test('no time is after the last one', () => {
    expect(placeWithin({ ...END, latestNs: INT64_MAX }).startNs).toBe(INT64_MAX);
    expect(placeWithin({ ...END, latestNs: null }).startNs).toBe(INT64_MIN);
  });
});
