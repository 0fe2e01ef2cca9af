import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VarveError } from '../../src/core/errors.ts';
import { DataRoot } from '../../src/storage/folder/data-root.ts';
import { exportHdf5, sweepExports, type Hdf5Layout } from '../../src/storage/export/hdf5-export.ts';

const LAYOUT: Hdf5Layout = {
  groups: ['mouse-12', 'ecg'],
  attributes: { name: 'n', scale: 1 },
  valueAttributes: { units: 'mV' },
  timeAttributes: { units: 'nanoseconds' },
  fillValue: null,
  channelLabels: ['µV'],
  dtype: 'int16',
  channels: 1,
  missingValue: null,
  rows: 100_000,
  regular: false,
};

let root: DataRoot;

beforeEach(() => {
  root = new DataRoot(mkdtempSync(join(tmpdir(), 'varve-export-')));
  root.prepare();
});

afterEach(() => rmSync(root.root, { recursive: true, force: true }));

const left = (): string[] => readdirSync(root.exportFolder);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Rows in pairs of blocks of this many. */
async function* rowsIn(blockRows: number, total = LAYOUT.rows): AsyncGenerator<Uint8Array> {
  for (let row = 0; row < total; row += blockRows) {
    const count = Math.min(blockRows, total - row);
    yield new Uint8Array(BigInt64Array.from({ length: count }, (_, i) => BigInt(row + i)).buffer);
    yield new Uint8Array(Int16Array.from({ length: count }, (_, i) => row + i).buffer);
  }
}

async function bytesOfExport(blocks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const file = await exportHdf5(root, LAYOUT, blocks, new AbortController().signal);
  const pieces: Uint8Array[] = [];
  for await (const piece of file.read(0, file.bytes)) pieces.push(piece);
  return Buffer.concat(pieces);
}

describe('an exported file', () => {
  test('is the same bytes whenever it is made, and however its rows come', async () => {
    const first = await bytesOfExport(rowsIn(70_000));
    await pause(1100);
    for (const blockRows of [1000, 99_999]) expect((await bytesOfExport(rowsIn(blockRows))).equals(first)).toBe(true);
    expect(left()).toEqual([]);
  });

  test('is given up at once when nobody waits for it, and so is its source', async () => {
    const controller = new AbortController();
    let isClosed = false;
    async function* slow(): AsyncGenerator<Uint8Array> {
      try {
        for await (const block of rowsIn(10)) {
          yield block;
          await pause(20);
        }
      } finally {
        isClosed = true;
      }
    }
    const writing = exportHdf5(root, LAYOUT, slow(), controller.signal);
    while (left().length === 0) await pause(20);
    controller.abort();
    const begun = Date.now();
    await expect(writing).rejects.toMatchObject({ name: 'AbortError' });
    expect(Date.now() - begun).toBeLessThan(5000);
    for (let waited = 0; !isClosed && waited < 5000; waited += 20) await pause(20);
    expect([isClosed, left()]).toEqual([true, []]);
  });

  test('fails as its source fails, or ends too early, and leaves nothing', async () => {
    async function* torn(): AsyncGenerator<Uint8Array> {
      yield* rowsIn(1000, 2000);
      throw new VarveError('corrupt', 'a chunk does not match its checksum', { slug: 'chunk-corrupt' });
    }
    const { signal } = new AbortController();
    await expect(exportHdf5(root, LAYOUT, torn(), signal)).rejects.toMatchObject({ slug: 'chunk-corrupt' });
    await expect(exportHdf5(root, LAYOUT, rowsIn(1000, 2000), signal)).rejects.toThrow('2000 of 100000 rows');
    expect(left()).toEqual([]);
  });

  test('is not begun where there is no room for it, or while too many others are', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const large = exportHdf5(root, { ...LAYOUT, rows: 1e15 }, rowsIn(1000), signal);
    await expect(large).rejects.toMatchObject({ code: 'storage-full' });
    async function* never(): AsyncGenerator<Uint8Array> {
      await new Promise(() => {});
      yield* [];
    }
    const begin = (): Promise<unknown> => exportHdf5(root, LAYOUT, never(), signal).catch(() => 'aborted');
    const waiting = [begin(), begin()];
    // Half of the limit.
    await expect(exportHdf5(root, LAYOUT, rowsIn(1000), signal, 2)).rejects.toMatchObject({ code: 'unavailable' });
    waiting.push(begin(), begin());
    await expect(exportHdf5(root, LAYOUT, rowsIn(1000), signal)).rejects.toMatchObject({ code: 'unavailable' });
    controller.abort();
    expect(await Promise.all(waiting)).toEqual(Array.from({ length: 4 }, () => 'aborted'));
    await bytesOfExport(rowsIn(1000));
  });
});

test('what a crash left is swept, what is being written is not', async () => {
  const paths = ['old', 'new'].map((name) => root.exported(name));
  for (const path of paths) writeFileSync(path, 'x');
  utimesSync(paths[0], new Date(0), new Date(0));
  expect(await sweepExports(root, 60_000)).toEqual(['old.h5']);
  expect(left()).toEqual(['new.h5']);
});
