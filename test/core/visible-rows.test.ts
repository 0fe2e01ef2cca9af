/** Each row is seen in the chunk of the latest edit that has it. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { visibleSlices, type Layer } from '../../src/core/rows/visible-rows.ts';
import { modelRuns } from '../support/model-runs.ts';

const chunk = (firstRow: number, rows: number, generation = 0): Layer => ({ firstRow, rows, generation });
const seen = (chunks: readonly Layer[]): [number, number, number][] =>
  visibleSlices(chunks).map((slice) => [slice.from, slice.to, slice.chunk.generation]);

describe('of chunks', () => {
  test.each<[string, Layer[], [number, number, number][]]>([
    ['none: nothing', [], []],
    [
      'in any order: in order of rows',
      [chunk(10, 5), chunk(0, 10)],
      [
        [0, 10, 0],
        [10, 15, 0],
      ],
    ],
    [
      'with an edit in the middle: both sides of it',
      [chunk(0, 10), chunk(3, 4, 1)],
      [
        [0, 3, 0],
        [3, 7, 1],
        [7, 10, 0],
      ],
    ],
    [
      'with an edit over the border of two',
      [chunk(0, 5), chunk(5, 5), chunk(4, 2, 1)],
      [
        [0, 4, 0],
        [4, 6, 1],
        [6, 10, 0],
      ],
    ],
    ['with an edit over all: the edit', [chunk(2, 3), chunk(0, 10, 2)], [[0, 10, 2]]],
    [
      'with edits over edits: the last',
      [chunk(0, 9), chunk(0, 6, 1), chunk(3, 6, 2)],
      [
        [0, 3, 1],
        [3, 9, 2],
      ],
    ],
    [
      'with an edit of what came behind it',
      [chunk(0, 2), chunk(5, 1, 1)],
      [
        [0, 2, 0],
        [5, 6, 1],
      ],
    ],
  ])('%s', (_what, chunks, expected) => {
    expect(seen(chunks)).toEqual(expected);
  });

  test('of any layers, each row is in the highest that has it, once', () => {
    const layer = (generation: number): fc.Arbitrary<Layer[]> =>
      fc.array(fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 8 })), { maxLength: 6 }).map((pairs) => {
        let row = 0;
        return pairs.map(([gap, rows]) => {
          const own = chunk(row + gap, rows, generation);
          row = own.firstRow + rows;
          return own;
        });
      });
    fc.assert(
      fc.property(fc.tuple(layer(0), layer(1), layer(2), layer(3)), (layers) => {
        const chunks = layers.flat();
        const slices = visibleSlices(chunks);
        for (let row = 0; row < 100; row++) {
          const of = chunks.filter(({ firstRow, rows }) => row >= firstRow && row < firstRow + rows);
          const found = slices.filter(({ from, to }) => row >= from && row < to);
          const highest = of.reduce((most, { generation }) => Math.max(most, generation), -1);
          expect(found.map((slice) => slice.chunk.generation)).toEqual(of.length === 0 ? [] : [highest]);
        }
        expect(slices.every(({ from }, i) => i === 0 || from >= slices[i - 1].to)).toBe(true);
      }),
      { numRuns: modelRuns(200) },
    );
  });
});
