/** Lines of fewer points. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { largestTriangles } from '../../src/core/overview/downsample.ts';

describe('largest triangles', () => {
  test('keep the ends, the order and as many points as were asked for', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ noNaN: true, min: -1e6, max: 1e6 }), { minLength: 2 }),
        fc.integer({ min: 2, max: 20 }),
        (ys, most) => {
          const xs = Float64Array.from(ys, (_, i) => i * 3);
          const kept = largestTriangles(xs, Float64Array.from(ys), most);
          expect(kept).toHaveLength(Math.min(most, ys.length));
          expect([kept[0], kept.at(-1)]).toEqual([0, ys.length - 1]);
          expect(kept.every((at, i) => i === 0 || at > kept[i - 1])).toBe(true);
        },
      ),
    );
  });

  test('keep a spike', () => {
    const ys = Float64Array.from({ length: 1000 }, (_, i) => (i === 500 ? 9 : Math.sin(i / 100)));
    expect(largestTriangles(Float64Array.from(ys.keys()), ys, 10)).toContain(500);
  });
});
