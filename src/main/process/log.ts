/** The log: JSON lines on standard error, so that standard output stays for what a command prints. */
import { pino, type Logger } from 'pino';

export function openLog(level: string): Logger {
  return pino({ level, base: { pid: process.pid } }, pino.destination({ dest: 2, sync: false }));
}
