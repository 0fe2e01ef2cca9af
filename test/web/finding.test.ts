/** What finding is made of, without a browser: conditions, recordings, shapes. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BAND_HEIGHT, bandPath } from '../../src/web/find/band-path.ts';
import {
  chipsOf,
  isChosen,
  makeCondition,
  chipParts,
  printConditions,
  readConditions,
  readTyped,
  toggle,
  treeOf,
} from '../../src/web/find/condition.ts';
import { spelledBytes, spelledRate, spelledSpan } from '../../src/web/spelled.ts';
import { modelRuns } from '../support/model-runs.ts';

describe('conditions', () => {
  test.each([
    ['61', ['number'], 61],
    ['12345678901234567891', ['number'], '12345678901234567891'],
    ['1e20', ['number'], 1e20],
    ['true', ['boolean'], true],
    ['0.2 mm', ['quantity'], { value: 0.2, unit: 'mm' }],
    ['5mV', ['quantity'], { value: 5, unit: 'mV' }],
    ['2026-05-01', ['time'], { time: '2026-05-01T00:00:00Z' }],
    ['2026-05-01T09:00:00+02:00', ['time'], { time: '2026-05-01T09:00:00+02:00' }],
    ['61', ['string'], '61'],
    ['mouse', [], 'mouse'],
    ['mouse', ['number'], null],
    ['fast', ['number', 'string'], 'fast'],
  ] as const)('a text %j of a key with %j is read as %j', (text, types, value) => {
    expect(readTyped(text, types)).toEqual(value);
  });

  test('values of one key are alternatives, and conditions of others stay', () => {
    const other = makeCondition('field.rate_hz', 'gte', 100);
    const one = toggle([other], 'species', 'mouse');
    expect(one).toEqual([other, { tag: 'species', eq: 'mouse' }]);
    const two = toggle(one, 'species', 'rat');
    expect(two).toEqual([other, { tag: 'species', in: ['mouse', 'rat'] }]);
    expect(isChosen(two, 'species', 'rat')).toBe(true);
    expect(toggle(toggle(two, 'species', 'mouse'), 'species', 'rat')).toEqual([other]);
  });

  test('an address gives back what it was made of, and what is broken is no condition', () => {
    const made = [makeCondition('depth', 'gt', { value: 0.2, unit: 'mm' }), makeCondition('field.unit', 'exists', '')];
    expect(readConditions(printConditions(made))).toEqual(made);
    expect(chipsOf(treeOf(made, null))).toEqual(made);
    expect(treeOf(made, ' open field ')).toEqual({ and: [...made, { text: 'open field' }] });
    expect([readConditions('{'), readConditions('[1, null]'), readConditions(null)]).toEqual([[], [], []]);
    expect(chipParts(made[0])).toEqual({ key: 'depth', operator: '>', value: '0.2 mm' });
    expect(chipParts({ or: [] }).key).toBe('{"or":[]}');
  });
});

test('a shape has every extreme of its buckets, and none where nothing was recorded', () => {
  const bucket = fc.option(fc.tuple(fc.integer({ min: -1e6, max: 1e6 }), fc.integer({ min: 0, max: 1e6 })));
  fc.assert(
    fc.property(fc.array(bucket, { minLength: 1, maxLength: 60 }), (buckets) => {
      const min = buckets.map((each) => each && each[0]);
      const max = buckets.map((each) => each && each[0] + each[1]);
      const columns = [...bandPath({ min, max }).matchAll(/M(\d+) ([\d.]+)h1V([\d.]+)h-1z/g)].map((each) =>
        each.slice(1).map(Number),
      );
      const known = buckets.flatMap((each, i) => (each ? [i] : []));
      expect(columns.map(([at]) => at)).toEqual(known);
      const low = Math.min(...known.map((i) => min[i] ?? 0));
      const range = Math.max(...known.map((i) => max[i] ?? 0)) - low || 1;
      const y = (value: number): number => (BAND_HEIGHT - 2) * (1 - (value - low) / range) + 1;
      for (const [at, top, end] of columns) {
        // Places are written with one digit.
        expect(top).toBeLessThanOrEqual(y(max[at] ?? 0) + 0.051);
        expect(end).toBeGreaterThanOrEqual(y(min[at] ?? 0) - 0.051);
      }
    }),
    { numRuns: modelRuns(100) },
  );
});

test('numbers are spelled as people read them', () => {
  expect([0, 67, 3_700, 90_061, 0.004].map(spelledSpan)).toEqual(['0 s', '1 min 7 s', '1 h 1 min', '1 d 1 h', '4 ms']);
  expect([999, 16_000, 2.7e9].map(spelledBytes)).toEqual(['999 B', '16 kB', '2.7 GB']);
  const rates = [360, 30_000, 1 / 60, undefined].map((rate_hz) => spelledRate({ kind: '', rate_hz }));
  expect(rates).toEqual(['360 Hz', '30 kHz', 'every 1 min', 'irregular']);
});
