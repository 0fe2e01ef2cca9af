/** What the numbers were measured on. */
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';

export interface Machine {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly system: string;
  readonly node: string;
}

export function describeMachine(): Machine {
  const cores = cpus();
  return {
    date: new Date().toISOString(),
    cpu: cores[0]?.model.trim() ?? 'unknown',
    cores: cores.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${release()}`,
    node: process.version,
  };
}

/** The most memory a process has had resident; null where there is no /proc to tell. */
export function peakRssMb(pid: number): number | null {
  return memoryMb(pid, 'VmHWM');
}

/** What a process has resident; null where there is no /proc to tell. */
export function rssMb(pid: number): number | null {
  return memoryMb(pid, 'VmRSS');
}

function memoryMb(pid: number, name: 'VmHWM' | 'VmRSS'): number | null {
  const path = `/proc/${pid}/status`;
  const kilobytes = existsSync(path)
    ? new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(path, 'utf8'))?.[1]
    : undefined;
  return kilobytes === undefined ? null : (Number(kilobytes) * 1024) / 1e6;
}

/** Processor time of processes and all that descend from them, in ms; what has ended is left out. NaN where there is no /proc to tell. */
export function cpuMs(roots: readonly number[]): number {
  const parents = new Map<number, number>();
  const spent = new Map<number, number>();
  for (const name of existsSync('/proc') ? readdirSync('/proc') : []) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const fields = statOf(pid)?.split(' ');
    if (!fields) continue;
    parents.set(pid, Number(fields[PARENT]));
    spent.set(pid, (Number(fields[USER_TICKS]) + Number(fields[SYSTEM_TICKS])) * MS_PER_TICK);
  }
  const isMeant = (pid: number | undefined): boolean =>
    pid !== undefined && (roots.includes(pid) || isMeant(parents.get(pid)));
  let ms = parents.size === 0 ? NaN : 0;
  for (const [pid, each] of spent) if (isMeant(pid)) ms += each;
  return ms;
}

/** Fields of `/proc/<pid>/stat` behind the name. */
const [PARENT, USER_TICKS, SYSTEM_TICKS] = [1, 11, 12];
const MS_PER_TICK = 10;

function statOf(pid: number): string | null {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!;
  } catch {
    return null;
  }
}

/** Blocks on the disk, not lengths: a file may have holes, or be longer on the disk than it says. What vanishes meanwhile takes nothing. */
export function allocatedBytes(path: string): number {
  const info = lstatSync(path, { throwIfNoEntry: false });
  if (!info) return 0;
  const own = info.blocks * 512;
  return info.isDirectory() ? namesIn(path).reduce((sum, name) => sum + allocatedBytes(join(path, name)), own) : own;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
