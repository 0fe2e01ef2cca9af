import { describe, expect, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import { decodeBlock } from '../../src/storage/codec/block-codec.ts';

/** One piece of 2048 bytes of one-byte values: all bits of rows are in order, so that zeros stay zeros. */
function bitshuffled(total: number, piece: number, lz4: readonly number[], rest: readonly number[] = []): Uint8Array {
  const header = Buffer.alloc(16);
  header.writeBigUInt64BE(BigInt(total));
  header.writeUInt32BE(piece, 8);
  header.writeUInt32BE(lz4.length, 12);
  return Buffer.concat([header, Buffer.from(lz4), Buffer.from(rest)]);
}

/** 8 bytes: four literals, then four more from where the first began. */
const EIGHT = [0x40, 1, 2, 3, 4, 4, 0, 0x00];

describe('a block', () => {
  test('of gzip is a zlib stream', async () => {
    const bytes = Buffer.from('what was to be kept');
    expect(Buffer.from(await decodeBlock('gzip', deflateSync(bytes))).equals(bytes)).toBe(true);
  });

  test('that is not compressed is itself', async () => {
    expect(await decodeBlock('none', Uint8Array.of(1, 2))).toEqual(Uint8Array.of(1, 2));
  });

  test('of bitshuffle-lz4 has its bits put together, and a rest of fewer than eight values as it is', async () => {
    // Row k holds bit k of eight values; rows are 1, 2, 3, 4, 1, 2, 3, 4.
    const values = [0b01010101, 0b01100110, 0b10001000, 0, 0, 0, 0, 0].map((_, value) =>
      [1, 2, 3, 4, 1, 2, 3, 4].reduce((byte, row, k) => byte | (((row >> value) & 1) << k), 0),
    );
    expect([...(await decodeBlock('bitshuffle-lz4', bitshuffled(10, 2048, EIGHT, [8, 9])))]).toEqual([...values, 8, 9]);
  });

  test.each([
    ['is cut short', Uint8Array.of(0, 0, 0)],
    ['is cut short', bitshuffled(8, 2048, EIGHT).subarray(0, 20)],
    ['is cut short', bitshuffled(8, 2048, EIGHT).subarray(0, 14)],
    ['impossible header', bitshuffled(8, 0, EIGHT)],
    ['impossible header', bitshuffled(8, 2047, EIGHT)],
    ['impossible header', bitshuffled(2 ** 40, 2048, EIGHT)],
    ['wrong length', bitshuffled(8, 2048, EIGHT, [1])],
    ['is damaged', bitshuffled(16, 2048, EIGHT)], // too little
    ['is damaged', bitshuffled(8, 2048, [0xf0, 255])], // a length without an end
    ['is damaged', bitshuffled(8, 2048, [0x40, 1, 2, 3, 4, 5, 0, 0])], // reaches back too far
    ['is damaged', bitshuffled(8, 2048, [0x40, 1, 2, 3, 4, 0, 0, 0])], // reaches to itself
    ['is damaged', bitshuffled(8, 2048, [0x41, 1, 2, 3, 4, 4, 0])], // a byte too many
    ['is damaged', bitshuffled(8, 2048, [0x90, 1, 2, 3, 4, 5, 6, 7, 8, 9])],
  ])('of bitshuffle-lz4 that %s is refused', async (reason, stored) => {
    await expect(decodeBlock('bitshuffle-lz4', stored)).rejects.toThrow(reason);
  });

  test('of which only the beginning is wanted is not decoded beyond', async () => {
    const bytes = randomBytes(100_000);
    const packed = deflateSync(bytes);
    // What is cut off, or damaged, is not looked at.
    const cut = packed.subarray(0, 60_000);
    for (const wanted of [1, 64, 10_000, 50_000]) {
      const head = Buffer.from(await decodeBlock('gzip', cut, wanted));
      expect(head.length).toBeLessThanOrEqual(Math.max(64, wanted));
      expect(head.subarray(0, wanted).equals(bytes.subarray(0, wanted))).toBe(true);
    }
    await expect(decodeBlock('gzip', cut, 90_000)).rejects.toThrow();
    for (const wanted of [99_999, 100_000, 200_000, Infinity]) {
      const found = Buffer.from(await decodeBlock('gzip', packed, wanted));
      expect(found.equals(bytes.subarray(0, Math.min(wanted, 100_000)))).toBe(true);
    }
    // Eight values a piece of 2,048: the first is of literals, the second is cut short.
    const literals = [0xf0, 255, 255, 255, 255, 255, 255, 255, 248, ...new Array<number>(2048).fill(0xff)];
    const two = bitshuffled(4096, 2048, literals, [0, 0, 1, 0]);
    expect(await decodeBlock('bitshuffle-lz4', two, 2048)).toEqual(new Uint8Array(2048).fill(0xff));
    await expect(decodeBlock('bitshuffle-lz4', two, 2049)).rejects.toThrow('cut short');
  });

  test('of gzip that is damaged is refused', async () => {
    await expect(decodeBlock('gzip', Uint8Array.of(1, 2, 3))).rejects.toThrow();
  });
});
