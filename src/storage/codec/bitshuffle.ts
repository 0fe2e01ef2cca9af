/**
 * HDF5 filter 32008 with LZ4. Values are sorted by bit (all lowest bits, then all second lowest, …) in pieces of some 8
 * KiB, and each piece is compressed. No maintained library reads it in Node.
 *
 * A block has u64 bytes when decoded, u32 bytes of a decoded piece, then for each piece a u32 length and an LZ4 block.
 * All numbers are big-endian. Fewer than eight values may be left at the end; they are stored as they are.
 *
 * Sources: K. Masui et al., "A compression scheme for radio data in high performance computing" (2015); LZ4 block
 * format description, version 1.
 */

/**
 * Values of a piece in what we write, whatever their type. A block does not say how many bytes a value has. This way
 * the size of its pieces does.
 */
export const PIECE_VALUES = 2048;
const HEADER_BYTES = 12;
/** Values that are transposed together: one byte of each bit. */
const GROUP = 8;
/** In the LZ4 format, a match has at least as many bytes. */
const MIN_MATCH = 4;

/**
 * @param wanted bytes from the beginning: pieces that lie behind are not decoded
 * @returns whole pieces with so many bytes at least, or all
 * @throws if the bytes are no such block, or one that was written with pieces of another size
 */
export function decodeBitshuffleLz4(stored: Uint8Array, wanted = Infinity): Uint8Array {
  if (stored.length < HEADER_BYTES) throw new Error('a bitshuffle block is cut short');
  const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
  const total = Number(view.getBigUint64(0));
  const pieceBytes = view.getUint32(8);
  const elementBytes = pieceBytes / PIECE_VALUES;
  const groupBytes = GROUP * elementBytes;
  // LZ4 makes at most 255 bytes of one byte: a larger total would only ask for memory.
  if (![1, 2, 4, 8].includes(elementBytes) || total > stored.length * 255) {
    throw new Error('a bitshuffle block has an impossible header');
  }
  const whole = total - (total % groupBytes);
  const head = Math.ceil(wanted / pieceBytes) * pieceBytes;
  const isPart = head <= whole;
  const out = new Uint8Array(isPart ? head : total);
  const piece = new Uint8Array(Math.min(pieceBytes, total));
  let at = HEADER_BYTES;
  for (let done = 0; done < (isPart ? head : whole); done += pieceBytes) {
    const length = Math.min(pieceBytes, whole - done);
    const end = at + 4 + (at + 4 <= stored.length ? view.getUint32(at) : 0);
    if (end > stored.length) throw new Error('a bitshuffle block is cut short');
    decodeLz4(stored.subarray(at + 4, end), piece.subarray(0, length));
    unshuffle(piece, out.subarray(done, done + length), elementBytes);
    at = end;
  }
  if (isPart) return out;
  if (stored.length - at !== total - whole) throw new Error('a bitshuffle block has the wrong length');
  out.set(stored.subarray(at), whole);
  return out;
}

/** Decodes one LZ4 block, which must fill `out`. */
function decodeLz4(source: Uint8Array, out: Uint8Array): void {
  let from = 0;
  let to = 0;
  const lengthAfter = (nibble: number): number => {
    if (nibble < 15) return nibble;
    let length = 15;
    let more: number;
    do {
      more = source[from++];
      length += more;
    } while (more === 255);
    return length;
  };
  while (from < source.length) {
    const token = source[from++];
    const literals = lengthAfter(token >> 4);
    // NaN fails here, too: it is what a length is if the source ends within it.
    if (!(from + literals <= source.length && to + literals <= out.length)) throw new Error('an LZ4 block is damaged');
    for (let i = 0; i < literals; i++) out[to++] = source[from++];
    if (from === source.length) break; // the last sequence has no match
    const distance = source[from] | (source[from + 1] << 8);
    from += 2;
    const match = lengthAfter(token & 15) + MIN_MATCH;
    if (!(from <= source.length && distance > 0 && distance <= to && to + match <= out.length)) {
      throw new Error('an LZ4 block is damaged');
    }
    // Bytes are copied one by one: a match may reach into what it makes.
    for (let i = 0; i < match; i++, to++) out[to] = out[to - distance];
  }
  if (to !== out.length) throw new Error('an LZ4 block is damaged');
}

/**
 * Puts the bits of values together again. Bit k of byte b of all values lies in row b × 8 + k, a bit for each value.
 * Eight rows of eight values are 8 × 8 bits, which are transposed at a time.
 * Source: H. S. Warren, Hacker's Delight, 2nd edition, 7-3.
 */
function unshuffle(rows: Uint8Array, out: Uint8Array, elementBytes: number): void {
  const stride = out.length / elementBytes / GROUP; // bytes of a row
  for (let b = 0; b < elementBytes; b++) {
    const row = b * GROUP * stride;
    for (let g = 0; g < stride; g++) {
      const r = row + g;
      let low = rows[r] | (rows[r + stride] << 8) | (rows[r + 2 * stride] << 16) | (rows[r + 3 * stride] << 24);
      let high =
        rows[r + 4 * stride] |
        (rows[r + 5 * stride] << 8) |
        (rows[r + 6 * stride] << 16) |
        (rows[r + 7 * stride] << 24);
      let swap = (low ^ (low >>> 7)) & 0x00aa00aa;
      low ^= swap ^ (swap << 7);
      swap = (high ^ (high >>> 7)) & 0x00aa00aa;
      high ^= swap ^ (swap << 7);
      swap = (low ^ (low >>> 14)) & 0x0000cccc;
      low ^= swap ^ (swap << 14);
      swap = (high ^ (high >>> 14)) & 0x0000cccc;
      high ^= swap ^ (swap << 14);
      swap = (low ^ (high << 4)) & 0xf0f0f0f0;
      low ^= swap;
      high ^= swap >>> 4;
      let at = g * GROUP * elementBytes + b;
      for (let i = 0; i < 4; i++, at += elementBytes) out[at] = low >>> (8 * i);
      for (let i = 0; i < 4; i++, at += elementBytes) out[at] = high >>> (8 * i);
    }
  }
}
