import { describe, expect, test } from '@jest/globals';
import { parseRate } from '../../src/core/rate.ts';
import { countRowsOf, segmentsOfCounted, type ToldSeries } from '../../src/core/rebuild-plan.ts';
import type { SegmentStart, SeriesRecord } from '../../src/core/series-record.ts';

const told = (
  shardId: string,
  commit: bigint,
  claims: readonly [number, number][],
  segments: readonly SegmentStart[] = [],
  level = 0,
): ToldSeries => ({
  shardId,
  commit,
  level,
  record: { claims: claims.map(([from, to]) => ({ from, to })), segments } as unknown as SeriesRecord,
});

/** Which rows count of each file, in words. */
function counted(files: readonly ToldSeries[], isIrregular = false): string[] {
  return countRowsOf(files, isIrregular).files.map(
    ({ told: { shardId }, ranges }) => `${shardId}: ${ranges.map(({ from, to }) => `${from}-${to}`).join(' ')}`,
  );
}

describe('of each row', () => {
  test('the claim of the highest commit counts, in whatever order files are found', () => {
    const files = [told('b', 2n, [[5, 15]]), told('a', 1n, [[0, 10]])];
    expect(counted(files)).toEqual(['a: 0-5', 'b: 5-15']);
    expect(counted([...files].reverse())).toEqual(['a: 0-5', 'b: 5-15']);
  });

  test('of one commit that of the compaction counts, and of two flushes of the same chunks the later name', () => {
    expect(counted([told('a', 1n, [[0, 10]], [], 1), told('b', 1n, [[0, 10]])])).toEqual(['b: ', 'a: 0-10']);
    expect(counted([told('b', 1n, [[0, 10]]), told('a', 1n, [[0, 10]])])).toEqual(['a: ', 'b: 0-10']);
  });

  test('a later file that claims the middle leaves the ends', () => {
    expect(counted([told('a', 1n, [[0, 10]]), told('b', 2n, [[3, 5]])])).toEqual(['a: 0-3 5-10', 'b: 3-5']);
  });
});

test('numbers in no claim are missing, and the highest one that is claimed ends the series', () => {
  expect(
    countRowsOf(
      [
        told('a', 1n, [
          [2, 4],
          [6, 7],
        ]),
        told('b', 2n, [[9, 10]]),
      ],
      false,
    ),
  ).toMatchObject({
    rows: 10,
    missing: [
      { from: 0, to: 2 },
      { from: 4, to: 6 },
      { from: 7, to: 9 },
    ],
  });
});

describe('rows that are in order of time within a claim', () => {
  test('are not parted: a file that cuts one, and is covered by the others, goes', () => {
    const files = [told('a', 1n, [[0, 10]]), told('orphan', 2n, [[5, 15]]), told('b', 3n, [[10, 20]])];
    expect(counted(files, true)).toEqual(['a: 0-10', 'b: 10-20']);
  });

  test('give nothing where none can go, and that is said', () => {
    const plan = countRowsOf([told('a', 1n, [[0, 10]]), told('b', 2n, [[5, 15]])], true);
    expect(plan.files.map(({ ranges }) => ranges)).toEqual([[], [{ from: 5, to: 15 }]]);
    expect(plan.cut.map(({ told: { shardId }, claim }) => [shardId, claim])).toEqual([['a', { from: 0, to: 10 }]]);
    expect(plan.missing).toEqual([{ from: 0, to: 5 }]);
  });
});

describe('segments', () => {
  const rate = parseRate(3)!; // a third of a second is no whole number of nanoseconds
  const ns = (row: number): bigint => (BigInt(row) * 1_000_000_000n) / 3n;

  test('go on over files, also where rows are counted from the middle of one', () => {
    const files = [
      told('a', 1n, [[3, 10]], [{ row: 3, startNs: ns(3) }]),
      told('b', 2n, [[0, 5]], [{ row: 0, startNs: 0n }]),
    ];
    expect(segmentsOfCounted(countRowsOf(files, false), rate)).toEqual([{ firstRow: 0, startNs: 0n, rows: 10 }]);
  });

  test('begin anew where a file says so', () => {
    const starts = [
      { row: 0, startNs: 0n },
      { row: 4, startNs: 9_000_000_000n },
    ];
    const plan = countRowsOf([told('a', 1n, [[0, 10]], starts)], false);
    expect(segmentsOfCounted(plan, rate)).toEqual([
      { firstRow: 0, startNs: 0n, rows: 4 },
      { firstRow: 4, startNs: 9_000_000_000n, rows: 6 },
    ]);
  });

  test('are evenly spaced where no file says when rows were', () => {
    const plan = countRowsOf([told('a', 1n, [[6, 9]], [{ row: 6, startNs: 5_000_000_000n }])], false);
    expect(segmentsOfCounted(plan, rate)).toEqual([{ firstRow: 0, startNs: 3_000_000_000n, rows: 9 }]);
  });
});
