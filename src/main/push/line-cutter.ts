/** Cuts what arrives in pieces into lines, as bytes: of line protocol, whose texts may have line ends, or of JSON. */
import { lineShape } from '../../formats/line-protocol/line-shape.ts';

/** What pushed lines are. */
export type LineFormat = 'lines' | 'items';

/** A line, without its end. */
export type CutLine =
  | { readonly line: Buffer }
  /** One that is too long, as it begins, and why nothing more of it is kept. */
  | { readonly line: Buffer; readonly fault: string };

/** A text that is not closed within so many bytes is none: its neighbours are not waited for any longer. */
const MOST_OPEN_BYTES = 64 * 1024;
/** What is told of a line that is too long. */
const TOLD_BYTES = 1024;
const LF = 0x0a;
const CR = 0x0d;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

export class LineCutter {
  readonly #format: LineFormat;
  readonly #mostBytes: number;
  #held: Buffer = Buffer.alloc(0);
  /** The beginning of a line that is too long, of which the rest is passed over. */
  #passing: { readonly begin: Buffer; bytes: number } | null = null;
  #isFirst: boolean;

  /** @param mostBytes of a line; @param isBegin whether a byte order mark may come */
  constructor(format: LineFormat, mostBytes: number, isBegin = true) {
    this.#format = format;
    this.#mostBytes = mostBytes;
    this.#isFirst = isBegin;
  }

  /** Bytes that have come and belong to no line yet. */
  get heldBytes(): number {
    return this.#passing?.bytes ?? this.#held.length;
  }

  /** @returns the lines that are complete */
  take(piece: Buffer): CutLine[] {
    this.#held = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]);
    return this.#cut(false);
  }

  /** Nothing comes for the moment: a text that is not closed does not keep what is behind it. */
  settle(): CutLine[] {
    return this.#cut(true);
  }

  /** Nothing comes any more: the rest is a line, too. */
  end(): CutLine[] {
    const lines = this.#cut(true);
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    if (this.#passing) lines.push(this.#passed(this.#passing));
    else if (rest.length > 0) lines.push({ line: withoutReturn(rest) });
    this.#passing = null;
    return lines;
  }

  #cut(isSettled: boolean): CutLine[] {
    const lines: CutLine[] = [];
    let from = 0;
    if (this.#isFirst && this.#held.length >= BYTE_ORDER_MARK.length) {
      this.#isFirst = false;
      if (this.#held.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK)) from = BYTE_ORDER_MARK.length;
    }
    for (;;) {
      const end = this.#endOf(from, isSettled);
      if (end < 0) break;
      if (this.#passing) {
        this.#passing.bytes += end - from;
        lines.push(this.#passed(this.#passing));
        this.#passing = null;
      } else if (end - from > this.#mostBytes) {
        lines.push(this.#passed({ begin: this.#held.subarray(from, from + TOLD_BYTES), bytes: end - from }));
      } else lines.push({ line: withoutReturn(this.#held.subarray(from, end)) });
      from = end + 1;
    }
    this.#held = this.#held.subarray(from);
    if (this.#held.length > this.#mostBytes) {
      this.#passing ??= { begin: Buffer.from(this.#held.subarray(0, TOLD_BYTES)), bytes: 0 };
      this.#passing.bytes += this.#held.length;
      this.#held = Buffer.alloc(0);
    } else if (this.#passing) {
      this.#passing.bytes += this.#held.length;
      this.#held = Buffer.alloc(0);
    }
    return lines;
  }

  #endOf(from: number, isSettled: boolean): number {
    const first = this.#held.indexOf(LF, from);
    if (first < 0 || this.#format === 'items' || this.#passing) return first;
    const { end, isOpen } = lineShape(this.#held, from);
    if (!isOpen) return end;
    return isSettled || this.#held.length - from > MOST_OPEN_BYTES ? first : -1;
  }

  #passed({ begin, bytes }: { readonly begin: Buffer; readonly bytes: number }): CutLine {
    return { line: begin, fault: `a line of ${bytes} bytes: ${this.#mostBytes} are the most` };
  }
}

function withoutReturn(line: Buffer): Buffer {
  return line.at(-1) === CR ? line.subarray(0, -1) : line;
}
