/** Chunks of an XDF file, one after the other, and the XML in some of them. */
import { invalidField } from '../../core/errors.ts';
import { joinBytes } from '../binary/block-cutter.ts';
import type { RecordingFiles } from './recording-files.ts';

export const XDF_TAGS = {
  fileHeader: 1,
  streamHeader: 2,
  samples: 3,
  clockOffset: 4,
  boundary: 5,
  streamFooter: 6,
} as const;

export interface XdfChunk {
  readonly tag: number;
  /** Null of chunks that belong to none. */
  readonly streamId: number | null;
  readonly content: Uint8Array;
  /** Where it begins in the file. */
  readonly byte: number;
}

const MAGIC = 'XDF:';
/** LabRecorder writes chunks of half a second; a larger one is no chunk. */
const MAX_CHUNK_BYTES = 256 * 1024 * 1024;
/** What every boundary chunk holds, so that a reader finds its way again. */
const BOUNDARY = Buffer.from('43a546dccbf5410fb30ed5467383cbe4', 'hex');

/**
 * Whole chunks; the last one may end early.
 * @param onLoss told, in a sentence, of what is broken
 * @throws `invalid-input` if the file is none of XDF
 */
export async function* xdfChunks(
  files: RecordingFiles,
  file: string,
  onLoss: (note: string) => void,
): AsyncGenerator<XdfChunk> {
  const source = new PulledBytes(files.open(file));
  try {
    const magic = await source.take(4);
    if (Buffer.from(magic).toString('latin1') !== MAGIC)
      throw invalidField(file, 'does not begin as an XDF file does (byte 0)');
    for (;;) {
      const byte = source.at;
      const [lengthBytes] = await source.take(1);
      if (lengthBytes === undefined) return;
      const head = await source.take([1, 4, 8].includes(lengthBytes) ? lengthBytes : 0);
      const length = lengthOf(head);
      if (length === null || length < 2 || length > MAX_CHUNK_BYTES) {
        if ([1, 4, 8].includes(lengthBytes) && head.length < lengthBytes) {
          onLoss(`${file} was cut off in the chunk at byte ${byte}`);
          return;
        }
        const isFound = await source.skipPast(BOUNDARY);
        const lost = isFound ? `the bytes up to ${source.at} are lost` : 'all after it is lost';
        onLoss(`${file} is broken at byte ${byte}: ${lost}`);
        if (!isFound) return;
        continue;
      }
      const body = await source.take(length);
      if (body.length < length)
        onLoss(`${file} was cut off in the chunk at byte ${byte}, which has ${body.length} of ${length} bytes`);
      if (body.length < 2) return;
      const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
      const tag = view.getUint16(0, true);
      const isOfStream = tag === 2 || tag === 3 || tag === 4 || tag === 6;
      if (isOfStream && body.length < 6) return;
      // Of what was cut off, whole samples are still good.
      if (body.length < length && tag !== XDF_TAGS.samples) return;
      yield {
        tag,
        streamId: isOfStream ? view.getUint32(2, true) : null,
        content: body.subarray(isOfStream ? 6 : 2),
        byte,
      };
    }
  } finally {
    await source.close();
  }
}

function lengthOf(bytes: Uint8Array): number | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length === 1) return bytes[0];
  if (bytes.length === 4) return view.getUint32(0, true);
  return bytes.length === 8 ? Number(view.getBigUint64(0, true)) : null;
}

/** A stream of pieces, taken by the byte. */
class PulledBytes {
  /** Bytes taken so far. */
  at = 0;
  readonly #pieces: AsyncIterator<Uint8Array>;
  #held: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#pieces = source[Symbol.asyncIterator]();
  }

  /** Fewer where the stream ends; memory of its own. */
  async take(bytes: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let left = bytes;
    while (left > 0 && (await this.#more())) {
      const part = this.#held.subarray(0, left);
      parts.push(part);
      left -= part.length;
      this.#held = this.#held.subarray(part.length);
    }
    this.at += bytes - left;
    return joinBytes(parts);
  }

  /** @returns whether it is there */
  async skipPast(pattern: Uint8Array): Promise<boolean> {
    let tail: Uint8Array = new Uint8Array(0);
    while (await this.#more()) {
      const seen = Buffer.from(joinBytes([tail, this.#held]));
      const found = seen.indexOf(pattern);
      const end = found < 0 ? seen.length : found + pattern.length;
      this.at += end - tail.length;
      this.#held = seen.subarray(end);
      if (found >= 0) return true;
      tail = seen.subarray(Math.max(0, seen.length - pattern.length + 1));
    }
    return false;
  }

  async close(): Promise<void> {
    await this.#pieces.return?.();
  }

  async #more(): Promise<boolean> {
    while (this.#held.length === 0) {
      const { value, done } = await this.#pieces.next();
      if (done) return false;
      this.#held = value;
    }
    return true;
  }
}

/** The text of the first element of this name; empty if there is none. */
export function elementText(xml: string, name: string): string {
  return unescaped(new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1] ?? '').trim();
}

/** What stands in each element of this name. */
export function elementsIn(xml: string, name: string): string[] {
  return xml
    .split(`<${name}>`)
    .slice(1)
    .map((part) => part.split(`</${name}>`)[0]);
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function unescaped(text: string): string {
  return text.replace(/&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#x([0-9a-fA-F]{1,6}));/g, (whole, name, decimal, hex) => {
    if (name !== undefined) return ENTITIES[name as string];
    const code = decimal === undefined ? parseInt(hex as string, 16) : Number(decimal);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}
