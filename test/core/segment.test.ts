import { describe, expect, test } from '@jest/globals';
import { parseRate, type Rate } from '../../src/core/signal/rate.ts';
import {
  partOfSegment,
  rowsBefore,
  rowsInTime,
  selectRows,
  timesOfRows,
  type Segment,
} from '../../src/core/signal/segment.ts';
import { INT64_MAX } from '../../src/core/time.ts';

const KHZ: Rate = { num: 1000n, den: 1n };
const MS = 1_000_000n;
/** Three runs at 1 kHz: 0–4 ms, 10–14 ms, 20–24 ms. */
const THREE: Segment[] = [
  { firstRow: 0, startNs: 0n, rows: 5 },
  { firstRow: 5, startNs: 10n * MS, rows: 5 },
  { firstRow: 10, startNs: 20n * MS, rows: 5 },
];

describe('a time range selects the rows in it', () => {
  test.each<[string, bigint, bigint, [number, number][]]>([
    ['everything', -1n, 100n * MS, [[0, 15]]],
    ['one sample, by its exact time', 2n * MS, 2n * MS + 1n, [[2, 3]]],
    ['the end does not belong to it', 0n, 2n * MS, [[0, 2]]],
    ['between two samples there is none', 2n * MS + 1n, 3n * MS, []],
    ['in a gap there is none', 5n * MS, 10n * MS, []],
    ['before the data there is none', -10n * MS, 0n, []],
    ['after the data there is none', 25n * MS, 30n * MS, []],
    ['an empty range', 2n * MS, 2n * MS, []],
    ['a reversed range', 4n * MS, 2n * MS, []],
    ['across a gap, rows go on', 3n * MS, 12n * MS, [[3, 7]]],
    ['whole segments only', 10n * MS, 25n * MS, [[5, 15]]],
  ])('%s', (_, startNs, endNs, ranges) => {
    expect(selectRows(THREE, KHZ, startNs, endNs).map(({ from, to }) => [from, to])).toEqual(ranges);
  });

  test('rows that do not touch stay apart', () => {
    expect(selectRows([THREE[0], THREE[2]], KHZ, 0n, 100n * MS)).toEqual([
      { from: 0, to: 5 },
      { from: 10, to: 15 },
    ]);
  });

  test('a segment alone gives an empty range inside itself', () => {
    expect(rowsInTime(THREE[1], KHZ, -5n, 0n)).toEqual({ from: 5, to: 5 });
    expect(rowsInTime(THREE[1], KHZ, 50n * MS, 60n * MS)).toEqual({ from: 10, to: 10 });
  });
});

test('times of rows go across segments', () => {
  expect([...timesOfRows(THREE, KHZ, { from: 3, to: 7 })]).toEqual([3n * MS, 4n * MS, 10n * MS, 11n * MS]);
  expect(timesOfRows(THREE, KHZ, { from: 3, to: 3 })).toHaveLength(0);
});

describe('segments in any order of time', () => {
  /** At 1 Hz: rows 0–9 at 0–9 s, 10–19 at 100–109 s, 20–24 at 50–54 s. */
  const rate = parseRate(1)!;
  const late: Segment[] = [
    { firstRow: 0, startNs: 0n, rows: 10 },
    { firstRow: 10, startNs: 100_000n * MS, rows: 10 },
    { firstRow: 20, startNs: 50_000n * MS, rows: 5 },
  ];

  test('select rows in order of time, and none that lie elsewhere', () => {
    const select = (from: number, to: number) =>
      selectRows(late, rate, BigInt(from * 1000) * MS, BigInt(to * 1000) * MS);
    expect(select(0, 60)).toEqual([
      { from: 0, to: 10 },
      { from: 20, to: 25 },
    ]);
    expect(select(5, 102)).toEqual([
      { from: 5, to: 10 },
      { from: 20, to: 25 },
      { from: 10, to: 12 },
    ]);
    expect(rowsBefore(late, rate, 25, 52_000n * MS)).toEqual([
      { from: 0, to: 10 },
      { from: 20, to: 22 },
    ]);
  });

  test('keep their grid to the nanosecond where they are cut', () => {
    const thirds = parseRate(30)!;
    const whole: Segment = { firstRow: 5, startNs: 11n, rows: 100 };
    const all = timesOfRows([whole], thirds, { from: 5, to: 105 });
    const parts = [
      [5, 17],
      [17, 18],
      [18, 105],
    ].map(([from, to]) => partOfSegment(whole, thirds, { from, to }));
    expect(timesOfRows(parts, thirds, { from: 5, to: 105 })).toEqual(all);
    for (const ns of [all[20] - 1n, all[20], all[20] + 1n]) {
      expect(selectRows(parts, thirds, ns, INT64_MAX)).toEqual(selectRows([whole], thirds, ns, INT64_MAX));
    }
  });
});
