/**
 * Reads planned pieces by position, on libuv's pool, ahead of what is wanted. Each whole chunk is checked against its
 * checksum, and compressed ones are decoded. No HDF5 here.
 */
import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { VarveError, messageOf } from '../../core/errors.ts';
import type { Codec } from '../../core/signal/codec.ts';
import { MAX_PIECE_BYTES, type Piece, type Span, type Unpacking } from '../../core/rows/read-plan.ts';
import { decodeBlock } from '../codec/block-codec.ts';
import type { LentFile, ShardFiles } from './shard-files.ts';

export interface PieceBytes {
  readonly piece: Piece;
  readonly values: Buffer;
  readonly times: Buffer | null;
}

/**
 * Pieces that are read while one is on its way out. Of compressed pieces there are more, so that decoding keeps both
 * cores busy.
 */
const AHEAD = 1;
const AHEAD_COMPRESSED = 3;
/** Shards of one read that are opened before it begins; a read of more opens the others as it comes to them. */
const MOST_OPEN = 64;

/**
 * Least bytes of a read whose memory is lent. A writer that holds back fewer bytes may still have them when it asks for
 * the next piece.
 */
const LEAST_LENT = 64 * 1024;
/** Memory that nobody has borrowed is kept for this many pieces. */
const MOST_FREE = 8;

/**
 * @param want leave out the values where only times are needed
 * @param lend read into memory that is used again: a piece's values are valid until the next one is asked for
 * @throws corrupt `chunk-corrupt` naming shard and row; corrupt `shard-missing` if the file is gone
 */
export async function* readPieces(
  files: ShardFiles,
  pieces: readonly Piece[],
  want: 'values' | 'times' | 'both' = 'both',
  { lend = false } = {},
): AsyncGenerator<PieceBytes> {
  const lent = new Map<string, Promise<LentFile>>();
  const borrow = (path: string): Promise<LentFile> => {
    let file = lent.get(path);
    if (!file) lent.set(path, (file = files.borrow(path)));
    return file;
  };
  const read = async (piece: Piece): Promise<PieceBytes> => {
    if (piece.path === null) return { piece, ...heldBytes(piece) };
    const { handle } = await borrow(piece.path);
    const [{ unpackValues, unpackTimes }] = piece.blocks;
    const [values, times] = await Promise.all([
      want === 'times' ? EMPTY : readSpan(handle, piece.values, piece, lend && !unpackValues),
      want === 'values' || !piece.times ? null : readSpan(handle, piece.times, piece, false),
    ]);
    check(piece, want === 'times' ? null : values, times);
    return {
      piece,
      values: unpackValues && want !== 'times' ? await unpack(values, unpackValues, piece) : values,
      times: unpackTimes && times ? await unpack(times, unpackTimes, piece) : times,
    };
  };
  const ahead: Promise<PieceBytes>[] = [];
  let next = 0;
  try {
    // All shards are opened at the beginning: whoever reads slowly must find the last one, too, though it was replaced
    // and removed meanwhile.
    await Promise.all([...new Set(pieces.flatMap(({ path }) => path ?? []))].slice(0, MOST_OPEN).map(borrow));
    for (const piece of pieces) {
      const isPacked = piece.blocks[0].unpackValues !== null || piece.blocks[0].unpackTimes !== null;
      while (next < pieces.length && ahead.length <= (isPacked ? AHEAD_COMPRESSED : AHEAD)) {
        const reading = read(pieces[next++]);
        reading.catch(() => {}); // seen when it is awaited
        ahead.push(reading);
      }
      const bytes = await ahead.shift()!;
      yield bytes;
      if (lend && !isPacked && piece.path !== null) memory.giveBack(bytes.values); // whoever leaves instead may not be done with it
    }
  } finally {
    await Promise.allSettled(ahead);
    for (const file of lent.values()) await file.then((each) => each.giveBack()).catch(() => {});
  }
}

const EMPTY = Buffer.alloc(0);

function heldBytes(piece: Piece): Omit<PieceBytes, 'piece'> {
  const { held, values, times } = piece;
  if (!held!.isSound) throw corrupt(piece, piece.blocks[0].firstRow, 'does not match its checksum');
  const part = (bytes: Uint8Array, { offset, length }: Span): Buffer =>
    Buffer.from(bytes.buffer, bytes.byteOffset + offset, length);
  return { values: part(held!.values, values), times: times && part(held!.times!, times) };
}

/**
 * Lends memory. New memory costs a page fault every 4 KiB, which takes longer than to fill it from the page cache. What
 * is left behind is found by the garbage collector some 60 MB later.
 */
class LentMemory {
  readonly #free: ArrayBufferLike[] = [];

  take(length: number): Buffer {
    if (!isLent(length)) return Buffer.allocUnsafe(length);
    return Buffer.from(this.#free.pop() ?? new ArrayBuffer(MAX_PIECE_BYTES), 0, length);
  }

  giveBack({ buffer, length }: Buffer): void {
    if (isLent(length) && this.#free.length < MOST_FREE) this.#free.push(buffer);
  }
}

/** Larger pieces are blocks from elsewhere, and rare. */
function isLent(length: number): boolean {
  return length >= LEAST_LENT && length <= MAX_PIECE_BYTES;
}

const memory = new LentMemory();

async function readSpan(handle: FileHandle, span: Span, piece: Piece, lend: boolean): Promise<Buffer> {
  const buffer = lend ? memory.take(span.length) : Buffer.allocUnsafe(span.length);
  for (let done = 0; done < span.length;) {
    const { bytesRead } = await handle.read(buffer, done, span.length - done, span.offset + done);
    if (bytesRead === 0) throw corrupt(piece, piece.blocks[0].firstRow, 'the file is shorter than the catalog says');
    done += bytesRead;
  }
  return buffer;
}

async function unpack(stored: Buffer, { codec, wanted }: Unpacking, piece: Piece): Promise<Buffer> {
  let bytes: Uint8Array;
  try {
    bytes = await decodeBlock(codec as Codec, stored, wanted.offset + wanted.length);
  } catch (error) {
    throw corrupt(piece, piece.blocks[0].firstRow, `cannot be decoded: ${messageOf(error)}`);
  }
  if (bytes.length < wanted.offset + wanted.length) {
    throw corrupt(piece, piece.blocks[0].firstRow, 'is shorter than the catalog says');
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset + wanted.offset, wanted.length);
}

function check(piece: Piece, values: Buffer | null, times: Buffer | null): void {
  for (const block of piece.blocks) {
    if (values && block.valuesCrc !== null && crcOf(values, piece.values, block.values) !== block.valuesCrc) {
      throw corrupt(piece, block.firstRow, 'values do not match their checksum');
    }
    if (times && block.timesCrc !== null && crcOf(times, piece.times!, block.times!) !== block.timesCrc) {
      throw corrupt(piece, block.firstRow, 'times do not match their checksum');
    }
  }
}

function crcOf(bytes: Buffer, whole: Span, part: Span): number {
  const from = part.offset - whole.offset;
  return crc32(bytes.subarray(from, from + part.length));
}

/** How the paths of spool files begin. */
const SPOOLED = 'spool/';

function corrupt(piece: Piece, firstRow: number, what: string): VarveError {
  const file = piece.path?.startsWith(SPOOLED) ? 'spool file' : 'shard';
  const where = piece.path === null ? 'fresh chunk' : `${file} ${piece.shardId}, chunk`;
  return new VarveError('corrupt', `${where} with row ${firstRow}: ${what}`, {
    slug: 'chunk-corrupt',
  });
}
