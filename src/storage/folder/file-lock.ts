/**
 * A lock on a file that the kernel holds. It lasts as long as the open file, and goes with the process that holds it,
 * however that ends. No pid is compared. So a zombie holds nothing, and a process that is stopped, or in another
 * container on the same disk, holds what it has.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { VarveError } from '../../core/errors.ts';

const { O_RDWR, O_CREAT, O_NONBLOCK } = constants;
/** open(2) of macOS and the BSDs: takes the lock of flock(2) with the same step. */
const O_EXLOCK = 0x20;
/** libuv on Windows: nobody else may open the file (`UV_FS_O_EXLOCK`). */
const SHARE_NOTHING = 0x1000_0000;
const LOCKING_FLAGS: Partial<Record<NodeJS.Platform, number>> = {
  darwin: O_EXLOCK | O_NONBLOCK,
  freebsd: O_EXLOCK | O_NONBLOCK,
  openbsd: O_EXLOCK | O_NONBLOCK,
  win32: SHARE_NOTHING,
};
/** What open says of a file that another has locked so. */
const HELD_CODES: ReadonlySet<string> = new Set(['EAGAIN', 'EBUSY', 'EWOULDBLOCK']);

/**
 * Node has no flock(2), and Linux no flag for it. A lock of flock(2) belongs to the open file, not to the process that
 * asked for it. So these programs lock the file that we hand them, and end. They end with 1 and without a word if
 * another has the lock.
 */
const FLOCK = ['-n', '-x', '3'];
const PERL = [
  '-MFcntl=:flock',
  '-e',
  'open(my $file, "+<&=", 3) or die; flock($file, LOCK_EX | LOCK_NB) or $!{EWOULDBLOCK} ? exit 1 : die "$!\n"',
];
/** Programs that lock a file, by name and where they usually are: a service manager may have cut the PATH short. */
const LOCKERS: readonly (readonly [program: string, args: readonly string[]])[] = [
  ['flock', FLOCK],
  ['/usr/bin/flock', FLOCK],
  ['perl', PERL],
  ['/usr/bin/perl', PERL],
];

/**
 * Opens the file, made if it is missing, and locks it. Closing it ends the lock. The file must not be deleted: the next one would lock another.
 * @returns the open file; null if another has the lock
 * @throws what the system says of a file that cannot be opened; `unavailable` if nothing here can lock it
 */
export function lockFile(path: string): number | null {
  const locking = LOCKING_FLAGS[process.platform];
  if (locking !== undefined) {
    try {
      return openSync(path, O_RDWR | O_CREAT | locking, 0o644);
    } catch (error) {
      if (HELD_CODES.has((error as NodeJS.ErrnoException).code ?? '')) return null;
      throw error;
    }
  }
  const file = openSync(path, O_RDWR | O_CREAT, 0o644);
  let isOurs = false;
  try {
    isOurs = lockOpenFile(file, path);
  } finally {
    if (!isOurs) closeSync(file);
  }
  return isOurs ? file : null;
}

/** @returns whether it is ours now */
function lockOpenFile(file: number, path: string): boolean {
  for (const [program, args] of LOCKERS) {
    const { error, status, stderr } = spawnSync(program, args, { stdio: ['ignore', 'ignore', 'pipe', file] });
    if (error !== undefined) continue; // It is not there, or not for us.
    const said = stderr.toString().trim();
    if (status === 0) return true;
    if (status === 1 && said === '') return false;
    throw new VarveError('unavailable', `${path} cannot be locked: ${said || `${program} ended with ${status}`}`, {
      slug: 'file-lock',
    });
  }
  throw new VarveError(
    'unavailable',
    `${path} cannot be locked: install the program flock (package util-linux), or use a Postgres of your own with DATABASE_URL`,
    { slug: 'file-lock' },
  );
}
