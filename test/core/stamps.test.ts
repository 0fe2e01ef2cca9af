import { describe, expect, test } from '@jest/globals';
import { nsOfRow, parseRate } from '../../src/core/signal/rate.ts';
import { TIME_MIN } from '../../src/core/time.ts';
import type { GapRule } from '../../src/core/signal/place-run.ts';
import { MOST_RUNS, runsOfStamps, StampFollower, type Stamp } from '../../src/core/signal/stamps.ts';

const S = 1_000_000_000n;

/** Rows of a 1 Hz series with times in seconds; null: a row has none. */
function follow(
  times: readonly (number | null)[],
  rate: number | string = 1,
  tolerance?: number,
  gaps?: GapRule,
): Stamp[] {
  const follower = new StampFollower(parseRate(rate)!, tolerance, gaps);
  times.forEach((time, row) => {
    if (time !== null) follower.add(row, BigInt(Math.round(time * 1e9)), () => `row ${row}`);
  });
  return follower.take();
}

const HZ = { rate: parseRate(1)! };
const runs = (times: readonly (number | null)[], startNs: bigint | null = null): unknown[] =>
  runsOfStamps(times.length, startNs, follow(times), HZ).map((run) => [
    run.rows,
    run.startNs === null ? null : Number(run.startNs) / 1e9,
    run.marks.map(({ row, ns }) => [row, Number(ns) / 1e9]),
  ]);

describe('times of the rows of a body', () => {
  test.each<[string, (number | null)[], unknown[]]>([
    ['that follow the rate are one run', [10, 11, 12, 13], [[4, 10, []]]],
    ['that leave a gap begin another', [0, 1, 600, 601, 1200], [[2, 0, []], [2, 600, []], [1, 1200, []]]], // prettier-ignore
    ['that are ten minutes apart are gaps', [0, 600], [[1, 0, []], [1, 600, []]]], // prettier-ignore
    ['that are missing go on', [10, null, null, 13, null], [[5, 10, []]]],
    ['that begin later say when the rows before them were', [null, null, 7, 8, 70], [[4, 5, [[2, 7]]], [1, 70, []]]], // prettier-ignore
    ['that drift are marks', [0, 1.1, 2.2, 3.3, 4.4], [[5, 0, [[4, 4.4]]]]],
    ['that jitter are none, but for the last', [0, 1.2, 1.9, 3.1, 3.8], [[5, 0, []]]], // prettier-ignore
  ])('%s', (_, times, wanted) => expect(runs(times)).toEqual(wanted));

  test('are not needed where the request says when the first row is', () => {
    expect(runs([null, null], 5n * S)).toEqual([[2, 5, []]]);
    expect(runs([null, 90], 5n * S)).toEqual([[1, 5, []], [1, 90, []]]); // prettier-ignore
    expect(runs([null, 6.2, 7.2], 5n * S)).toEqual([[3, 5, [[1, 6.2]]]]);
    for (const time of [-3600, 4, 5.3])
      expect(() => runs([null, time], 5n * S)).toThrow('comes too soon after the start');
  });

  test('do not put the rows before them where no times are', () => {
    const first = [{ row: 10, ns: TIME_MIN + 5n * S, begins: true, field: 'times[10]' }];
    expect(() => runsOfStamps(11, null, first, HZ)).toThrow('before the year 1678');
  });

  test.each<[string, (number | null)[], RegExp]>([
    ['repeat', [0, 1, 1], /^row 2: .* does not come after/],
    ['go back', [0, 1, 2, 0.5], /^row 3: .* does not come after/],
    ['come at a higher rate', [0, 0.4, 0.8], /^row 1: .* comes too soon after/],
    ['come at a rate that is a little higher', [0, 0.6, 1.2, 1.8], /^row 2: .*1 Hz/],
    ['come at half the rate', [0, 2, 4, 6], /^row 2: rows are 2 s apart.*1 Hz/],
    ['come at a rate that is a little lower', [0, 1.2, 2.4, 3.6, 4.8], /^row 3: .*1 Hz/],
    ['are of another unit', Array.from({ length: 20 }, (_, i) => i * 1000), /^row 8: rows are 1000 s apart/],
  ])('that %s are refused with their row', (_, times, message) => expect(() => follow(times)).toThrow(message));

  test.each([30, '30000/1001', 7e8, 1e9, 999_999_999])('rounded down to the nanosecond follow %s Hz', (hz) => {
    const rate = parseRate(hz)!;
    // From row 5 of a grid on, as an answer has them.
    const follower = new StampFollower(rate);
    for (let row = 0; row < 1000; row++) follower.add(row, 11n + nsOfRow(rate, row + 5), () => `row ${row}`);
    expect(follower.take()).toHaveLength(1);
  });

  test('are compared by the tolerance of the series', () => {
    expect(follow([0, 3, 4], 1, 2).filter(({ begins }) => begins)).toHaveLength(1);
    expect(follow([0, 3.1, 4.1], 1, 2).filter(({ begins }) => begins)).toHaveLength(2);
    expect(() => follow([0, 0.9], 1, 0)).toThrow('too soon');
    // However wide it is, time does not go back.
    expect(() => follow([0, 1, 2, 1.9], 1, 3)).toThrow('row 3: 1970-01-01T00:00:01.9Z does not come after');
    expect(follow([0, 1, 1, 2], 1, 3).filter(({ begins }) => begins)).toHaveLength(1);
  });

  test('that are exact are all gaps that are not where the rate says', () => {
    const starts = (times: number[], rate: number | string = 1, tolerance = 3): number[] =>
      follow(times, rate, tolerance, 'exact').flatMap(({ begins, row }) => (begins ? [row] : []));
    expect(starts([0, 2, 4, 6, 8])).toEqual([0, 1, 2, 3, 4]);
    expect(starts([0, 1, 2.2, 3.2, 4])).toEqual([0, 2, 4]);
    expect(starts(Array.from({ length: 100 }, (_, i) => i * 3600))).toHaveLength(100);
    expect(() => starts([0, 0.4])).toThrow('too soon');
    // Rounding is no gap.
    const rate = parseRate('30000/1001')!;
    const follower = new StampFollower(rate, null, 'exact');
    for (let row = 0; row < 1000; row++) follower.add(row, 11n + nsOfRow(rate, row + 5), () => `row ${row}`);
    expect(follower.take()).toHaveLength(1);
  });
});

test('gaps of one body are limited', () => {
  const follower = new StampFollower(parseRate(1)!);
  const stamp = (row: number): void =>
    follower.add(row, BigInt(row) * 10n * S + BigInt(row % 2) * S, () => `row ${row}`);
  for (let row = 0; row < MOST_RUNS; row++) stamp(row);
  expect(() => stamp(MOST_RUNS)).toThrow(`row ${MOST_RUNS}: is behind the gap`);
});
