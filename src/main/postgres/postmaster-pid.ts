/** The file `postmaster.pid`, by which a Postgres marks its data folder as taken. */
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { VarveError } from '../../core/errors.ts';
import { runAs } from './server-user.ts';
import type { ServerUser } from './server-user.ts';

/** Name of the file within the data folder. */
export const POSTMASTER_PID = 'postmaster.pid';

export interface PostmasterPid {
  readonly pid: number;
  /** Null while a starting server has not written it yet. */
  readonly port: number | null;
}

/**
 * Reads the text of a `postmaster.pid`: pid, data folder, start time, port, socket folder, address, shared memory,
 * status, one a line (PostgreSQL source, `miscadmin.h`, LOCK_FILE_LINE_*).
 *
 * @returns null if it names no process
 */
export function parsePostmasterPid(text: string): PostmasterPid | null {
  const lines = text.split('\n');
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  if (!Number.isInteger(pid) || pid <= 0) return null;
  return { pid, port: Number.isInteger(port) && port > 0 ? port : null };
}

/** @returns null if no server marks the folder; an unreadable mark has pid 0, which is never a running server */
export async function readPostmasterPid(clusterFolder: string): Promise<PostmasterPid | null> {
  try {
    const text = await readFile(join(clusterFolder, POSTMASTER_PID), 'utf8');
    return parsePostmasterPid(text) ?? { pid: 0, port: null };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/**
 * Whether `pid` is the Postgres that serves `clusterFolder`. After a kill or a reboot the number may have gone to another
 * program, even to the Postgres of another folder. On Linux the command name and the working folder decide, which is
 * always the data folder; elsewhere the command name does.
 *
 * @param user owner of the cluster: the working folder of its process shows itself to that account, and in a container
 *   not even to root
 * @throws VarveError `unavailable` if the system does not say
 */
export async function isServerOf(pid: number, clusterFolder: string, user: ServerUser): Promise<boolean> {
  if (!isAlive(pid)) return false;
  if (process.platform === 'linux') {
    const command = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
    if (command.trim() !== 'postgres') return false;
    const same = await runAs(user, '/bin/sh', ['-c', 'test "/proc/$1/cwd" -ef .', 'sh', String(pid)], {
      cwd: clusterFolder,
    });
    // Without an answer (no process left to fork, say) a running server must not be taken for a dead one.
    if (same.status !== 0 && same.status !== 1) {
      throw new VarveError('unavailable', `cannot tell whether process ${pid} serves ${clusterFolder}: ${same.status}`);
    }
    return same.status === 0;
  }
  if (process.platform === 'win32') return true;
  const { stdout } = await runAs({}, 'ps', ['-o', 'comm=', '-p', String(pid)]);
  return basename(stdout.trim()) === 'postgres';
}

/** Whether a process is certainly no more: also as a zombie, which an orphan stays for ever where process 1 collects none. */
export async function hasEnded(pid: number): Promise<boolean> {
  if (!isAlive(pid)) return true;
  if (process.platform !== 'linux') return false;
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The state follows the command name, which may hold spaces and brackets (proc(5)).
  return /^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
}

function isAlive(pid: number): boolean {
  // Zero and below would address process groups.
  if (pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
