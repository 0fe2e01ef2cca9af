/** The HDF5 superblock, versions 2 and 3 (File Format Specification, section II.A): where a file that was closed in order ends. */

export const SUPERBLOCK_BYTES = 48;
const SIGNATURE = Buffer.from('\x89HDF\r\n\x1a\n', 'latin1');
const CHECKED_BYTES = 44;

/**
 * The end-of-file address.
 * @returns null if these are not the bytes of a superblock, or do not match their checksum: nothing may be concluded from them then
 */
export function endOfFileAddress(superblock: Buffer): number | null {
  const version = superblock[8];
  if (!superblock.subarray(0, 8).equals(SIGNATURE) || (version !== 2 && version !== 3) || superblock[9] !== 8)
    return null;
  if (lookup3(superblock.subarray(0, CHECKED_BYTES)) !== superblock.readUInt32LE(CHECKED_BYTES)) return null;
  return Number(superblock.readBigUInt64LE(28));
}

/** Bob Jenkins' lookup3 `hashlittle` with initial value 0, the checksum of HDF5's metadata. */
export function lookup3(bytes: Buffer): number {
  let a = (0xdeadbeef + bytes.length) | 0;
  let b = a;
  let c = a;
  let at = 0;
  if (bytes.length === 0) return c >>> 0;
  const rotate = (value: number, by: number): number => (value << by) | (value >>> (32 - by));
  for (; bytes.length - at > 12; at += 12) {
    a = (a + bytes.readInt32LE(at)) | 0;
    b = (b + bytes.readInt32LE(at + 4)) | 0;
    c = (c + bytes.readInt32LE(at + 8)) | 0;
    a = ((a - c) ^ rotate(c, 4)) | 0;
    c = (c + b) | 0;
    b = ((b - a) ^ rotate(a, 6)) | 0;
    a = (a + c) | 0;
    c = ((c - b) ^ rotate(b, 8)) | 0;
    b = (b + a) | 0;
    a = ((a - c) ^ rotate(c, 16)) | 0;
    c = (c + b) | 0;
    b = ((b - a) ^ rotate(a, 19)) | 0;
    a = (a + c) | 0;
    c = ((c - b) ^ rotate(b, 4)) | 0;
    b = (b + a) | 0;
  }
  const last = Buffer.alloc(12);
  bytes.copy(last, 0, at);
  a = (a + last.readInt32LE(0)) | 0;
  b = (b + last.readInt32LE(4)) | 0;
  c = (c + last.readInt32LE(8)) | 0;
  c = ((c ^ b) - rotate(b, 14)) | 0;
  a = ((a ^ c) - rotate(c, 11)) | 0;
  b = ((b ^ a) - rotate(a, 25)) | 0;
  c = ((c ^ b) - rotate(b, 16)) | 0;
  a = ((a ^ c) - rotate(c, 4)) | 0;
  b = ((b ^ a) - rotate(a, 14)) | 0;
  c = ((c ^ b) - rotate(b, 24)) | 0;
  return c >>> 0;
}
