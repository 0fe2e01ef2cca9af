/** What the spool of `varve push` holds: lines that have a time, and items of many series. */
import { isUtf8 } from 'node:buffer';
import { lineShape, withTimeInNs } from '../../formats/line-protocol/line-shape.ts';
import type { Precision } from '../../formats/line-protocol/line-parser.ts';
import { readItemLine } from '../../formats/samples/item-lines.ts';
import type { QueueEntry } from '../../storage/queue/queue-record.ts';
import type { CutLine, LineFormat } from './line-cutter.ts';

/** Kinds of records. What one request holds is of one kind. */
export const RECORD_KINDS = { line: 1, item: 2, keyedItem: 3 } as const;

/** A line that is not sent, and why. */
export interface RefusedLine {
  readonly line: Uint8Array;
  readonly reason: string;
}

export interface PushedLines {
  readonly entries: QueueEntry[];
  readonly refused: RefusedLine[];
}

let lastNs = 0n;

/** The clock's time. No two lines have the same: the later one would take the place of the other. */
export function arrivalNs(): bigint {
  const now = BigInt(Date.now()) * 1_000_000n;
  lastNs = now > lastNs ? now : lastNs + 1n;
  return lastNs;
}

/** @param precision of times of line protocol */
export function readPushed(lines: readonly CutLine[], format: LineFormat, precision: Precision): PushedLines {
  const read: PushedLines = { entries: [], refused: [] };
  for (const each of lines) {
    if ('fault' in each) read.refused.push({ line: each.line, reason: each.fault });
    else if (!isUtf8(each.line)) read.refused.push({ line: each.line, reason: 'is no UTF-8 text' });
    else if (format === 'lines') readLine(each.line, precision, read);
    else readItem(each.line, read);
  }
  return read;
}

function readLine(line: Buffer, precision: Precision, { entries, refused }: PushedLines): void {
  const { isIdle, isOpen } = lineShape(line, 0);
  if (isIdle) return;
  // It would take in its neighbours, in a body of many.
  if (isOpen) refused.push({ line, reason: 'unbalanced quotes' });
  else entries.push({ kind: RECORD_KINDS.line, payload: withTimeInNs(line, precision, arrivalNs) });
}

function readItem(line: Buffer, { entries, refused }: PushedLines): void {
  const text = line.toString();
  if (text.trim() === '') return;
  const read = readItemLine(1, text);
  if ('error' in read) refused.push({ line, reason: read.error.message });
  else if (read.item.sequence !== null) {
    refused.push({ line, reason: 'sequence: is given by varve push, to every item' });
  } else {
    const kind = read.item.key === null ? RECORD_KINDS.item : RECORD_KINDS.keyedItem;
    entries.push({ kind, payload: Buffer.from(text.trim()) });
  }
}

/** The text of an item with its number among those of the spool. */
export function withSequence(item: Uint8Array, sequence: bigint): string {
  return `{"sequence":${sequence},${Buffer.from(item).toString().slice(1)}`;
}
