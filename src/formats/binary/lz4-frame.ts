/**
 * LZ4 frames, as Arrow packs its buffers with them.
 * @see https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md and lz4_Block_format.md
 */

const MAGIC = 0x184d2204;
const LEAST_MATCH = 4;

/**
 * @param length of the content, which is known beforehand: no byte more is ever made
 * @throws RangeError if the frame is damaged or holds another length
 */
export function unpackLz4Frame(packed: Uint8Array, length: number): Uint8Array {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const out = new Uint8Array(length);
  let written = 0;
  let at = 0;
  while (at < packed.length) {
    if (view.getUint32(at, true) !== MAGIC) throw new RangeError('no LZ4 frame');
    const flags = view.getUint8(at + 4);
    if (flags >> 6 !== 1) throw new RangeError('an LZ4 frame of another version');
    const [blockSums, contentSize, contentSum, dictionary] = [flags & 0x10, flags & 0x08, flags & 0x04, flags & 0x01];
    at += 6 + (contentSize ? 8 : 0) + (dictionary ? 4 : 0) + 1;
    for (;;) {
      const size = view.getUint32(at, true);
      at += 4;
      if (size === 0) break;
      const bytes = size & 0x7fffffff;
      if (at + bytes > packed.length) throw new RangeError('an LZ4 block leaves its frame');
      const block = packed.subarray(at, at + bytes);
      if (size >>> 31 === 0) written = unpackBlock(block, out, written);
      else {
        out.set(block, written);
        written += block.length;
      }
      at += bytes + (blockSums ? 4 : 0);
    }
    if (contentSum) at += 4;
  }
  if (written !== length) throw new RangeError('an LZ4 frame of another length');
  return out;
}

/** @returns how many bytes are written now */
function unpackBlock(block: Uint8Array, out: Uint8Array, from: number): number {
  let written = from;
  let at = 0;
  const count = (nibble: number): number => {
    let sum = nibble;
    if (nibble < 15) return sum;
    for (;;) {
      if (at >= block.length) throw new RangeError('an LZ4 block is cut off');
      const more = block[at++];
      sum += more;
      if (more < 255) return sum;
    }
  };
  while (at < block.length) {
    const token = block[at++];
    const literals = count(token >> 4);
    if (at + literals > block.length || written + literals > out.length)
      throw new RangeError('literals leave an LZ4 block');
    out.set(block.subarray(at, at + literals), written);
    at += literals;
    written += literals;
    if (at === block.length) return written;
    if (at + 2 > block.length) throw new RangeError('an LZ4 block is cut off');
    const offset = block[at] | (block[at + 1] << 8);
    at += 2;
    const match = count(token & 15) + LEAST_MATCH;
    if (offset === 0 || offset > written || written + match > out.length)
      throw new RangeError('a match leaves an LZ4 block');
    // A match may reach into what it makes itself.
    for (let i = 0; i < match; i++, written++) out[written] = out[written - offset];
  }
  return written;
}
