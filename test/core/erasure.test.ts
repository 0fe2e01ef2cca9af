/** An erasure takes the rows that were there when it was asked for, and none that came later. */
import { describe, expect, test } from '@jest/globals';
import {
  erasuresOf,
  expiry,
  isErased,
  isWhollyErased,
  type ErasableChunk,
  type Erasure,
} from '../../src/core/rows/erasure.ts';

/** Rows 10 to 19, with times from 100 to 199. */
const CHUNK: ErasableChunk = { generation: 2, firstRow: 10, rows: 10, firstNs: 100n, lastNs: 199n };
const ERASURE: Erasure = { generation: 3, startNs: 100n, endNs: 200n, beforeRow: 20 };

describe('an erasure concerns a chunk', () => {
  test.each<[string, Partial<Erasure>, boolean, boolean]>([
    ['that it covers: wholly', {}, true, true],
    ['that has taken it in: not', { generation: 2 }, false, false],
    ['that came after it: not', { beforeRow: 10 }, false, false],
    ['of which some rows came after it: in part', { beforeRow: 19 }, true, false],
    ['whose last time is its first: in part', { startNs: 199n }, true, false],
    ['whose times end before it: not', { startNs: 200n, endNs: 300n }, false, false],
    ['whose first time is its end: not', { startNs: 0n, endNs: 100n }, false, false],
    ['whose first time is just within it: in part', { startNs: 0n, endNs: 101n }, true, false],
    ['but for its last nanosecond: in part', { endNs: 199n }, true, false],
  ])('%s', (_what, change, concerns, isWhole) => {
    const erasures = [{ ...ERASURE, ...change }];
    expect(erasuresOf(CHUNK, erasures)).toHaveLength(concerns ? 1 : 0);
    expect(isWhollyErased(CHUNK, erasures)).toBe(isWhole);
  });

  test('two that cover it together do not count as one that does', () => {
    const halves = [
      { ...ERASURE, endNs: 150n },
      { ...ERASURE, startNs: 150n },
    ];
    expect(erasuresOf(CHUNK, halves)).toHaveLength(2);
    expect(isWhollyErased(CHUNK, halves)).toBe(false);
  });
});

test.each<[number, bigint, boolean]>([
  [19, 100n, true],
  [20, 100n, false],
  [19, 99n, false],
  [19, 199n, true],
  [19, 200n, false],
])('row %i at %i ns is erased: %s', (row, ns, isGone) => {
  expect(isErased(row, ns, [ERASURE])).toBe(isGone);
});

test('what has expired is gone whenever it came, from every chunk', () => {
  const expired = expiry(150n);
  expect(erasuresOf({ ...CHUNK, generation: 1e9 }, [expired])).toEqual([expired]);
  expect(isErased(1e12, 149n, [expired])).toBe(true);
  expect(isErased(0, 150n, [expired])).toBe(false);
  expect(isWhollyErased({ ...CHUNK, lastNs: 149n }, [expired])).toBe(true);
});
