/** Reads planned pieces: positional reads on libuv's pool, one piece ahead, each whole chunk checked against its checksum. No HDF5 here. */
import { open, type FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { VarveError } from '../core/errors.ts';
import type { Piece, Span } from '../core/read-plan.ts';
import type { DataRoot } from './data-root.ts';

export interface PieceBytes {
  readonly piece: Piece;
  readonly values: Buffer;
  readonly times: Buffer | null;
}

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
    return { piece, values, times };
  };
  let ahead: Promise<PieceBytes> | null = null;
  try {
    for (let i = 0; i < pieces.length; i++) {
      const current: Promise<PieceBytes> = ahead ?? read(pieces[i]);
      ahead = i + 1 < pieces.length ? current.then(() => read(pieces[i + 1])) : null;
      ahead?.catch(() => {}); // seen when it is awaited
      yield await current;
    }
  } finally {
    await ahead?.catch(() => {});
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
