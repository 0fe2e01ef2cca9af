import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { halfPeriodNs, nsOfRow, parseRate, type Rate } from '../../src/core/rate.ts';
import {
  extendSegments,
  placeAppend,
  rowsInTime,
  segmentEndNs,
  selectRows,
  timesOfRows,
  type Segment,
} from '../../src/core/segment.ts';

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

describe('an append finds its place', () => {
  const newest = { startNs: 10n * MS, rows: 5 };
  const END = 15n * MS;
  test.each<[string, bigint | null, { startNs: bigint; continues: boolean } | undefined]>([
    ['without a start it goes on', null, { startNs: END, continues: true }],
    ['at the end it goes on', END, { startNs: END, continues: true }],
    ['half a period late it goes on, at the exact time', END + MS / 2n, { startNs: END, continues: true }],
    ['half a period early it goes on, at the exact time', END - MS / 2n, { startNs: END, continues: true }],
    ['any later it begins anew', END + MS / 2n + 1n, { startNs: END + MS / 2n + 1n, continues: false }],
    ['any earlier it would overlap', END - MS / 2n - 1n, undefined],
  ])('%s', (_, requestedNs, place) => {
    expect(placeAppend(newest, KHZ, requestedNs, 0n)).toEqual(place);
  });

  test('the first data begin where they say, or else where the series begins', () => {
    expect(placeAppend(null, KHZ, -7n, 42n)).toEqual({ startNs: -7n, continues: false });
    expect(placeAppend(null, KHZ, null, 42n)).toEqual({ startNs: 42n, continues: false });
  });
});

describe('runs of rows extend the newest segment or begin new ones', () => {
  const newest = THREE[2];
  const end = segmentEndNs(newest, KHZ);
  test.each<[string, Segment | null, { startNs: bigint; rows: number }[], Segment[]]>([
    ['nothing changes nothing', newest, [], []],
    ['a run that goes on', newest, [{ startNs: end, rows: 3 }], [{ ...newest, rows: 8 }]],
    [
      'runs that go on are one change',
      newest,
      [
        { startNs: end, rows: 3 },
        { startNs: end + 3n * MS, rows: 1 },
      ],
      [{ ...newest, rows: 9 }],
    ],
    ['a gap', newest, [{ startNs: end + 1n, rows: 3 }], [{ firstRow: 15, startNs: end + 1n, rows: 3 }]],
    [
      'a run that goes on, and a gap, and one that goes on after it',
      newest,
      [
        { startNs: end, rows: 1 },
        { startNs: 50n * MS, rows: 2 },
        { startNs: 52n * MS, rows: 2 },
      ],
      [
        { ...newest, rows: 6 },
        { firstRow: 16, startNs: 50n * MS, rows: 4 },
      ],
    ],
    ['the first run of all', null, [{ startNs: 7n, rows: 2 }], [{ firstRow: 15, startNs: 7n, rows: 2 }]],
  ])('%s', (_, before, runs, changed) => {
    expect(extendSegments(before, KHZ, 15, runs)).toEqual(changed);
  });
});

/** What a client sends: rows, and a start that is a number of half periods and some ns away from the end of the data. */
interface Append {
  readonly rows: number;
  readonly start: { readonly halves: number; readonly ns: number } | null;
}

const anyAppend: fc.Arbitrary<Append> = fc.record({
  rows: fc.integer({ min: 1, max: 40 }),
  start: fc.option(fc.record({ halves: fc.integer({ min: -3, max: 9 }), ns: fc.integer({ min: -2, max: 2 }) }), {
    freq: 2,
  }),
});
const anyRate = fc.constantFrom<number | string>(1000, 20.03, '30000/1001', 1e9, 3e-6, 7, 1 / 3600).map((value) => {
  return parseRate(value)!;
});

test('segments agree with a plain list of rows and times, whatever is appended', () => {
  const appends = fc.array(fc.array(anyAppend, { maxLength: 4 }), { maxLength: 6 });
  const window = fc.tuple(fc.nat(1000), fc.nat(1000), fc.integer({ min: -1, max: 1 }), fc.integer({ min: -1, max: 1 }));
  fc.assert(
    fc.property(anyRate, appends, fc.array(window, { minLength: 1, maxLength: 5 }), (rate, commits, windows) => {
      const times: bigint[] = []; // the model: the time of every row
      let run: { startNs: bigint; rows: number } | null = null; // the model's newest evenly spaced run
      const segments: Segment[] = [];
      for (const commit of commits) {
        const runs: { startNs: bigint; rows: number }[] = [];
        const firstRow = times.length;
        for (const { rows, start } of commit) {
          const endNs: bigint = run ? run.startNs + nsOfRow(rate, run.rows) : 0n;
          const requestedNs: bigint | null =
            start && endNs + BigInt(start.halves) * halfPeriodNs(rate) + BigInt(start.ns);
          const place = placeAppend(run, rate, requestedNs, 0n);
          const late: bigint = requestedNs === null ? 0n : requestedNs - endNs;
          if (run && late < -halfPeriodNs(rate)) {
            expect(place).toBeUndefined();
            continue;
          }
          if (!run || late > halfPeriodNs(rate)) run = { startNs: requestedNs ?? 0n, rows: 0 };
          const first = run.startNs + nsOfRow(rate, run.rows);
          expect(place?.startNs).toBe(first);
          for (let i = 0; i < rows; i++) times.push(run.startNs + nsOfRow(rate, run.rows + i));
          run = { startNs: run.startNs, rows: run.rows + rows };
          runs.push({ startNs: first, rows });
        }
        // As the catalog keeps them: a changed segment replaces the one that begins at the same row.
        for (const changed of extendSegments(segments.at(-1) ?? null, rate, firstRow, runs)) {
          if (segments.at(-1)?.firstRow === changed.firstRow) segments.pop();
          segments.push(changed);
        }
      }
      expect([...timesOfRows(segments, rate, { from: 0, to: times.length })]).toEqual(times);
      if (times.length === 0) return;
      for (const [a, b, offsetA, offsetB] of windows) {
        const [from, to] = [a % times.length, b % times.length];
        expect([...timesOfRows(segments, rate, { from, to: Math.max(from, to) })]).toEqual(times.slice(from, to));
        const [startNs, endNs] = [times[from] + BigInt(offsetA), times[to] + BigInt(offsetB)];
        const wanted = times.flatMap((ns, row) => (ns >= startNs && ns < endNs ? [row] : []));
        const found = selectRows(segments, rate, startNs, endNs).flatMap((range) =>
          Array.from({ length: range.to - range.from }, (_, i) => range.from + i),
        );
        expect(found).toEqual(wanted);
      }
    }),
    { numRuns: 200 },
  );
});
