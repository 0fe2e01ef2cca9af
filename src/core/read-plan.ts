/**
 * The read plan: which bytes of which shards answer a read, decided before anything is opened. Pure; tests compare plans as plain
 * objects and count reads.
 */
import { VarveError } from './errors.ts';
import type { RowRange } from './segment.ts';

/** A chunk as a plan needs it. */
export interface PlannedChunk {
  readonly shardId: string;
  readonly path: string;
  readonly firstRow: number;
  readonly rows: number;
  readonly valuesOffset: number;
  readonly valuesCrc: number;
  readonly timesOffset: number | null;
  readonly timesCrc: number | null;
}

/** Bytes of one shard. */
export interface Span {
  readonly offset: number;
  readonly length: number;
}

/** Rows of one chunk that are wanted. */
export interface Block {
  readonly firstRow: number;
  readonly rows: number;
  readonly values: Span;
  readonly times: Span | null;
  /** Checksums, where the block is all of its chunk's rows; else null: a slice cannot be checked without the rest. */
  readonly valuesCrc: number | null;
  readonly timesCrc: number | null;
}

/** One positional read of values (and one of times): adjacent blocks of a shard, joined. */
export interface Piece {
  readonly shardId: string;
  readonly path: string;
  readonly values: Span;
  readonly times: Span | null;
  readonly blocks: readonly Block[];
}

/** A piece is at most this large (unless one block is), which bounds what a read holds: two pieces. */
export const MAX_PIECE_BYTES = 4 * 1024 * 1024;
const TIME_BYTES = 8;

/**
 * @param ranges wanted rows, in the order they are to be answered, not overlapping
 * @param chunks in order of rows, without holes over the ranges
 * @param rowBytes bytes of one row of values
 * @throws corrupt if a wanted row is in no chunk: the catalog contradicts itself
 */
export function planRead(ranges: readonly RowRange[], chunks: readonly PlannedChunk[], rowBytes: number): Piece[] {
  const pieces: Piece[] = [];
  for (const range of ranges) {
    let row = range.from;
    for (let at = firstReaching(chunks, row); row < range.to; at++) {
      const chunk = chunks[at];
      if (!chunk || chunk.firstRow > row) {
        throw new VarveError('corrupt', `row ${row} is in no chunk`, { slug: 'chunk-missing' });
      }
      const to = Math.min(range.to, chunk.firstRow + chunk.rows);
      add(pieces, chunk, blockOf(chunk, row, to, rowBytes));
      row = to;
    }
  }
  return pieces;
}

/** Position of the first chunk that ends after `row`. */
function firstReaching(chunks: readonly PlannedChunk[], row: number): number {
  let low = 0;
  let high = chunks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (chunks[middle].firstRow + chunks[middle].rows <= row) low = middle + 1;
    else high = middle;
  }
  return low;
}

function blockOf(chunk: PlannedChunk, from: number, to: number, rowBytes: number): Block {
  const skipped = from - chunk.firstRow;
  const rows = to - from;
  const whole = rows === chunk.rows;
  return {
    firstRow: from,
    rows,
    values: { offset: chunk.valuesOffset + skipped * rowBytes, length: rows * rowBytes },
    times:
      chunk.timesOffset === null
        ? null
        : { offset: chunk.timesOffset + skipped * TIME_BYTES, length: rows * TIME_BYTES },
    valuesCrc: whole ? chunk.valuesCrc : null,
    timesCrc: whole ? chunk.timesCrc : null,
  };
}

function add(pieces: Piece[], chunk: PlannedChunk, block: Block): void {
  const last = pieces.at(-1);
  if (last && last.path === chunk.path && adjacent(last.values, block.values) && joinable(last.times, block.times)) {
    pieces[pieces.length - 1] = {
      ...last,
      values: join(last.values, block.values),
      times: last.times && block.times && join(last.times, block.times),
      blocks: [...last.blocks, block],
    };
  } else {
    pieces.push({
      shardId: chunk.shardId,
      path: chunk.path,
      values: block.values,
      times: block.times,
      blocks: [block],
    });
  }
}

function adjacent(a: Span, b: Span): boolean {
  return a.offset + a.length === b.offset && a.length + b.length <= MAX_PIECE_BYTES;
}

function joinable(a: Span | null, b: Span | null): boolean {
  return a === null || b === null ? a === b : adjacent(a, b);
}

function join(a: Span, b: Span): Span {
  return { offset: a.offset, length: a.length + b.length };
}
