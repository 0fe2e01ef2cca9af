import { describe, expect, test } from '@jest/globals';
import { nsOfRow } from '../../src/core/signal/rate.ts';
import {
  lowestFirst,
  rebuildMasks,
  rebuildRows,
  rebuildSegments,
  type ToldSeries,
} from '../../src/core/upkeep/rebuild-plan.ts';
import type { RowRange } from '../../src/core/signal/segment.ts';
import type { SeriesRecord } from '../../src/core/upkeep/series-record.ts';

type Pair = readonly [from: number, to: number];

const range = ([from, to]: Pair): RowRange => ({ from, to });

/** What a file tells: its claims, of which all rows are there unless it is said otherwise. */
function told(
  shardId: string,
  commit: number,
  claims: readonly Pair[],
  record: Partial<SeriesRecord> & {
    readonly irregular?: boolean;
    readonly level?: number;
    readonly there?: readonly Pair[];
  } = {},
): ToldSeries {
  const { irregular = false, level = 0, there = claims, ...rest } = record;
  const rows = Math.max(0, ...claims.map(([, to]) => to));
  const description = { rate: irregular ? null : '1/1', version: 1 } as SeriesRecord['description'];
  const nothing = { removed: 0, generation: 0, expiredNs: null, summariesExpiredNs: null };
  const lists = {
    holes: [],
    erasures: [],
    segments: [],
    marks: [],
    expiredRows: [],
    firstRow: 0,
    claims: claims.map(range),
    runs: there.map(range),
  };
  const state = { sealedAt: null, contentHash: null, deletedAt: null };
  return {
    shardId,
    commit: BigInt(commit),
    level,
    record: { ...nothing, ...lists, ...state, description, rows, ...rest },
  };
}

function rebuilt(files: readonly ToldSeries[]) {
  const { layers, missing, rows, unwritten, cut } = rebuildRows(lowestFirst(files));
  return {
    kept: layers.flatMap((layer) => layer.rows.map(({ from, to }) => `${layer.told.shardId}:${from}-${to}`)),
    missing: missing.map(({ from, to }) => [from, to]),
    cut: cut.map(({ told: { shardId }, claim }) => `${shardId}:${claim.from}-${claim.to}`),
    rows,
    unwritten,
  };
}

const ALL_WELL = { missing: [], cut: [], unwritten: null };
const i = { irregular: true };

describe('of each row number the highest file that claims it counts', () => {
  test.each<[string, ToldSeries[], Partial<ReturnType<typeof rebuilt>>]>([
    [
      'files in any order',
      [told('b', 2, [[10, 15]]), told('a', 1, [[0, 10]])],
      { kept: ['a:0-10', 'b:10-15'], rows: 15 },
    ],
    [
      'two flushes of the same chunks',
      [told('a', 1, [[0, 10]]), told('b', 2, [[0, 15]])],
      { kept: ['b:0-15'], rows: 15 },
    ],
    [
      'of one commit what was compacted counts, then the later id',
      [told('c', 1, [[0, 5]], { level: 1 }), told('z', 1, [[0, 5]]), told('b', 1, [[0, 5]], { level: 1 })],
      { kept: ['c:0-5'], rows: 5 },
    ],
    [
      'rows that were replaced',
      [told('a', 1, [[0, 10]]), told('b', 2, [[3, 5]])],
      { kept: ['a:0-3', 'a:5-10', 'b:3-5'], rows: 10 },
    ],
    [
      'rows of a file that is gone are missing',
      [told('a', 1, [[3, 5]]), told('b', 2, [[9, 10]])],
      {
        kept: ['a:3-5', 'b:9-10'],
        missing: [
          [0, 3],
          [5, 9],
        ],
        rows: 10,
      },
    ],
    [
      'rows that are known to be removed or expired are not missing, also at the end',
      [
        told('a', 1, [[3, 8]], {
          there: [[3, 5]],
          expiredRows: [{ from: 0, to: 3 }],
          holes: [range([5, 8]), range([8, 12])],
        }),
      ],
      { kept: ['a:3-5'], rows: 12 },
    ],
    [
      'rows that were given out and had not reached a file',
      [told('a', 1, [[0, 5]], { rows: 9 })],
      { kept: ['a:0-5'], rows: 5, unwritten: range([5, 9]) },
    ],
    [
      'irregular: a file that cuts the claim of another, and whose rows the others have, does not count',
      [told('a', 1, [[0, 10]], i), told('b', 2, [[4, 6]], i)],
      { kept: ['a:0-10'], rows: 10 },
    ],
    [
      'irregular: a claim that is cut even so gives nothing',
      [told('a', 1, [[0, 10]], i), told('b', 2, [[5, 15]], i)],
      { kept: ['b:5-15'], cut: ['a:0-10'], missing: [[0, 5]], rows: 15 },
    ],
    [
      'irregular: numbers of rows that were removed long ago are claimed by none',
      [told('a', 1, [[10, 20]], { ...i, removed: 10 })],
      { kept: ['a:10-20'], rows: 20 },
    ],
  ])('%s', (_, files, expected) => {
    expect(rebuilt(files)).toEqual({ ...ALL_WELL, ...expected });
  });
});

test('the next edit has a higher number than all that are told, and masks are those of the highest file', () => {
  const erasure = { generation: 7, startNs: 0n, endNs: 1n, beforeRow: 5 };
  const files = lowestFirst([
    told('b', 2, [[0, 5]], { generation: 3, holes: [range([1, 2])], removed: 1 }),
    told('a', 1, [[0, 5]], { generation: 1, holes: [range([0, 4])], removed: 4, erasures: [erasure], expiredNs: 9n }),
  ]);
  expect(rebuildMasks(files, 5)).toEqual({
    edits: 7,
    removed: 1,
    expiredNs: 9n,
    summariesExpiredNs: null,
    holes: [range([1, 2])],
    erasures: [],
  });
});

describe('segments of a rebuilt series', () => {
  const rate = { num: 3n, den: 1n }; // a period of 333,333,333⅓ ns
  const segments = (files: readonly ToldSeries[], rows: number) =>
    rebuildSegments(rebuildRows(lowestFirst(files)).layers, rate, rows, lowestFirst(files).at(-1)?.record.holes ?? []);

  test('a file that goes on does not begin one, nor does the rest of a claim, however often its time was rounded', () => {
    const files = [
      told('a', 1, [[1, 9]], { segments: [{ firstRow: 1, startNs: nsOfRow(rate, 1), rows: 8, skip: 1 }] }),
      told('b', 2, [[0, 2]], { segments: [{ firstRow: 0, startNs: 0n, rows: 2 }] }),
      told('c', 3, [[4, 5]], { segments: [{ firstRow: 4, startNs: nsOfRow(rate, 4), rows: 1, skip: 4 }] }),
    ];
    expect(segments(files, 9)).toEqual([{ firstRow: 0, startNs: 0n, rows: 9, skip: 0 }]);
  });

  test('gaps stay, and rows before all that is told end where it begins', () => {
    const files = [
      told('a', 1, [[6, 12]], {
        segments: [
          { firstRow: 6, startNs: 2_000_000_000n, rows: 3 },
          { firstRow: 9, startNs: 99_000_000_000n, rows: 3 },
        ],
      }),
    ];
    expect(segments(files, 12)).toEqual([
      { firstRow: 0, startNs: 0n, rows: 9 },
      { firstRow: 9, startNs: 99_000_000_000n, rows: 3 },
    ]);
  });

  test('rows that were removed, and whose time later rows have taken, are in none', () => {
    const second = 1_000_000_000n;
    const files = [
      told('a', 1, [[0, 10]], { segments: [{ firstRow: 0, startNs: 0n, rows: 10 }] }),
      // At 3 Hz, rows 3 to 5 were at the second second.
      told('b', 2, [[10, 13]], {
        segments: [{ firstRow: 10, startNs: second, rows: 3 }],
        holes: [{ from: 2, to: 6 }],
        rows: 13,
      }),
    ];
    expect(segments(files, 13)).toEqual([
      { firstRow: 0, startNs: 0n, rows: 3, skip: 0 },
      { firstRow: 6, startNs: 2n * second, rows: 4, skip: 6 },
      { firstRow: 10, startNs: second, rows: 3 },
    ]);
  });

  test('no rows, no segments', () => expect(segments([told('a', 1, [])], 0)).toEqual([]));
});
