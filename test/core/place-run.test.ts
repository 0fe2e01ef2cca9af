/** Rows that come late, or over removed ones, against a list of rows with times. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isVarveError } from '../../src/core/errors.ts';
import {
  MOST_DENSE_MARKS,
  placeRun,
  reachOf,
  type Clock,
  type ClockMark,
  type NearSegment,
  type PlacedRun,
  type Run,
  type TimeHead,
} from '../../src/core/signal/place-run.ts';
import { markedTimes } from '../../src/core/signal/marked-times.ts';
import { halfPeriodNs, nsOfRow, parseRate, type Rate } from '../../src/core/signal/rate.ts';
import { clipRows, uniteRows, withoutRows } from '../../src/core/signal/row-ranges.ts';
import {
  byTime,
  endsOf,
  selectRows,
  segmentEndNs,
  timesOfRows,
  timeWithin,
  type RowRange,
  type Segment,
} from '../../src/core/signal/segment.ts';
import { INT64_MAX, INT64_MIN } from '../../src/core/time.ts';
import { modelRuns } from '../support/model-runs.ts';

const EMPTY: TimeHead = { rows: 0, lastNs: null, segment: null, limitNs: null, mark: null, marks: 0 };

/** What the catalog has of a series, as it would keep it. */
class Kept {
  head = EMPTY;
  closed = new Map<number, Segment>();
  holes: RowRange[] = [];
  marks: ClockMark[] = [];
  looks = 0;
  readonly clock: Clock;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get segments(): Segment[] {
    const all = [...this.closed.values(), ...(this.head.segment ? [this.head.segment] : [])];
    return all.sort((a, b) => a.firstRow - b.firstRow);
  }

  /** @throws what is refused, with nothing changed */
  append(runs: readonly Run[]): void {
    if (this.#place(runs, null)) return;
    this.looks++;
    expect(this.#place(runs, this.#near(runs))).toBe(true);
  }

  /** @returns false if more must be known */
  #place(runs: readonly Run[], known: readonly NearSegment[] | null): boolean {
    let { head } = this;
    let near = known;
    const closed = new Map(this.closed);
    const marks = [...this.marks];
    for (const each of runs) {
      const placed: PlacedRun | null = placeRun(head, this.clock, each, near);
      if (!placed) return false;
      head = this.#take(placed, closed, marks);
      near = placed.near;
    }
    Object.assign(this, { head, closed, marks });
    return true;
  }

  #take(placed: PlacedRun, closed: Map<number, Segment>, marks: ClockMark[]): TimeHead {
    for (const row of placed.gone) closed.delete(row);
    for (const segment of placed.closed) closed.set(segment.firstRow, segment);
    marks.push(...placed.marks);
    return placed.head;
  }

  /** Those that the catalog would find. */
  #near(runs: readonly Run[]): NearSegment[] {
    const rows = runs.reduce((sum, run) => sum + run.rows, 0);
    const inTime = byTime(this.segments);
    const found = new Set<Segment>(this.head.segment ? [this.head.segment] : []);
    const add = (segment: Segment | undefined): void => void (segment && found.add(segment));
    add(inTime.findLast(({ startNs }) => this.head.lastNs !== null && startNs <= this.head.lastNs));
    for (const at of [null, ...runs.map(({ startNs }) => startNs)]) {
      const { fromNs, toNs } = reachOf(this.head, this.clock, at, rows);
      add(inTime.findLast(({ startNs }) => startNs < fromNs));
      for (const segment of inTime) if (segment.startNs >= fromNs && segment.startNs <= toNs) add(segment);
      add(inTime.find(({ startNs }) => startNs > toNs));
    }
    return byTime([...found]).map((segment) => {
      const range = { from: segment.firstRow, to: segment.firstRow + segment.rows };
      const holes = clipRows(this.holes, range);
      const ends = new Set([range.to, ...holes.map(({ from }) => from)]);
      const marks = [...ends].flatMap((end) => this.marks.findLast(({ row }) => row >= range.from && row < end) ?? []);
      return { segment, holes, marks: [...new Set(marks)].sort((a, b) => a.row - b.row) };
    });
  }

  /** @returns rows that were there */
  remove(startNs: bigint, endNs: bigint): void {
    const { segments } = this;
    const { rate } = this.clock;
    this.holes = uniteRows(this.holes, selectRows(segments, rate, startNs, endNs));
    const left = withoutRows(selectRows(segments, rate, INT64_MIN, INT64_MAX), this.holes);
    this.head = { ...this.head, lastNs: endsOf(left, segments, rate).lastNs };
  }

  /** Number and time of visible rows, in order of time. */
  visible(): [row: number, ns: bigint][] {
    const { segments } = this;
    return withoutRows(selectRows(segments, this.clock.rate, INT64_MIN, INT64_MAX), this.holes).flatMap((range) =>
      [...timesOfRows(segments, this.clock.rate, range)].map((ns, i): [number, bigint] => [range.from + i, ns]),
    );
  }
}

const run = (rows: number, startNs: bigint | null, marks: ClockMark[] = []): Run => ({
  rows,
  startNs,
  marks,
  field: 'start',
});

type Step =
  | { readonly do: 'append'; readonly runs: readonly { rows: number; at: number | null }[] }
  | { readonly do: 'remove'; readonly from: number; readonly to: number };

const PLACES = 60;
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      runs: fc.array(
        fc.record({ rows: fc.integer({ min: 1, max: 8 }), at: fc.option(fc.nat(PLACES), { nil: null, freq: 3 }) }),
        { minLength: 1, maxLength: 3 },
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('remove' as const), from: fc.nat(PLACES), to: fc.nat(PLACES + 20) }),
  },
);

describe('rows of a regular series', () => {
  test.each([1000, 30, '30000/1001', 1e9])('come in any order of time, and only where nothing lies, at %s Hz', (hz) => {
    const rate = parseRate(hz)!;
    const at = (place: number): bigint => nsOfRow(rate, place);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 14 }), (steps) => {
        const kept = new Kept({ rate, startNs: at(7) });
        // The model: the place of each row that is there. Rows begin at places, so that all lie on one grid.
        let there: { row: number; place: number }[] = [];
        let rows = 0;
        for (const each of steps) {
          if (each.do === 'remove') {
            // Between two places: a grid that begins anew is rounded anew.
            kept.remove(at(each.from) - halfPeriodNs(rate), at(each.to) - halfPeriodNs(rate));
            there = there.filter(({ place }) => place < each.from || place >= each.to);
          } else {
            const before = [...there];
            const first = rows;
            let isFree = true;
            for (const { rows: count, at: asked } of each.runs) {
              const last = Math.max(...there.map(({ place }) => place));
              const start = asked ?? (there.length > 0 ? last + 1 : 7);
              const taken = new Set(there.map(({ place }) => place));
              for (let i = 0; i < count; i++) {
                isFree &&= !taken.has(start + i);
                there.push({ row: rows++, place: start + i });
              }
            }
            let isStored = true;
            try {
              kept.append(each.runs.map(({ rows: count, at: place }) => run(count, place === null ? null : at(place))));
            } catch (error) {
              if (!isVarveError(error)) throw error;
              expect(error.slug).toBe('overlap');
              isStored = false;
            }
            expect(isStored).toBe(isFree);
            if (!isFree) [there, rows] = [before, first];
          }
          expect(kept.head.rows).toBe(rows);
          const wanted = [...there].sort((a, b) => a.place - b.place);
          const seen = kept.visible();
          expect(seen.map(([row]) => row)).toEqual(wanted.map(({ row }) => row));
          seen.forEach(([, ns], i) => expect(Number(ns - at(wanted[i].place)) ** 2).toBeLessThanOrEqual(1));
          checkSegments(kept);
        }
      }),
      { numRuns: modelRuns(10) * 20 },
    );
  });

  test('that go on need no look at other segments, nor do those after a gap', () => {
    const kept = new Kept({ rate: parseRate(1000)!, startNs: null });
    kept.append([run(10, 0n)]);
    for (let i = 1; i < 100; i++) kept.append([run(10, BigInt(i * 50_000_000)), run(5, null)]);
    expect(kept.looks).toBe(0);
    expect(kept.segments).toHaveLength(100);
    // Into a gap: once; and on from there.
    kept.append([run(3, 20_000_000n)]);
    kept.append([run(3, 23_000_000n)]);
    kept.append([run(3, 26_000_000n)]);
    expect(kept.looks).toBe(1);
  });

  test('over data are refused with the range, and with what replaces it', () => {
    const kept = new Kept({ rate: parseRate(10)!, startNs: null });
    kept.append([run(100, 0n)]);
    const late = (): void => kept.append([run(10, 5_000_000_000n)]);
    expect(late).toThrow('data from 1970-01-01T00:00:05Z to 1970-01-01T00:00:06Z');
    expect(late).toThrow('PUT …/samples?start=1970-01-01T00:00:05Z&end=1970-01-01T00:00:06Z');
  });
});

function checkSegments({ segments, head, holes, clock: { rate } }: Kept): void {
  const inTime = byTime(segments);
  inTime.forEach((segment, i) => {
    const before = inTime.at(i - 1);
    if (i > 0) expect(segment.startNs > timeWithin(before!, rate, before!.firstRow + before!.rows - 1)).toBe(true);
  });
  const lost = withoutRows(
    uniteRows([{ from: 0, to: head.rows }], []),
    uniteRows(
      segments.map(({ firstRow, rows }) => ({ from: firstRow, to: firstRow + rows })),
      [],
    ),
  );
  expect(withoutRows(lost, holes)).toEqual([]);
  if (!head.segment) return;
  expect(head.segment.firstRow + head.segment.rows).toBe(head.rows);
  const next = inTime.find(({ startNs }) => startNs > head.segment!.startNs);
  expect(head.limitNs).toBe(next?.startNs ?? null);
}

describe('a clock that drifts', () => {
  const rate: Rate = parseRate(1000)!;
  const HOUR_S = 3600;

  test('of each of 40 devices is followed for an hour: no row is refused, and marks are within a sample of the truth', () => {
    for (let device = 0; device < 40; device++) {
      const ppm = Math.round((device - 19.5) * (2000 / 39));
      const kept = new Kept({ rate, startNs: null });
      // The device counts 1,000 rows while so much passes.
      const chunkNs = 1_000_000_000n + BigInt(ppm) * 1000n;
      for (let chunk = 0; chunk < HOUR_S; chunk++) kept.append([run(1000, BigInt(chunk) * chunkNs)]);
      expect(kept.segments).toEqual([{ firstRow: 0, startNs: 0n, rows: HOUR_S * 1000 }]);
      expect(kept.marks.length).toBeGreaterThanOrEqual(MOST_DENSE_MARKS);
      for (let row = 0; row < HOUR_S * 1000; row += 9973) {
        const [ns] = markedTimes(kept.segments, rate, kept.marks, { from: row, to: row + 1 });
        const off = Number(ns) - row * (Number(chunkNs) / 1000);
        expect(Math.abs(off)).toBeLessThanOrEqual(1_000_000);
      }
    }
  });

  test('is held against the last mark, ahead and behind, by the tolerance of the series', () => {
    const samples =
      (off: number): (() => Kept) =>
      () => {
        const kept = new Kept({ rate, startNs: null, startTolerance: 2 });
        kept.append([run(100, 0n)]);
        kept.append([run(100, 101_000_000n)]);
        // A sample late already: 200 rows take 201 ms.
        kept.append([run(100, 201_000_000n + BigInt(Math.round(off * 1_000_000)))]);
        return kept;
      };
    expect(samples(-2)().segments).toHaveLength(1);
    expect(samples(2)().segments).toHaveLength(1);
    expect(samples(2.001)().segments).toEqual([
      { firstRow: 0, startNs: 0n, rows: 200 },
      { firstRow: 200, startNs: 203_001_000n, rows: 100 },
    ]);
    expect(samples(-2.001)).toThrow('start_tolerance');
  });

  test('may have no tolerance at all: times that were rounded down go on', () => {
    const thirds = parseRate(30)!;
    const kept = new Kept({ rate: thirds, startNs: null, startTolerance: 0 });
    for (let row = 0; row < 100; row += 7) kept.append([run(7, 5n + nsOfRow(thirds, row))]);
    expect(kept.segments).toHaveLength(1);
    expect(() => kept.append([run(1, 5n + nsOfRow(thirds, 100))])).toThrow('would lie over data');
  });

  test('goes on after rows that came late', () => {
    const kept = new Kept({ rate, startNs: null });
    const chunkNs = 1_000_400_000n; // 400 ppm
    for (let i = 0; i < 20; i++) kept.append([run(1000, BigInt(i) * chunkNs)]);
    kept.append([run(500, -10_000_000_000n)]);
    for (let i = 20; i < 40; i++) kept.append([run(1000, BigInt(i) * chunkNs)]);
    expect(kept.segments.map(({ firstRow, rows }) => [firstRow, rows])).toEqual([
      [0, 20_000],
      [20_000, 500],
      [20_500, 20_000],
    ]);
    const [first, , second] = kept.segments;
    expect(second.startNs).toBe(segmentEndNs(first, rate));
  });
});
