/** Rows written as lines of text, in pieces worth sending. */

/** Encoders of text yield a piece when it has this many characters: large enough for the socket, small enough to stay responsive. */
export const TEXT_PIECE_CHARS = 64 * 1024;

/**
 * @param head text before the first row
 * @param lineOf the line of one row of a batch, with its line end
 */
export async function* encodeTextRows<B extends { readonly rows: number }>(
  batches: AsyncIterable<B>,
  head: string,
  lineOf: (batch: B, row: number) => string,
): AsyncGenerator<Uint8Array> {
  let text = head;
  for await (const batch of batches) {
    for (let row = 0; row < batch.rows; row++) {
      text += lineOf(batch, row);
      if (text.length >= TEXT_PIECE_CHARS) {
        yield Buffer.from(text);
        text = '';
      }
    }
  }
  if (text !== '') yield Buffer.from(text);
}

/** Texts one after the other, in pieces worth sending. */
export function* inPieces(texts: Iterable<string>): Generator<Uint8Array> {
  let text = '';
  for (const part of texts) {
    text += part;
    if (text.length >= TEXT_PIECE_CHARS) {
      yield Buffer.from(text);
      text = '';
    }
  }
  if (text !== '') yield Buffer.from(text);
}

/** A JSON list, from texts of some of its items each. */
export function* jsonListText(parts: readonly string[]): Generator<string> {
  yield '[';
  for (const [i, part] of parts.entries()) yield i === 0 ? part : `,${part}`;
  yield ']';
}
