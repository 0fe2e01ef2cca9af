import { describe, expect, test } from '@jest/globals';
import type { Request } from 'express';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { openRequestBody } from '../../src/http/body/request-body.ts';

function sending(bytes: Uint8Array, headers: Record<string, string> = {}): Request {
  return Object.assign(Readable.from([bytes]), { get: (name: string) => headers[name] }) as unknown as Request;
}

async function countBytes(source: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const block of source) bytes += block.byteLength;
  return bytes;
}

const tooLarge = expect.objectContaining({ code: 'limit-exceeded', message: expect.stringContaining('1000 bytes') });

describe('the limit of a body', () => {
  test('a stated length past it is refused before a byte is read', () => {
    expect(() => openRequestBody(sending(Buffer.alloc(1), { 'content-length': '1001' }), 1000)).toThrow(tooLarge);
  });

  test.each([
    ['plain', Buffer.alloc(1001), {}],
    ['compressed', gzipSync(Buffer.alloc(10_000_000)), { 'content-encoding': 'gzip' }],
  ])('a %s body past it is refused while it is read', async (_what, bytes, headers) => {
    await expect(countBytes(openRequestBody(sending(bytes, headers), 1000))).rejects.toEqual(tooLarge);
  });

  test.each([
    ['plain', Buffer.alloc(1000), {}],
    ['compressed', gzipSync(Buffer.alloc(1000)), { 'content-encoding': 'X-GZIP' }],
  ])('a %s body just within it is read', async (_what, bytes, headers) => {
    expect(await countBytes(openRequestBody(sending(bytes, headers), 1000))).toBe(1000);
  });
});
