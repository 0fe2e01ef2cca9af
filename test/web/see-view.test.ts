/** What the page computes before it draws: views, ticks, buckets, columns, gaps, marks. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { paintBand, pixelColor } from '../../src/web/see/band-pixels.ts';
import { BlockCache } from '../../src/web/see/block-cache.ts';
import { bucketLevel, SAMPLE_LEVEL, spanQuery, wantedSpan } from '../../src/web/see/bucket-level.ts';
import { gapAt, gapsOf, gapsWithin, type DataRun } from '../../src/web/see/data-gaps.ts';
import { NewestWaiting } from '../../src/web/see/newest-waiting.ts';
import { fillColumns, levelOfBand, mapColumns, rangeOfBand } from '../../src/web/see/pixel-columns.ts';
import { FILE_FORMATS, LINE_LANGUAGES, lineToRead, readPath } from '../../src/web/see/read-lines.ts';
import { parametersOf, seeStateOf } from '../../src/web/see/see-state.ts';
import { samplesOfJson, type SignalBlock } from '../../src/web/see/signal-block.ts';
import { spectrumOf } from '../../src/web/see/spectrum.ts';
import { dayBorders, instantText, nsOfInstant, spanText, timeTicks, fullTime } from '../../src/web/see/time-ticks.ts';
import { heightsOf, jointRange, laneRange, sharedRanges, valueText } from '../../src/web/see/value-scale.ts';
import {
  boundedView,
  endingAt,
  panBy,
  partOfTime,
  timeAtPart,
  viewOfAll,
  viewOfText,
  zoomAbout,
} from '../../src/web/see/view-window.ts';
import { modelRuns } from '../support/model-runs.ts';

const MAY = 1_777_626_000_000_000_000n;
const SECOND = 1_000_000_000n;

describe('a view', () => {
  const views = fc
    .tuple(fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }), fc.bigInt({ min: 16n, max: 2n ** 59n }))
    .map(([startNs, length]) => ({ startNs, endNs: startNs + length }));

  test('keeps the time under the pointer where it is, however it is zoomed', () => {
    fc.assert(
      fc.property(
        views,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0.2, max: 5, noNaN: true }),
        (view, part, factor) => {
          const zoomed = zoomAbout(view, part, factor);
          expect(zoomed.endNs).toBeGreaterThan(zoomed.startNs);
          const moved = partOfTime(zoomed, timeAtPart(view, part)) - part;
          // A nanosecond of a short view, or a millionth of a long one.
          expect(Math.abs(moved)).toBeLessThan(Math.max(2e-5, 3 / Number(zoomed.endNs - zoomed.startNs)));
        },
      ),
      { numRuns: modelRuns(100) },
    );
  });

  test('keeps its length when it is moved, and stays within the times that there are', () => {
    const view = { startNs: MAY, endNs: MAY + 7n };
    expect(panBy({ startNs: MAY, endNs: MAY + 1000n }, 0.25)).toEqual({ startNs: MAY + 250n, endNs: MAY + 1250n });
    expect(boundedView(view)).toEqual({ startNs: MAY, endNs: MAY + 16n });
    expect(boundedView({ startNs: 2n ** 63n - 20n, endNs: 2n ** 63n + 80n }).endNs).toBe(2n ** 63n - 1n);
    expect(zoomAbout({ startNs: -(2n ** 63n), endNs: 2n ** 63n - 1n }, 0.5, 4)).toEqual({
      startNs: -(2n ** 63n),
      endNs: 2n ** 63n - 1n,
    });
    expect(endingAt({ startNs: 0n, endNs: 100n }, 500n)).toEqual({ startNs: 402n, endNs: 502n });
    expect(viewOfAll(1000n, 2000n)).toEqual({ startNs: 979n, endNs: 2021n });
  });

  test('comes back from the address as it was, and nonsense is none', () => {
    expect(viewOfText(String(MAY), String(MAY + 1000n))).toEqual({ startNs: MAY, endNs: MAY + 1000n });
    for (const [from, to] of [
      ['1', null],
      ['x', '2'],
      ['5', '5'],
      ['1e3', '2e3'],
    ] as const) {
      expect(viewOfText(from, to)).toBeNull();
    }
  });
});

describe('times', () => {
  test('have ticks on whole seconds, minutes and days, and nanoseconds where they are needed', () => {
    const labels = (lengthNs: bigint, kind: 'utc' | 'since' = 'utc'): string[] =>
      timeTicks({ startNs: MAY, endNs: MAY + lengthNs }, 4.5, kind === 'utc' ? { kind } : { kind, originNs: MAY }).map(
        (each) => each.label,
      );
    expect(labels(8n * SECOND)).toEqual(['09:00:00', '09:00:02', '09:00:04', '09:00:06']);
    expect(labels(4n * 86_400n * SECOND)).toEqual(['2026-05-02', '2026-05-03', '2026-05-04', '2026-05-05']);
    expect(labels(19n)).toEqual([
      '09:00:00.000000000',
      '09:00:00.000000005',
      '09:00:00.000000010',
      '09:00:00.000000015',
    ]);
    expect(labels(20n * SECOND, 'since')).toEqual(['+00:00:00', '+00:00:05', '+00:00:10', '+00:00:15']);
  });

  test('follow the clock of a place, also where it is put forward', () => {
    const zone = { kind: 'local', zone: 'Europe/Berlin' } as const;
    // 2026-03-29, 01:00 UTC: 02:00 becomes 03:00.
    const startNs = BigInt(Date.parse('2026-03-28T20:00:00Z')) * 1_000_000n;
    const days = dayBorders({ startNs, endNs: startNs + 3n * 86_400n * SECOND }, 10, zone);
    expect(days.map(instantText)).toEqual([
      '2026-03-28T23:00:00.000000000Z',
      '2026-03-29T22:00:00.000000000Z',
      '2026-03-30T22:00:00.000000000Z',
    ]);
    expect(fullTime(MAY, zone)).toBe('2026-05-01 11:00:00.000000000 Europe/Berlin');
    expect(timeTicks({ startNs, endNs: startNs + 86_400n * SECOND }, 5, zone).map((each) => each.label)).toEqual([
      '2026-03-29',
      '06:00',
      '12:00',
      '18:00',
    ]);
  });

  test('are read from what the service writes, to the nanosecond', () => {
    expect(nsOfInstant('2026-05-01T09:00:00.000000007Z')).toBe(MAY + 7n);
    expect(nsOfInstant('2026-05-01T09:00:00Z')).toBe(MAY);
    expect(nsOfInstant('yesterday')).toBeNull();
    expect(spanText(1_500_000n)).toBe('1.5 ms');
  });
});

/** Buckets of equal length over some rows, as the service makes them; every one knows its rows' extremes. */
function bucketsOver(
  times: readonly bigint[],
  values: readonly number[],
  span: { startNs: bigint; endNs: bigint; level: number; points: number },
): SignalBlock {
  const count = span.points;
  const length = Number(span.endNs - span.startNs) / count;
  const begins = Float64Array.from({ length: count }, (_, i) => Math.round(i * length));
  const ends = Float64Array.from({ length: count }, (_, i) => Math.round((i + 1) * length));
  const lows = new Float64Array(count).fill(Number.NaN);
  const highs = new Float64Array(count).fill(Number.NaN);
  const counts = new Float64Array(count);
  times.forEach((ns, row) => {
    const at = Number(ns - span.startNs);
    const i = ends.findIndex((end, each) => begins[each] <= at && at < end);
    if (i < 0) return;
    counts[i]++;
    lows[i] = Number.isNaN(lows[i]) ? values[row] : Math.min(lows[i], values[row]);
    highs[i] = Number.isNaN(highs[i]) ? values[row] : Math.max(highs[i], values[row]);
  });
  return { ...span, commit: 1, begins, ends, counts, lows: [lows], highs: [highs], channels: [0], digits: null };
}

describe('the drawn band', () => {
  const cases = fc.record({
    rows: fc.integer({ min: 1, max: 400 }),
    period: fc.integer({ min: 1, max: 100_000 }),
    gapAfter: fc.integer({ min: 0, max: 400 }),
    gapPeriods: fc.integer({ min: 0, max: 300 }),
    seed: fc.integer({ min: 1, max: 1_000_000 }),
    from: fc.double({ min: -0.2, max: 0.9, noNaN: true }),
    length: fc.double({ min: 0.01, max: 1.4, noNaN: true }),
    columns: fc.integer({ min: 20, max: 300 }),
    coarser: fc.integer({ min: 0, max: 3 }),
  });

  test('holds every extreme of the rows at any zoom, in the column of its time, and nothing in a gap', () => {
    fc.assert(
      fc.property(cases, ({ rows, period, gapAfter, gapPeriods, seed, from, length, columns, coarser }) => {
        const at = (row: number): bigint => MAY + BigInt(row + (row >= gapAfter ? gapPeriods : 0)) * BigInt(period);
        const times = Array.from({ length: rows }, (_, row) => at(row));
        const values = times.map((_, row) => ((row + 1) * seed * 7919) % 10_007);
        const all = Number(at(rows) - MAY);
        const startNs = MAY + BigInt(Math.round(from * all));
        const view = boundedView({ startNs, endNs: startNs + BigInt(Math.round(length * all)) });
        const level = bucketLevel({ view, columns, lanes: 1, rows: null }) + coarser;
        const cut = Math.min(gapAfter, rows);
        const runs: DataRun[] = [
          { startNs: MAY, endNs: at(cut - 1) + BigInt(period), firstRow: 0, rows: cut },
          { startNs: at(cut), endNs: at(rows), firstRow: cut, rows: rows - cut },
        ].filter((run) => run.rows > 0);
        const gaps = gapsWithin(gapsOf({ runs, rows, removed: 0, firstNs: MAY, lastNs: at(rows - 1) }), view);
        const cache = new BlockCache();
        // In two requests, as a view that is moved asks for what is missing.
        const wanted = wantedSpan(view, level);
        const middle = wantedSpan({ startNs: wanted.startNs, endNs: timeAtPart(view, 0.4) }, level);
        cache.put(bucketsOver(times, values, middle));
        const missing = cache.missing(wanted, [0]);
        if (missing) cache.put(bucketsOver(times, values, wantedSpan(missing, level)));
        expect(cache.missing(wanted, [0])).toBeNull();

        const shown = cache.shown(view, level, 0);
        const band = fillColumns(mapColumns(shown, { view, columns, gaps, joinNs: period * 1.5 }), 0);
        const scale = columns / Number(view.endNs - view.startNs);
        times.forEach((ns, row) => {
          if (ns < view.startNs || ns >= view.endNs) return;
          const column = Math.floor(Number(ns - view.startNs) * scale);
          expect(band.lows[column]).toBeLessThanOrEqual(values[row]);
          expect(band.highs[column]).toBeGreaterThanOrEqual(values[row]);
        });
        for (const gap of gaps) {
          const first = Math.max(0, Math.ceil(Number(gap.startNs - view.startNs) * scale + 1e-3));
          const last = Math.min(columns - 1, Math.floor(Number(gap.endNs - view.startNs) * scale - 1e-3) - 1);
          for (let c = first; c <= last; c++) expect(band.lows[c]).toBeNaN();
          // What lies behind a gap is not joined to what lies before it.
          const behind = band.lows.findIndex((low, c) => c > last && !Number.isNaN(low));
          if (last >= first && behind >= 0 && gap.reason !== 'ended') expect(band.joins[behind]).toBe(0);
        }
      }),
      { numRuns: modelRuns(150) },
    );
  });

  test('joins what follows without a gap, and nothing across a value that is missing', () => {
    const span = { startNs: 0n, endNs: 100n, level: SAMPLE_LEVEL, points: 0 };
    const block = samplesOfJson(
      { times: ['5', '15', '25', '45', '55'], values: [[1, 2, null, 4, '9007199254740993']] },
      span,
      1,
      [0],
    );
    const band = fillColumns(
      mapColumns([{ block, startNs: 0n, endNs: 100n }], {
        view: { startNs: 0n, endNs: 100n },
        columns: 10,
        gaps: [],
        joinNs: 15,
      }),
      0,
    );
    expect([...band.lows]).toEqual([1, 2, NaN, NaN, 4, 9007199254740992, NaN, NaN, NaN, NaN]);
    expect([...band.joins]).toEqual([0, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
    expect(block.digits?.get('0:4')).toBe('9007199254740993');
    expect(rangeOfBand(band)).toEqual({ low: 1, high: 9007199254740992 });
    expect(
      levelOfBand({ lows: Float64Array.of(1, NaN), highs: Float64Array.of(3, NaN), joins: new Uint8Array(2) }),
    ).toBe(2);
  });
});

describe('blocks that were fetched', () => {
  const block = (startNs: bigint, endNs: bigint, level: number, commit = 1): SignalBlock => ({
    startNs,
    endNs,
    level,
    commit,
    begins: Float64Array.of(0),
    ends: Float64Array.of(Number(endNs - startNs)),
    counts: Float64Array.of(5),
    lows: [Float64Array.of(0)],
    highs: [Float64Array.of(1)],
    channels: [0],
    digits: null,
  });

  test('leave only what is missing to be asked, and are asked for again once the series has changed', () => {
    const cache = new BlockCache();
    cache.put(block(0n, 64n, 3));
    const wanted = wantedSpan({ startNs: 30n, endNs: 90n }, 3);
    expect(cache.missing(wanted, [0])).toEqual({ startNs: 64n, endNs: 96n });
    expect(cache.missing(wanted, [0, 1])).toEqual({ startNs: 24n, endNs: 96n });
    expect(cache.valuesIn({ startNs: 0n, endNs: 64n })).toBe(5);
    cache.heardOf(2);
    expect(cache.missing(wanted, [0])).toEqual({ startNs: 24n, endNs: 96n });
    // Until then they are shown.
    expect(cache.shown({ startNs: 0n, endNs: 64n }, 3, 0)).toHaveLength(1);
    cache.put(block(0n, 96n, 3, 2));
    expect(cache.size).toBe(1);
  });

  test('of another zoom are shown where there is no better one, each part once', () => {
    const cache = new BlockCache();
    cache.put(block(0n, 256n, 5));
    cache.put(block(64n, 128n, 3));
    const parts = cache.shown({ startNs: 0n, endNs: 200n }, 3, 0);
    expect(parts.map(({ startNs, endNs, block: { level } }) => [startNs, endNs, level])).toEqual([
      [64n, 128n, 3],
      [0n, 64n, 5],
      [128n, 200n, 5],
    ]);
  });

  test('are forgotten beyond a limit, the longest unused first', () => {
    const cache = new BlockCache(700);
    for (const at of [0n, 64n, 128n]) cache.put(block(at, at + 64n, 3));
    expect(cache.missing(wantedSpan({ startNs: 0n, endNs: 192n }, 3), [0])).toEqual({ startNs: 0n, endNs: 64n });
  });

  test('ask for whole buckets of the visible window, or for its samples where they are few', () => {
    const view = { startNs: 1001n, endNs: 9000n };
    expect(spanQuery(wantedSpan(view, 3))).toEqual({
      start: '1000',
      end: '9000',
      points: '1000',
      format: 'npy',
      physical: 'true',
    });
    expect(bucketLevel({ view, columns: 1000, lanes: 1, rows: 900 })).toBe(SAMPLE_LEVEL);
    expect(bucketLevel({ view, columns: 1000, lanes: 1, rows: 9000 })).toBe(2);
    expect(bucketLevel({ view, columns: 1000, lanes: 384, rows: 900 })).toBe(3);
    expect(wantedSpan({ startNs: -5n, endNs: 5n }, 2)).toEqual({ startNs: -8n, endNs: 8n, level: 2, points: 4 });
  });
});

test('one question is under way, the newest waits, and one that is of no use any more is stopped', async () => {
  const asked: string[] = [];
  const stopped: string[] = [];
  let answer = (): void => {};
  const waiting = new NewestWaiting<string>(
    (question, signal) => {
      asked.push(question);
      signal.addEventListener('abort', () => {
        stopped.push(question);
        answer();
      });
      return new Promise((resolve) => (answer = resolve));
    },
    (underWay, newest) => underWay[0] === newest[0],
  );
  for (const question of ['a1', 'a2', 'a3', 'a4']) waiting.ask(question);
  expect(asked).toEqual(['a1']);
  answer();
  await new Promise(setImmediate);
  expect(asked).toEqual(['a1', 'a4']);
  waiting.ask('b1');
  await new Promise(setImmediate);
  expect(stopped).toEqual(['a4']);
  expect(asked).toEqual(['a1', 'a4', 'b1']);
  waiting.close();
  waiting.ask('c1');
  await new Promise(setImmediate);
  expect([asked.length, stopped, waiting.isBusy]).toEqual([3, ['a4', 'b1'], false]);
});

describe('a gap says why', () => {
  const run = (firstRow: number, rows: number, startNs: bigint): DataRun => ({
    firstRow,
    rows,
    startNs,
    endNs: startNs + BigInt(rows),
  });
  const reasons = (runs: DataRun[], rows: number, removed = 0): string[] =>
    gapsOf({ runs, rows, removed, firstNs: runs[0].startNs, lastNs: runs[runs.length - 1].endNs - 1n }).map(
      ({ reason }) => reason,
    );

  test('nothing was written, rows were removed, or they have expired', () => {
    expect(reasons([run(0, 10, 0n), run(10, 10, 50n)], 20)).toEqual(['before', 'never-written', 'ended']);
    expect(reasons([run(0, 10, 0n), run(15, 5, 15n)], 20, 5)).toEqual(['before', 'removed', 'ended']);
    expect(reasons([run(5, 15, 5n)], 20)).toEqual(['expired', 'ended']);
    // Rows of a late append lie between those that came before.
    expect(reasons([run(0, 10, 0n), run(20, 5, 20n), run(10, 10, 50n)], 25)).toEqual([
      'before',
      'never-written',
      'never-written',
      'ended',
    ]);
  });

  test('of a series without a row, and at a time', () => {
    expect(gapsOf({ runs: [], rows: 0, removed: 0, firstNs: null, lastNs: null })[0].reason).toBe('never-written');
    expect(gapsOf({ runs: [], rows: 9, removed: 9, firstNs: null, lastNs: null })[0].reason).toBe('removed');
    const gaps = gapsOf({ runs: [run(0, 10, 0n), run(10, 10, 50n)], rows: 20, removed: 0, firstNs: 0n, lastNs: 59n });
    expect([gapAt(gaps, 9n), gapAt(gaps, 10n)?.reason, gapAt(gaps, 50n)]).toEqual([null, 'never-written', null]);
    expect(gapsWithin(gaps, { startNs: 5n, endNs: 20n })).toHaveLength(1);
  });
});

describe('values', () => {
  test('lie where the scale says, with room, alone, together or over each other', () => {
    const range = laneRange({ seen: { low: -2, high: 4 }, fixed: null, gain: 1 });
    expect(range).toEqual({ low: -2, high: 4 });
    expect(laneRange({ seen: { low: -2, high: 4 }, fixed: null, gain: 2 })).toEqual({ low: -0.5, high: 2.5 });
    const flat = laneRange({ seen: { low: 5, high: 5 }, fixed: null, gain: 1 });
    expect(flat.low).toBeLessThan(5);
    expect(flat.high).toBeGreaterThan(5);
    expect(
      sharedRanges([
        { low: 0, high: 1 },
        { low: 10, high: 30 },
      ]),
    ).toEqual([
      { low: -9.5, high: 10.5 },
      { low: 10, high: 30 },
    ]);
    expect(
      jointRange([
        { low: 0, high: 1 },
        { low: -4, high: -1 },
      ]),
    ).toEqual({ low: -4, high: 1 });
    const { slope, intercept } = heightsOf({ low: 0, high: 10 }, 100, 50);
    expect(slope * 10 + intercept).toBeCloseTo(103);
    expect(intercept).toBeCloseTo(147);
  });

  test('are written with the digits that can be seen', () => {
    expect(valueText(1.23456789, 0.01)).toBe('1.235');
    expect(valueText(0, 0.01)).toBe('0');
    expect(valueText(1e-9, 1e-12)).toBe('1e-9');
    expect(valueText(120, 1)).toBe('120');
  });

  test('have the spectrum that SciPy computes: a tone stands at its frequency with its power', () => {
    const rate = 1000;
    const tone = Float64Array.from({ length: 4096 }, (_, i) => 3 + 2 * Math.sin((2 * Math.PI * 125 * i) / rate));
    const spectrum = spectrumOf(tone, rate)!;
    const peak = spectrum.power.indexOf(Math.max(...spectrum.power));
    expect(spectrum.hz[peak]).toBeCloseTo(125);
    const power = spectrum.power.reduce((sum, each) => sum + each * (spectrum.hz[1] - spectrum.hz[0]), 0);
    expect(power).toBeCloseTo(2, 3);
    expect(spectrumOf(new Float64Array(7), rate)).toBeNull();
    expect(spectrumOf(new Float64Array(100).fill(Number.NaN), rate)).toBeNull();
  });
});

test('what is seen is read by one line in each language, without a token in it', () => {
  const seen = { seriesId: 'id-1', channels: ["it's", 'a"b'], view: { startNs: 5n, endNs: 9n }, points: null };
  for (const language of LINE_LANGUAGES) {
    const line = lineToRead(language, 'http://127.0.0.1:7424', seen);
    expect(line).toContain('http://127.0.0.1:7424/v1/series/id-1/samples?start=5&end=9');
    expect(line).toContain('VARVE_TOKEN');
    expect(line).not.toContain('\n');
  }
  expect(
    FILE_FORMATS.map((format) => new URLSearchParams(readPath({ ...seen, points: 7 }, format)).get('format')),
  ).toEqual(['csv', 'npy', 'csv']);
});

test('the address keeps everything that the view is set to, and nonsense changes nothing', () => {
  const state = {
    view: { startNs: MAY, endNs: MAY + 50n },
    layout: 'butterfly',
    scale: 'shared',
    withoutLevel: true,
    time: { zone: 'Europe/Berlin' },
    isLive: true,
    hidden: new Set(['0.1', '2.0']),
    gains: new Map([['0.0', 2.5]]),
    laneHeight: 40,
  } as const;
  const parameters: Record<string, string | null> = parametersOf(state);
  expect(seeStateOf((name) => parameters[name])).toEqual(state);
  const plain = seeStateOf(() => null);
  expect(Object.values(parametersOf(plain)).every((each) => each === null)).toBe(true);
  expect(seeStateOf(() => 'nonsense')).toEqual(plain);
});

describe('pixels of a band', () => {
  const field = { pixels: new Uint32Array(12 * 40), width: 12, height: 40 };
  const paint = { slope: -1, intercept: 30, top: 5, bottom: 35, color: pixelColor(1, 2, 3) };
  const rowsOf = (column: number): number[] =>
    Array.from({ length: 40 }, (_, y) => y).filter((y) => field.pixels[y * 12 + column] !== 0);

  test('have each extreme in its column, at the edge of the lane if it is beyond, and no hole where the signal goes on', () => {
    const lows = Float64Array.of(2, 10, NaN, 0, NaN, NaN, 20, 5, 5, 1e9, NaN, -1e9);
    const highs = Float64Array.of(4, 12, NaN, 0, NaN, NaN, 20, 5, 6, Infinity, NaN, -1e9);
    const joins = Uint8Array.of(0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0);
    field.pixels.fill(0);
    paintBand(field, { lows, highs, joins }, paint);
    lows.forEach((low, column) => {
      if (Number.isNaN(low)) return;
      for (const value of [low, highs[column]]) {
        expect(rowsOf(column)).toContain(Math.min(34, Math.max(5, Math.round(30 - value))));
      }
    });
    // From 4 to 10 the second column goes on from the first one.
    expect(rowsOf(1)).toEqual([18, 19, 20, 21, 22, 23, 24, 25, 26]);
    expect(rowsOf(2)).toEqual([]);
    // From 0 to 20 over two columns without a value.
    const painted = [3, 4, 5, 6].flatMap(rowsOf);
    expect([...new Set(painted)].sort((a, b) => a - b)).toEqual(Array.from({ length: 21 }, (_, i) => 10 + i));
    // Nothing goes on to a column that does not join.
    expect([rowsOf(7), rowsOf(10)]).toEqual([[25], []]);
  });
});
