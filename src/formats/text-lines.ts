/** Lines of a UTF-8 text that arrives in pieces of any size. */
import { invalidField, VarveError } from '../core/errors.ts';

/** Longest line read. */
export const MAX_LINE_CHARS = 1024 * 1024;

/**
 * The lines without their ends (LF or CRLF), those of each piece together; a byte order mark at the start is dropped.
 * What follows the last line end is a line too, unless it is empty.
 * @throws `limit-exceeded` naming the line that is longer than {@link MAX_LINE_CHARS}; `invalid-input` on `body` if it is not UTF-8
 */
export async function* textLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<string[]> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  // The parts of a line that goes on are kept apart until it ends: looking for its end again in each piece would be quadratic.
  let parts: string[] = [];
  let partsChars = 0;
  let finished = 0;

  function* take(text: string): Generator<string> {
    let from = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      const tail = text.slice(from, end);
      checkLength(partsChars + tail.length);
      const line = parts.length > 0 ? parts.join('') + tail : tail;
      yield line.endsWith('\r') ? line.slice(0, -1) : line;
      finished++;
      parts = [];
      partsChars = 0;
      from = end + 1;
    }
    if (from < text.length) {
      parts.push(text.slice(from));
      partsChars += text.length - from;
      checkLength(partsChars);
    }
  }

  function checkLength(chars: number): void {
    if (chars > MAX_LINE_CHARS) {
      throw new VarveError('limit-exceeded', `line ${finished + 1} is longer than ${MAX_LINE_CHARS} characters`);
    }
  }

  for await (const piece of source) yield [...take(decoded(decoder, piece))];
  const last = [...take(decoded(decoder, undefined))];
  if (parts.length > 0) last.push(parts.join(''));
  yield last;
}

function decoded(decoder: InstanceType<typeof TextDecoder>, piece: Uint8Array | undefined): string {
  try {
    return piece ? decoder.decode(piece, { stream: true }) : decoder.decode();
  } catch {
    throw invalidField('body', 'is not UTF-8 text');
  }
}
