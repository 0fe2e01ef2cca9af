/** Who a process is, so that a later one can tell whether it is certainly gone, and with it every file it held open. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

export interface ProcessIdentity {
  readonly host: string;
  /** Changes with every boot; null where the system does not tell (then nobody is ever certain). */
  readonly boot: string | null;
  readonly pid: number;
  /** Start time in clock ticks since boot: a pid that is used again has another. */
  readonly started: string | null;
}

export function thisProcess(): ProcessIdentity {
  return { host: hostname(), boot: bootId(), pid: process.pid, started: startTime(process.pid) };
}

/**
 * True only if the process is certainly gone. The host is the same, and has booted since, or the pid is free or
 * somebody else's.
 */
export function isProcessGone(identity: unknown): boolean {
  const { host, boot, pid, started } = (identity ?? {}) as Partial<ProcessIdentity>;
  if (host !== hostname() || !boot || typeof pid !== 'number' || !started) return false;
  return boot !== bootId() || startTime(pid) !== started;
}

function bootId(): string | null {
  return readText('/proc/sys/kernel/random/boot_id');
}

/** Field 22 of /proc/<pid>/stat (proc(5)); the command name before it may hold spaces and brackets. */
function startTime(pid: number): string | null {
  const stat = readText(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
}
