import { describe, expect, test } from '@jest/globals';
import { flushReason, planSides, type LaneBacklog } from '../../src/core/upkeep/flush-plan.ts';

const MIB = 1024 ** 2;
const IDLE: LaneBacklog = {
  laneId: 'l',
  bytes: 1_000,
  chunks: 10,
  series: 10,
  mostBytes: 100,
  mostChunks: 1,
  ageMs: 1_000,
  untoldMs: null,
};

describe('a lane is flushed when', () => {
  test.each<[string, Partial<LaneBacklog>, string | null]>([
    ['nothing presses: it is not', {}, null],
    ['it has many bytes', { bytes: 64 * MIB }, 'bytes'],
    ['it has many chunks', { chunks: 200_000 }, 'chunks'],
    ['one series has many bytes', { bytes: 5 * MIB, mostBytes: 4 * MIB + 1 }, 'series'],
    ['one series has many chunks', { mostChunks: 5_001 }, 'series'],
    ['after a minute its series outweigh what HDF5 takes', { ageMs: 60_000, bytes: 40_960 }, 'worthwhile'],
    ['after a minute they do not: it is not', { ageMs: 60_000, bytes: 40_959 }, null],
    ['it has waited for long, with however little', { ageMs: 900_000, bytes: 8 }, 'age'],
    [
      'an edit has waited for long, though nothing is fresh',
      { series: 0, bytes: 0, ageMs: null, untoldMs: 900_000 },
      'untold',
    ],
    ['an edit is new: it is not', { series: 0, bytes: 0, ageMs: null, untoldMs: 1_000 }, null],
  ])('%s', (_, backlog, reason) => {
    expect(flushReason({ ...IDLE, ...backlog })).toBe(reason);
  });

  test('its age is a setting', () => {
    expect(flushReason({ ...IDLE, ageMs: 5_000 }, { ageMs: 5_000 })).toBe('age');
  });
});

describe('a flush is shared out', () => {
  const sidesOf = (mib: readonly number[], most: number): [number[][], number | null] => {
    const { sides, cut } = planSides(
      mib.map((each) => each * MIB),
      most,
    );
    expect(sides.map(({ part }) => part)).toEqual(sides.map((_, i) => i));
    return [sides.map(({ series }) => [...series]), cut];
  };

  test.each<[string, number[], number, number[][], number | null]>([
    ['to one side where there is little', [7, 8], 4, [[0, 1]], null],
    ['to one side where no more are allowed', [70, 80], 1, [[0, 1]], null],
    [
      'where least is',
      [5, 5, 10, 4],
      2,
      [
        [2, 3],
        [0, 1],
      ],
      null,
    ],
    ['to no more sides than have enough', [6, 6, 6], 4, [[0, 2], [1]], null],
    ['with a part of what outweighs all others on every side', [1, 40, 2, 3], 3, [[3], [2], [0]], 1],
    ['with parts of the only one', [64], 2, [[], []], 0],
    ['of nothing', [], 2, [[]], null],
  ])('%s', (_, mib, most, sides, cut) => {
    const [found, foundCut] = sidesOf(mib, most);
    expect(found.map(String).sort()).toEqual(sides.map(String).sort());
    expect(foundCut).toBe(cut);
  });
});
