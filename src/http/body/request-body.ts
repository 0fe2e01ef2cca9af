/** The body of a request as a stream of bytes: decompressed, bounded, and never silently short. */
import type { Request } from 'express';
import type { Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { isVarveError, VarveError } from '../../core/errors.ts';
import { STALLED } from './stalled.ts';

/** Most bytes of samples in one request, decompressed. Keeps a small compressed body from filling the disk. */
export const MAX_SAMPLE_BYTES = 16 * 1024 ** 3;

const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/**
 * The body's bytes. Reading them throws if the connection breaks, if they do not decompress, and past the limit.
 * @throws unsupported-media-type for a Content-Encoding that is not read, limit-exceeded for a Content-Length past the limit
 */
export function openRequestBody(req: Request, maxBytes: number = MAX_SAMPLE_BYTES): AsyncIterable<Uint8Array> {
  const encoding = (req.get('content-encoding') ?? 'identity').trim().toLowerCase();
  if (encoding === 'identity' || encoding === '') {
    const length = req.get('content-length');
    if (length === undefined) return limited(readIncoming(req), maxBytes);
    if (Number(length) > maxBytes) throw tooLarge(maxBytes);
    // Node ends a body where its length says.
    return readIncoming(req);
  }
  const decoder = Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding] : undefined;
  if (!decoder) {
    const message = 'must be gzip, deflate or br';
    throw new VarveError('unsupported-media-type', `Content-Encoding: ${message}`, {
      errors: [{ field: 'Content-Encoding', message }],
    });
  }
  return limited(decompress(req, decoder(), encoding), maxBytes);
}

/**
 * Reads the bytes of a request. A reader that stops early must not destroy the request: a client that sends its whole
 * body before it reads would never see the answer. Nor may the rest stay unread, because the next request of the
 * connection waits behind it.
 */
async function* readIncoming(req: Request): AsyncGenerator<Uint8Array> {
  let wake = (): void => {};
  let failure: Error | null = null;
  const onEvent = (): void => wake();
  const onFailure = (error: Error): void => {
    failure ??= error;
    wake();
  };
  req.on('readable', onEvent).on('end', onEvent).on('close', onEvent);
  req.on('error', onFailure).on(STALLED, onFailure);
  try {
    for (;;) {
      const block = req.read() as Buffer | null;
      if (block !== null) {
        yield block;
        continue;
      }
      const error = failure ?? req.errored;
      if (error) throw error;
      if (req.readableEnded) return;
      if (req.destroyed) throw Object.assign(new Error('the client has left'), { code: 'ECONNRESET' });
      await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    req.off('readable', onEvent).off('end', onEvent).off('close', onEvent);
    req.off('error', onFailure).off(STALLED, onFailure);
    req.resume();
  }
}

async function* decompress(req: Request, decoder: Transform, encoding: string): AsyncGenerator<Uint8Array> {
  // This is not stream.pipeline, which would destroy the request for a fault in the compressed bytes (see above).
  const cut = (error: Error): unknown => decoder.destroy(error);
  req.once('error', cut).once(STALLED, cut);
  // A request that was cut before anyone listened has no more events to give.
  if (req.errored) decoder.destroy(req.errored);
  else req.pipe(decoder);
  try {
    yield* decoder;
  } catch (error) {
    if (req.errored || isVarveError(error)) throw error;
    throw new VarveError('invalid-input', `body: is not valid ${encoding}`, {
      errors: [{ field: 'body', message: `is not valid ${encoding}` }],
      cause: error,
    });
  } finally {
    req.off('error', cut).off(STALLED, cut);
    req.unpipe(decoder);
    decoder.destroy();
    req.resume(); // which unpipe has undone
  }
}

async function* limited(source: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const block of source) {
    bytes += block.byteLength;
    if (bytes > maxBytes) throw tooLarge(maxBytes);
    yield block;
  }
}

function tooLarge(maxBytes: number): VarveError {
  const message = `is larger than ${maxBytes} bytes; send it in several requests`;
  return new VarveError('limit-exceeded', `body: ${message}`, { errors: [{ field: 'body', message }] });
}
