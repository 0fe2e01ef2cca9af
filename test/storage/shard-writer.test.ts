import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { statsOf } from '../../src/core/rows/chunk-stats.ts';
import { CODECS, type Codec } from '../../src/core/signal/codec.ts';
import { bytesOf, DTYPES, isBigDtype, viewAs, type Dtype } from '../../src/core/numbers/dtype.ts';
import { eachCell, SummaryBuilder, type SummaryCell, type SummaryShape } from '../../src/core/overview/summary.ts';
import { decodeSummary, type SummaryBlock } from '../../src/core/overview/summary-block.ts';
import { decodeBlock } from '../../src/storage/codec/block-codec.ts';
import { systemDisk } from '../../src/storage/folder/disk.ts';
import { Hdf5Session } from '../../src/storage/hdf5/hdf5-session.ts';
import { blockRows } from '../../src/core/rows/chunk.ts';
import { parseRecord, type SeriesRecord } from '../../src/core/upkeep/series-record.ts';
import type { SeriesToWrite, WrittenChunk } from '../../src/storage/shard/series-writer.ts';
import type { NewShard } from '../../src/storage/codec/shard-layout.ts';
import { ShardWriter } from '../../src/storage/shard/shard-writer.ts';
import { describePython } from '../support/python.ts';
import { dumpBytes, dumpHeader } from './h5dump.ts';
import { temporaryRoot } from './temporary-root.ts';
import { hastyDisk, PowerCutDisk } from './power-cut-disk.ts';

/** Rows to write, from `row` of the series on. */
interface Piece {
  readonly row: number;
  readonly values: Uint8Array;
  readonly times: BigInt64Array | null;
}

interface Case {
  readonly series: SeriesToWrite;
  readonly pieces: readonly Piece[];
}

let session: Hdf5Session;
const root = temporaryRoot();
beforeAll(async () => {
  session = await Hdf5Session.start();
});
afterAll(() => root.remove());

function newShard(): NewShard {
  const shardId = randomUUID();
  return {
    shardId,
    laneId: 'lane-1',
    path: `shards/${shardId.slice(-2)}/${shardId}-3.h5`,
    commit: 3n,
    firstCommit: 1n,
    level: 1,
  };
}

/** Rows of noise in runs; of an irregular series without gaps, its times with duplicates now and then. */
function makeCase(
  dtype: Dtype,
  codec: Codec,
  irregular: boolean,
  channels: number,
  runs: readonly (readonly [number, number])[],
): Case {
  const rowBytes = DTYPES[dtype].bytes * channels;
  const missingValue = isBigDtype(dtype) ? 7n : 7;
  const firstRow = runs[0][0] - (irregular ? 0 : 10);
  let state = 12345;
  const pieces = runs.map(([from, to]) => {
    const values = new Uint8Array((to - from) * rowBytes);
    for (let i = 0; i < values.length; i++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      // Bytes of noise in the lower half of each value; of floats the exponent stays small, some values are NaN.
      values[i] = i % DTYPES[dtype].bytes < Math.ceil(DTYPES[dtype].bytes / 2) ? state >>> 24 : 0;
    }
    const typed = viewAs(dtype, values);
    for (let i = 0; i < typed.length; i += 50) typed[i] = missingValue;
    if (dtype === 'float64') typed[0] = NaN;
    const times = irregular
      ? BigInt64Array.from(
          { length: to - from },
          (_, i) => 1_777_593_600_000_000_000n + BigInt(from + i - (i % 100 === 7 ? 1 : 0)),
        )
      : null;
    return { row: from, values, times };
  });
  const extent = runs.at(-1)![1] - firstRow;
  return {
    series: {
      seriesId: randomUUID(),
      dtype,
      channels,
      irregular,
      codec,
      extent,
      layout: { kind: 'chunked', blockRows: blockRows(Math.max(rowBytes, irregular ? 8 : 0), channels, extent) },
      compacted: true,
      record: {
        firstRow,
        claims: [{ from: firstRow, to: firstRow + extent }],
        generation: 2,
        rows: firstRow + extent,
        removed: 1,
        expiredNs: null,
        summariesExpiredNs: null,
        expiredRows: [],
        marks: irregular ? [] : [{ row: firstRow, ns: 2n ** 60n + 9n }],
        holes: irregular ? [] : [{ from: 3, to: 4 }],
        erasures: irregular ? [{ generation: 2, startNs: -(2n ** 62n) - 1n, endNs: 5n, beforeRow: 9 }] : [],
        segments: irregular ? [] : [{ firstRow, startNs: 2n ** 60n + 7n, rows: extent, skip: 3 }],
        sealedAt: null,
        contentHash: null,
        deletedAt: null,
        description: {
          dtype,
          name: 'a/b',
          project: 'default',
          unit: null,
          scale: 0.5,
          offset: 0.1,
          rate: irregular ? null : '360/1',
          startNs: null,
          startTolerance: irregular ? null : 0.25,
          timeReference: 'utc',
          duplicates: 'keep',
          codec,
          continuity: null,
          resolution: null,
          missingValue,
          timeZone: null,
          channels: Array.from({ length: Math.min(channels, 3) }, (_, c) => ({ label: `c${c}` })),
          tags: { a: 1 },
          recording: null,
          version: 4,
        },
      },
    },
    pieces,
  };
}

/** As a flush writes it. */
function lean({ series, pieces }: Case): Case {
  return { series: { ...series, layout: { kind: 'contiguous' }, compacted: false }, pieces };
}

const RUNS = [
  [1000, 3000],
  [3000, 70_001],
  [70_500, 70_501],
  [70_502, 90_000],
  [400_000, 400_001], // whole blocks are left out before it
] as const;
const WHOLE = [[50, 150_000]] as const;

function casesOf(codec: Codec): Case[] {
  return [
    makeCase('float64', codec, false, 1, RUNS),
    makeCase('int16', codec, false, 3, RUNS),
    makeCase('uint8', codec, true, 1, WHOLE),
    makeCase('int64', codec, true, 2, [[0, 20_000]]),
    makeCase('float32', codec, true, 1, [[0, 3]]),
    makeCase('uint64', codec, false, 1, [[20, 21]]),
  ];
}

interface Made {
  readonly path: string;
  readonly bytes: number;
  readonly results: { chunks: WrittenChunk[]; summaries: SummaryBlock[] }[];
}

function write(cases: readonly Case[], shard = newShard(), disk = systemDisk): Made {
  const writer = new ShardWriter(session, root, shard, disk);
  const results = cases.map(({ series, pieces }) => {
    const target = writer.begin(series);
    for (const { row, values, times } of pieces) target.append(row, values, times);
    return target.finish();
  });
  return { path: root.resolve(shard.path), bytes: writer.finish(), results };
}

/** The rows from `firstRow` on, zeros where some are left out. */
function wholeDataset({ series, pieces }: Case): { values: Buffer; times: Buffer } {
  const rowBytes = DTYPES[series.dtype].bytes * series.channels;
  const values = Buffer.alloc(series.extent * rowBytes);
  const times = Buffer.alloc(series.extent * 8);
  for (const piece of pieces) {
    values.set(piece.values, (piece.row - series.record.firstRow) * rowBytes);
    if (piece.times) times.set(bytesOf(piece.times), (piece.row - series.record.firstRow) * 8);
  }
  return { values, times };
}

/** Rows that are there, joined where they touch. */
function runsOf({ series, pieces }: Case): [number, number][] {
  const runs: [number, number][] = [];
  for (const { row, values } of pieces) {
    const to = row + values.length / DTYPES[series.dtype].bytes / series.channels;
    if (runs.at(-1)?.[1] === row) runs.at(-1)![1] = to;
    else runs.push([row, to]);
  }
  return runs;
}

async function expectChunksReadable(file: Buffer, model: Case, chunks: readonly WrittenChunk[]): Promise<void> {
  const { dtype, channels, irregular, codec, layout, record } = model.series;
  const { firstRow } = record;
  const stored = layout.kind === 'contiguous' ? 'none' : codec;
  const rowBytes = DTYPES[dtype].bytes * channels;
  const whole = wholeDataset(model);
  const covered: [number, number][] = [];
  for (const chunk of chunks) {
    expect(chunk).toMatchObject({
      datasetRow: chunk.firstRow - firstRow,
      codec: stored,
      timesCodec: irregular ? stored : null,
    });
    const rowsOf = async (place: { offset: number; length: number }, width: number, crc: number): Promise<Buffer> => {
      const block = file.subarray(place.offset, place.offset + place.length);
      const decoded = await decodeBlock(stored, block);
      const rows = Buffer.from(decoded).subarray(chunk.skip * width, (chunk.skip + chunk.rows) * width);
      expect(crc).toBe(crc32(stored === 'none' ? rows : block));
      return rows;
    };
    const values = await rowsOf(chunk.values, rowBytes, chunk.valuesCrc);
    const [from, to] = [chunk.datasetRow, chunk.datasetRow + chunk.rows];
    expect(values.equals(whole.values.subarray(from * rowBytes, to * rowBytes))).toBe(true);
    expect(chunk.stats).toEqual(statsOf(shapeOf(model.series), viewAs(dtype, values)));
    if (irregular) {
      const times = await rowsOf(chunk.times!, 8, chunk.timesCrc!);
      expect(times.equals(whole.times.subarray(from * 8, to * 8))).toBe(true);
      const column = viewAs('int64', times) as BigInt64Array;
      expect([chunk.firstNs, chunk.lastNs]).toEqual([column.toSorted()[0], column.toSorted().at(-1)]);
      expect(chunk.sorted).toBe(column.every((time, i) => i === 0 || time > column[i - 1]));
    } else {
      expect(chunk).toMatchObject({ times: null, timesCrc: null, firstNs: null, lastNs: null, sorted: true });
    }
    if (covered.at(-1)?.[1] === chunk.firstRow) covered.at(-1)![1] = chunk.firstRow + chunk.rows;
    else covered.push([chunk.firstRow, chunk.firstRow + chunk.rows]);
  }
  expect(covered).toEqual(runsOf(model));
}

function shapeOf({ dtype, channels, irregular, record }: SeriesToWrite): SummaryShape {
  return { dtype, channels, irregular, missingValue: record.description.missingValue };
}

interface Cell {
  readonly factor: number;
  readonly cell: SummaryCell;
}

/** As texts, which are compared in a moment. */
function texts(cells: readonly Cell[]): string[] {
  return cells
    .toSorted((a, b) => a.factor - b.factor || a.cell.index - b.cell.index)
    .map(({ factor, cell: { index, counts, mins, maxs, means, sums, rests, spreads, firstNs, lastNs } }) =>
      [factor, index, counts, mins, maxs, means, sums, rests, spreads, firstNs, lastNs].join(' '),
    );
}

/** What the pure builder makes of the same rows, in another rhythm. */
function cellsOf({ series, pieces }: Case): Cell[] {
  const cells: Cell[] = [];
  const builder = new SummaryBuilder(
    shapeOf(series),
    () => 7,
    (factor, columns) => {
      for (const cell of eachCell(structuredClone(columns))) cells.push({ factor, cell });
    },
  );
  for (const { row, values, times } of pieces) builder.append(row, viewAs(series.dtype, values), times);
  builder.finish();
  return cells;
}

async function readCells(file: Buffer, blocks: readonly SummaryBlock[]): Promise<Cell[]> {
  const cells: Cell[] = [];
  for (const block of blocks) {
    const decoded = new Map<SummaryBlock['parts'][number]['name'], Uint8Array>();
    for (const { name, offset, length, codec, crc } of block.parts) {
      const stored = file.subarray(offset, offset + length);
      expect(crc32(stored)).toBe(crc);
      decoded.set(name, await decodeBlock(codec, stored));
    }
    const found = [...eachCell(decodeSummary(block, decoded))];
    expect(found).toHaveLength(block.cells);
    expect(block).toMatchObject({ firstCell: found[0].index, lastCell: found.at(-1)!.index });
    if (block.firstNs === null) {
      expect(block).toMatchObject({
        firstRow: block.firstCell * block.factor,
        lastRow: (block.lastCell + 1) * block.factor - 1,
      });
    } else {
      expect(block).toMatchObject({ firstNs: found[0].firstNs, lastNs: found.at(-1)!.lastNs, firstRow: null });
    }
    for (const cell of found) cells.push({ factor: block.factor, cell });
  }
  return cells;
}

/** A level of fewer than 64 cells is not stored. */
function storedCells(model: Case): ReturnType<typeof cellsOf> {
  return cellsOf(model).filter(({ factor }) => model.series.extent / factor >= 64);
}

describe('a shard', () => {
  for (const codec of CODECS) {
    test(`of ${codec} has every row and every summary where it says`, async () => {
      const cases = casesOf(codec);
      const { path, bytes, results } = write(cases);
      const file = readFileSync(path);
      expect(file.length).toBe(bytes);
      expect(existsSync(`${path}.tmp`)).toBe(false);
      for (const [i, model] of cases.entries()) {
        await expectChunksReadable(file, model, results[i].chunks);
        expect(texts(await readCells(file, results[i].summaries))).toEqual(texts(storedCells(model)));
      }
    });

    test(`of ${codec} holds noise that cannot be made smaller, and many small batches as one`, async () => {
      const values = new Uint8Array(2 ** 20 * 1.5);
      for (let i = 0, state = 1; i < values.length; i++) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        values[i] = state >>> 24;
      }
      const model = makeCase('uint16', codec, false, 1, [[0, 1]]);
      const extent = values.length / 2;
      const layout = { kind: 'chunked' as const, blockRows: blockRows(2, 1, extent) };
      const series = { ...model.series, extent, layout, record: { ...model.series.record, firstRow: 0 } };
      const pieces = Array.from({ length: 96 }, (_, i) => ({
        row: i * 8192,
        values: values.subarray(i * 16_384, (i + 1) * 16_384),
        times: null,
      }));
      const { path, results } = write([{ series, pieces }]);
      expect(results[0].chunks.map(({ rows }) => rows)).toEqual(Array.from({ length: 6 }, () => 131_072));
      await expectChunksReadable(readFileSync(path), { series, pieces }, results[0].chunks);
    });
  }

  test('keeps what is small in one run of bytes, rows left out and all, and what is gone by its record alone', async () => {
    const cases = [
      makeCase('float64', 'gzip', false, 1, [
        [1000, 1300],
        [1310, 1311],
      ]),
      makeCase('uint8', 'gzip', true, 1, [[5, 6]]),
      makeCase('int16', 'gzip', true, 3, [[0, 700]]),
    ].map(lean);
    const gone = { series: { ...lean(makeCase('int16', 'gzip', false, 1, [[0, 1]])).series, extent: 0 }, pieces: [] };
    const { path, results } = write([...cases, gone], { ...newShard(), level: 0 });
    const file = readFileSync(path);
    for (const [i, model] of cases.entries()) await expectChunksReadable(file, model, results[i].chunks);
    expect(results.flatMap(({ summaries }) => summaries)).toEqual([]);
    expect(results[3].chunks).toEqual([]);
  });

  test('takes little beside the rows of a thousand small series', () => {
    const cases = Array.from({ length: 1_000 }, () => lean(makeCase('float64', 'gzip', false, 1, [[10, 522]])));
    const { bytes } = write(cases, { ...newShard(), level: 0 });
    expect(bytes / 1_000 - 522 * 8).toBeLessThan(1_500);
  });

  test('has blocks of one row where a row is larger than a block should be', async () => {
    const model = makeCase('float64', 'gzip', false, 140_000, [[20, 22]]);
    const { path, results } = write([model]);
    expect(results[0].chunks.map(({ rows }) => rows)).toEqual([1, 1]);
    await expectChunksReadable(readFileSync(path), model, results[0].chunks);
    expect(results[0].summaries).toEqual([]); // two rows are read as quickly
  });

  test('has the cells that were kept before those of its rows', async () => {
    const model = makeCase('int16', 'gzip', true, 1, [[0, 100]]);
    const kept: SummaryCell = {
      index: 5,
      counts: Uint32Array.of(9),
      mins: Int16Array.of(-4),
      maxs: Int16Array.of(4),
      means: null,
      sums: Float64Array.of(13),
      rests: null,
      spreads: Float32Array.of(0.5),
      firstNs: 1n,
      lastNs: 2n,
    };
    const writer = new ShardWriter(session, root, newShard());
    const target = writer.begin(model.series);
    target.keepCells(64, [kept, kept]);
    target.append(0, model.pieces[0].values, model.pieces[0].times);
    const { summaries } = target.finish();
    writer.abort();
    expect(summaries.find(({ factor }) => factor === 64)).toMatchObject({
      cells: 4,
      firstCell: 0,
      lastCell: 3,
      firstNs: 1n,
    });
  });

  test('that is given up leaves nothing, and the session goes on', () => {
    const shard = newShard();
    const writer = new ShardWriter(session, root, shard);
    const model = makeCase('int16', 'gzip', false, 1, WHOLE);
    writer.begin(model.series).append(50, model.pieces[0].values, null);
    expect(() => writer.finish()).toThrow('not finished');
    expect(() => writer.begin(model.series)).toThrow('not finished');
    writer.abort();
    expect(readdirSync(dirname(root.resolve(shard.path)))).toEqual([]);
    expect(write([model], shard).results[0].chunks).toHaveLength(2);
  });

  test('that lacks nothing but its name is a .tmp, which abort removes and the next attempt replaces', () => {
    const shard = newShard();
    const folder = dirname(root.resolve(shard.path));
    const noRename = {
      ...hastyDisk,
      rename() {
        throw new Error('no');
      },
    };
    const model = makeCase('int16', 'gzip', false, 1, WHOLE);
    expect(() => write([model], shard, noRename)).toThrow('no');
    // Other shards may lie in the same folder.
    const made = (): string[] => readdirSync(folder).filter((name) => name.startsWith(shard.shardId));
    expect(made()).toEqual([`${shard.shardId}-3.h5.tmp`]);
    write([model], shard);
    expect(made()).toEqual([`${shard.shardId}-3.h5`]);
    const again = newShard();
    const writer = new ShardWriter(session, root, again, noRename);
    expect(() => writer.finish()).toThrow('no');
    writer.abort();
    expect(existsSync(`${root.resolve(again.path)}.tmp`)).toBe(false);
  });

  test('that finds no room leaves nothing', async () => {
    const shard = newShard();
    let left = 100_000;
    const full: typeof systemDisk = {
      ...hastyDisk,
      write(fd, bytes, position) {
        if ((left -= bytes.length) < 0) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
        hastyDisk.write(fd, bytes, position);
      },
    };
    const writer = new ShardWriter(await Hdf5Session.start(), root, shard, full);
    const model = makeCase('int16', 'none', false, 1, WHOLE);
    const target = writer.begin(model.series);
    expect(() => target.append(50, model.pieces[0].values, null)).toThrow('no space left');
    writer.abort();
    expect(readdirSync(dirname(root.resolve(shard.path)))).toEqual([]);
  });

  test('is there whole or not at all, whenever the power goes', () => {
    const disk = new PowerCutDisk([]);
    const { path } = write([makeCase('int16', 'gzip', false, 1, WHOLE)], newShard(), disk);
    const whole = readFileSync(path);
    const left = join(root.root, 'after-power-cut');
    const name = path.slice(dirname(path).length + 1);
    const seen = new Set<boolean>();
    for (let instant = 0; instant < disk.instants; instant++) {
      for (const fate of ['whole', 'torn', 'lost'] as const) {
        disk.cutAt(instant, left, () => fate);
        const there = existsSync(join(left, name));
        if (there) expect(readFileSync(join(left, name)).equals(whole)).toBe(true);
        seen.add(there);
      }
    }
    disk.cutAt(disk.instants - 1, left, () => 'lost');
    expect(readdirSync(left)).toEqual([name]);
    expect(seen).toEqual(new Set([false, true]));
  });

  // Last, each with a session of its own: after an error it is not to be used again.
  test.each([
    ['rows that come before others', 10, 2, 'out of order'],
    ['rows beyond the extent', 149_999, 4, 'out of order or beyond'],
    ['half a row', 149_999, 1, 'are not rows of the series'],
  ])('refuses %s', async (_, row, length, reason) => {
    const model = makeCase('int16', 'gzip', false, 1, WHOLE);
    const writer = new ShardWriter(await Hdf5Session.start(), root, newShard());
    const target = writer.begin(model.series);
    target.append(60, new Uint8Array(20), null);
    expect(() => target.append(row, new Uint8Array(length), null)).toThrow(reason);
    writer.abort();
    expect(readdirSync(root.shardFolder, { recursive: true }).filter((name) => String(name).endsWith('.tmp'))).toEqual(
      [],
    );
  });
});

const SCRIPT = `
import sys, json, base64, h5py
def attributes(item):
    return {name: value if isinstance(value, str) else value.tolist() for name, value in item.attrs.items()}
def dataset(item):
    info = [] if item.chunks is None else [item.id.get_chunk_info(i) for i in range(item.id.get_num_chunks())]
    assert all(block.filter_mask == 0 for block in info)
    return {'dtype': item.dtype.str, 'shape': item.shape, 'compression': item.compression, 'chunks': item.chunks,
            'bytes': base64.b64encode(item[...].tobytes()).decode(),
            'blocks': [[block.byte_offset, block.size] for block in info]}
with h5py.File(json.load(sys.stdin), 'r') as file:
    found = {}
    def visit(name, item):
        found[name] = dataset(item) if isinstance(item, h5py.Dataset) else attributes(item)
    file.visititems(visit)
    json.dump({'root': attributes(file), 'items': found}, sys.stdout)`;

interface Dumped {
  readonly dtype: string;
  readonly shape: number[];
  readonly compression: string | null;
  readonly bytes: string;
  readonly blocks: [number, number][];
}

describePython('h5py', ['h5py'], (run) => {
  test.each(['gzip', 'none'] as const)('reads the same from a shard of %s', (codec) => {
    const cases = [...casesOf(codec), lean(makeCase('int16', codec, true, 2, [[0, 9]]))];
    const { path, results } = write(cases);
    const { root: attributes, items } = JSON.parse(run(SCRIPT, JSON.stringify(path)).toString()) as {
      root: Record<string, unknown>;
      items: Record<string, Dumped & Record<string, unknown>>;
    };
    expect(attributes).toMatchObject({
      varve_format: 2,
      shard: path.split('/').at(-1)!.slice(0, 36),
      lane: 'lane-1',
      commit: 3,
      level: 1,
    });
    for (const [i, model] of cases.entries()) {
      const { seriesId, dtype, channels, irregular, extent, record, compacted } = model.series;
      const item = (name: string): Dumped => items[`series/${seriesId}/${name}`];
      const bytes = (name: string): Buffer => Buffer.from(item(name).bytes, 'base64');
      const whole = wholeDataset(model);
      const plain = {
        name: 'a/b',
        unit: '',
        scale: 0.5,
        offset: 0.1,
        channels: record.description.channels.map(({ label }) => label),
      };
      expect(items[`series/${seriesId}`]).toMatchObject(compacted ? plain : {});
      const expected: SeriesRecord = { ...record, runs: runsOf(model).map(([from, to]) => ({ from, to })) };
      expect(parseRecord(String(items[`series/${seriesId}`].varve))).toEqual(expected);
      expect(item('values')).toMatchObject({
        dtype: DTYPES[dtype].npy,
        shape: [extent, channels],
        compression: codec === 'gzip' && compacted ? 'gzip' : null,
      });
      expect(bytes('values').equals(whole.values)).toBe(true);
      const blocks = new Set(results[i].chunks.map(({ values }) => `${values.offset}+${values.length}`));
      expect(new Set(item('values').blocks.map((place) => place.join('+')))).toEqual(compacted ? blocks : new Set());
      if (irregular) {
        expect(item('time')).toMatchObject({ dtype: '<i8', shape: [extent] });
        expect(bytes('time').equals(whole.times)).toBe(true);
      }
      const finest = storedCells(model).filter(({ factor }) => factor === 64);
      expect(`series/${seriesId}/summary/64/max` in items).toBe(finest.length > 0);
      if (finest.length === 0) continue;
      expect(item('summary/64/max')).toMatchObject({ dtype: DTYPES[dtype].npy, shape: [finest.length, channels] });
      const counts = viewAs('uint32', bytes('summary/64/count'));
      expect(counts.join(' ')).toEqual(finest.map(({ cell }) => cell.counts.join(' ')).join(' '));
      expect(item('summary/64/spread').dtype).toBe('<f4');
      if (DTYPES[dtype].kind === 'float') {
        expect(item('summary/64/mean').dtype).toBe('<f8');
      } else {
        const isBig = isBigDtype(dtype);
        expect(item('summary/64/sum').dtype).toBe(isBig ? '<u8' : '<i8');
        const low = viewAs(isBig ? 'uint64' : 'int64', bytes('summary/64/sum')) as BigInt64Array;
        const high = isBig ? (viewAs('int64', bytes('summary/64/sum_high')) as BigInt64Array) : null;
        const sums = finest.flatMap(({ cell: { sums, rests } }) =>
          Array.from(sums!, (sum, c) => BigInt(sum) + BigInt(rests?.[c] ?? 0)),
        );
        expect(Array.from(low, (sum, i) => (high ? high[i] * 2n ** 64n : 0n) + sum)).toEqual(sums);
      }
      expect(item(irregular ? 'summary/64/time' : 'summary/64/cell').dtype).toBe('<i8');
    }
  });
});

describe('h5dump', () => {
  test.each(['gzip', 'none'] as const)('reads the same from a shard of %s', (codec) => {
    const cases = casesOf(codec).slice(0, 3);
    const { path } = write(cases);
    expect(statSync(path).size).toBeGreaterThan(0);
    expect(dumpHeader(path)).toContain('varve_format');
    for (const model of cases) {
      const values = dumpBytes(path, `/series/${model.series.seriesId}/values`, join(root.root, 'dump'));
      expect(values.equals(wholeDataset(model).values)).toBe(true);
    }
  });
});
