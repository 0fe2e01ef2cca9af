/** Sends the body of an answer, piece by piece, at the pace of the client. */
import type { Response } from 'express';

/**
 * Asks for the next piece once the pieces before are with the system, so that their memory may be used again. Only a
 * piece smaller than the response's high-water mark waits to go with the next.
 *
 * This is not stream.pipeline, which aborts a signal of its own at every good end. The exception that this makes takes
 * 0.07 ms.
 *
 * @param first what the iterator has given already
 * @param promised the Content-Length; null if there is none
 * @throws what the iterator throws, `ERR_STREAM_PREMATURE_CLOSE` if the client leaves, and an error if the body is not
 * of the promised length. The answer is not ended then, and the connection must be broken
 */
export async function sendBody(
  res: Response,
  iterator: AsyncIterator<Uint8Array>,
  first: IteratorResult<Uint8Array>,
  promised: number | null,
): Promise<void> {
  let wake = (): void => {};
  const onEvent = (): void => wake();
  // One listener is for all of the body: what compresses texts takes listeners for its own, and never lets go of them.
  res.on('drain', onEvent);
  res.once('close', onEvent);
  let sent = 0;
  try {
    for (let piece = first; !piece.done; piece = await iterator.next()) {
      sent += piece.value.byteLength;
      if (!isGone(res) && !res.write(piece.value)) await new Promise<void>((resolve) => (wake = resolve));
      if (isGone(res)) throw Object.assign(new Error('the client has left'), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
    }
  } finally {
    await iterator.return?.();
  }
  if (promised !== null && sent !== promised)
    throw new Error(`the body has ${sent} bytes, not the promised ${promised}`);
  res.end();
}

function isGone(res: Response): boolean {
  return res.closed || res.destroyed;
}
