import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DTYPE_NAMES, DTYPES, isBigDtype, type Dtype, type SampleArray } from '../../src/core/numbers/dtype.ts';
import {
  eachCell,
  SUMMARY_FACTORS,
  SummaryBuilder,
  type SummaryCell,
  type SummaryShape,
} from '../../src/core/overview/summary.ts';
import { scaleFor } from '../../src/core/numbers/moments.ts';
import { toldOfCell } from '../../src/core/overview/summary-cell.ts';
import { nearestNumber } from '../../src/core/numbers/fraction.ts';
import {
  columnBytes,
  decodeSummary,
  summaryColumns,
  type SummaryBlock,
} from '../../src/core/overview/summary-block.ts';

interface Rows {
  readonly row: number;
  readonly values: SampleArray;
  readonly times: BigInt64Array | null;
}

interface PlainCell {
  index: number;
  counts: number[];
  mins: (number | bigint)[];
  maxs: (number | bigint)[];
  /** Sums of integers, as texts. */
  totals: string[];
  means: number[];
  deviations: number[];
  times: (bigint | null)[];
}

function summarize(
  shape: SummaryShape,
  rows: readonly Rows[],
  capacity = 3,
  kept: Readonly<Record<number, readonly SummaryCell[]>> = {},
): Map<number, PlainCell[]> {
  const levels = new Map<number, PlainCell[]>(SUMMARY_FACTORS.map((factor) => [factor, []]));
  const builder = new SummaryBuilder(
    shape,
    () => capacity,
    (factor, columns) => {
      expect(columns.cells).toBeLessThanOrEqual(capacity);
      for (const cell of eachCell(columns)) levels.get(factor)!.push(plain(cell));
    },
  );
  for (const [factor, cells] of Object.entries(kept)) builder.keepCells(Number(factor), cells);
  for (const { row, values, times } of rows) builder.append(row, values, times);
  builder.finish();
  return levels;
}

function plain(cell: SummaryCell): PlainCell {
  return {
    index: cell.index,
    counts: [...cell.counts],
    mins: [...cell.mins],
    maxs: [...cell.maxs],
    totals: [...(cell.sums ?? [])].map((sum, c) => String(BigInt(sum) + BigInt(cell.rests?.[c] ?? 0))),
    means: [...cell.counts].map((_, c) => meanOf(cell, c)),
    deviations: [...cell.counts].map((count, c) => {
      const told = toldOfCell(cell, c);
      if (!told) return NaN;
      const scale = typeof told.min === 'bigint' ? 1 : scaleFor(told.min, told.max as number);
      return Math.sqrt(told.squares / count) / scale;
    }),
    times: [cell.firstNs, cell.lastNs],
  };
}

function meanOf({ counts, means, sums, rests }: SummaryCell, c: number): number {
  if (means) return means[c];
  return counts[c] === 0 ? NaN : nearestNumber(BigInt(sums![c]) + BigInt(rests?.[c] ?? 0), BigInt(counts[c]));
}

/** The same, one row at a time and level by level, of plain numbers. */
function bruteForce(shape: SummaryShape, rows: readonly Rows[], factor: number): PlainCell[] {
  const { dtype, channels, irregular, missingValue } = shape;
  const none = DTYPES[dtype].range ? missingValue! : NaN;
  const cells = new Map<number, { values: (number | bigint)[][]; times: (bigint | null)[] }>();
  let written = 0;
  for (const { row, values, times } of rows) {
    for (let r = 0; r < values.length / channels; r++, written++) {
      const index = Math.floor((irregular ? written : row + r) / factor);
      const cell = cells.get(index) ?? { values: Array.from({ length: channels }, () => []), times: [] };
      cells.set(index, cell);
      for (let c = 0; c < channels; c++) {
        const value = values[r * channels + c];
        if (!Number.isNaN(value) && value !== missingValue) cell.values[c].push(value);
      }
      cell.times.push(times && times[r]);
    }
  }
  return [...cells].map(([index, cell]) => ({
    index,
    counts: cell.values.map((values) => values.length),
    mins: cell.values.map((values) => values.reduce((a, b) => (b < a ? b : a), values[0] ?? none)),
    maxs: cell.values.map((values) => values.reduce((a, b) => (b > a ? b : a), values[0] ?? none)),
    means: cell.values.map((values) => {
      const sum = values.reduce((all: number, value) => all + Number(value), 0);
      return sum / values.length;
    }),
    totals: DTYPES[dtype].range
      ? cell.values.map((values) => String(values.reduce<bigint>((sum, value) => sum + BigInt(value), 0n)))
      : [],
    deviations: cell.values.map((values) => {
      const middle = values.length === 0 ? 0 : Number(values[0]);
      const distances = values.map((value) =>
        typeof value === 'bigint' ? Number(value - (values[0] as bigint)) : value - middle,
      );
      const mean = distances.reduce((a, b) => a + b, 0) / values.length;
      return Math.sqrt(distances.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
    }),
    times: [cell.times[0], cell.times.at(-1)!],
  }));
}

/** All that is exact, as texts, which are compared in a moment. */
function exactly({ index, counts, mins, maxs, totals, times }: PlainCell): string {
  return [index, counts, mins, maxs, totals, times].join(' ');
}

function expectSame(found: readonly PlainCell[], wanted: readonly PlainCell[]): void {
  expect(found.map(exactly)).toEqual(wanted.map(exactly));
  found.forEach(({ means, deviations, mins, maxs }, i) => {
    means.forEach((mean, c) => {
      const scale = Math.max(Math.abs(Number(mins[c])), Math.abs(Number(maxs[c])));
      const isNear = (a: number, b: number, error: number): boolean => Object.is(a, b) || Math.abs(a - b) <= error;
      if (!isNear(mean, wanted[i].means[c], scale * 2 ** -40)) {
        throw new Error(`the mean of cell ${i} is ${mean}, not ${wanted[i].means[c]}`);
      }
      // Numbers next to 0 have few digits, and their squares none.
      const deviation = wanted[i].deviations[c];
      if (!isNear(deviations[c], deviation, deviation * 2 ** -23 + scale * 2 ** -40 + 1e-44)) {
        throw new Error(`the deviation of cell ${i} is ${deviations[c]}, not ${deviation}`);
      }
    });
  });
}

/** Any value of a type, its extremes often. */
function anyValue(dtype: Dtype): fc.Arbitrary<number | bigint> {
  const { range } = DTYPES[dtype];
  if (!range) {
    const float = fc
      .double({ min: -1e30, max: 1e30, noNaN: true })
      .map((v) => (dtype === 'float32' ? Math.fround(v) : v));
    return fc.oneof({ arbitrary: float, weight: 3 }, fc.constantFrom(NaN, 0)).map((v) => (v === 0 ? 0 : v));
  }
  const value = fc.oneof(fc.bigInt(range), fc.constantFrom(range.min, range.max, 0n, range.max / 2n));
  return isBigDtype(dtype) ? value : value.map(Number);
}

/** Values that could be confused: at the ends of the type, where halves are alike, beside what a double holds. */
function missingValues(dtype: Dtype): (number | bigint)[] {
  const { range } = DTYPES[dtype];
  if (!range) return [-999, 0, Math.fround(0.1)];
  if (!isBigDtype(dtype)) return [Number(range.min), Number(range.max), 0];
  return [range.min, range.max, 0n, 2n ** 53n, ...(range.min < 0n ? [-1n] : [2n ** 32n - 1n])];
}

function neighbours(dtype: Dtype, value: number | bigint): (number | bigint)[] {
  const { range } = DTYPES[dtype];
  if (!range) return [Number(value) + 1];
  const near = [1n, -1n, 2n ** 32n, -(2n ** 32n)].map((by) => BigInt(value) + by);
  const inside = near.filter((each) => each >= range.min && each <= range.max);
  return isBigDtype(dtype) ? inside : inside.map(Number);
}

/** @param often values that are among them, in runs of a few cells, too */
function anyRows(shape: SummaryShape, often: readonly (number | bigint)[] = []): fc.Arbitrary<Rows[]> {
  const piece = fc.record({
    gap: fc.oneof({ arbitrary: fc.constant(0), weight: 3 }, fc.nat(10_000)),
    rows: fc.oneof({ arbitrary: fc.nat(200), weight: 3 }, fc.nat(5000)),
    pool: fc.array(anyValue(shape.dtype), { minLength: 1, maxLength: 40 }).map((pool) => [...often, ...pool]),
  });
  return fc.tuple(fc.nat(1000), fc.array(piece, { maxLength: 5 })).map(([first, pieces]) => {
    let row = first;
    let time = -(2n ** 62n);
    return pieces.map(({ gap, rows, pool }) => {
      row += gap;
      const values = new DTYPES[shape.dtype].array(rows * shape.channels);
      for (let i = 0; i < values.length; i++) {
        const isRun = often.length > 0 && (i >> 9) % 3 === 1;
        values[i] = isRun ? often[0] : pool[(i * 7 + (i >> 5)) % pool.length];
      }
      const times = shape.irregular ? BigInt64Array.from({ length: rows }, () => (time += 1_000_000_007n)) : null;
      const piece = { row, values, times };
      row += rows;
      return piece;
    });
  });
}

describe('a summary', () => {
  for (const dtype of DTYPE_NAMES) {
    for (const shape of [
      { dtype, channels: 1, irregular: false, missingValue: null },
      { dtype, channels: 3, irregular: true, missingValue: null },
    ]) {
      test(`of ${shape.irregular ? 'irregular' : 'regular'} ${dtype} rows with holes is what each cell's rows say`, () => {
        fc.assert(
          fc.property(anyRows(shape), (rows) => {
            const levels = summarize(shape, rows);
            for (const factor of SUMMARY_FACTORS) expectSame(levels.get(factor)!, bruteForce(shape, rows, factor));
          }),
          { numRuns: 10 },
        );
      });
    }
  }

  for (const dtype of DTYPE_NAMES) {
    // Its neighbours are among the values, and are nothing but values.
    test.each(missingValues(dtype))(`of ${dtype} rows leaves the missing value %s out`, (missingValue) => {
      for (const irregular of [false, true]) {
        const shape = { dtype, channels: 2, irregular, missingValue };
        fc.assert(
          fc.property(anyRows(shape, [missingValue, ...neighbours(dtype, missingValue)]), (rows) => {
            const levels = summarize(shape, rows);
            for (const factor of SUMMARY_FACTORS) expectSame(levels.get(factor)!, bruteForce(shape, rows, factor));
          }),
          { numRuns: 4 },
        );
      }
    });
  }

  test.each<[Dtype, number | bigint, number | bigint]>([
    ['int8', -128, -128],
    ['uint64', 2n ** 64n - 1n, 2n ** 64n - 1n],
    ['float32', -999, NaN],
  ])(
    'has nothing to say of a %s cell in which all is missing, and counts it in no coarser one',
    (dtype, missing, none) => {
      const shape = { dtype, channels: 1, irregular: false, missingValue: missing };
      const values = new DTYPES[dtype].array(128);
      (values as unknown as (number | bigint)[]).fill(missing);
      values[127] = isBigDtype(dtype) ? 3n : 3;
      const levels = summarize(shape, [{ row: 0, values, times: null }]);
      const three = isBigDtype(dtype) ? 3n : 3;
      const isWhole = DTYPES[dtype].kind === 'int';
      const is = (index: number): object => ({
        index,
        counts: [1],
        mins: [three],
        maxs: [three],
        totals: isWhole ? ['3'] : [],
        means: [3],
        deviations: [0],
      });
      const empty = { counts: [0], mins: [none], maxs: [none], totals: isWhole ? ['0'] : [] };
      expect(levels.get(64)).toEqual([
        { index: 0, ...empty, means: [NaN], deviations: [NaN], times: [null, null] },
        { ...is(1), times: [null, null] },
      ]);
      expect(levels.get(4096)).toEqual([{ ...is(0), times: [null, null] }]);
    },
  );

  test('of wide rows is what each cell says', () => {
    const shape = { dtype: 'int16', channels: 17_000, irregular: false, missingValue: null } as const;
    const values = Int16Array.from({ length: 70 * 17_000 }, (_, i) => (i * 31) % 65_536);
    const rows = [{ row: 30, values, times: null }];
    expectSame(summarize(shape, rows).get(64)!, bruteForce(shape, rows, 64));
  });

  test('reaches the coarsest level', () => {
    const shape = { dtype: 'float64', channels: 1, irregular: false, missingValue: null } as const;
    const rows = [{ row: 262_000, values: Float64Array.from({ length: 300_000 }, (_, i) => i), times: null }];
    const levels = summarize(shape, rows, 100_000);
    for (const factor of SUMMARY_FACTORS) expectSame(levels.get(factor)!, bruteForce(shape, rows, factor));
    expect(levels.get(262_144)!.map(({ index, counts }) => [index, ...counts])).toEqual([
      [0, 144],
      [1, 262_144],
      [2, 37_712],
    ]);
  });

  const cell = (index: number, mean: number, count: number, time: bigint | null = null): SummaryCell => ({
    index,
    counts: Uint32Array.of(count),
    mins: Float64Array.of(mean - 1),
    maxs: Float64Array.of(mean + 1),
    means: Float64Array.of(mean),
    sums: null,
    rests: null,
    spreads: Float32Array.of(0.5),
    firstNs: time,
    lastNs: time && time + 1n,
  });

  test('keeps cells of rows that are gone in the place of computed ones, and counts them in coarser ones', () => {
    const shape = { dtype: 'float64', channels: 1, irregular: false, missingValue: null } as const;
    const rows = [{ row: 100, values: new Float64Array(100).fill(5), times: null }];
    const kept = { 64: [cell(0, 10, 64), cell(1, 20, 64), cell(70, 30, 64)], 262_144: [cell(0, 99, 7)] };
    const levels = summarize(shape, rows, 3, kept);
    expect(levels.get(64)!.map(({ index, counts, means }) => [index, ...counts, ...means])).toEqual([
      [0, 64, 10],
      [1, 64, 20],
      [2, 64, 5],
      [3, 8, 5],
      [70, 64, 30],
    ]);
    const mean = (640 + 1280 + 360) / 200;
    const squares = 128 * 0.25 + 64 * (10 - mean) ** 2 + 64 * (20 - mean) ** 2 + 72 * (5 - mean) ** 2;
    const plainly = { totals: [], times: [null, null] };
    expect(levels.get(4096)).toEqual([
      {
        ...plainly,
        index: 0,
        counts: [200],
        mins: [5],
        maxs: [21],
        means: [mean],
        deviations: [expect.closeTo(Math.sqrt(squares / 200), 5)],
      },
      { ...plainly, index: 1, counts: [64], mins: [29], maxs: [31], means: [30], deviations: [0.5] },
    ]);
    expect(levels.get(262_144)).toEqual([
      { index: 0, counts: [7], mins: [98], maxs: [100], means: [99], deviations: [0.5], ...plainly },
    ]);
  });

  test('of an irregular series begins with the kept cells, each level for itself', () => {
    const shape = { dtype: 'float64', channels: 1, irregular: true, missingValue: null } as const;
    const times = BigInt64Array.from({ length: 70 }, (_, i) => BigInt(1000 + i));
    const rows = [{ row: 500, values: new Float64Array(70).fill(5), times }];
    const levels = summarize(shape, rows, 3, {
      64: [cell(9, 10, 64, 7n), cell(4, 20, 33, 70n)],
      4096: [cell(3, 1, 2, 7n)],
    });
    const brief = ({ index, counts, means, times }: PlainCell): unknown => [index, ...counts, ...means, ...times];
    expect(levels.get(64)!.map(brief)).toEqual([
      [0, 64, 10, 7n, 8n],
      [1, 33, 20, 70n, 71n],
      [2, 64, 5, 1000n, 1063n],
      [3, 6, 5, 1064n, 1069n],
    ]);
    expect(levels.get(4096)!.map(brief)).toEqual([
      [0, 2, 1, 7n, 8n],
      [1, 70, 5, 1000n, 1069n],
    ]);
    expect(levels.get(262_144)!.map(brief)).toEqual([[0, 70, 5, 1000n, 1069n]]);
  });

  test('of nothing but kept cells is those', () => {
    const shape = { dtype: 'float64', channels: 1, irregular: false, missingValue: null } as const;
    const levels = summarize(shape, [], 3, { 64: [cell(3, 1, 64)] });
    expect(SUMMARY_FACTORS.map((factor) => levels.get(factor)!.map(({ index }) => index))).toEqual([[3], [0], [0]]);
  });

  test('refuses rows out of order, cells that come late and levels that do not exist', () => {
    const builder = new SummaryBuilder(
      { dtype: 'int8', channels: 1, irregular: false, missingValue: null },
      () => 1,
      () => {},
    );
    expect(() => builder.keepCells(65, [])).toThrow('no summary has cells of 65 rows');
    builder.append(10, new Int8Array(5), null);
    expect(() => builder.append(14, new Int8Array(1), null)).toThrow('row 14 comes after row 14');
    expect(() => builder.keepCells(64, [])).toThrow('before rows are added');
  });

  test.each([
    ['regular', false],
    ['irregular', true],
  ])('of a %s series comes back from the bytes of its columns', (_, irregular) => {
    const shape: SummaryShape = { dtype: 'int64', channels: 2, irregular, missingValue: null };
    const values = BigInt64Array.from({ length: 400 }, (_, i) => BigInt(i) ** 7n);
    const times = irregular ? BigInt64Array.from({ length: 200 }, (_, i) => BigInt(i)) : null;
    const builder = new SummaryBuilder(
      shape,
      () => 100,
      (factor, cells) => {
        const parts = summaryColumns(shape).map(({ name }) => ({
          name,
          offset: 0,
          length: 0,
          codec: 'none' as const,
          crc: 0,
        }));
        const block: SummaryBlock = {
          factor,
          firstCell: Number(cells.index[0]),
          lastCell: 0,
          cells: cells.cells,
          parts,
          dtype: 'int64',
          channels: 2,
          firstRow: null,
          lastRow: null,
          firstNs: null,
          lastNs: null,
        };
        // A stored block goes on with zeros.
        const decoded = new Map(
          parts.map(({ name }) => [name, Uint8Array.from(Buffer.concat([columnBytes(cells, name), Buffer.alloc(64)]))]),
        );
        expect([...eachCell(decodeSummary(block, decoded))].map(plain)).toEqual([...eachCell(cells)].map(plain));
      },
    );
    builder.append(7, values, times);
    builder.finish();
    expect.assertions(3);
  });
});
