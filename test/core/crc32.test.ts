/** Checksums of short parts are those of zlib. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { crc32 } from 'node:zlib';
import { shortCrc32 } from '../../src/core/numbers/crc32.ts';

test('the CRC-32 of any part of some bytes is that of zlib', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), fc.nat(100), (bytes, a, b) => {
      const [from, to] = [Math.min(a, b, bytes.length), Math.min(Math.max(a, b), bytes.length)];
      expect(shortCrc32(bytes, from, to)).toBe(crc32(bytes.subarray(from, to)));
    }),
  );
});
