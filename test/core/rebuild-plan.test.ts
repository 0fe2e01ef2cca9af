import { describe, expect, test } from '@jest/globals';
import { orderParts, segmentsFromStarts } from '../../src/core/rebuild-plan.ts';

const part = (name: string, firstRow: number, rows: number, token = 1n) => ({ shardId: name, token, firstRow, rows });

describe('the parts of a series', () => {
  test.each([
    ['none', [], { kept: [], missing: [], superseded: [], rows: 0 }],
    ['one', [part('a', 0, 10)], { kept: ['a:10'], missing: [], superseded: [], rows: 10 }],
    [
      'in any order',
      [part('b', 10, 5), part('a', 0, 10)],
      { kept: ['a:10', 'b:5'], missing: [], superseded: [], rows: 15 },
    ],
    [
      'a later shard takes the place of an unpublished rest',
      [part('a', 0, 12), part('b', 10, 5)],
      { kept: ['a:10', 'b:5'], missing: [], superseded: ['a:10-12'], rows: 15 },
    ],
    [
      'also where the rest is longer than the later shard',
      [part('a', 0, 100), part('b', 10, 5)],
      { kept: ['a:10', 'b:5'], missing: [], superseded: ['a:10-100'], rows: 15 },
    ],
    [
      'of two that begin at one row the later lease wins',
      [part('b', 0, 5, 7n), part('a', 0, 9, 2n)],
      { kept: ['b:5'], missing: [], superseded: ['a:0-9'], rows: 5 },
    ],
    [
      'rows of a shard that is gone are missing, at the front and between',
      [part('a', 3, 2), part('b', 9, 1)],
      {
        kept: ['a:2', 'b:1'],
        missing: [
          [0, 3],
          [5, 9],
        ],
        superseded: [],
        rows: 10,
      },
    ],
    [
      'shards without rows do not count',
      [part('a', 0, 4), part('b', 2, 0)],
      { kept: ['a:4'], missing: [], superseded: [], rows: 4 },
    ],
  ])('%s', (_, parts, expected) => {
    const { kept, missing, superseded, rows } = orderParts(parts);
    expect({
      kept: kept.map(({ part: { shardId }, rows: count }) => `${shardId}:${count}`),
      missing: missing.map(({ from, to }) => [from, to]),
      superseded: superseded.map(({ part: { shardId }, rows: range }) => `${shardId}:${range.from}-${range.to}`),
      rows,
    }).toEqual(expected);
  });
});

describe('segments from the starts that shards record', () => {
  const rate = { num: 3n, den: 1n }; // a period of 333,333,333⅓ ns

  test('a later shard that goes on does not begin a segment, however its time was rounded', () => {
    const starts = [0, 1, 2, 5].map((row) => ({ row, startNs: (BigInt(row) * 1_000_000_000n) / 3n }));
    expect(segmentsFromStarts(starts, rate, 7)).toEqual([{ firstRow: 0, startNs: 0n, rows: 7 }]);
  });

  test('gaps stay, and what lies past the end is left out', () => {
    const starts = [
      { row: 0, startNs: 0n },
      { row: 3, startNs: 5_000_000_000n },
      { row: 9, startNs: 99_000_000_000n },
    ];
    expect(segmentsFromStarts(starts, rate, 9)).toEqual([
      { firstRow: 0, startNs: 0n, rows: 3 },
      { firstRow: 3, startNs: 5_000_000_000n, rows: 6 },
    ]);
  });

  test('missing rows at the front end where the known ones begin', () => {
    expect(segmentsFromStarts([{ row: 6, startNs: 2_000_000_000n }], rate, 8)).toEqual([
      { firstRow: 0, startNs: 0n, rows: 8 },
    ]);
  });

  test('no starts, no segments', () => {
    expect(segmentsFromStarts([], rate, 0)).toEqual([]);
  });
});
