/** Decodes the compressed blocks of shards, as they lie in the file. */
import { createInflate, inflateSync } from 'node:zlib';
import type { Codec } from '../../core/signal/codec.ts';
import { decodeBitshuffleLz4, PIECE_VALUES } from './bitshuffle.ts';
import type { Hdf5Filter } from './shard-layout.ts';

/**
 * Level: times smaller, and MB of samples compacted a second of one core, summaries and all.
 *
 * |                         |         1 |         4 |         6 |
 * | ----------------------- | --------- | --------- | --------- |
 * | float64 walk on a grid  | 3.66 · 55 | 4.54 · 40 | 4.96 · 15 |
 * | float64 noise           | 1.04 · 25 | 1.05 · 22 | 1.05 · 22 |
 * | int16 noise             | 1.73 · 32 | 1.78 · 29 | 1.76 ·  8 |
 * | ECG, int16 (MIT-BIH)    | 2.02 · 36 | 2.12 · 26 | 2.09 · 11 |
 * | patch clamp, int16      | 1.60 · 28 | 1.63 · 24 | 1.64 · 12 |
 * | fNIRS, float64          | 1.06 · 25 | 1.07 · 18 | 1.07 · 18 |
 */
const GZIP_LEVEL = 4;

/** The filter of HDF5 that writes blocks of a codec. It is never left out for a block that it cannot make smaller: h5wasm makes it mandatory. */
export const FILTERS: Readonly<Record<Codec, Hdf5Filter | null>> = {
  gzip: { id: 1, options: [GZIP_LEVEL] },
  none: null,
  'bitshuffle-lz4': { id: 32008, options: [PIECE_VALUES, 2] },
};

/** A block of unknown length is inflated into so many bytes at a time: most have no more. */
const BLOCK_BYTES = 256 * 1024;
/** Node inflates into no fewer bytes. */
const LEAST_BYTES = 64;

/**
 * The values of a block.
 * @param stored the whole block. Its checksum has been compared; if it is not of the codec all the same, this throws
 * @param wanted bytes from its beginning that are wanted: what follows need not be decoded. Default: all
 * @returns so many at least, or all there are; for `none` the same bytes. gzip is inflated in Node's thread pool.
 * bitshuffle-lz4 (some 3 ms a MiB) is decoded by the thread that calls
 */
export async function decodeBlock(codec: Codec, stored: Uint8Array, wanted = Infinity): Promise<Uint8Array> {
  if (codec === 'gzip') return inflateHead(stored, wanted);
  return codec === 'bitshuffle-lz4' ? decodeBitshuffleLz4(stored, wanted) : stored;
}

/**
 * Inflates into one piece of memory, and no further than is wanted. In Node's pieces of 16 KiB a block went to the
 * thread pool and back 17 times, and was copied together afterwards. That took twice the processor time of inflating
 * (520 instead of 245 µs for 256 KiB).
 */
function inflateHead(stored: Uint8Array, wanted: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunkSize = Number.isFinite(wanted) ? Math.max(LEAST_BYTES, wanted) : BLOCK_BYTES + LEAST_BYTES;
    const inflate = createInflate({ chunkSize });
    const pieces: Buffer[] = [];
    let length = 0;
    const done = (): void => resolve(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces));
    inflate.on('error', reject);
    inflate.on('data', (piece: Buffer) => {
      pieces.push(piece);
      length += piece.length;
      if (length < wanted) return;
      inflate.destroy();
      done();
    });
    inflate.on('end', done);
    inflate.end(stored);
  });
}

/** Does what {@link decodeBlock} does, for threads that may wait. */
export function decodeBlockNow(codec: Codec, stored: Uint8Array): Uint8Array {
  switch (codec) {
    case 'gzip':
      return inflateSync(stored);
    case 'bitshuffle-lz4':
      return decodeBitshuffleLz4(stored);
    case 'none':
      return stored;
  }
}
