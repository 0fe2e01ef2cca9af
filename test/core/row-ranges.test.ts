import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { clipRows, countRows, uniteRows, withoutRows } from '../../src/core/signal/row-ranges.ts';
import type { RowRange } from '../../src/core/signal/segment.ts';

const SIZE = 60;
const anyRange = fc
  .tuple(fc.nat(SIZE), fc.nat(SIZE))
  .map(([a, b]): RowRange => ({ from: Math.min(a, b), to: Math.max(a, b) }));
const anyRanges = fc.array(anyRange, { maxLength: 8 }).map((ranges) => uniteRows(ranges, []));

const rowsIn = (ranges: readonly RowRange[]): number[] =>
  ranges.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i));

describe('ranges of rows are sets', () => {
  test.each<[string, (a: RowRange[], b: RowRange[]) => RowRange[], (inA: boolean, inB: boolean) => boolean]>([
    ['the union', uniteRows, (inA, inB) => inA || inB],
    ['the difference', withoutRows, (inA, inB) => inA && !inB],
  ])('%s has the rows it should, in order, and no empty range', (_, combine, rule) => {
    fc.assert(
      fc.property(anyRanges, anyRanges, (a, b) => {
        const result = combine(a, b);
        const [inA, inB] = [new Set(rowsIn(a)), new Set(rowsIn(b))];
        const wanted = Array.from({ length: SIZE + 1 }, (_, row) => row).filter((r) => rule(inA.has(r), inB.has(r)));
        expect(rowsIn(result)).toEqual(wanted);
        expect(result.every(({ from, to }) => from < to)).toBe(true);
        expect(countRows(result)).toBe(wanted.length);
      }),
    );
  });

  test('clipping keeps what lies inside', () => {
    const ranges = [
      { from: 0, to: 5 },
      { from: 8, to: 10 },
    ];
    expect(clipRows(ranges, { from: 3, to: 9 })).toEqual([
      { from: 3, to: 5 },
      { from: 8, to: 9 },
    ]);
    expect(clipRows(ranges, { from: 5, to: 8 })).toEqual([]);
  });
});
