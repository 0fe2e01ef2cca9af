/** Borders, cells and rows of an overview, on paper. */
import { describe, expect, test } from '@jest/globals';
import {
  coverByCells,
  dirtyRows,
  equalBorders,
  EXACT_GAPS,
  factorFor,
  planBucketRows,
  rowsAtBorders,
  snapBorders,
  type SummarizedShard,
} from '../../src/core/overview/row-buckets.ts';
import { parseRate } from '../../src/core/signal/rate.ts';
import type { Segment } from '../../src/core/signal/segment.ts';

const RATE = parseRate(1000)!;
const MS = 1_000_000n;
const one = (rows: number): Segment[] => [{ firstRow: 0, startNs: 0n, rows }];
const shard = (from: number, to: number, more: Partial<SummarizedShard> = {}): SummarizedShard => ({
  id: 's',
  factors: [64, 4096, 262144],
  rows: { from, to },
  dirty: [],
  ...more,
});
const RULES = { coarsest: 4096, rowsRatherThanCells: 0, expiredRow: 0 };

describe('the level of an overview', () => {
  test.each([
    [127, null],
    [128, 64],
    [8191, 64],
    [8192, 4096],
    [524_287, 4096],
    [524_288, 262_144],
    [1e12, 262_144],
  ])('for buckets of %d rows has cells of %p', (rows, factor) => {
    expect(factorFor(rows)).toBe(factor);
  });
});

describe('borders', () => {
  test('are at the first row at or after a time, also in a gap', () => {
    const segments = [
      { firstRow: 0, startNs: 0n, rows: 10 },
      { firstRow: 10, startNs: 100n * MS, rows: 5 },
    ];
    const times = BigInt64Array.from([-5n * MS, 0n, 1n, 10n * MS, 50n * MS, 100n * MS, 101n * MS, 999n * MS]);
    expect([...rowsAtBorders(segments, RATE, times)]).toEqual([0, 0, 1, 10, 10, 10, 11, 15]);
  });

  test('of equal spans are exact at both ends', () => {
    expect([...equalBorders(-7n, 93n, 3)]).toEqual([-7n, 26n, 59n, 93n]);
  });

  test('move back to cells, but not at the ends and not at gaps', () => {
    const segments = [
      { firstRow: 0, startNs: 0n, rows: 5000 },
      { firstRow: 5000, startNs: 90_000n * MS, rows: 5000 },
    ];
    const rows = Float64Array.from([10, 1000, 2000, 5000, 9000, 9990]);
    const rules = { segments, factor: 64, expiredRow: 0 };
    expect([...snapBorders(rows, rules)]).toEqual([10, 960, 1984, 5000, 8960, 9990]);
  });

  test('stay where they are at a limited number of gaps, the longest', () => {
    const segments = Array.from({ length: 100 }, (_, i) => ({
      firstRow: i * 1001,
      startNs: BigInt(i * 10_000 + (i > 50 ? i * i : 0)) * MS,
      rows: 1001,
    }));
    const rows = Float64Array.from({ length: 101 }, (_, i) => i * 1001);
    const rules = { segments, factor: 64, expiredRow: 0 };
    const moved = [...snapBorders(rows, rules)].filter((row, i) => row !== rows[i] || row % 64 === 0).length;
    expect(101 - moved).toBeLessThanOrEqual(EXACT_GAPS + 2);
    expect(101 - moved).toBeGreaterThanOrEqual(EXACT_GAPS);
  });

  test('where rows have expired are all on cells', () => {
    const rules = { segments: one(1e6), factor: null, expiredRow: 1e6 };
    expect([...snapBorders(Float64Array.from([100, 150, 300]), rules)]).toEqual([64, 128, 256]);
  });
});

describe('cells', () => {
  test('answer everything between borders on cells', () => {
    const { cells, left } = coverByCells(shard(0, 409_600), Float64Array.from([0, 8192, 409_600]), RULES);
    expect(cells).toEqual([{ shardId: 's', factor: 4096, from: 0, to: 100 }]);
    expect(left).toEqual([]);
  });

  test('at both ends of the range become finer, and then rows', () => {
    const { cells, left } = coverByCells(shard(0, 409_600), Float64Array.from([100, 8192, 8300]), RULES);
    expect(cells).toEqual([
      { shardId: 's', factor: 4096, from: 1, to: 2 },
      { shardId: 's', factor: 64, from: 2, to: 64 },
      { shardId: 's', factor: 64, from: 128, to: 129 },
    ]);
    expect(left).toEqual([
      { from: 100, to: 128 },
      { from: 8256, to: 8300 },
    ]);
  });

  test('are not looked for where few rows are read as quickly', () => {
    const rules = { ...RULES, rowsRatherThanCells: 4096 };
    const { cells, left } = coverByCells(shard(0, 409_600), Float64Array.from([100, 8192, 8300]), rules);
    expect(cells).toEqual([{ shardId: 's', factor: 4096, from: 1, to: 2 }]);
    expect(left).toEqual([
      { from: 100, to: 4096 },
      { from: 8192, to: 8300 },
    ]);
  });

  test('that two shards share are whole for each of them', () => {
    const borders = Float64Array.from([0, 8192]);
    const first = coverByCells(shard(0, 5000), borders, RULES);
    const second = coverByCells(shard(5000, 8192), borders, RULES);
    expect([first.cells, second.cells]).toEqual([
      [{ shardId: 's', factor: 4096, from: 0, to: 2 }],
      [{ shardId: 's', factor: 4096, from: 1, to: 2 }],
    ]);
    expect([first.left, second.left]).toEqual([[], []]);
  });

  test('over rows that are not seen any more are given up', () => {
    const dirty = [{ from: 5000, to: 5001 }];
    const { cells, left } = coverByCells(shard(0, 12_288, { dirty }), Float64Array.from([0, 12_288]), RULES);
    expect(cells.filter(({ factor }) => factor === 4096)).toHaveLength(2);
    expect(left).toEqual([{ from: 4992, to: 5056 }]);
  });

  test('of a billion rows at 2,000 points are at most 128 a point, and next to no rows are read', () => {
    const rows = 1e9;
    const borders = Float64Array.from({ length: 2001 }, (_, i) => Math.floor((i * rows) / 2000));
    const factor = factorFor(rows / 2000)!;
    const known = shard(0, rows);
    const snapped = snapBorders(borders, { segments: one(rows), factor, expiredRow: 0 });
    const { cells, left } = coverByCells(known, snapped, { ...RULES, coarsest: factor });
    const count = cells.reduce((sum, { from, to }) => sum + to - from, 0);
    expect(count).toBeLessThanOrEqual(128 * 2000);
    expect(left.reduce((sum, { from, to }) => sum + to - from, 0)).toBeLessThanOrEqual(128);
  });
});

describe('chunks', () => {
  const chunk = (firstRow: number, rows: number, generation = 0) => ({
    shardId: 'hot',
    firstRow,
    rows,
    generation,
    stats: null,
  });

  test('that lie in one bucket answer by their statistics, others by rows', () => {
    const chunks = [chunk(0, 100), chunk(100, 100), chunk(200, 100)];
    const slices = chunks.map((each) => ({ chunk: each, from: each.firstRow, to: each.firstRow + each.rows }));
    const { stats, reads } = planBucketRows(slices, Float64Array.from([0, 150, 300]), new Map(), () => true);
    expect(stats.map((each) => [each.bucket, each.chunk.firstRow])).toEqual([
      [0, 0],
      [1, 200],
    ]);
    expect(reads.map(({ from, to }) => [from, to])).toEqual([[100, 200]]);
  });

  test('that are covered in part are dirty there', () => {
    expect(
      dirtyRows(
        [chunk(0, 100)],
        [
          { from: 0, to: 30 },
          { from: 40, to: 100 },
        ],
      ),
    ).toEqual([{ from: 30, to: 40 }]);
  });
});
