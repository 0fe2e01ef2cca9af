/** Lines from standard input. While the spool is full nothing is read, so that whoever writes has to wait. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Precision } from '../../formats/line-protocol/line-parser.ts';
import { LineCutter, type CutLine, type LineFormat } from './line-cutter.ts';
import { readPushed } from './push-records.ts';
import type { Spool } from './push-spool.ts';
import type { Speaker } from './speaker.ts';

export interface StdinRules {
  readonly format: LineFormat;
  readonly precision: Precision;
}

/** After so long a text that is not closed does not keep what is behind it. */
const IDLE_MS = 1_000;

/** Ends with its input, or when it is told to stop. */
export async function takeStdin(
  spool: Spool,
  input: AsyncIterable<Buffer>,
  { format, precision }: StdinRules,
  speaker: Speaker,
  stop: AbortSignal,
): Promise<void> {
  const cutter = new LineCutter(format, spool.mostTakenBytes);
  const take = async (lines: readonly CutLine[]): Promise<boolean> => {
    const isTaken = await spool.take(readPushed(lines, format, precision), { from: 'stdin' }, stop);
    if (!isTaken)
      speaker.say(`${lines.length} lines were read and not taken, for it was stopped while the spool is full`);
    return isTaken;
  };
  const pieces = input[Symbol.asyncIterator]();
  const stopped = new Promise<'stop'>((resolve) =>
    stop.addEventListener('abort', () => resolve('stop'), { once: true }),
  );
  for (let next = pieces.next(); ;) {
    const idle = new AbortController();
    const waits: Promise<IteratorResult<Buffer> | 'idle' | 'stop'>[] = [next, stopped];
    if (cutter.heldBytes > 0) waits.push(sleep(IDLE_MS, 'idle' as const, { signal: idle.signal }));
    const got = await Promise.race(waits).finally(() => idle.abort());
    if (got === 'stop') return;
    if (got === 'idle') {
      if (!(await take(cutter.settle()))) return;
      // What is still held waits for its line end, however long that takes.
      const more = await Promise.race([next, stopped]);
      if (more === 'stop') return;
      continue;
    }
    if (got.done) {
      await take(cutter.end());
      return;
    }
    for (let at = 0; at < got.value.length; at += spool.mostTakenBytes) {
      if (!(await take(cutter.take(got.value.subarray(at, at + spool.mostTakenBytes))))) return;
    }
    next = pieces.next();
  }
}
