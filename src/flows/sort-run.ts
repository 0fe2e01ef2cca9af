/** Rows of an irregular series in order of time, out of any number of chunks, in bounded memory. For a worker thread. */
import { erasuresOf, type Erasure } from '../core/erasure.ts';
import type { Piece } from '../core/read-plan.ts';
import type { DuplicateRule } from '../core/series.ts';
import { groupByTime, orderRows, type TimedChunk } from '../core/time-order.ts';
import { readRows, type StoredRows } from './order-rows.ts';

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
  readonly chunks: readonly SortableChunk[];
}

export interface SortedRows {
  readonly times: BigInt64Array;
  readonly values: Uint8Array;
}

/** What is sorted at once; with the copy in order, and the chunk being read, twice that is in memory. */
const SORT_BYTES = 48 * 1024 * 1024;
/** What a row costs beside its values: its time, number, and position, read and in order. */
const ROW_OVERHEAD_BYTES = 40;
/** A span of time with too many rows is divided into this many, and their rows are counted. */
const SPANS = 1_024;

/**
 * @param bytes what is sorted at once
 * @yields in order of time, rows that were taken out left out, by the series' rule for duplicates
 */
export async function* sortRun(task: SortTask, bytes = SORT_BYTES): AsyncGenerator<SortedRows> {
  const most = Math.max(1, Math.floor(bytes / (task.rowBytes + ROW_OVERHEAD_BYTES)));
  for (const { ordered, chunks } of groupByTime(task.chunks)) {
    if (ordered) {
      const rows = await read(task, chunks[0], 'both');
      yield pick(rows, rows.kept, task.rowBytes);
      continue;
    }
    const first = chunks.reduce((a, { firstNs }) => (firstNs! < a ? firstNs! : a), chunks[0].firstNs!);
    const last = chunks.reduce((a, { lastNs }) => (lastNs! > a ? lastNs! : a), chunks[0].lastNs!);
    for await (const { from, to } of windows(task, chunks, first, last + 1n, most)) {
      yield await sortWindow(task, chunks, from, to);
    }
  }
}

interface Window {
  readonly from: bigint;
  readonly to: bigint;
}

/** Spans of time of at most `most` rows each, unless one instant has more. Counting reads the times, once a division. */
async function* windows(
  task: SortTask,
  chunks: readonly SortableChunk[],
  from: bigint,
  to: bigint,
  most: number,
): AsyncGenerator<Window> {
  const inside = chunks.filter(({ firstNs, lastNs }) => firstNs! < to && lastNs! >= from);
  if (inside.reduce((sum, { rows }) => sum + rows, 0) <= most || to - from === 1n) {
    yield { from, to };
    return;
  }
  const width = (to - from - 1n) / BigInt(SPANS) + 1n;
  const counts = new Float64Array(SPANS);
  for (const chunk of inside) {
    const { times } = await read(task, chunk, 'times');
    for (const time of times) if (time >= from && time < to) counts[Number((time - from) / width)]++;
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
      yield* windows(task, inside, edge(span), end, most);
      begin = span + 1;
      rows = 0;
    }
  }
  if (rows > 0) yield { from: edge(begin), to };
}

async function sortWindow(
  task: SortTask,
  chunks: readonly SortableChunk[],
  from: bigint,
  to: bigint,
): Promise<SortedRows> {
  const parts: SortedRows[] = [];
  for (const chunk of chunks) {
    if (chunk.firstNs! >= to || chunk.lastNs! < from) continue;
    const rows = await read(task, chunk, 'both');
    const inside = rows.kept.filter((i) => rows.times[i] >= from && rows.times[i] < to);
    parts.push(pick(rows, inside, task.rowBytes));
  }
  const all = join(parts);
  return pick(all, orderRows(all.times, Uint32Array.from(all.times.keys()), task.duplicates), task.rowBytes);
}

/** All rows of a chunk, and the positions of those that were not taken out. */
async function read(
  { dataRoot, erasures }: SortTask,
  chunk: SortableChunk,
  want: 'times' | 'both',
): Promise<StoredRows & { kept: Uint32Array }> {
  const rows = await readRows(dataRoot, chunk.pieces, want, erasuresOf(chunk, erasures));
  const kept = Uint32Array.from(rows.rows.keys()).filter((i) => !Number.isNaN(rows.rows[i]));
  return { ...rows, kept };
}

function pick({ times, values }: SortedRows, positions: Uint32Array, rowBytes: number): SortedRows {
  if (positions.length === times.length && positions.every((at, i) => at === i)) return { times, values };
  const chosen = new Uint8Array(positions.length * rowBytes);
  positions.forEach((at, i) => chosen.set(values.subarray(at * rowBytes, (at + 1) * rowBytes), i * rowBytes));
  return { times: BigInt64Array.from(positions, (at) => times[at]), values: chosen };
}

function join(parts: readonly SortedRows[]): SortedRows {
  const times = new BigInt64Array(parts.reduce((sum, part) => sum + part.times.length, 0));
  let at = 0;
  for (const part of parts) {
    times.set(part.times, at);
    at += part.times.length;
  }
  return { times, values: Buffer.concat(parts.map(({ values }) => values)) };
}
