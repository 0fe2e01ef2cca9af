/** Reads what a plan of buckets names, and folds it into them. Runs on either side of a thread. */
import { viewAs, DTYPES } from '../../core/numbers/dtype.ts';
import type { Erasure } from '../../core/rows/erasure.ts';
import { BucketFold, type FoldedSeries } from '../../core/overview/bucket-fold.ts';
import type { CellRange, RankedRows } from '../../core/overview/row-buckets.ts';
import {
  BUCKETS_A_CHUNK,
  RangeFinder,
  TimeCover,
  commonTimes,
  erasedTimes,
  isInOrder,
  sharedIntervals,
  intervalOf,
  uniteTimes,
  upperBound,
  withoutTimes,
  type BorderRule,
  type TimeInterval,
} from '../../core/overview/time-buckets.ts';
import type { Piece } from '../../core/rows/read-plan.ts';
import type { RowRange } from '../../core/signal/segment.ts';
import type { DuplicateRule } from '../../core/signal/series.ts';
import type { SummaryCells } from '../../core/overview/summary.ts';
import { isDense, type SummaryPartName } from '../../core/overview/summary-block.ts';
import { readPieces } from '../../storage/read/chunk-reader.ts';
import { eachOpened } from '../../storage/read/shard-files.ts';
import { DataRoot } from '../../storage/folder/data-root.ts';
import { readSummaries, type StoredSummary } from '../../storage/read/summary-reader.ts';
import { rowsInOrderAtOnce, sortWindow, timeWindows, type SortTask } from '../read/order-windows.ts';

/** Memory that rows out of order in time take. More rows are put in order window by window. */
export const FOLD_ORDER_BYTES = 16 * 1024 * 1024;

interface AnyFoldTask extends FoldedSeries {
  readonly dataRoot: string;
}

/** Regular series: everything is decided. */
export interface RowFoldTask extends AnyFoldTask {
  readonly kind: 'regular';
  readonly buckets: number;
  /**
   * Strands, in order of rows: in each, rows and times rise together. A strand has the borders of buckets in rows, and
   * the bucket that begins with the first border.
   */
  readonly strands: ReadonlyArray<{ readonly bucket: number; readonly borders: Float64Array }>;
  /** Where rows are in order of time; null: rows are numbered so. */
  readonly ranks: readonly RankedRows[] | null;
  /** Summaries to read, each with the cells of it that count, and the first row that its shard has. */
  readonly cells: ReadonlyArray<{
    readonly block: StoredSummary;
    readonly ranges: readonly CellRange[];
    readonly firstRow: number;
  }>;
  readonly stats: ReadonlyArray<{ readonly bucket: number; readonly firstRow: number; readonly stats: Uint8Array }>;
  /** One piece for each chunk … */
  readonly pieces: readonly Piece[];
  /** … and the rows of each that count, in order. */
  readonly wanted: ReadonlyArray<readonly RowRange[]>;
}

/** A chunk of an irregular series. */
export interface TimedFoldChunk {
  readonly shardId: string;
  readonly firstRow: number;
  readonly rows: number;
  readonly generation: number;
  readonly firstNs: bigint;
  readonly lastNs: bigint;
  readonly sorted: boolean;
  /** Statistics of the chunk; null: they are not known, or do not tell what is asked for. */
  readonly stats: Uint8Array | null;
  /** Pieces that read all its rows. */
  readonly pieces: readonly Piece[];
}

/** Irregular series: what lies in which bucket is decided when the times of cells are known. */
export interface TimeFoldTask extends AnyFoldTask {
  readonly kind: 'irregular';
  /** Borders of the buckets; there is one more than buckets. */
  readonly borders: BigInt64Array;
  readonly rule: BorderRule;
  /** In order of rows. */
  readonly chunks: readonly TimedFoldChunk[];
  readonly shards: ReadonlyArray<{ readonly shardId: string; readonly blocks: readonly StoredSummary[] }>;
  readonly duplicates: DuplicateRule;
  readonly erasures: readonly Erasure[];
  readonly expiry: readonly Erasure[];
}

export type FoldTask = RowFoldTask | TimeFoldTask;

export interface Folded {
  readonly fold: BucketFold;
  /** Irregular series: where the buckets begin in the end, and where the last one ends. */
  readonly borders: BigInt64Array | null;
  /**
   * For an irregular series and a fold with places: the first and the last value of the range, whatever told the rest.
   * Empty: there are none.
   */
  readonly ends: readonly LineEnd[] | null;
}

export interface LineEnd {
  readonly ns: bigint;
  readonly value: number | bigint;
}

/** @yields nothing; each yield is a chance to stop */
export async function* foldBuckets(task: FoldTask): AsyncGenerator<void, Folded> {
  const fold = new BucketFold(task, task.kind === 'regular' ? task.buckets : task.borders.length - 1);
  if (task.kind === 'irregular') {
    const borders = yield* foldByTime(task, fold);
    return { fold, borders, ends: task.details.places ? yield* findLineEnds(task) : null };
  }
  yield* foldByRow(task, fold);
  return { fold, borders: null, ends: null };
}

async function* foldByRow(task: RowFoldTask, fold: BucketFold): AsyncGenerator<void, void> {
  const root = new DataRoot(task.dataRoot);
  const rankOf = rankReader(task.ranks);
  for (const { bucket, firstRow, stats } of task.stats) fold.addStats(bucket, stats, rankOf(firstRow));
  let number = 0;
  for await (const columns of readSummaries(
    root,
    task.cells.map(({ block }) => block),
    columnsUnseen(task),
  )) {
    addCellsByRow(columns, task.cells[number++], new BucketFinder(task.strands), rankOf, fold);
    yield;
  }
  const rowBytes = task.channels * DTYPES[task.dtype].bytes;
  const finder = new BucketFinder(task.strands);
  number = 0;
  for await (const { piece, values } of readPieces(eachOpened(root), task.pieces, 'values')) {
    const [{ firstRow, rows }] = piece.blocks;
    const typed = viewAs(task.dtype, values.subarray(0, rows * rowBytes));
    const placeOf = (i: number): bigint => BigInt(rankOf(firstRow + i));
    for (const { from, to } of task.wanted[number++]) {
      for (let row = from; row < to;) {
        const { bucket, end } = finder.at(row);
        const stop = Math.min(to, end);
        fold.addBucketRows(bucket, typed, row - firstRow, stop - firstRow, placeOf);
        row = stop;
      }
    }
    yield;
  }
}

/** Finds the bucket of a row, and the row at which it ends. Looks near the last one first: rows mostly come in order. */
class BucketFinder {
  readonly #strands: RowFoldTask['strands'];
  #strand = 0;
  #at = 0;

  constructor(strands: RowFoldTask['strands']) {
    this.#strands = strands;
  }

  at(row: number): { readonly bucket: number; readonly end: number } {
    if (!this.#holds(row)) this.#search(row);
    const { bucket, borders } = this.#strands[this.#strand];
    while (borders[this.#at + 1] <= row) this.#at++;
    return { bucket: bucket + this.#at, end: borders[this.#at + 1] };
  }

  #holds(row: number): boolean {
    const { borders } = this.#strands[this.#strand];
    return row >= borders[this.#at] && row < borders[borders.length - 1];
  }

  #search(row: number): void {
    let low = 0;
    let high = this.#strands.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#strands[middle].borders[0] <= row) low = middle;
      else high = middle - 1;
    }
    this.#strand = low;
    this.#at = Math.max(0, upperBound(this.#strands[low].borders, row) - 1);
  }
}

function rankReader(ranks: readonly RankedRows[] | null): (row: number) => number {
  if (!ranks) return (row) => row;
  let at = 0;
  return (row) => {
    const isNear = ranks[at].firstRow <= row && (at + 1 === ranks.length || row < ranks[at + 1].firstRow);
    if (!isNear) {
      let high = ranks.length - 1;
      at = 0;
      while (at < high) {
        const middle = (at + high + 1) >>> 1;
        if (ranks[middle].firstRow <= row) at = middle;
        else high = middle - 1;
      }
    }
    return ranks[at].rank + row - ranks[at].firstRow;
  };
}

/** Columns of summaries that are of no use to the task. */
function columnsUnseen({ details }: AnyFoldTask): readonly SummaryPartName[] {
  return details.spread ? [] : ['spread'];
}

function addCellsByRow(
  columns: SummaryCells,
  { block, ranges, firstRow }: RowFoldTask['cells'][number],
  finder: BucketFinder,
  rankOf: (row: number) => number,
  fold: BucketFold,
): void {
  const { factor, firstCell, cells } = block;
  const followsOn = isDense(block);
  let i = 0;
  for (const { from, to } of ranges) {
    if (followsOn) i = Math.max(i, from - firstCell);
    else while (i < cells && Number(columns.index[i]) < from) i++;
    for (; i < cells; i++) {
      const cell = followsOn ? firstCell + i : Number(columns.index[i]);
      if (cell >= to) break;
      const row = Math.max(firstRow, cell * factor);
      fold.addCell(finder.at(row).bucket, columns, i, rankOf(row));
    }
  }
}

async function* foldByTime(task: TimeFoldTask, fold: BucketFold): AsyncGenerator<void, BigInt64Array> {
  const { chunks, borders, duplicates } = task;
  const root = new DataRoot(task.dataRoot);
  const [expired] = task.expiry;
  const expiredNs = expired?.endNs ?? null;
  const cover = new TimeCover(borders, task.rule, expiredNs);
  if (borders.length < 2) return cover.borders;
  const isExact = task.rule === 'fixed';
  const ofShard = new Map<string, TimedFoldChunk[]>();
  for (const chunk of chunks) {
    const own = ofShard.get(chunk.shardId);
    if (own) own.push(chunk);
    else ofShard.set(chunk.shardId, [chunk]);
  }
  // If the chunks of a shard are not in order of time, its cells do not stand for ranges of time.
  const shards = task.shards.filter(({ shardId }) => isInOrder(ofShard.get(shardId) ?? []));
  const summarized = new Set(isExact ? [] : shards.map(({ shardId }) => shardId));
  const others = chunks.filter(({ shardId }) => !summarized.has(shardId));
  const hulls = [...summarized].flatMap((id) => {
    const own = ofShard.get(id);
    return own ? [{ from: own[0].firstNs, to: own.at(-1)!.lastNs + 1n }] : [];
  });
  const unordered = duplicates === 'keep' ? [] : others.filter(({ sorted }) => !sorted).map(intervalOf);
  const shared = uniteTimes([...sharedIntervals([...hulls, ...others.map(intervalOf)]), ...unordered]);
  const erased = erasedTimes(chunks, task.erasures);
  const bad = uniteTimes([...shared, ...erased]);
  const [isErased, isBad] = [new RangeFinder(erased), new RangeFinder(bad)];

  const width = (borders[borders.length - 1] - borders[0]) / BigInt(borders.length - 1);
  const longest = width * BigInt(BUCKETS_A_CHUNK);
  for (const chunk of others) {
    const hasExpired = expiredNs !== null && chunk.firstNs < expiredNs;
    if (!chunk.stats || hasExpired || isBad.meets(chunk)) continue;
    const bucket = cover.place(chunk, chunk.lastNs - chunk.firstNs <= longest, false);
    if (bucket !== null) fold.addStats(bucket, chunk.stats, chunk.firstNs);
  }
  for (const { blocks } of shards) {
    let goesOn = false;
    let before: bigint | null = null;
    let number = 0;
    for await (const columns of readSummaries(root, blocks, columnsUnseen(task))) {
      const next = blocks[++number]?.firstNs ?? null;
      const times = columns.times!;
      for (let i = 0; i < columns.cells; i++) {
        const cell = { firstNs: times[i * 2], lastNs: times[i * 2 + 1] };
        const after: bigint | null = i + 1 < columns.cells ? times[i * 2 + 2] : next;
        // Two cells may have rows of one time, and one may be given up for its rows. Then the other is, too.
        const isTied = before === cell.firstNs || after === cell.lastNs;
        const hasExpired = expiredNs !== null && cell.lastNs < expiredNs;
        const isTrue = hasExpired ? !isErased.meets(cell) : !isExact && !isTied && !isBad.meets(cell);
        const bucket: number | null = isTrue ? cover.place(cell, true, goesOn) : null;
        if (bucket !== null) fold.addCell(bucket, columns, i, cell.firstNs);
        goesOn = bucket !== null;
        before = cell.lastNs;
      }
      yield;
    }
  }
  yield* foldRows(task, fold, cover, cover.left(chunks, bad), shared);
  return cover.borders;
}

/** The first and the last value of the range: chunk by chunk from either side, until one has a value that is seen. */
async function* findLineEnds(task: TimeFoldTask): AsyncGenerator<void, LineEnd[]> {
  const [start, end] = [task.borders[0], task.borders[task.borders.length - 1]];
  const edges = task.chunks.flatMap(({ firstNs, lastNs }) => [firstNs, lastNs + 1n]);
  const cuts = BigInt64Array.from(new Set([start, end, ...edges.filter((ns) => ns > start && ns < end)])).sort();
  const zones = Array.from(cuts.subarray(1), (to, i): TimeInterval => ({ from: cuts[i], to }));
  const ends: LineEnd[] = [];
  for (const isFirst of [true, false]) {
    for (const zone of isFirst ? zones : zones.toReversed()) {
      const borders = BigInt64Array.of(zone.from, zone.to);
      const fold = new BucketFold({ ...task, details: { ends: true } }, 1);
      yield* foldRows(task, fold, { borders }, [zone], [zone]);
      if (fold.counts[0] === 0) continue;
      const [ns, value] = isFirst ? [fold.firstAt![0], fold.firsts![0]] : [fold.lastAt![0], fold.lasts![0]];
      ends.push({ ns, value });
      break;
    }
  }
  return ends;
}

/** Rows with times in `left`. */
async function* foldRows(
  task: TimeFoldTask,
  fold: BucketFold,
  { borders }: Pick<TimeCover, 'borders'>,
  left: readonly TimeInterval[],
  shared: readonly TimeInterval[],
): AsyncGenerator<void, void> {
  const [from, to] = [borders[0], borders[borders.length - 1]];
  const range = (start: bigint, end: bigint) => ({ from: start > from ? start : from, to: end < to ? end : to });
  for (const zone of commonTimes(left, shared)) {
    const touched = task.chunks.filter(({ firstNs, lastNs }) => firstNs < zone.to && lastNs >= zone.from);
    yield* foldOrdered(task, fold, borders, [zone], touched, range(zone.from, zone.to));
  }
  const alone = withoutTimes(left, shared);
  for (const chunk of task.chunks) {
    const own = commonTimes(alone, [intervalOf(chunk)]);
    if (own.length === 0) continue;
    yield* foldOrdered(task, fold, borders, own, [chunk], range(own[0].from, own.at(-1)!.to));
  }
}

async function* foldOrdered(
  task: TimeFoldTask,
  fold: BucketFold,
  borders: BigInt64Array,
  wanted: readonly TimeInterval[],
  chunks: readonly TimedFoldChunk[],
  range: TimeInterval,
): AsyncGenerator<void, void> {
  const rowBytes = task.channels * DTYPES[task.dtype].bytes;
  const { dataRoot, duplicates } = task;
  const sort: SortTask = { dataRoot, rowBytes, duplicates, erasures: [...task.erasures, ...task.expiry], chunks };
  const most = rowsInOrderAtOnce(FOLD_ORDER_BYTES, rowBytes);
  let at = 0;
  for await (const window of timeWindows(sort, range, most)) {
    for await (const { times, values } of sortWindow(sort, window, most)) {
      const typed = viewAs(task.dtype, values);
      for (let row = 0; row < times.length;) {
        while (at < wanted.length && wanted[at].to <= times[row]) at++;
        if (at === wanted.length) break;
        if (times[row] < wanted[at].from) {
          row++;
          continue;
        }
        const bucket = upperBound(borders, times[row]) - 1;
        const end = borders[bucket + 1] < wanted[at].to ? borders[bucket + 1] : wanted[at].to;
        const first = row;
        while (row < times.length && times[row] < end) row++;
        fold.addBucketRows(bucket, typed, first, row, (i) => times[i]);
      }
      yield;
    }
  }
}
