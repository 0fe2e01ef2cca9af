import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { planRead, type Piece, type PlannedChunk } from '../../src/core/rows/read-plan.ts';
import type { RowRange } from '../../src/core/signal/segment.ts';
import { visibleSlices } from '../../src/core/rows/visible-rows.ts';
import { readPieces, type PieceBytes } from '../../src/storage/read/chunk-reader.ts';
import { eachOpened, KeptShardFiles } from '../../src/storage/read/shard-files.ts';
import { temporaryRoot } from './temporary-root.ts';
import { openFilesBelow } from './open-files.ts';

const root = temporaryRoot();
afterAll(() => root.remove());

const ROW_BYTES = 4;
const CHUNK_ROWS = 100;
const TIMES_AT = 10_000;
const [SHARD_A, SHARD_B] = ['shards/a.h5', 'shards/b.h5'];

const rowsContent = (from: number, rows: number, bytes: number): Buffer =>
  Buffer.from(Array.from({ length: rows * bytes }, (_, i) => ((from + Math.floor(i / bytes)) * 17 + i) & 0xff));

/** Three chunks in shard a (of which two are one read) and one in shard b. */
let chunks: PlannedChunk[];

beforeEach(() => {
  chunks = [];
  for (const [path, places] of [
    [SHARD_A, [0, 400, 1000]],
    [SHARD_B, [64]],
  ] as const) {
    const file = Buffer.alloc(20_000, 0xee);
    for (const valuesOffset of places) {
      const firstRow = chunks.length * CHUNK_ROWS;
      const values = rowsContent(firstRow, CHUNK_ROWS, ROW_BYTES);
      const times = rowsContent(firstRow, CHUNK_ROWS, 8);
      const timesOffset = TIMES_AT + valuesOffset * 2;
      values.copy(file, valuesOffset);
      times.copy(file, timesOffset);
      chunks.push({
        key: `c${chunks.length}`,
        held: null,
        shardId: `id-of-${path}`,
        path,
        firstRow,
        rows: CHUNK_ROWS,
        generation: 0,
        skip: 0,
        codec: 'none',
        values: { offset: valuesOffset, length: values.length },
        valuesCrc: crc32(values),
        timesCodec: 'none',
        times: { offset: timesOffset, length: times.length },
        timesCrc: crc32(times),
      });
    }
    writeFileSync(root.resolve(path), file);
  }
});

afterEach(async () => {
  expect(openFilesBelow(root.root)).toEqual([]);
});

const ALL: RowRange = { from: 0, to: 400 };
const SLICES: RowRange[] = [
  { from: 1, to: 99 },
  { from: 250, to: 299 },
  { from: 301, to: 400 },
];

function plan(ranges: RowRange[]): Piece[] {
  return planRead(ranges, visibleSlices(chunks), ROW_BYTES);
}

async function read(ranges: RowRange | RowRange[], want?: 'values' | 'times' | 'both'): Promise<PieceBytes[]> {
  const all: PieceBytes[] = [];
  for await (const piece of readPieces(eachOpened(root), plan([ranges].flat()), want)) all.push(piece);
  return all;
}

function flipBit(path: string, at: number): void {
  const file = readFileSync(root.resolve(path));
  file[at] ^= 0x10;
  writeFileSync(root.resolve(path), file);
}

function rowsOf(ranges: readonly RowRange[], bytes: number): Buffer {
  const whole = Buffer.concat(chunks.map(({ firstRow }) => rowsContent(firstRow, CHUNK_ROWS, bytes)));
  return Buffer.concat(ranges.map(({ from, to }) => whole.subarray(from * bytes, to * bytes)));
}

describe('the bytes of the planned rows are read', () => {
  test.each<[string, RowRange[]]>([
    ['whole chunks', [ALL]],
    ['slices', SLICES],
    ['one row', [{ from: 399, to: 400 }]],
    ['none', []],
  ])('%s', async (_, ranges) => {
    const pieces = await read(ranges);
    expect(Buffer.concat(pieces.map(({ values }) => values)).equals(rowsOf(ranges, ROW_BYTES))).toBe(true);
    expect(Buffer.concat(pieces.map(({ times }) => times!)).equals(rowsOf(ranges, 8))).toBe(true);
  });

  test('chunks that follow each other in one read', async () => {
    expect((await read(ALL)).map(({ piece }) => piece.blocks.length)).toEqual([2, 1, 1]);
  });

  test('without what is not wanted', async () => {
    for (const { times } of await read(ALL, 'values')) expect(times).toBeNull();
    const pieces = await read(ALL, 'times');
    expect(pieces.map(({ values }) => values.length)).toEqual([0, 0, 0]);
    expect(Buffer.concat(pieces.map(({ times }) => times!)).equals(rowsOf([ALL], 8))).toBe(true);
  });
});

describe('memory that is lent', () => {
  const PATH = 'shards/large.h5';
  const BLOCK_ROWS = 65_536;
  const blocks = 6;
  let content: Buffer;

  /** Blocks that do not touch each other, hence a read each; the last is small. */
  beforeEach(() => {
    content = Buffer.from(Array.from({ length: blocks * BLOCK_ROWS }, (_, i) => (i * 7 + (i >> 8)) & 0xff));
    const file = Buffer.alloc(blocks * (BLOCK_ROWS + 1));
    const template = chunks[0];
    chunks = Array.from({ length: blocks }, (_, i) => {
      const rows = i === blocks - 1 ? 100 : BLOCK_ROWS;
      const values = content.subarray(i * BLOCK_ROWS, i * BLOCK_ROWS + rows);
      const offset = i * (BLOCK_ROWS + 1);
      values.copy(file, offset);
      const place = { firstRow: i * BLOCK_ROWS, rows, values: { offset, length: rows }, valuesCrc: crc32(values) };
      return { ...template, ...place, path: PATH, timesCodec: null, times: null, timesCrc: null };
    });
    content = content.subarray(0, (blocks - 1) * BLOCK_ROWS + 100);
    writeFileSync(root.resolve(PATH), file);
  });

  test('is used again, but not before the next piece is asked for', async () => {
    const pieces = planRead([{ from: 0, to: content.length }], visibleSlices(chunks), 1);
    expect(pieces).toHaveLength(blocks);
    const used = new Set<ArrayBufferLike>();
    const read: Buffer[] = [];
    for await (const { values } of readPieces(eachOpened(root), pieces, 'values', { lend: true })) {
      await new Promise((resolve) => setTimeout(resolve, 10)); // what is read ahead has been read by now
      if (values.length === BLOCK_ROWS) used.add(values.buffer);
      read.push(Buffer.from(values));
    }
    expect(Buffer.concat(read).equals(content)).toBe(true);
    expect(used.size).toBe(2);
  });

  test('is not, unless that is asked for', async () => {
    const pieces = planRead([{ from: 0, to: content.length }], visibleSlices(chunks), 1);
    const kept: Buffer[] = [];
    for await (const { values } of readPieces(eachOpened(root), pieces, 'values')) kept.push(values);
    expect(Buffer.concat(kept).equals(content)).toBe(true);
  });
});

describe('a flipped bit', () => {
  test.each([
    ['values of the first chunk', SHARD_A, 0, 0],
    ['values of a chunk joined to another', SHARD_A, 799, 100],
    ['values of a chunk of its own', SHARD_A, 1200, 200],
    ['values in another shard', SHARD_B, 64, 300],
    ['times', SHARD_A, TIMES_AT + 2000 + 799, 200],
  ])('in %s of a whole chunk is named by shard and row', async (_, path, at, row) => {
    flipBit(path, at);
    await expect(read(ALL)).rejects.toMatchObject({
      code: 'corrupt',
      slug: 'chunk-corrupt',
      message: expect.stringMatching(new RegExp(`id-of-${path}.* row ${row}:`)),
    });
  });

  test('in values does not matter to whom wants times, nor the other way round', async () => {
    flipBit(SHARD_A, 0);
    await read(ALL, 'times');
    await expect(read(ALL, 'values')).rejects.toMatchObject({ slug: 'chunk-corrupt' });
    flipBit(SHARD_A, 0);
    flipBit(SHARD_A, TIMES_AT);
    await read(ALL, 'values');
    await expect(read(ALL, 'times')).rejects.toMatchObject({ slug: 'chunk-corrupt' });
  });

  test('in a slice cannot be seen', async () => {
    flipBit(SHARD_A, 4);
    const [{ values }] = await read(SLICES);
    expect(values.subarray(0, 4)).not.toEqual(rowsOf([{ from: 1, to: 2 }], ROW_BYTES));
  });

  test('behind the rows of a chunk is nobody’s', async () => {
    flipBit(SHARD_A, 1400);
    await read(ALL);
  });

  test('is met only when its rows are: what comes before them is good', async () => {
    flipBit(SHARD_B, 64);
    const pieces = readPieces(eachOpened(root), plan([ALL]));
    expect((await pieces.next()).value).toMatchObject({ piece: { path: SHARD_A } });
    expect((await pieces.next()).value).toMatchObject({ piece: { path: SHARD_A } });
    await expect(pieces.next()).rejects.toMatchObject({ slug: 'chunk-corrupt' });
  });
});

describe('a file', () => {
  test.each([
    ['ends before the times', TIMES_AT, 0],
    ['ends in the midst of a chunk', TIMES_AT + 2799, 200],
    ['is empty', 0, 0],
  ])('that %s is corrupt', async (_, length, row) => {
    truncateSync(root.resolve(SHARD_A), length);
    await expect(read(ALL)).rejects.toMatchObject({
      code: 'corrupt',
      slug: 'chunk-corrupt',
      message: expect.stringMatching(new RegExp(`id-of-${SHARD_A}.* row ${row}: the file is shorter`)),
    });
  });

  test('that is shorter than its shard once was serves the rows it has', async () => {
    truncateSync(root.resolve(SHARD_A), TIMES_AT + 1600);
    expect(await read({ from: 0, to: 200 })).toHaveLength(1);
  });

  test('that is gone is a missing shard', async () => {
    rmSync(root.resolve(SHARD_B));
    await expect(read(ALL)).rejects.toMatchObject({
      code: 'corrupt',
      slug: 'shard-missing',
      message: expect.stringContaining(SHARD_B),
    });
  });

  test('that is removed once a read has begun is read to its end', async () => {
    const pieces = readPieces(eachOpened(root), plan([ALL]));
    await pieces.next();
    rmSync(root.resolve(SHARD_B));
    const rest: PieceBytes[] = [];
    for await (const piece of pieces) rest.push(piece);
    expect(rest.at(-1)).toMatchObject({ piece: { path: SHARD_B } });
  });

  test('out of the data root is not opened', async () => {
    chunks = chunks.map((chunk) => ({ ...chunk, path: '../../etc/passwd' }));
    await expect(read(ALL)).rejects.toThrow('leaves the data root');
  });
});

describe('files are closed', () => {
  test.each([0, 1, 2, 3])('when the consumer leaves after %s pieces', async (count) => {
    const pieces = readPieces(eachOpened(root), plan([ALL]));
    for (let i = 0; i < count; i++) await pieces.next();
    if (count > 0) expect(openFilesBelow(root.root).length).toBeGreaterThan(0);
    await pieces.return(undefined);
    expect(openFilesBelow(root.root)).toEqual([]);
  });

  test('when the consumer throws', async () => {
    const consume = async (): Promise<void> => {
      for await (const { piece } of readPieces(eachOpened(root), plan([ALL]))) {
        throw new Error(`no taste for ${piece.path}`);
      }
    };
    await expect(consume()).rejects.toThrow('no taste');
  });

  test('a shard is opened once, however many pieces it has', async () => {
    const pieces = readPieces(eachOpened(root), plan(SLICES));
    for await (const { piece } of pieces) {
      const open = openFilesBelow(root.root);
      expect(open).toHaveLength(new Set(open).size);
      expect(open).toContain(root.resolve(piece.path!));
    }
  });
});

test('files that are kept open serve many reads, at the same time, and are closed at the end', async () => {
  const files = new KeptShardFiles(root);
  const readAll = async (): Promise<number> => {
    let bytes = 0;
    for await (const { values } of readPieces(files, plan([ALL]), 'values')) bytes += values.length;
    return bytes;
  };
  expect(await Promise.all([readAll(), readAll()])).toEqual([400 * ROW_BYTES, 400 * ROW_BYTES]);
  expect(openFilesBelow(root.root)).toHaveLength(2);
  rmSync(root.resolve(SHARD_A));
  expect(await readAll()).toBe(400 * ROW_BYTES); // the file that was open
  await files.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(openFilesBelow(root.root)).toEqual([]);
  await expect(readAll()).rejects.toMatchObject({ slug: 'shard-missing' });
  await files.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
});
