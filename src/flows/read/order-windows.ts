/**
 * Rows of an irregular series in order of time, from any number of chunks that overlap in time. Memory is bounded: one
 * window of time follows the other, and each has no more rows than are put in order at once. Runs on either side of a
 * thread.
 */
import { viewAs } from '../../core/numbers/dtype.ts';
import { isErased, type Erasure } from '../../core/rows/erasure.ts';
import type { Piece } from '../../core/rows/read-plan.ts';
import type { RowRange } from '../../core/signal/segment.ts';
import type { DuplicateRule } from '../../core/signal/series.ts';
import { INT64_MAX, INT64_MIN } from '../../core/time.ts';
import { orderRows, type TimedChunk } from '../../core/rows/time-order.ts';
import { readPieces } from '../../storage/read/chunk-reader.ts';
import { DataRoot } from '../../storage/folder/data-root.ts';
import { eachOpened } from '../../storage/read/shard-files.ts';
import type { RestOfRows } from './order-rows.ts';

/** A chunk, and the pieces that read all its rows. */
export interface SortableChunk extends TimedChunk {
  readonly generation: number;
  readonly pieces: readonly Piece[];
}

export interface SortTask {
  readonly dataRoot: string;
  readonly rowBytes: number;
  readonly duplicates: DuplicateRule;
  readonly erasures: readonly Erasure[];
  /** In the order they came. */
  readonly chunks: readonly SortableChunk[];
}

export interface SortedRows {
  readonly times: BigInt64Array;
  readonly values: Uint8Array;
}

/** `[from, to)` in time. */
export interface TimeWindow {
  readonly from: bigint;
  readonly to: bigint;
}

export const EVER: TimeWindow = { from: INT64_MIN, to: INT64_MAX + 1n };

/** What a row costs beside its values while rows are put in order: its time, and its position, read and in order. */
const ROW_OVERHEAD_BYTES = 40;
/** A span of time with too many rows is divided into this many, and their rows are counted. */
const SPANS = 1_024;
/**
 * A window ends where a chunk ends that has at least this part of the window's rows. What overlaps such a chunk mostly
 * fits in, so nothing has to be counted.
 */
const PART_OF_WINDOW = 4;

/** What so many rows take while they are put in order. */
export function orderedBytes(rows: number, rowBytes: number): number {
  return rows * (rowBytes + ROW_OVERHEAD_BYTES);
}

/** Rows that are put in order at once in so many bytes. */
export function rowsInOrderAtOnce(bytes: number, rowBytes: number): number {
  return Math.max(1, Math.floor(bytes / (rowBytes + ROW_OVERHEAD_BYTES)));
}

/**
 * Windows of at most `most` stored rows each, unless one instant has more. Where chunks do not tell, their times are
 * read and counted.
 * @yields in order of time; together they are `[from, to)`, without what has no rows
 */
export async function* timeWindows(
  task: Pick<SortTask, 'dataRoot' | 'chunks'>,
  window: TimeWindow,
  most: number,
): AsyncGenerator<TimeWindow> {
  const touched = within(task.chunks, window);
  const { from, to } = hullOf(touched, window);
  const ends = touched.toSorted((a, b) => (a.lastNs! < b.lastNs! ? -1 : a.lastNs! > b.lastNs! ? 1 : 0));
  let begin = from;
  let rows = 0;
  for (const { lastNs, rows: own } of ends) {
    rows += own;
    if (rows * PART_OF_WINDOW < most || lastNs! < begin) continue;
    const end = lastNs! + 1n < to ? lastNs! + 1n : to;
    yield* divided(task.dataRoot, touched, { from: begin, to: end }, most);
    begin = end;
    rows = 0;
  }
  if (begin < to) yield* divided(task.dataRoot, touched, { from: begin, to }, most);
}

async function* divided(
  dataRoot: string,
  chunks: readonly SortableChunk[],
  { from, to }: TimeWindow,
  most: number,
): AsyncGenerator<TimeWindow> {
  const inside = within(chunks, { from, to });
  if (inside.length === 0) return;
  if (inside.reduce((sum, { rows }) => sum + rows, 0) <= most || to - from === 1n) {
    yield { from, to };
    return;
  }
  const width = (to - from - 1n) / BigInt(SPANS) + 1n;
  const counts = new Float64Array(SPANS);
  for await (const { times } of readPieces(eachOpened(new DataRoot(dataRoot)), piecesOf(inside), 'times')) {
    for (const time of viewAs('int64', times!) as BigInt64Array) {
      if (time >= from && time < to) counts[Number((time - from) / width)]++;
    }
  }
  let begin = 0;
  let rows = 0;
  const edge = (span: number): bigint => (span === SPANS ? to : from + BigInt(span) * width);
  for (let span = 0; span < SPANS && edge(span) < to; span++) {
    if (rows > 0 && rows + counts[span] > most) {
      yield { from: edge(begin), to: edge(span) };
      begin = span;
      rows = 0;
    }
    rows += counts[span];
    if (counts[span] > most) {
      const end = edge(span + 1) < to ? edge(span + 1) : to;
      yield* divided(dataRoot, inside, { from: edge(span), to: end }, most);
      begin = span + 1;
      rows = 0;
    }
  }
  if (rows > 0) yield { from: edge(begin), to };
}

/**
 * The rows of a window, without those that were taken out, by the series' rule for duplicates. @param most rows of one
 * instant that are yielded at once; rows of a longer window all come together
 */
export async function* sortWindow(task: SortTask, window: TimeWindow, most: number): AsyncGenerator<SortedRows> {
  const rows = storedRows(task, window);
  if (window.to - window.from === 1n) {
    yield* task.duplicates === 'keep' ? gathered(rows, most) : lastOf(rows, task.rowBytes);
    return;
  }
  const parts: SortedRows[] = [];
  for await (const part of rows) parts.push(part);
  const all = join(parts);
  yield pick(all, orderRows(all.times, Uint32Array.from(all.times.keys()), task.duplicates), task.rowBytes);
}

/** Rows of one time are in order as they came. */
async function* gathered(rows: AsyncIterable<SortedRows>, most: number): AsyncGenerator<SortedRows> {
  let open: SortedRows[] = [];
  let count = 0;
  for await (const part of rows) {
    if (count > 0 && count + part.times.length > most) {
      yield join(open);
      [open, count] = [[], 0];
    }
    open.push(part);
    count += part.times.length;
  }
  if (count > 0) yield join(open);
}

async function* lastOf(rows: AsyncIterable<SortedRows>, rowBytes: number): AsyncGenerator<SortedRows> {
  let last: SortedRows | null = null;
  for await (const part of rows) last = pick(part, Uint32Array.of(part.times.length - 1), rowBytes);
  if (last) yield last;
}

/** The rows of a window that were not taken out, in the order they came. @yields never nothing */
export async function* storedRows(task: SortTask, window: TimeWindow): AsyncGenerator<SortedRows> {
  const { from, to } = window;
  const pieces = piecesOf(within(task.chunks, window));
  const want = task.rowBytes > 0 ? 'both' : 'times';
  for await (const { piece, values, times: bytes } of readPieces(
    eachOpened(new DataRoot(task.dataRoot)),
    pieces,
    want,
  )) {
    const times = viewAs('int64', bytes!) as BigInt64Array;
    const kept = new Uint32Array(times.length);
    let count = 0;
    let at = 0;
    for (const { firstRow, rows, generation } of piece.blocks) {
      const concerning = task.erasures.filter((erasure) => generation < erasure.generation);
      for (let i = 0; i < rows; i++, at++) {
        const ns = times[at];
        if (ns >= from && ns < to && !isErased(firstRow + i, ns, concerning)) kept[count++] = at;
      }
    }
    if (count > 0) yield pick({ times, values }, kept.subarray(0, count), task.rowBytes);
  }
}

/** A window, and which of its rows are answered: so many after the first ones. */
export interface AnsweredWindow extends TimeWindow {
  readonly skip: number;
  readonly rows: number;
}

export interface CountTask extends SortTask {
  /** `[startNs, endNs)` */
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly skip: number;
  /** Only rows of the time `startNs` count as rows to skip. */
  readonly isSkippedInTime: boolean;
  readonly most: number;
  /** Most rows of a window. */
  readonly windowRows: number;
  /** No more rows than these are put in order at once. */
  readonly heldRows: number;
}

export interface CountedWindows {
  /** The rows themselves, if they are few; null: they are to be read. */
  readonly held: SortedRows | null;
  readonly windows: readonly AnsweredWindow[];
  readonly rows: number;
  /** Rows that were skipped. There are fewer than were to be skipped, if there are no more rows. */
  readonly skipped: number;
  /** Where the rest begins if there were more than `most`. */
  readonly rest: RestOfRows | null;
}

/** Finds which windows have the rows to answer, and how many each has. It reads times, and for few rows the values. */
export async function countWindows(task: CountTask): Promise<CountedWindows> {
  const counted = await countTimes(task);
  if (counted.rows > task.heldRows) return { ...counted, held: null };
  const parts: SortedRows[] = [];
  for await (const part of readWindows(task, counted.windows, task.windowRows)) parts.push(part);
  return { ...counted, held: join(parts) };
}

async function countTimes(task: CountTask): Promise<Omit<CountedWindows, 'held'>> {
  const { startNs, isSkippedInTime, most, windowRows } = task;
  const timed: SortTask = { ...task, rowBytes: 0 };
  const windows: AnsweredWindow[] = [];
  let { skip } = task;
  let rows = 0;
  for await (const window of timeWindows(task, { from: startNs, to: task.endNs }, windowRows)) {
    const own = { skip: 0, rows: 0 };
    let rest: RestOfRows | null = null;
    for await (const { times } of sortWindow(timed, window, windowRows)) {
      let at = 0;
      if (!isSkippedInTime) at = Math.min(skip, times.length);
      else while (at < Math.min(skip, times.length) && times[at] === startNs) at++;
      skip -= at;
      own.skip += at;
      const taken = Math.min(most - rows, times.length - at);
      own.rows += taken;
      rows += taken;
      if (at + taken === times.length) continue;
      const isInstant = window.to - window.from === 1n;
      rest = isInstant ? { ns: window.from, skip: own.skip + own.rows } : restAt(times, at + taken);
      break;
    }
    if (own.rows > 0) windows.push({ ...window, ...own });
    if (rest) return { windows, rows, skipped: task.skip - skip, rest };
  }
  return { windows, rows, skipped: task.skip - skip, rest: null };
}

/** The times from the first of the chunks to the last, as far as they are wanted. */
function hullOf(chunks: readonly SortableChunk[], { from, to }: TimeWindow): TimeWindow {
  if (chunks.length === 0) return { from, to: from };
  const first = chunks.reduce((a, { firstNs }) => (firstNs! < a ? firstNs! : a), to);
  const end = chunks.reduce((a, { lastNs }) => (lastNs! > a ? lastNs! : a), from) + 1n;
  return { from: first > from ? first : from, to: end < to ? end : to };
}

/** @param times in order */
function restAt(times: BigInt64Array, at: number): RestOfRows {
  let first = at;
  while (first > 0 && times[first - 1] === times[at]) first--;
  return { ns: times[at], skip: at - first };
}

/** The rows that {@link countWindows} has counted. */
export async function* readWindows(
  task: SortTask,
  windows: readonly AnsweredWindow[],
  windowRows: number,
): AsyncGenerator<SortedRows> {
  for (const { skip, rows, ...window } of windows) {
    let [before, left] = [skip, rows];
    for await (const { times, values } of sortWindow(task, window, windowRows)) {
      const from = Math.min(before, times.length);
      const to = Math.min(times.length, from + left);
      before -= from;
      left -= to - from;
      if (from < to) {
        yield {
          times: times.subarray(from, to),
          values: values.subarray(from * task.rowBytes, to * task.rowBytes),
        };
      }
      if (left === 0) break;
    }
  }
}

/** @param rows counted from the first that is answered */
export function cutWindows(windows: readonly AnsweredWindow[], { from, to }: RowRange): AnsweredWindow[] {
  let end = 0;
  return windows.flatMap((window) => {
    const before = end;
    end += window.rows;
    const [first, last] = [Math.max(from, before), Math.min(to, end)];
    return first < last ? { ...window, skip: window.skip + first - before, rows: last - first } : [];
  });
}

/** Those of some chunks that have rows in windows. @param windows in order */
export function touchedChunks(chunks: readonly SortableChunk[], windows: readonly TimeWindow[]): SortableChunk[] {
  if (windows.length === 0) return [];
  return within(chunks, { from: windows[0].from, to: windows[windows.length - 1].to });
}

function within(chunks: readonly SortableChunk[], { from, to }: TimeWindow): SortableChunk[] {
  return chunks.filter(({ firstNs, lastNs }) => firstNs! < to && lastNs! >= from);
}

function piecesOf(chunks: readonly SortableChunk[]): Piece[] {
  return chunks.flatMap(({ pieces }) => pieces);
}

/** Up to here rows are copied byte by byte: handing them over costs more. */
const NARROW_BYTES = 32;

/** @param positions in any order */
function pick({ times, values }: SortedRows, positions: Uint32Array, rowBytes: number): SortedRows {
  if (positions.length === times.length && positions.every((at, i) => at === i)) return { times, values };
  const chosen = new Uint8Array(positions.length * rowBytes);
  if (rowBytes <= NARROW_BYTES) {
    let to = 0;
    for (const position of positions) {
      const from = position * rowBytes;
      for (let i = 0; i < rowBytes; i++) chosen[to++] = values[from + i];
    }
  } else {
    positions.forEach((at, i) => chosen.set(values.subarray(at * rowBytes, (at + 1) * rowBytes), i * rowBytes));
  }
  const picked = new BigInt64Array(positions.length);
  for (let i = 0; i < positions.length; i++) picked[i] = times[positions[i]];
  return { times: picked, values: chosen };
}

function join(parts: readonly SortedRows[]): SortedRows {
  if (parts.length === 1) return parts[0];
  const times = new BigInt64Array(parts.reduce((sum, part) => sum + part.times.length, 0));
  let at = 0;
  for (const part of parts) {
    times.set(part.times, at);
    at += part.times.length;
  }
  return { times, values: Buffer.concat(parts.map(({ values }) => values)) };
}
