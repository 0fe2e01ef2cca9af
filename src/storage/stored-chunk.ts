/** The rows of a chunk out of the block that holds them, compressed or not, with the checksum that the catalog has of them. */
import { crc32 } from 'node:zlib';
import type { ByteRange } from '../core/chunk.ts';
import type { Codec } from '../core/codec.ts';
import { VarveError } from '../core/errors.ts';
import { decodeBlock } from './block-codec.ts';
import type { ShardBytes } from './shard-bytes.ts';

/** Values, or times, of a chunk. */
export interface StoredPart {
  readonly block: ByteRange;
  readonly codec: string;
  readonly skip: number;
  readonly rows: number;
  readonly rowBytes: number;
  /** What the catalog has: of an uncompressed block that of the rows themselves, else of the stored bytes. */
  readonly crc: number;
}

/**
 * @returns the rows' bytes; null if they do not match their checksum
 * @throws corrupt if the file ends before, or if bytes that match are not of their codec
 */
export async function readStoredPart(
  file: ShardBytes,
  { block, codec, skip, rows, rowBytes, crc }: StoredPart,
): Promise<Buffer | null> {
  const [from, length] = [skip * rowBytes, rows * rowBytes];
  if (codec === 'none') {
    const bytes = await file.read({ offset: block.offset + from, length });
    return crc32(bytes) === crc ? bytes : null;
  }
  const stored = await file.read(block);
  if (crc32(stored) !== crc) return null;
  const decoded = await decodeBlock(codec as Codec, stored).catch((cause: Error) => {
    throw new VarveError('corrupt', `cannot be decoded: ${cause.message}`, { slug: 'chunk-corrupt', cause });
  });
  if (decoded.length < from + length) {
    throw new VarveError('corrupt', `decode to ${decoded.length} bytes, not ${from + length}`, {
      slug: 'chunk-corrupt',
    });
  }
  return Buffer.from(decoded.buffer, decoded.byteOffset + from, length);
}
