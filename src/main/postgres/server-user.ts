/**
 * The account the embedded Postgres runs as. Postgres, initdb and pg_ctl refuse root, so a root process starts them as
 * somebody else; everybody else starts them as themselves.
 */
import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { VarveError } from '../../core/errors.ts';

/** Ids to spawn with; both absent when the server runs as the account of this process. */
export interface ServerUser {
  readonly uid?: number;
  readonly gid?: number;
}

/** Accounts that a root process hands the server to, best first. initdb insists on an entry in the passwd file. */
const SERVICE_ACCOUNTS = ['postgres', '_postgres', 'nobody'];

/**
 * Chosen by hand instead of inherited: PGDATA, PGPORT or a locale of the caller's shell must not reach the server.
 */
export const SERVER_ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };

/**
 * Whoever owns an existing cluster keeps it, so that one start with sudo does not take it away from its user.
 *
 * @param clusterFolder the Postgres data folder; it may not exist yet
 * @throws VarveError `forbidden` if the cluster belongs to someone this process cannot become
 * @throws VarveError `unavailable` if root finds no account to hand the server to
 */
export async function chooseServerUser(clusterFolder: string): Promise<ServerUser> {
  if (process.getuid === undefined) return {};
  const owner = await stat(clusterFolder).catch(() => null);
  const self = process.getuid();
  if (self !== 0) {
    if (owner !== null && owner.uid !== self) {
      throw new VarveError(
        'forbidden',
        `${clusterFolder} belongs to user id ${owner.uid}, this process runs as ${self}: run Varve as that user or as root`,
        { slug: 'embedded-postgres-owner' },
      );
    }
    return {};
  }
  if (owner !== null && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const accounts = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  for (const name of SERVICE_ACCOUNTS) {
    const account = accounts.find((fields) => fields[0] === name);
    if (account !== undefined) return { uid: Number(account[2]), gid: Number(account[3]) };
  }
  throw new VarveError(
    'unavailable',
    'Postgres does not run as root, and there is no account "postgres" or "nobody" to run it: run Varve as an ordinary user or set DATABASE_URL',
    { slug: 'embedded-postgres-user' },
  );
}

export interface FinishedProgram {
  /** Exit status; a signal's name or a spawn error's code (`ENOENT`, `EACCES`) if there is none. */
  readonly status: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program to its end as `user`. The working folder is entered before the account is changed, so it may lie where
 * that account could not walk to.
 */
export function runAs(
  user: ServerUser,
  program: string,
  args: readonly string[],
  options: { cwd?: string; input?: string } = {},
): Promise<FinishedProgram> {
  return new Promise((resolve) => {
    const child = execFile(
      program,
      args,
      { ...user, cwd: options.cwd ?? '/', env: SERVER_ENVIRONMENT, windowsHide: true },
      (error, stdout, stderr) =>
        resolve({ status: error === null ? 0 : (error.code ?? error.signal ?? 1), stdout, stderr }),
    );
    // A program that ends without reading its input is judged by its status, not by the broken pipe.
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input ?? '');
  });
}

/** Whether `user` can walk to `path` and enter or execute it. The system is asked: mode bits do not tell of ACLs. */
export async function canReach(user: ServerUser, path: string): Promise<boolean> {
  if (user.uid === undefined) return true;
  const { status } = await runAs(user, '/bin/sh', ['-c', 'test -x "$1"', 'sh', path]);
  return status === 0;
}
