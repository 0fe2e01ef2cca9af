import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { groupByTime, lowerBound, orderRows, type TimedChunk } from '../../src/core/rows/time-order.ts';

describe('rows are answered in order of time', () => {
  test.each<[string, bigint[], number[], number[]]>([
    ['nothing', [], [], []],
    ['in order', [1n, 2n, 3n], [0, 1, 2], [0, 1, 2]],
    ['in reverse', [3n, 2n, 1n], [2, 1, 0], [2, 1, 0]],
    ['one time twice: the last wins', [1n, 1n], [1], [0, 1]],
    ['a late correction wins over what came first', [5n, 6n, 5n], [2, 1], [0, 2, 1]],
    ['times that a double cannot tell apart', [2n ** 62n + 1n, 2n ** 62n, -(2n ** 63n)], [2, 1, 0], [2, 1, 0]],
  ])('%s', (_, times, last, keep) => {
    const column = BigInt64Array.from(times);
    const all = Uint32Array.from(column.keys());
    expect([...orderRows(column, all, 'last')]).toEqual(last);
    expect([...orderRows(column, all, 'error')]).toEqual(last);
    expect([...orderRows(column, all, 'keep')]).toEqual(keep);
  });
});

interface Chunk extends TimedChunk {
  readonly times: bigint[];
}

function chunkOf(times: bigint[], firstRow: number): Chunk {
  const sorted = times.every((time, i) => i === 0 || time > times[i - 1]);
  const inOrder = times.toSorted((a, b) => (a < b ? -1 : 1));
  return { firstRow, rows: times.length, firstNs: inOrder[0], lastNs: inOrder.at(-1)!, sorted, times };
}

function chunksOf(lists: bigint[][]): Chunk[] {
  let row = 0;
  return lists.map((times) => {
    row += times.length;
    return chunkOf(times, row - times.length);
  });
}

describe('chunks are read together only where they must be', () => {
  test.each<[string, bigint[][], { ordered: boolean; firstRows: number[] }[]]>([
    ['none', [], []],
    [
      'one after the other: each on its own',
      [
        [1n, 2n],
        [3n, 4n],
      ],
      [
        { ordered: true, firstRows: [0] },
        { ordered: true, firstRows: [2] },
      ],
    ],
    [
      'an old one that came late is answered first',
      [
        [3n, 4n],
        [1n, 2n],
      ],
      [
        { ordered: true, firstRows: [2] },
        { ordered: true, firstRows: [0] },
      ],
    ],
    [
      'a shared time joins two',
      [
        [1n, 2n],
        [2n, 3n],
      ],
      [{ ordered: false, firstRows: [0, 2] }],
    ],
    [
      'one that spans others joins them, in the order they came',
      [[5n, 6n], [8n], [1n, 9n], [10n]],
      [
        { ordered: false, firstRows: [0, 2, 3] },
        { ordered: true, firstRows: [5] },
      ],
    ],
    ['disorder inside one', [[2n, 1n]], [{ ordered: false, firstRows: [0] }]],
    ['a time twice inside one', [[1n, 1n]], [{ ordered: false, firstRows: [0] }]],
  ])('%s', (_, lists, groups) => {
    expect(
      groupByTime(chunksOf(lists)).map(({ ordered, chunks }) => ({
        ordered,
        firstRows: chunks.map(({ firstRow }) => firstRow),
      })),
    ).toEqual(groups);
  });
});

/** Times close together, so that they often meet. */
const anyTimes = fc.array(fc.bigInt({ min: -20n, max: 60n }), { minLength: 1, maxLength: 6 });
/** Some chunks as a recorder makes them: in order, here and there a step back. */
const anyRun = fc
  .tuple(fc.bigInt({ min: -20n, max: 60n }), fc.array(fc.bigInt({ min: 1n, max: 4n }), { minLength: 1, maxLength: 6 }))
  .map(([start, steps]) => steps.map((_, i) => steps.slice(0, i + 1).reduce((sum, step) => sum + step, start)));

test.each(['last', 'error', 'keep'] as const)('group by group is the same as all at once, with rule %s', (rule) => {
  fc.assert(
    fc.property(fc.array(fc.oneof(anyTimes, anyRun), { maxLength: 8 }), (lists) => {
      const came = lists.flat().map((time, row) => ({ time, row }));
      const sorted = came.toSorted((a, b) => (a.time === b.time ? a.row - b.row : a.time < b.time ? -1 : 1));
      const wanted = sorted.filter(({ time }, i) => rule === 'keep' || sorted[i + 1]?.time !== time);

      const answered = groupByTime(chunksOf(lists)).flatMap(({ ordered, chunks }) => {
        const rows = chunks.flatMap(({ firstRow, times }) => times.map((time, i) => ({ time, row: firstRow + i })));
        if (ordered) return rows;
        const times = BigInt64Array.from(rows, ({ time }) => time);
        return [...orderRows(times, Uint32Array.from(times.keys()), rule)].map((i) => rows[i]);
      });
      expect(answered).toEqual(wanted);
    }),
    { numRuns: 500 },
  );
});

test('the lower bound is the first time that is not before', () => {
  fc.assert(
    fc.property(fc.array(fc.bigInt({ min: -9n, max: 9n })), fc.bigInt({ min: -12n, max: 12n }), (times, ns) => {
      const sorted = BigInt64Array.from(times).sort();
      const found = sorted.findIndex((time) => time >= ns);
      expect(lowerBound(sorted, ns)).toBe(found < 0 ? sorted.length : found);
    }),
  );
});
