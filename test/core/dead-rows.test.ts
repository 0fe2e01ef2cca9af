/** Bytes that nobody can read are told by shard: what edits cover, holes, erasures and expired cells. */
import { describe, expect, test } from '@jest/globals';
import { deadBytes, deadSummaryBytes, type StoredCells, type StoredChunk } from '../../src/core/rows/dead-rows.ts';
import type { Erasure } from '../../src/core/rows/erasure.ts';
import type { RowRange } from '../../src/core/signal/segment.ts';

function chunk(shardId: string, firstRow: number, rows: number, more: Partial<StoredChunk> = {}): StoredChunk {
  return { shardId, firstRow, rows, generation: 0, firstNs: null, lastNs: null, storedBytes: rows * 10, ...more };
}

const timed = (shardId: string, more: Partial<StoredChunk> = {}): StoredChunk =>
  chunk(shardId, 0, 100, { firstNs: 0n, lastNs: 99n, ...more });
const erasure = (startNs: bigint, endNs: bigint, more: Partial<Erasure> = {}): Erasure => ({
  generation: 1,
  startNs,
  endNs,
  beforeRow: 1000,
  ...more,
});

describe('stored bytes are dead', () => {
  test.each<[string, StoredChunk[], RowRange[], Erasure[], Record<string, number>]>([
    ['where all is seen: none', [chunk('a', 0, 100), chunk('b', 100, 100)], [], [], {}],
    ['below an edit', [chunk('a', 0, 100), chunk('b', 20, 50, { generation: 1 })], [], [], { a: 500 }],
    [
      'below two that overlap, once',
      [chunk('a', 0, 100), chunk('b', 0, 60, { generation: 1 }), chunk('c', 40, 60, { generation: 2 })],
      [],
      [],
      { a: 1000, b: 200 },
    ],
    [
      'in holes, of each shard its own',
      [chunk('a', 0, 100), chunk('b', 100, 100)],
      [{ from: 90, to: 150 }],
      [],
      { a: 100, b: 500 },
    ],
    [
      'in a hole over covered rows, once',
      [chunk('a', 0, 100), chunk('b', 0, 50, { generation: 1 })],
      [{ from: 0, to: 60 }],
      [],
      { a: 600, b: 500 },
    ],
    ['in the share of time that was erased', [timed('a')], [], [erasure(0n, 25n)], { a: 250 }],
    ['not of rows that came after the erasure', [timed('a')], [], [erasure(0n, 25n, { beforeRow: 0 })], {}],
    ['not where the chunk has taken it in', [timed('a', { generation: 1 })], [], [erasure(0n, 25n)], {}],
    [
      'and no more than all of them',
      [timed('a')],
      [],
      [erasure(0n, 80n), erasure(10n, 90n, { generation: 2 })],
      { a: 1000 },
    ],
  ])('%s', (_what, chunks, holes, erasures, expected) => {
    const dead = Object.fromEntries(deadBytes(chunks, holes, erasures));
    expect(Object.keys(dead)).toEqual(Object.keys(expected));
    for (const [shard, bytes] of Object.entries(expected)) expect(dead[shard]).toBeCloseTo(bytes, 6);
  });
});

describe('summary cells are dead', () => {
  const cells = (shardId: string, firstCell: number, lastCell: number, lastNs: bigint | null = null): StoredCells => ({
    shardId,
    factor: 64,
    firstCell,
    lastCell,
    lastNs,
    storedBytes: 1000,
  });

  test.each<[string, StoredCells[], bigint | null, RowRange[], Record<string, number>]>([
    ['where nothing has expired: none', [cells('a', 0, 9), cells('b', 0, 9, 100n)], null, [], {}],
    [
      'of regular series where all their rows have expired',
      [cells('a', 0, 9)],
      null,
      [{ from: 0, to: 5 * 64 }],
      { a: 500 },
    ],
    ['not where one row has not', [cells('a', 0, 9)], null, [{ from: 1, to: 5 * 64 - 1 }], { a: 300 }],
    [
      'of irregular series when the whole block has',
      [cells('a', 0, 9, 99n), cells('b', 0, 9, 100n)],
      100n,
      [],
      { a: 1000 },
    ],
    ['of a shard all together', [cells('a', 0, 9, 1n), cells('a', 10, 19, 2n)], 100n, [], { a: 2000 }],
  ])('%s', (_what, blocks, beforeNs, expired, expected) => {
    expect(Object.fromEntries(deadSummaryBytes(blocks, beforeNs, expired))).toEqual(expected);
  });
});
