import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  cutPieces,
  MAX_PIECE_BYTES,
  planRead,
  type Piece,
  type PlannedChunk,
  type Span,
} from '../../src/core/rows/read-plan.ts';
import type { RowRange } from '../../src/core/signal/segment.ts';
import { visibleSlices, type Slice } from '../../src/core/rows/visible-rows.ts';

interface Other extends Partial<PlannedChunk> {
  readonly timesOffset?: number;
}

function chunk(
  firstRow: number,
  rows: number,
  valuesOffset: number,
  { timesOffset, ...other }: Other = {},
): PlannedChunk {
  return {
    shardId: 's1',
    key: `c${firstRow}`,
    path: 'a.h5',
    held: null,
    firstRow,
    rows,
    generation: 0,
    skip: 0,
    codec: 'none',
    values: { offset: valuesOffset, length: 1024 * 1024 },
    valuesCrc: 100 + firstRow,
    timesCodec: timesOffset === undefined ? null : 'none',
    times: timesOffset === undefined ? null : { offset: timesOffset, length: 1024 * 1024 },
    timesCrc: null,
    ...other,
  };
}

function plan(ranges: readonly RowRange[], chunks: readonly PlannedChunk[], rowBytes: number): Piece[] {
  return planRead(ranges, visibleSlices(chunks), rowBytes);
}

describe('a plan says which bytes to read', () => {
  const chunks = [chunk(0, 10, 1000), chunk(10, 10, 5000)];

  test('a whole chunk is read with its checksum', () => {
    expect(plan([{ from: 0, to: 10 }], chunks, 4)).toEqual([
      {
        shardId: 's1',
        path: 'a.h5',
        held: null,
        values: { offset: 1000, length: 40 },
        times: null,
        blocks: [
          {
            firstRow: 0,
            rows: 10,
            values: { offset: 1000, length: 40 },
            times: null,
            generation: 0,
            valuesCrc: 100,
            timesCrc: null,
            unpackValues: null,
            unpackTimes: null,
          },
        ],
      },
    ]);
  });

  test('a slice of a chunk is read without the rest, and without a checksum', () => {
    expect(plan([{ from: 12, to: 15 }], chunks, 4)).toMatchObject([
      { values: { offset: 5008, length: 12 }, blocks: [{ firstRow: 12, rows: 3, valuesCrc: null }] },
    ]);
  });

  test('a chunk after another is read without it', () => {
    expect(plan([{ from: 10, to: 20 }], chunks, 4)).toMatchObject([{ blocks: [{ firstRow: 10, rows: 10 }] }]);
  });

  test('times are read from their own place', () => {
    const timed = [chunk(0, 10, 1000, { timesOffset: 9000, timesCrc: 7 })];
    expect(plan([{ from: 0, to: 10 }], timed, 4)).toMatchObject([
      { times: { offset: 9000, length: 80 }, blocks: [{ times: { offset: 9000, length: 80 }, timesCrc: 7 }] },
    ]);
    expect(plan([{ from: 3, to: 5 }], timed, 4)).toMatchObject([
      { times: { offset: 9024, length: 16 }, blocks: [{ timesCrc: null }] },
    ]);
  });

  test('nothing wanted is nothing read', () => {
    expect(plan([], chunks, 4)).toEqual([]);
    expect(plan([{ from: 5, to: 5 }], chunks, 4)).toEqual([]);
    expect(plan([{ from: 5, to: 5 }], [], 4)).toEqual([]);
  });
});

describe('a read costs as few reads as it can', () => {
  const MIB = 1024 * 1024;
  const ROW = 1024;
  const apart = { timesOffset: 0, timesCrc: 0 };
  test.each<[string, PlannedChunk[], number]>([
    ['chunks one after the other are one read', [chunk(0, 10, 0), chunk(10, 10, 10 * ROW)], 1],
    ['a byte between them makes two', [chunk(0, 10, 0), chunk(10, 10, 10 * ROW + 1)], 2],
    ['chunks in reverse are two', [chunk(0, 10, 10 * ROW), chunk(10, 10, 0)], 2],
    ['another shard is another read', [chunk(0, 10, 0), chunk(10, 10, 10 * ROW, { path: 'b.h5' })], 2],
    [
      'times one after the other too are one',
      [chunk(0, 10, 0, { ...apart, timesOffset: 9e6 }), chunk(10, 10, 10 * ROW, { ...apart, timesOffset: 9e6 + 80 })],
      1,
    ],
    [
      'times that lie apart make two',
      [chunk(0, 10, 0, { ...apart, timesOffset: 9e6 }), chunk(10, 10, 10 * ROW, { ...apart, timesOffset: 8e6 })],
      2,
    ],
    [
      'ten chunks of 256 KiB are read four at a time',
      Array.from({ length: 10 }, (_, i) => chunk((i * ROW) / 4, ROW / 4, (i * MIB) / 4)),
      3,
    ],
    ['a chunk above the bound is one read', [chunk(0, 10 * ROW, 0), chunk(10 * ROW, 1, 10 * MIB)], 2],
  ])('%s', (_, chunks, reads) => {
    const rows = chunks.reduce((sum, { rows }) => sum + rows, 0);
    expect(plan([{ from: 0, to: rows }], chunks, ROW)).toHaveLength(reads);
  });

  test('finding the first chunk among a million does not walk over them', () => {
    let looked = 0;
    const million = new Proxy(Array.from<Slice<PlannedChunk>>({ length: 1_000_000 }), {
      get(target, key, receiver) {
        if (typeof key !== 'string' || !/^\d+$/.test(key)) return Reflect.get(target, key, receiver);
        looked++;
        const from = Number(key) * 10;
        return from < 10_000_000 ? { chunk: chunk(from, 10, from * 10), from, to: from + 10 } : undefined;
      },
    });
    expect(planRead([{ from: 9_876_543, to: 9_876_544 }], million, 4)).toHaveLength(1);
    expect(looked).toBeLessThan(60);
  });
});

describe('a row that is in no chunk is a contradiction, not a short answer', () => {
  const missing = expect.objectContaining({ code: 'corrupt', slug: 'chunk-missing' });
  test.each<[string, PlannedChunk[], number, string]>([
    ['before the chunks', [chunk(5, 10, 0)], 0, 'row 0'],
    ['between chunks', [chunk(0, 10, 0), chunk(11, 10, 0)], 0, 'row 10'],
    ['after the chunks', [chunk(0, 10, 0)], 0, 'row 10'],
    ['without any', [], 3, 'row 3'],
  ])('%s', (_, chunks, from, named) => {
    const planning = (): unknown => plan([{ from, to: 20 }], chunks, 4);
    expect(planning).toThrow(named);
    expect(planning).toThrow(missing);
  });
});

interface Layout {
  readonly rowBytes: number;
  readonly chunks: PlannedChunk[];
  /** Per shard. */
  readonly files: Map<string, Buffer>;
  readonly rows: number;
}

const anyLayout: fc.Arbitrary<Layout> = fc
  .record({
    rowBytes: fc.constantFrom(1, 2, 6, 8, 24),
    timed: fc.boolean(),
    firstRow: fc.nat(1000),
    chunks: fc.array(
      fc.record({ rows: fc.integer({ min: 1, max: 50 }), gap: fc.constantFrom(0, 0, 0, 8), shard: fc.nat(1) }),
      { minLength: 1, maxLength: 12 },
    ),
  })
  .map(({ rowBytes, timed, firstRow, chunks }) => {
    const files = new Map<string, Buffer[]>([
      ['shard0', []],
      ['shard1', []],
      ['times0', []],
      ['times1', []],
    ]);
    const lengthOf = (name: string): number => files.get(name)!.reduce((sum, part) => sum + part.length, 0);
    const TIMES_AT = 65_536; // each shard's times lie behind its values
    const planned: PlannedChunk[] = [];
    let row = firstRow;
    for (const { rows, gap, shard } of chunks) {
      files.get(`shard${shard}`)!.push(Buffer.alloc(gap, 0xee));
      files.get(`times${shard}`)!.push(Buffer.alloc(gap, 0xee));
      planned.push({
        shardId: `id${shard}`,
        key: `c${row}`,
        path: `shard${shard}`,
        held: null,
        firstRow: row,
        rows,
        generation: 0,
        skip: 0,
        codec: 'none',
        values: { offset: lengthOf(`shard${shard}`), length: rows * rowBytes },
        valuesCrc: row,
        timesCodec: timed ? 'none' : null,
        times: timed ? { offset: TIMES_AT + lengthOf(`times${shard}`), length: rows * 8 } : null,
        timesCrc: timed ? -row : null,
      });
      for (let i = 0; i < rows; i++) {
        files.get(`shard${shard}`)!.push(rowContent(row + i, rowBytes));
        files.get(`times${shard}`)!.push(rowContent(row + i, 8));
      }
      row += rows;
    }
    const whole = (shard: number): Buffer => {
      const file = Buffer.alloc(TIMES_AT + lengthOf(`times${shard}`));
      Buffer.concat(files.get(`shard${shard}`)!).copy(file);
      Buffer.concat(files.get(`times${shard}`)!).copy(file, TIMES_AT);
      return file;
    };
    return {
      rowBytes,
      chunks: planned,
      files: new Map([
        ['shard0', whole(0)],
        ['shard1', whole(1)],
      ]),
      rows: row,
    };
  });

/** Bytes that tell one row from another. */
function rowContent(row: number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (row * 31 + i * 7 + (row >> 8)) & 0xff));
}

function cut(layout: Layout, piece: Piece, span: Span): Buffer {
  return layout.files.get(piece.path!)!.subarray(span.offset, span.offset + span.length);
}

test('the planned bytes are the wanted rows, of any chunks and ranges', () => {
  const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 2, maxLength: 8 });
  fc.assert(
    fc.property(anyLayout, cuts, (layout, points) => {
      const { chunks, rowBytes } = layout;
      const first = chunks[0].firstRow;
      const rows = points.map((at) => first + Math.floor(at * (layout.rows - first))).sort((a, b) => a - b);
      const ranges = Array.from({ length: Math.floor(rows.length / 2) }, (_, i) => ({
        from: rows[2 * i],
        to: rows[2 * i + 1],
      }));
      const wanted = ranges.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i));
      const pieces = plan(ranges, chunks, rowBytes);

      expect(Buffer.concat(pieces.map((piece) => cut(layout, piece, piece.values)))).toEqual(
        Buffer.concat(wanted.map((row) => rowContent(row, rowBytes))),
      );
      const timed = chunks[0].times !== null;
      const times = pieces.map((piece) => (piece.times ? cut(layout, piece, piece.times) : Buffer.alloc(0)));
      expect(Buffer.concat(times)).toEqual(Buffer.concat(timed ? wanted.map((row) => rowContent(row, 8)) : []));

      for (const { blocks, values } of pieces) {
        expect(blocks.reduce((sum, block) => sum + block.values.length, 0)).toBe(values.length);
        for (const block of blocks) {
          expect(block.rows).toBeGreaterThan(0);
          const owner = chunks.find(
            ({ firstRow, rows }) => block.firstRow >= firstRow && block.firstRow < firstRow + rows,
          )!;
          const whole = block.rows === owner.rows;
          expect([block.valuesCrc, block.timesCrc]).toEqual(whole ? [owner.valuesCrc, owner.timesCrc] : [null, null]);
        }
        expect(values.length <= MAX_PIECE_BYTES || blocks.length === 1).toBe(true);
      }
      // No two reads where one would do.
      const end = (span: Span): number => span.offset + span.length;
      pieces.slice(1).forEach((piece, i) => {
        const before = pieces[i];
        const touching =
          before.path === piece.path &&
          end(before.values) === piece.values.offset &&
          (!before.times || end(before.times) === piece.times!.offset);
        expect(touching).toBe(false);
      });
    }),
    { numRuns: 200 },
  );
});

describe('compressed chunks', () => {
  const packed = chunk(10, 10, 1000, {
    codec: 'gzip',
    skip: 3,
    values: { offset: 1000, length: 77 },
    timesCodec: 'gzip',
    times: { offset: 5000, length: 33 },
    timesCrc: 9,
  });

  test('are read as whole blocks, with their checksums, and say where the rows lie in what is decoded', () => {
    expect(plan([{ from: 12, to: 15 }], [packed], 4)).toMatchObject([
      {
        values: { offset: 1000, length: 77 },
        times: { offset: 5000, length: 33 },
        blocks: [
          {
            valuesCrc: 110,
            timesCrc: 9,
            unpackValues: { codec: 'gzip', wanted: { offset: 20, length: 12 } },
            unpackTimes: { codec: 'gzip', wanted: { offset: 40, length: 24 } },
          },
        ],
      },
    ]);
  });

  test('are never joined', () => {
    const next = chunk(20, 10, 1077, { codec: 'gzip', values: { offset: 1077, length: 5 } });
    expect(plan([{ from: 10, to: 30 }], [{ ...packed, times: null }, next], 4)).toHaveLength(2);
  });

  test('that could not be compressed are read by the row, from where the chunk begins in its block', () => {
    const plain = chunk(10, 10, 1000, { skip: 3 });
    expect(plan([{ from: 12, to: 15 }], [plain], 4)).toMatchObject([
      { values: { offset: 1020, length: 12 }, blocks: [{ valuesCrc: null, unpackValues: null }] },
    ]);
  });
});

describe('a chunk of a later edit', () => {
  const below = chunk(0, 100, 1000);
  const above = chunk(10, 5, 9000, { generation: 2 });
  const between = chunk(12, 10, 7000, { generation: 1 });

  test('covers what lies below it, and what it covers is not read', () => {
    const pieces = plan([{ from: 0, to: 100 }], [below, between, above], 1);
    expect(pieces.map(({ values }) => [values.offset, values.length])).toEqual([
      [1000, 10],
      [9000, 5],
      [7003, 7],
      [1022, 78],
    ]);
  });

  test('of any number of layers, each row comes from the highest that has it', () => {
    const layers = fc.array(fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 20 })), { maxLength: 12 });
    fc.assert(
      fc.property(layers, (edits) => {
        const chunks = [
          chunk(0, 80, 0),
          ...edits.map(([from, rows], i) => chunk(from, rows, 0, { generation: i + 1 })),
        ];
        const seen = visibleSlices(chunks).flatMap(({ chunk: { generation }, from, to }) =>
          Array.from({ length: to - from }, (_, i) => [from + i, generation]),
        );
        const wanted = Array.from({ length: 80 }, (_, row) => [
          row,
          Math.max(...chunks.filter((c) => row >= c.firstRow && row < c.firstRow + c.rows).map((c) => c.generation)),
        ]);
        expect(seen).toEqual(wanted);
      }),
    );
  });
});

describe('a part of a plan', () => {
  const ROW_BYTES = 4;
  const chunks = [
    chunk(0, 10, 1000, { timesOffset: 90_000, timesCrc: 7 }),
    chunk(10, 10, 1040, { timesOffset: 90_080, timesCrc: 8 }),
    chunk(20, 30, 5000, { codec: 'gzip', timesCodec: 'gzip', times: { offset: 95_000, length: 50 }, timesCrc: 9 }),
    chunk(50, 5, 8000, { timesOffset: 99_000, path: 'b.h5' }),
  ];
  const blocksOf = (pieces: readonly Piece[]) =>
    pieces.flatMap(({ blocks, path }) => blocks.map((b) => ({ path, ...b })));

  test('reads what a plan of its rows alone would', () => {
    const bound = fc.nat(55);
    fc.assert(
      fc.property(bound, bound, bound, bound, bound, bound, (...bounds) => {
        const [a, b, c, d, ...cut] = bounds;
        const [from, gapFrom, gapTo, to] = [a, b, c, d].sort((x, y) => x - y);
        const ranges = [
          { from, to: gapFrom },
          { from: gapTo, to },
        ];
        const [first, last] = cut.sort((x, y) => x - y);
        const rows = [...Array(55).keys()].filter(
          (row) => (row >= from && row < gapFrom) || (row >= gapTo && row < to),
        );
        const wanted = rows.slice(first, last).map((row) => ({ from: row, to: row + 1 }));
        const joined: RowRange[] = [];
        for (const each of wanted) {
          const before = joined.at(-1);
          if (before?.to === each.from) joined[joined.length - 1] = { from: before.from, to: each.to };
          else joined.push(each);
        }
        const whole = plan(ranges, chunks, ROW_BYTES);
        const part = cutPieces(whole, { from: first, to: last }, ROW_BYTES);
        // Ranges that touch may have parted a chunk in the whole plan.
        if (gapFrom !== gapTo) expect(blocksOf(part)).toEqual(blocksOf(plan(joined, chunks, ROW_BYTES)));
        for (const { values, times, blocks } of part) {
          expect(values.length).toBe(blocks.reduce((sum, block) => sum + block.values.length, 0));
          expect(times!.length).toBe(blocks.reduce((sum, block) => sum + block.times!.length, 0));
          expect([values.offset, times!.offset]).toEqual([blocks[0].values.offset, blocks[0].times!.offset]);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('opens nothing that its rows do not lie in', () => {
    const whole = plan([{ from: 0, to: 55 }], chunks, ROW_BYTES);
    expect(whole).toHaveLength(3);
    expect(cutPieces(whole, { from: 12, to: 13 }, ROW_BYTES)).toMatchObject([
      { path: 'a.h5', values: { offset: 1048, length: 4 }, times: { offset: 90_096, length: 8 } },
    ]);
    expect(cutPieces(whole, { from: 5, to: 5 }, ROW_BYTES)).toEqual([]);
  });
});
