import { describe, expect, test } from '@jest/globals';
import { endOfFileAddress, lookup3 } from '../../src/storage/hdf5/superblock.ts';

describe("the superblock's checksum", () => {
  // The test values that come with lookup3.c.
  test.each([
    ['', 0xdeadbeef],
    ['Four score and seven years ago', 0x17770551],
  ])('of %j is that of its author', (text, expected) => {
    expect(lookup3(Buffer.from(text)) >>> 0).toBe(expected);
  });

  test('decides whether the end of the file is believed: no flipped bit goes unseen', () => {
    const block = Buffer.alloc(48);
    Buffer.from('\x89HDF\r\n\x1a\n', 'latin1').copy(block);
    block.set([2, 8, 8, 0], 8);
    block.writeBigUInt64LE(66_232n, 28);
    block.writeUInt32LE(lookup3(block.subarray(0, 44)), 44);
    expect(endOfFileAddress(block)).toBe(66_232);
    for (let bit = 0; bit < 48 * 8; bit++) {
      const flipped = Buffer.from(block);
      flipped[bit >> 3] ^= 1 << (bit & 7);
      expect(endOfFileAddress(flipped)).toBeNull();
    }
  });
});
