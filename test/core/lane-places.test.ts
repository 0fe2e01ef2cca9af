import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { OPEN_LANES, planPlaces, SERIES_PER_LANE } from '../../src/core/upkeep/lane-plan.ts';

function plan(filled: readonly number[], count: number, open = filled.length) {
  let made = 0;
  const lanes = filled.map((series, at) => ({ id: `old ${at}`, series }));
  return planPlaces(lanes, open, count, () => `new ${made++}`);
}

describe('places in lanes', () => {
  test('are as many as asked for, and no lane is overfull', () => {
    const filled = fc.array(fc.integer({ min: 0, max: SERIES_PER_LANE - 1 }), { maxLength: OPEN_LANES });
    fc.assert(
      fc.property(filled, fc.integer({ min: 1, max: 10_000 }), (lanes, count) => {
        const places = plan(lanes, count);
        expect(places.reduce((sum, each) => sum + each.places, 0)).toBe(count);
        for (const { id, isNew, places: taken } of places) {
          const before = isNew ? 0 : lanes[Number(id.slice(4))];
          expect(taken).toBeGreaterThan(0);
          expect(before + taken).toBeLessThanOrEqual(SERIES_PER_LANE);
        }
      }),
      { numRuns: 50 },
    );
  });

  test.each([
    ['one goes to the emptiest', [5, 3, 9, 4], 1, [['old 1', 1]]],
    ['the first opens a lane', [], 1, [['new 0', 1]]],
    ['a few are spread', [], 8, [['new 0', 2], ['new 1', 2], ['new 2', 2], ['new 3', 2]]], // prettier-ignore
    ['too few open lanes get company', [7], 1, [['new 0', 1]]],
    [
      'what does not fit opens lanes',
      [999, 999, 999, 999],
      5,
      [
        ['old 0', 0],
        ['new 0', 5],
      ],
    ],
  ] as const)('%s', (_, filled, count, expected) => {
    const wanted = expected.filter(([, places]) => places > 0);
    expect(plan(filled, count).map(({ id, places }) => [id, places])).toEqual(wanted);
  });

  test('no lane is made while others, that are busy, have room', () => {
    expect(plan([7], 1, OPEN_LANES)).toEqual([{ id: 'old 0', isNew: false, places: 1 }]);
  });
});
