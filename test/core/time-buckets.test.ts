/** Buckets of irregular series, on paper. */
import { describe, expect, test } from '@jest/globals';
import {
  isInOrder,
  sharedIntervals,
  RangeFinder,
  TimeCover,
  uniteTimes,
  withoutTimes,
} from '../../src/core/overview/time-buckets.ts';

const range = (from: number, to: number) => ({ from: BigInt(from), to: BigInt(to) });
const span = (first: number, last: number) => ({ firstNs: BigInt(first), lastNs: BigInt(last) });
const BORDERS = BigInt64Array.from([0n, 100n, 200n, 300n]);

describe('ranges of time', () => {
  test('that overlap are found, once each', () => {
    expect(sharedIntervals([range(0, 10), range(5, 8), range(6, 20), range(30, 40)])).toEqual([range(5, 10)]);
    expect(sharedIntervals([range(0, 10), range(10, 20)])).toEqual([]);
  });

  test('are united and taken from each other', () => {
    expect(uniteTimes([range(5, 9), range(0, 5), range(20, 21)])).toEqual([range(0, 9), range(20, 21)]);
    expect(withoutTimes([range(0, 10), range(20, 30)], [range(3, 4), range(8, 25)])).toEqual([
      range(0, 3),
      range(4, 8),
      range(25, 30),
    ]);
  });

  test('are found by anything that meets them', () => {
    const finder = new RangeFinder([range(10, 20), range(30, 40)]);
    expect(
      [span(0, 9), span(0, 10), span(19, 25), span(20, 29), span(25, 30), span(40, 50), span(5, 12)].map((each) =>
        finder.meets(each),
      ),
    ).toEqual([false, true, true, false, true, false, true]);
  });

  test('of chunks are in order or not', () => {
    expect(isInOrder([span(0, 5), span(5, 9)])).toBe(true);
    expect(isInOrder([span(0, 5), span(4, 9)])).toBe(false);
  });
});

describe('what is placed', () => {
  test('moves a border between buckets, but never an end', () => {
    const cover = new TimeCover(BORDERS, 'ends', null);
    expect(cover.place(span(90, 110), true, false)).toBe(1);
    expect(cover.place(span(-5, 10), true, false)).toBeNull();
    expect(cover.place(span(290, 300), true, false)).toBeNull();
    expect([...cover.borders]).toEqual([0n, 90n, 200n, 300n]);
  });

  test('moves no border where they are fixed', () => {
    const cover = new TimeCover(BORDERS, 'fixed', null);
    expect(cover.place(span(90, 110), true, false)).toBeNull();
    expect(cover.place(span(100, 199), true, false)).toBe(1);
    expect(cover.borders).toEqual(BORDERS);
  });

  test('is taken or left whole at an end where rows have expired', () => {
    const cover = new TimeCover(BORDERS, 'ends', 1000n);
    expect(cover.place(span(-5, 10), true, false)).toBe(0);
    expect(cover.place(span(290, 310), true, false)).toBeNull();
    expect([...cover.borders]).toEqual([-5n, 100n, 200n, 290n]);
  });

  test('leaves the rest to be read, but for what has expired', () => {
    const cover = new TimeCover(BORDERS, 'ends', 20n);
    cover.place(span(100, 149), true, false);
    cover.place(span(151, 199), true, true);
    expect(cover.left([span(0, 250)], [])).toEqual([range(20, 100), range(200, 251)]);
    expect(cover.left([span(0, 250)], [range(150, 151)])).toEqual([range(20, 100), range(150, 151), range(200, 251)]);
  });
});
