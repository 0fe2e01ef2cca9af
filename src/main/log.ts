/** The log: JSON lines on standard error, so that standard output stays for what a command prints. */
import { pino, type Logger } from 'pino';

/** A write for every request takes as long as a tenth of answering it. What is held back is written at the end of the process, but not if it is killed. */
const HELD_BACK = { minLength: 4096, periodicFlush: 250 };

export function openLog(level: string): Logger {
  return pino({ level, base: { pid: process.pid } }, pino.destination({ dest: 2, sync: false, ...HELD_BACK }));
}
