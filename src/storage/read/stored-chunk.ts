/** The rows of a chunk out of the block that holds them, compressed or not, with the checksum that the catalog has of them. */
import { crc32 } from 'node:zlib';
import type { ByteRange } from '../../core/rows/chunk.ts';
import type { Codec } from '../../core/signal/codec.ts';
import { VarveError } from '../../core/errors.ts';
import { decodeBlock } from '../codec/block-codec.ts';
import type { ShardBytes } from '../shard/shard-bytes.ts';

/** Values, or times, of a chunk. */
export interface StoredPart {
  readonly block: ByteRange;
  readonly codec: string;
  readonly skip: number;
  readonly rows: number;
  readonly rowBytes: number;
}

/**
 * @returns the rows, and the CRC-32 as the catalog has it: of the rows themselves if the block is not compressed, else
 * of the stored bytes
 * @throws corrupt if the file ends before; `rows` if the bytes are not of their codec
 */
export async function readStoredPart(
  file: ShardBytes,
  { block, codec, skip, rows, rowBytes }: StoredPart,
): Promise<{ crc: number; rows(): Promise<Buffer> }> {
  const [from, length] = [skip * rowBytes, rows * rowBytes];
  if (codec === 'none') {
    const bytes = await file.read({ offset: block.offset + from, length });
    return { crc: crc32(bytes), rows: () => Promise.resolve(bytes) };
  }
  const stored = await file.read(block);
  return {
    crc: crc32(stored),
    async rows() {
      const decoded = await decodeBlock(codec as Codec, stored).catch((cause: Error) => {
        throw corrupt(`cannot be decoded: ${cause.message}`, cause);
      });
      if (decoded.length < from + length) throw corrupt(`decode to ${decoded.length} bytes, not ${from + length}`);
      return Buffer.from(decoded.buffer, decoded.byteOffset + from, length);
    },
  };
}

function corrupt(what: string, cause?: Error): VarveError {
  return new VarveError('corrupt', what, { slug: 'chunk-corrupt', cause });
}
