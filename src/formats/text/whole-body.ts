/** A body that must be whole before it can be read, collected up to a limit. */
import { joinBytes } from '../binary/block-cutter.ts';

/**
 * @param tooLarge makes the error that says which limit was passed; nothing beyond it is kept
 */
export async function wholeBody(
  source: AsyncIterable<Uint8Array>,
  limitBytes: number,
  tooLarge: () => Error,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of source) {
    length += piece.length;
    if (length > limitBytes) throw tooLarge();
    pieces.push(piece);
  }
  return joinBytes(pieces);
}
