import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  chooseLine,
  lineEnds,
  runAt,
  gaplessRuns,
  withBorders,
  type LinePoint,
} from '../../src/core/overview/broken-line.ts';

const anyPoints = fc.array(fc.tuple(fc.integer({ min: 1, max: 50 }), fc.integer({ min: -9, max: 9 }), fc.boolean()), {
  minLength: 1,
  maxLength: 60,
});

test('a line keeps both ends of all that has room, is broken between pieces and nowhere else, and is no longer than asked for', () => {
  fc.assert(
    fc.property(anyPoints, fc.integer({ min: 1, max: 80 }), (steps, most) => {
      let [ns, piece] = [0n, 0];
      const points = steps.map(([step, value, isNew]): LinePoint => {
        ns += BigInt(step);
        if (isNew) piece++;
        return { ns, value, piece };
      });
      const line = chooseLine(
        points,
        Float64Array.from(points, ({ value }) => Number(value)),
        most,
      );
      const kept = line.filter(({ at }) => at !== null).map(({ at }) => points[at!]);
      expect([kept[0], kept.at(-1)]).toEqual([points[0], points.at(-1)]);
      expect(line.length).toBeLessThanOrEqual(Math.max(3, most));
      line.forEach(({ at, ns: time }, i) => {
        const before = i > 0 ? line[i - 1] : null;
        if (before) expect(time >= before.ns).toBe(true);
        if (at === null) expect(points[before!.at!].piece).not.toBe(points[line[i + 1].at!].piece);
        else if (before && before.at !== null) expect(points[before.at].piece).toBe(points[at].piece);
      });
      const pieces = new Set(points.map((point) => point.piece));
      if (most >= 3 * pieces.size) {
        for (const each of pieces) {
          const own = points.filter((point) => point.piece === each);
          expect(kept).toEqual(expect.arrayContaining([own[0], own.at(-1)]));
        }
      }
      if (most >= points.length + pieces.size) expect(kept).toEqual(points);
    }),
    { numRuns: 1000 },
  );
});

test('runs end at gaps and at removed rows, and their first and last rows are buckets of their own', () => {
  const rate = { num: 1n, den: 1n };
  const second = 1_000_000_000n;
  const segments = [
    { firstRow: 0, startNs: 0n, rows: 10 },
    { firstRow: 10, startNs: 100n * second, rows: 10 },
  ];
  const { runs } = gaplessRuns(segments, [{ from: 4, to: 6 }], rate, second, 105n * second);
  expect(runs).toEqual([
    { from: 1, to: 4 },
    { from: 6, to: 10 },
    { from: 10, to: 15 },
  ]);
  expect([0, 3, 4, 6, 9, 10, 14, 15].map((row) => runAt(runs, row))).toEqual([0, 0, 1, 1, 1, 2, 2, 3]);
  const seconds = (most: number): bigint[] => lineEnds(runs, segments, rate, most).map((ns) => ns / second);
  expect(seconds(3)).toEqual([1n, 2n, 3n, 4n, 6n, 7n, 9n, 100n, 100n, 101n, 104n]);
  expect(seconds(2)).toEqual([1n, 2n, 104n]);
  expect(lineEnds([], segments, rate, 2)).toEqual([]);
  expect([...withBorders(BigInt64Array.of(1n, 5n, 9n), [7n, 5n, 0n, 9n, -3n, 2n])]).toEqual([1n, 2n, 5n, 7n, 9n]);
});
