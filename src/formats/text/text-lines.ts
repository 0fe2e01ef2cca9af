/** Lines of a UTF-8 text that arrives in pieces of any size. */
import { isUtf8 } from 'node:buffer';
import { invalidField, VarveError } from '../../core/errors.ts';

/** Longest line read. */
export const MAX_LINE_CHARS = 1024 * 1024;

/**
 * The lines without their ends (LF or CRLF), those of each piece together; a byte order mark at the start is dropped.
 * What follows the last line end is a line too, unless it is empty.
 * @throws `limit-exceeded` naming the line that is longer than {@link MAX_LINE_CHARS}; `invalid-input` on `body`, saying the line, if it is not UTF-8
 */
export async function* textLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<string[]> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  // The parts of a line that goes on are kept apart until it ends: looking for its end again in each piece would be quadratic.
  let parts: string[] = [];
  let partsChars = 0;
  let finished = 0;
  /** A character that goes on in the next piece, as far as it has come. */
  let open: Uint8Array = new Uint8Array(0);

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

  function decoded(piece: Uint8Array | undefined): string {
    try {
      return piece ? decoder.decode(piece, { stream: true }) : decoder.decode();
    } catch {
      const wrong = Buffer.concat([open, piece ?? new Uint8Array(0)]);
      throw invalidField('body', `is not UTF-8 text: see line ${finished + 1 + linesBefore(wrong)}`);
    } finally {
      if (piece) open = openCharacter(Buffer.concat([open, piece.subarray(-MAX_OPEN_BYTES)]));
    }
  }

  for await (const piece of source) yield [...take(decoded(piece))];
  const last = [...take(decoded(undefined))];
  if (parts.length > 0) last.push(parts.join(''));
  yield last;
}

const LINE_END = 0x0a;
/** Bytes of a character that is not complete yet: it has four bytes at most. */
const MAX_OPEN_BYTES = 3;

/** The last bytes of a text, from where a character of several bytes begins; none if none does. */
function openCharacter(bytes: Uint8Array): Uint8Array {
  const last = bytes.subarray(-MAX_OPEN_BYTES);
  const begin = last.findLastIndex((byte) => byte >= 0xc0);
  return begin < 0 ? new Uint8Array(0) : Uint8Array.from(last.subarray(begin));
}

/** How many lines end before the one that is no text. A line end is never a part of another character. */
function linesBefore(bytes: Uint8Array): number {
  let from = 0;
  let lines = 0;
  for (let end = bytes.indexOf(LINE_END, from); end >= 0; end = bytes.indexOf(LINE_END, from)) {
    if (!isUtf8(bytes.subarray(from, end))) return lines;
    lines++;
    from = end + 1;
  }
  return lines;
}
