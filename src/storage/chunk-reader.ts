/** Reads planned pieces: positional reads on libuv's pool, ahead of what is wanted, each whole chunk checked against its checksum, compressed ones decoded. No HDF5 here. */
import { open, type FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { VarveError } from '../core/errors.ts';
import type { Codec } from '../core/codec.ts';
import type { Piece, Span, Unpacking } from '../core/read-plan.ts';
import { decodeBlock } from './block-codec.ts';
import type { DataRoot } from './data-root.ts';

export interface PieceBytes {
  readonly piece: Piece;
  readonly values: Buffer;
  readonly times: Buffer | null;
}

/** Pieces that are read while one is on its way out: of compressed ones more, so that decoding keeps both cores busy. */
const AHEAD = 1;
const AHEAD_COMPRESSED = 3;

/**
 * @param want leave out the values where only times are needed
 * @throws corrupt `chunk-corrupt` naming shard and row; corrupt `shard-missing` if the file is gone
 */
export async function* readPieces(
  root: DataRoot,
  pieces: readonly Piece[],
  want: 'values' | 'times' | 'both' = 'both',
): AsyncGenerator<PieceBytes> {
  const files = new Map<string, Promise<FileHandle>>();
  const read = async (piece: Piece): Promise<PieceBytes> => {
    let file = files.get(piece.path);
    if (!file) files.set(piece.path, (file = openShard(root, piece)));
    const handle = await file;
    const [values, times] = await Promise.all([
      want === 'times' ? EMPTY : readSpan(handle, piece.values, piece),
      want === 'values' || !piece.times ? null : readSpan(handle, piece.times, piece),
    ]);
    check(piece, want === 'times' ? null : values, times);
    const [{ unpackValues, unpackTimes }] = piece.blocks;
    return {
      piece,
      values: unpackValues && want !== 'times' ? await unpack(values, unpackValues, piece) : values,
      times: unpackTimes && times ? await unpack(times, unpackTimes, piece) : times,
    };
  };
  const ahead: Promise<PieceBytes>[] = [];
  let next = 0;
  try {
    for (const piece of pieces) {
      const isPacked = piece.blocks[0].unpackValues !== null || piece.blocks[0].unpackTimes !== null;
      while (next < pieces.length && ahead.length <= (isPacked ? AHEAD_COMPRESSED : AHEAD)) {
        const reading = read(pieces[next++]);
        reading.catch(() => {}); // seen when it is awaited
        ahead.push(reading);
      }
      yield await ahead.shift()!;
    }
  } finally {
    await Promise.allSettled(ahead);
    for (const file of files.values()) await file.then((handle) => handle.close()).catch(() => {});
  }
}

const EMPTY = Buffer.alloc(0);

async function openShard(root: DataRoot, piece: Piece): Promise<FileHandle> {
  try {
    return await open(root.resolve(piece.path), 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new VarveError('corrupt', `shard ${piece.shardId} is missing`, { slug: 'shard-missing', cause: error });
  }
}

async function readSpan(handle: FileHandle, span: Span, piece: Piece): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(span.length);
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
    bytes = await decodeBlock(codec as Codec, stored);
  } catch (error) {
    throw corrupt(piece, piece.blocks[0].firstRow, `cannot be decoded: ${(error as Error).message}`);
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

function corrupt(piece: Piece, firstRow: number, what: string): VarveError {
  return new VarveError('corrupt', `shard ${piece.shardId}, chunk with row ${firstRow}: ${what}`, {
    slug: 'chunk-corrupt',
  });
}
