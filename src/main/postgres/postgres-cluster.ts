/**
 * The folder of an embedded Postgres:
 * - `<dataDir>/cluster` is what Postgres calls its data folder; it is owned by the account that Postgres runs as
 * - `<dataDir>/password` is that of the role `varve`, mode 0600
 * - `<dataDir>/port` is the port of the last start
 * - `<dataDir>/server.log`
 * - `<dataDir>/server.lock` is locked for as long as a server, or a child of one, lives
 */
import { randomBytes } from 'node:crypto';
import { chmod, chown, lchown, mkdtemp, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { VarveError } from '../../core/errors.ts';
import { makeFolder } from '../../storage/folder/make-folder.ts';
import { canReach, runAs } from './server-user.ts';
import type { FinishedProgram, ServerUser } from './server-user.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import { syncFolder } from '../../storage/folder/sync-folder.ts';

/** The superuser and the database that Varve uses. */
const ROLE = 'varve';
const DATABASE = 'varve';

const PASSWORD_BYTES = 24;

/**
 * How a Linux server names its data folder when its account cannot walk to it, because it lies under root's home, say.
 * The server is started inside the folder, and this link leads there without a look at the folders above.
 */
const WORKING_FOLDER = '/proc/self/cwd';

export interface ClusterPaths {
  readonly dataDir: string;
  readonly folder: string;
  readonly passwordFile: string;
  readonly portFile: string;
  readonly logFile: string;
  readonly lockFile: string;
}

/** @param dataDir relative to the working folder or absolute */
export function clusterPaths(dataDir: string): ClusterPaths {
  const root = resolve(dataDir);
  return {
    dataDir: root,
    folder: join(root, 'cluster'),
    passwordFile: join(root, 'password'),
    portFile: join(root, 'port'),
    logFile: join(root, 'server.log'),
    lockFile: join(root, 'server.lock'),
  };
}

/** Creates the folder around the cluster. If root does, others may walk through: the server's account has to. */
export async function makeDataDir({ dataDir }: ClusterPaths): Promise<void> {
  makeFolder(dataDir, 0o700);
  if (process.getuid?.() === 0) await chmod(dataDir, (await stat(dataDir)).mode | 0o011);
}

/**
 * The name by which programs of `user` reach the cluster, provided that they are started inside it.
 *
 * @throws VarveError `forbidden` where there is no such name
 */
export async function clusterNameFor(user: ServerUser, paths: ClusterPaths): Promise<string> {
  if (await canReach(user, paths.dataDir)) return paths.folder;
  if (process.platform === 'linux') return WORKING_FOLDER;
  throw new VarveError(
    'forbidden',
    `Postgres does not run as root, and user id ${user.uid} cannot reach ${paths.dataDir}: run Varve as an ordinary user, or keep its data elsewhere`,
    { slug: 'embedded-postgres-owner' },
  );
}

/**
 * Makes sure that there is a cluster of this major version which `user` owns.
 *
 * @param name see {@link clusterNameFor}
 * @throws VarveError `conflict` if the cluster was made by another major version
 */
export async function ensureCluster(
  paths: ClusterPaths,
  name: string,
  user: ServerUser,
  binaries: PostgresBinaries,
  options: { fsync: boolean; log: (message: string) => void },
): Promise<void> {
  const major = await readFile(join(paths.folder, 'PG_VERSION'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (major === null) {
    options.log(`creating a Postgres ${binaries.major} cluster in ${paths.folder}`);
    await createCluster(paths, name, user, binaries, options.fsync);
  } else if (major.trim() !== binaries.major) {
    throw new VarveError(
      'conflict',
      `${paths.folder} was made by Postgres ${major.trim()}, and this Varve brings Postgres ${binaries.major}: go back to the Varve that made it, take a backup there and restore it here`,
      { slug: 'embedded-postgres-version' },
    );
  } else if (user.uid !== undefined && (await stat(paths.folder)).uid !== user.uid) {
    // Root put it there, from a backup for instance.
    await giveTo(user, paths.folder);
  }
}

/** Works in a side folder and renames it at the end: an interrupted start leaves nothing that looks like a cluster. */
async function createCluster(
  paths: ClusterPaths,
  name: string,
  user: ServerUser,
  binaries: PostgresBinaries,
  fsync: boolean,
): Promise<void> {
  const sidePrefix = `${basename(paths.folder)}.new-`;
  for (const entry of await readdir(paths.dataDir)) {
    if (entry.startsWith(sidePrefix)) await rm(join(paths.dataDir, entry), { recursive: true, maxRetries: 3 });
  }
  // A fresh name each time: the initdb of a killed start may still be writing under the old one.
  const side = await mkdtemp(join(paths.dataDir, sidePrefix));
  const sideName = name === paths.folder ? side : name;
  await giveTo(user, side);
  await writeDurably(paths.passwordFile, randomBytes(PASSWORD_BYTES).toString('base64url'));
  // initdb reads it too, and it tells the server's account nothing that the cluster would not.
  await giveTo(user, paths.passwordFile);

  const initdb = await runAs(
    user,
    binaries.initdb,
    [
      `--pgdata=${sideName}`,
      `--username=${ROLE}`,
      // Not joined: the way up starts in the folder that the name leads to.
      `--pwfile=${sideName}/../${basename(paths.passwordFile)}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      // Postgres' own Unicode rules: the same order and case on every system, where the C library's change with it.
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--no-instructions',
      ...(fsync ? [] : ['--no-sync']),
    ],
    { cwd: side },
  );
  refuseFailure('initdb', initdb);
  const createDatabase = await runAs(
    user,
    binaries.postgres,
    ['--single', '-D', sideName, '-c', 'exit_on_error=on', '-c', `fsync=${fsync ? 'on' : 'off'}`, 'postgres'],
    { cwd: side, input: `CREATE DATABASE ${DATABASE};\n` },
  );
  refuseFailure('CREATE DATABASE', createDatabase);
  await rename(side, paths.folder);
  await syncFolder(paths.dataDir);
}

function refuseFailure(step: string, { status, stdout, stderr }: FinishedProgram): void {
  if (status === 0) return;
  throw new VarveError('unavailable', `${step} failed (${status}): ${stderr.trim() || stdout.trim()}`, {
    slug: 'embedded-postgres-init',
  });
}

/**
 * @returns the URL of the cluster's server if it listens on `port`, with its password
 * @throws VarveError `unavailable` if the password is lost
 */
export async function clusterUrl(paths: ClusterPaths, port: number): Promise<string> {
  const password = await readFile(paths.passwordFile, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    throw new VarveError('unavailable', `${paths.passwordFile} is missing: restore it, the server asks for it`, {
      slug: 'embedded-postgres-password',
    });
  });
  return `postgres://${ROLE}:${password.trim()}@127.0.0.1:${port}/${DATABASE}`;
}

/** Hands a file or a whole folder to `user`; nothing to do when the server runs as this process does. */
export async function giveTo({ uid, gid }: ServerUser, path: string): Promise<void> {
  if (uid === undefined || gid === undefined) return;
  await chown(path, uid, gid);
  if (!(await stat(path)).isDirectory()) return;
  await chmod(path, 0o700);
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) await giveTo({ uid, gid }, inner);
    else await lchown(inner, uid, gid);
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  await rm(path, { force: true });
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}
