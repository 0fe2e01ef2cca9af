/**
 * The read plan: which bytes of which shards answer a read, decided before anything is opened. Pure; tests compare plans as plain
 * objects and count reads.
 */
import { VarveError } from '../errors.ts';
import type { RowRange } from '../signal/segment.ts';
import type { Layer, Slice } from './visible-rows.ts';

/** A chunk as a plan needs it. */
export interface PlannedChunk extends Layer {
  /**
   * Key of the chunk, never given again: `c…` in a shard, `f…` for a fresh one. Empty where several are read as one.
   */
  readonly key: string;
  /** Id of the shard, or of the spool file; empty where the bytes are held. */
  readonly shardId: string;
  /** The file that has the bytes, relative to the data root; null: they are held. */
  readonly path: string | null;
  readonly held: HeldBytes | null;
  /** Rows of the block before the first of the chunk. */
  readonly skip: number;
  readonly codec: string;
  readonly values: Span;
  readonly valuesCrc: number;
  readonly timesCodec: string | null;
  readonly times: Span | null;
  readonly timesCrc: number | null;
}

/** Bytes that came with the plan. Spans count from their beginning. */
export interface HeldBytes {
  readonly values: Uint8Array;
  readonly times: Uint8Array | null;
  /** True if they match their checksums. If not, reading them is an error. */
  readonly isSound: boolean;
}

/** Bytes of one file. */
export interface Span {
  readonly offset: number;
  readonly length: number;
}

/** Rows of one chunk that are wanted. */
export interface Block {
  readonly firstRow: number;
  readonly rows: number;
  /** Generation of the chunk. */
  readonly generation: number;
  /** What to read: the rows' own bytes where they are not compressed, else the whole block. */
  readonly values: Span;
  readonly times: Span | null;
  /** Checksums of what is read; null for a slice of uncompressed rows, which cannot be checked without the rest. */
  readonly valuesCrc: number | null;
  readonly timesCrc: number | null;
  /** How to come from what is read to the rows; null: it is the rows. */
  readonly unpackValues: Unpacking | null;
  readonly unpackTimes: Unpacking | null;
}

export interface Unpacking {
  readonly codec: string;
  /** Where the wanted rows lie in the decoded block. */
  readonly wanted: Span;
}

/**
 * One positional read of values (and one of times). It is one compressed block, or adjacent blocks of a file with rows
 * that follow each other, joined.
 */
export interface Piece {
  readonly shardId: string;
  readonly path: string | null;
  readonly held: HeldBytes | null;
  readonly values: Span;
  readonly times: Span | null;
  readonly blocks: readonly Block[];
}

/**
 * A piece is at most this large, unless one block is, which bounds what a read holds: two pieces. Larger pieces fall
 * out of the caches on their way.
 */
export const MAX_PIECE_BYTES = 1024 * 1024;
const TIME_BYTES = 8;

/**
 * @param ranges wanted rows, in the order they are to be answered, not overlapping
 * @param slices what is seen of the chunks, in order of rows, without holes over the ranges
 * @param rowBytes bytes of one row of values
 * @throws corrupt if a wanted row is in no chunk: the catalog contradicts itself
 */
export function planRead(
  ranges: readonly RowRange[],
  slices: ReadonlyArray<Slice<PlannedChunk>>,
  rowBytes: number,
): Piece[] {
  const pieces: Piece[] = [];
  for (const range of ranges) {
    let row = range.from;
    for (let at = firstReaching(slices, row); row < range.to; at++) {
      const slice = slices[at];
      if (!slice || slice.from > row) {
        throw new VarveError('corrupt', `row ${row} is in no chunk`, { slug: 'chunk-missing' });
      }
      const to = Math.min(range.to, slice.to);
      add(pieces, slice.chunk, blockOf(slice.chunk, row, to, rowBytes));
      row = to;
    }
  }
  return pieces;
}

/**
 * The same reads block by block, for whoever has many reads under way at once. A block is at most a quarter of a piece.
 */
export function blockByBlock(pieces: readonly Piece[]): Piece[] {
  return pieces.flatMap((piece) =>
    piece.blocks.map((block) => ({ ...piece, values: block.values, times: block.times, blocks: [block] })),
  );
}

/**
 * The reads for rows of a plan alone.
 * @param rows counted from the first of the plan, whatever their numbers in the series
 */
export function cutPieces(pieces: readonly Piece[], rows: RowRange, rowBytes: number): Piece[] {
  const cut: Piece[] = [];
  let to = 0;
  for (const piece of pieces) {
    const blocks: Block[] = [];
    for (const block of piece.blocks) {
      const from = to;
      to += block.rows;
      const wanted = { from: Math.max(from, rows.from) - from, to: Math.min(to, rows.to) - from };
      if (wanted.from < wanted.to) blocks.push(cutBlock(block, wanted, rowBytes));
    }
    if (blocks.length > 0) {
      const times = blocks.flatMap((block) => block.times ?? []);
      cut.push({
        ...piece,
        values: hull(blocks.map(({ values }) => values)),
        times: piece.times && hull(times),
        blocks,
      });
    }
  }
  return cut;
}

/** @param rows counted from the first of the block */
function cutBlock(block: Block, { from, to }: RowRange, rowBytes: number): Block {
  if (from === 0 && to === block.rows) return block;
  const { unpackValues, unpackTimes, values, times } = block;
  const within = ({ offset }: Span, bytes: number): Span => ({
    offset: offset + from * bytes,
    length: (to - from) * bytes,
  });
  return {
    ...block,
    firstRow: block.firstRow + from,
    rows: to - from,
    values: unpackValues ? values : within(values, rowBytes),
    times: times && (unpackTimes ? times : within(times, TIME_BYTES)),
    valuesCrc: unpackValues && block.valuesCrc,
    timesCrc: unpackTimes && block.timesCrc,
    unpackValues: unpackValues && { ...unpackValues, wanted: within(unpackValues.wanted, rowBytes) },
    unpackTimes: unpackTimes && { ...unpackTimes, wanted: within(unpackTimes.wanted, TIME_BYTES) },
  };
}

/** The span from the first to the last of spans that follow each other. */
function hull(spans: readonly Span[]): Span {
  const last = spans[spans.length - 1];
  return { offset: spans[0].offset, length: last.offset + last.length - spans[0].offset };
}

/** Position of the first slice that ends after `row`. */
function firstReaching(slices: readonly Slice[], row: number): number {
  let low = 0;
  let high = slices.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (slices[middle].to <= row) low = middle + 1;
    else high = middle;
  }
  return low;
}

function blockOf(chunk: PlannedChunk, from: number, to: number, rowBytes: number): Block {
  const values = part(chunk, from, to, rowBytes, chunk.codec, chunk.values, chunk.valuesCrc);
  const times =
    chunk.times && part(chunk, from, to, TIME_BYTES, chunk.timesCodec ?? 'none', chunk.times, chunk.timesCrc!);
  return {
    firstRow: from,
    rows: to - from,
    generation: chunk.generation,
    values: values.read,
    times: times && times.read,
    valuesCrc: values.crc,
    timesCrc: times && times.crc,
    unpackValues: values.unpack,
    unpackTimes: times && times.unpack,
  };
}

function part(
  chunk: PlannedChunk,
  from: number,
  to: number,
  rowBytes: number,
  codec: string,
  stored: Span,
  crc: number,
): { read: Span; crc: number | null; unpack: Unpacking | null } {
  const wanted = { offset: (chunk.skip + from - chunk.firstRow) * rowBytes, length: (to - from) * rowBytes };
  if (codec !== 'none') return { read: stored, crc, unpack: { codec, wanted } };
  const isWhole = to - from === chunk.rows && !chunk.held;
  const read = { offset: stored.offset + wanted.offset, length: wanted.length };
  return { read, crc: isWhole ? crc : null, unpack: null };
}

function add(pieces: Piece[], chunk: PlannedChunk, block: Block): void {
  const last = pieces.at(-1);
  if (
    last &&
    chunk.path !== null &&
    last.path === chunk.path &&
    follows(last.blocks.at(-1)!, block) &&
    joins(last, block)
  ) {
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
      held: chunk.held,
      values: block.values,
      times: block.times,
      blocks: [block],
    });
  }
}

function follows(before: Block, block: Block): boolean {
  const isPlain = [before, block].every((each) => each.unpackValues === null && each.unpackTimes === null);
  return isPlain && before.firstRow + before.rows === block.firstRow;
}

function joins({ values, times }: Piece, block: Block): boolean {
  if ((times === null) !== (block.times === null)) return false;
  return adjacent(values, block.values) && (times === null || adjacent(times, block.times!));
}

function adjacent(a: Span, b: Span): boolean {
  return a.offset + a.length === b.offset && a.length + b.length <= MAX_PIECE_BYTES;
}

function join(a: Span, b: Span): Span {
  return { offset: a.offset, length: a.length + b.length };
}
