/** What sorting promises, however little memory it is given. */
import { afterAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Erasure } from '../../src/core/rows/erasure.ts';
import { planRead, type PlannedChunk } from '../../src/core/rows/read-plan.ts';
import type { DuplicateRule } from '../../src/core/signal/series.ts';
import { visibleSlices } from '../../src/core/rows/visible-rows.ts';
import {
  countWindows,
  cutWindows,
  readWindows,
  type CountedWindows,
  type SortableChunk,
  type SortedRows,
} from '../../src/flows/read/order-windows.ts';
import { sortRun } from '../../src/flows/rewrite/sort-run.ts';
import { temporaryRoot } from '../storage/temporary-root.ts';

const root = temporaryRoot();
const PATH = 'shards/00/rows.h5';
mkdirSync(dirname(root.resolve(PATH)), { recursive: true });
afterAll(() => rmSync(root.root, { recursive: true }));

const ROW_BYTES = 4;
/** Room for this many rows at once, each with what it costs beside its value. */
const room = (rows: number): number => rows * (ROW_BYTES + 40);

/** Chunks of a file, one after the other: times, then values, which are the rows' numbers. */
function store(lists: readonly (readonly bigint[])[]): SortableChunk[] {
  const pieces: Buffer[] = [];
  let row = 0;
  let offset = 0;
  const add = (bytes: Buffer): { offset: number; length: number } => {
    const place = { offset, length: bytes.length };
    pieces.push(bytes);
    offset += bytes.length;
    return place;
  };
  const chunks = lists.map((list): SortableChunk => {
    const times = Buffer.from(BigInt64Array.from(list).buffer);
    const values = Buffer.from(Int32Array.from(list, (_, i) => row + i).buffer);
    const chunk: PlannedChunk = {
      key: `c${row}`,
      shardId: 's',
      path: PATH,
      held: null,
      firstRow: row,
      rows: list.length,
      generation: 0,
      skip: 0,
      codec: 'none',
      values: add(values),
      valuesCrc: crc32(values),
      timesCodec: 'none',
      times: add(times),
      timesCrc: crc32(times),
    };
    row += list.length;
    const sorted = [...list].sort((a, b) => (a < b ? -1 : 1));
    return {
      ...chunk,
      firstNs: sorted[0],
      lastNs: sorted.at(-1)!,
      sorted: list.every((time, i) => i === 0 || time > list[i - 1]),
      pieces: planRead([{ from: chunk.firstRow, to: row }], visibleSlices([chunk]), ROW_BYTES),
    };
  });
  writeFileSync(root.resolve(PATH), Buffer.concat(pieces));
  return chunks;
}

function expected(
  lists: readonly (readonly bigint[])[],
  rule: DuplicateRule,
  erased: Erasure | null,
): [bigint, number][] {
  const rows = lists.flat().map((time, row): [bigint, number] => [time, row]);
  const kept = rows.filter(
    ([time, row]) => !erased || row >= erased.beforeRow || time < erased.startNs || time >= erased.endNs,
  );
  kept.sort((a, b) => (a[0] === b[0] ? a[1] - b[1] : a[0] < b[0] ? -1 : 1));
  return rule === 'keep' ? kept : kept.filter(([time], i) => kept[i + 1]?.[0] !== time);
}

const anyTime = fc.oneof(fc.bigInt({ min: 0n, max: 40n }), fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }));
const anyLists = fc.array(fc.array(anyTime, { minLength: 1, maxLength: 30 }), { minLength: 1, maxLength: 6 });
const anyErasure = fc.option(
  fc.record({
    generation: fc.constant(1),
    startNs: fc.bigInt({ min: 0n, max: 20n }),
    endNs: fc.bigInt({ min: 21n, max: 2n ** 62n }),
    beforeRow: fc.nat(100),
  }),
);

test.each<DuplicateRule>(['last', 'keep'])(
  'rows come in order of time by rule %s, no more at once than there is room for, but for those of one time',
  async (rule) => {
    await fc.assert(
      fc.asyncProperty(anyLists, anyErasure, fc.integer({ min: 1, max: 25 }), async (lists, erased, rows) => {
        const task = {
          dataRoot: root.root,
          rowBytes: ROW_BYTES,
          duplicates: rule,
          erasures: erased ? [erased] : [],
          chunks: store(lists),
        };
        const found: [bigint, number][] = [];
        for await (const { times, values } of sortRun(task, room(rows))) {
          const numbers = new Int32Array(values.buffer, values.byteOffset, times.length);
          times.forEach((time, i) => found.push([time, numbers[i]]));
          const isOneTime = times.every((time) => time === times[0]);
          const isChunk = task.chunks.some((chunk) => chunk.sorted && times.length <= chunk.rows);
          expect(times.length <= rows || isOneTime || isChunk).toBe(true);
        }
        expect(found).toEqual(expected(lists, rule, erased));
      }),
      { numRuns: 150 },
    );
  },
);

async function* once(rows: SortedRows): AsyncGenerator<SortedRows> {
  yield rows;
}

async function numbersOf(rows: AsyncIterable<SortedRows>, most: number): Promise<[bigint, number][]> {
  const found: [bigint, number][] = [];
  for await (const { times, values } of rows) {
    const numbers = new Int32Array(Uint8Array.from(values).buffer);
    times.forEach((time, i) => found.push([time, numbers[i]]));
    expect(times.length <= most || times.every((time) => time === times[0])).toBe(true);
  }
  return found;
}

const anyRange = fc.tuple(anyTime, anyTime).map(([a, b]) => (a < b ? [a, b + 1n] : [b, a + 1n]));

test.each<DuplicateRule>(['last', 'keep'])(
  'pages of rows out of order are the whole by rule %s, whatever fits in at once, and so are parts of them',
  async (rule) => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          lists: anyLists,
          erased: anyErasure,
          range: anyRange,
          windowRows: fc.integer({ min: 1, max: 25 }),
          heldRows: fc.constantFrom(0, 10),
          page: fc.integer({ min: 1, max: 40 }),
          part: fc.tuple(fc.nat(40), fc.nat(40)),
        }),
        async ({ lists, erased, range: [startNs, endNs], windowRows, heldRows, page, part: [from, length] }) => {
          const task = {
            dataRoot: root.root,
            rowBytes: ROW_BYTES,
            duplicates: rule,
            erasures: erased ? [erased] : [],
            chunks: store(lists),
            endNs,
            windowRows,
            heldRows,
          };
          const whole = expected(lists, rule, erased).filter(([time]) => time >= startNs && time < endNs);
          const all = await countWindows({ ...task, startNs, skip: 0, most: Infinity, isSkippedInTime: true });
          expect([all.rows, all.rest]).toEqual([whole.length, null]);
          const cut = cutWindows(all.windows, { from, to: from + length });
          expect(await numbersOf(readWindows(task, cut, windowRows), windowRows)).toEqual(
            whole.slice(from, from + length),
          );
          const ranked = await countWindows({ ...task, startNs, skip: from, most: length, isSkippedInTime: false });
          expect(ranked.skipped).toBe(Math.min(from, whole.length));
          expect(ranked.rows).toBe(whole.slice(from, from + length).length);

          const found: [bigint, number][] = [];
          let next: { ns: bigint; skip: number } | null = { ns: startNs, skip: 0 };
          while (next) {
            const counted: CountedWindows = await countWindows({
              ...task,
              startNs: next.ns,
              skip: next.skip,
              most: page,
              isSkippedInTime: true,
            });
            const { held, windows, rows, rest } = counted;
            const own = await numbersOf(held ? once(held) : readWindows(task, windows, windowRows), Infinity);
            expect([own.length, rest ? own.length : page]).toEqual([rows, page]);
            found.push(...own);
            next = rest;
          }
          expect(found).toEqual(whole);
        },
      ),
      { numRuns: 150 },
    );
  },
);
