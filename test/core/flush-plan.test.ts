import { describe, expect, test } from '@jest/globals';
import { flushReason, type LaneBacklog } from '../../src/core/flush-plan.ts';

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
