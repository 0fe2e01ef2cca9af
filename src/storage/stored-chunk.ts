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
}

/**
 * @returns the rows' bytes, and the CRC-32 that a chunk of them has: of an uncompressed block of the rows themselves, else of the stored bytes
 * @throws corrupt if the file ends before; what the codec says of bytes that are not its own
 */
export async function readStoredPart(
  file: ShardBytes,
  { block, codec, skip, rows, rowBytes }: StoredPart,
): Promise<{ bytes: Buffer; crc: number }> {
  const [from, length] = [skip * rowBytes, rows * rowBytes];
  if (codec === 'none') {
    const bytes = await file.read({ offset: block.offset + from, length });
    return { bytes, crc: crc32(bytes) };
  }
  const stored = await file.read(block);
  const crc = crc32(stored);
  const decoded = await decodeBlock(codec as Codec, stored).catch((cause: Error) => {
    throw new VarveError('corrupt', `cannot be decoded: ${cause.message}`, { slug: 'chunk-corrupt', cause });
  });
  if (decoded.length < from + length) {
    throw new VarveError('corrupt', `decode to ${decoded.length} bytes, not ${from + length}`, {
      slug: 'chunk-corrupt',
    });
  }
  return { bytes: Buffer.from(decoded.buffer, decoded.byteOffset + from, length), crc };
}
