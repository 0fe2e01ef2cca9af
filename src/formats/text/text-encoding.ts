/** The encoding of a text that says none: what its first bytes and its bytes in all tell. */

/** `utf-8`, `utf-16le` and `utf-16be` are certain; `windows-1252` (Latin-1) is what is left where a text is no UTF-8. */
export type TextEncoding = 'utf-8' | 'utf-16le' | 'utf-16be' | 'windows-1252';

/** A text in UTF-16 without a byte order mark is told by the zeros of its first bytes, where most letters are Latin. */
const HEAD_BYTES_TOLD = 1024;
const CR = 0x0d;
const LF = 0x0a;

export interface SniffedText {
  readonly encoding: TextEncoding;
  /** Lines end with CR alone, as on old Macs. */
  readonly bareCr: boolean;
}

/** Reads a text once: no part of it tells that the rest is UTF-8. */
export async function sniffText(source: AsyncIterable<Uint8Array>): Promise<SniffedText> {
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  let isUtf8 = true;
  let wide: TextEncoding | null = null;
  let [crs, lfs] = [false, false];
  let first = true;
  for await (const piece of source) {
    if (piece.length === 0) continue;
    if (first) wide = wideEncoding(piece.subarray(0, HEAD_BYTES_TOLD));
    first = false;
    lfs ||= piece.includes(LF);
    crs ||= piece.includes(CR);
    if (!isUtf8 || wide) {
      if (lfs) break;
      continue;
    }
    isUtf8 = decodes(utf8, piece);
  }
  if (isUtf8 && !wide) isUtf8 = decodes(utf8);
  return { encoding: wide ?? (isUtf8 ? 'utf-8' : 'windows-1252'), bareCr: crs && !lfs };
}

function decodes(decoder: InstanceType<typeof TextDecoder>, piece?: Uint8Array): boolean {
  try {
    if (piece) decoder.decode(piece, { stream: true });
    else decoder.decode();
    return true;
  } catch {
    return false;
  }
}

function wideEncoding(head: Uint8Array): TextEncoding | null {
  if (head[0] === 0xff && head[1] === 0xfe) return 'utf-16le';
  if (head[0] === 0xfe && head[1] === 0xff) return 'utf-16be';
  let [even, odd] = [0, 0];
  for (let i = 0; i + 1 < head.length; i += 2) {
    if (head[i] === 0) even++;
    if (head[i + 1] === 0) odd++;
  }
  const pairs = head.length >> 1;
  if (pairs < 4) return null;
  if (odd > pairs / 2 && even === 0) return 'utf-16le';
  return even > pairs / 2 && odd === 0 ? 'utf-16be' : null;
}

/** The text in UTF-8 with line ends that a reader of lines knows. */
export async function* asUtf8(
  source: AsyncIterable<Uint8Array>,
  { encoding, bareCr }: SniffedText,
): AsyncGenerator<Uint8Array> {
  if (encoding === 'utf-8' && !bareCr) {
    yield* source;
    return;
  }
  const decoder = new TextDecoder(encoding);
  const encoded = (text: string): Uint8Array => Buffer.from(bareCr ? text.replaceAll('\r', '\n') : text, 'utf8');
  for await (const piece of source) yield encoded(decoder.decode(piece, { stream: true }));
  yield encoded(decoder.decode());
}
