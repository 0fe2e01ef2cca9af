/**
 * A Postgres of our own for the one-machine mode. Its server processes are real, and are started beside this one and
 * stopped last. If a killed predecessor left them running, they are adopted.
 *
 * The server is a process group of its own. Ctrl-C reaches this process only, which can then finish its work before it
 * calls {@link EmbeddedPostgres.stop}. A kill of this process loses nothing: the next start finds the server.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync } from 'node:fs';
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openDatabase } from '../../catalog/database.ts';
import { VarveError } from '../../core/errors.ts';
import { lockFile } from '../../storage/folder/file-lock.ts';
import { findPostgresBinaries } from './postgres-binaries.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import { clusterNameFor, clusterPaths, clusterUrl, ensureCluster, giveTo, makeDataDir } from './postgres-cluster.ts';
import type { ClusterPaths } from './postgres-cluster.ts';
import { hasEnded, isServerOf, POSTMASTER_PID, readPostmasterPid } from './postmaster-pid.ts';
import { chooseServerUser, runAs, SERVER_ENVIRONMENT } from './server-user.ts';
import type { ServerUser } from './server-user.ts';

/** A living server may take this long to accept us: recovery after a crash reads back up to a checkpoint's worth of WAL. */
const READY_LIMIT_MS = 300_000;
/** When waiting is worth a line in the log. */
const SLOW_MS = 2_000;
/** Launches that fail for a passing reason (below) are repeated for this long. */
const LAUNCH_LIMIT_MS = 10_000;
const POLL_MS = 50;
/** Pause between two looks at an adopted server. */
const WATCH_MS = 500;
/** Seconds that a stop may take: it writes a checkpoint. */
const STOP_LIMIT_S = 120;
/** How long the process may outlive its mark. */
const GONE_TRIES = 100;
const GONE_PAUSE_MS = 20;
/** The server's log starts afresh at the next start when it is larger. */
const LOG_LIMIT_BYTES = 10 * 1024 * 1024;
/** How much of the server's log an error quotes. */
const LOG_QUOTE_LENGTH = 2_000;

/** Somebody took the port after we looked; orphans of a killed server still hold its memory; it is still on its way out. */
const PASSING_FAILURE = /Address already in use|shared memory block|lock file "postmaster\.pid" already exists/;

/** What the server says to a login before it is ready, and while it stops. */
const CANNOT_CONNECT_NOW = '57P03';
/** SQLSTATE class 28: wrong password, unknown role, no matching line in pg_hba.conf. */
const INVALID_AUTHORIZATION = /^28/;

export interface EmbeddedPostgresOptions {
  /** Folder for the cluster, its password and its log; created if missing. */
  readonly dataDir: string;
  /** Default 0: a free port, and the same one at the next start if it is still free. */
  readonly port?: number;
  /** Default true. False trades crash safety for speed; for tests. */
  readonly fsync?: boolean;
  /** Default `create`. `refuse` where there must be one: an empty one in its place would hide that data are lost. */
  readonly ifMissing?: 'create' | 'refuse';
  /** No server is launched once it is aborted. One that is on its way up goes on: end it as any other. */
  readonly signal?: AbortSignal;
  /** Told before each step that may take longer than a second. */
  readonly log: (message: string) => void;
}

export interface EmbeddedPostgres {
  /** `postgres://…` with the password: not for logs. */
  readonly url: string;
  /** True if the server was already running, left by a process that was killed. */
  readonly adopted: boolean;
  /** True if the mark of a dead server had to be removed. */
  readonly recoveredStalePid: boolean;
  /** Resolves with how its process has ended, once it has, or when the signal is aborted. */
  untilEnded(signal: AbortSignal): Promise<string>;
  /** Ends the server of this folder, also an adopted one; close the connection pools first. Can be called again. */
  stop(): Promise<void>;
}

/** All that is needed to run programs on one cluster. */
interface Site {
  readonly paths: ClusterPaths;
  readonly user: ServerUser;
  readonly binaries: PostgresBinaries;
  /** How those programs call the cluster's folder; they are started inside it. */
  readonly clusterName: string;
}

/**
 * Starts the Postgres of `dataDir`, or adopts it if it is running, and resolves when it accepts connections. The
 * cluster is created at the first start. One process at a time should own a data folder; this function does not see to
 * that.
 * @throws VarveError `unavailable` if there is no Postgres for this platform or it does not start
 * @throws VarveError `conflict` if the given port is taken or the cluster has another major version
 * @throws VarveError `forbidden` if the data belong to another user
 * @throws VarveError `not-found` if there is no cluster and none is to be made
 */
export async function startEmbeddedPostgres({
  dataDir,
  port = 0,
  fsync = true,
  ifMissing = 'create',
  signal,
  log,
}: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const paths = clusterPaths(dataDir);
  if (ifMissing === 'refuse' && !existsSync(paths.folder)) {
    throw new VarveError('not-found', `the data of Postgres are gone: there is no ${paths.folder}`);
  }
  await makeDataDir(paths);
  const user = await chooseServerUser(paths.folder);
  // Before a cluster is made; one that serves us already is looked at below.
  if ((await readPostmasterPid(paths.folder)) === null) await refuseTakenPort(port);
  const clusterName = await clusterNameFor(user, paths);
  const binaries = await findPostgresBinaries(user, paths.dataDir, log);
  await ensureCluster(paths, clusterName, user, binaries, { fsync, log });
  const site = { paths, user, binaries, clusterName };

  const left = await readPostmasterPid(paths.folder);
  if (left !== null) {
    const url = await waitForServer(site, left.pid, () => isServerOf(left.pid, paths.folder, user), log);
    if (url !== null) {
      const untilEnded = (signal: AbortSignal): Promise<string> => watchUntilGone(left.pid, signal);
      return { url, adopted: true, recoveredStalePid: false, untilEnded, stop: stopOneAtATime(site, () => false) };
    }
  }
  // Still there: its server is gone without a farewell. Postgres itself would take any program with that number for the
  // server. Should we be wrong, it also looks for processes that share the old server's memory, and refuses.
  const lock = await takeServerLock(site, signal);
  const stale = (await readPostmasterPid(paths.folder)) !== null;
  if (stale) await rm(join(paths.folder, POSTMASTER_PID), { force: true });

  const { url, exited, isRunning } = await launchRepeatedly(site, { port, fsync, signal, lock, log }).finally(() => {
    if (lock !== null) closeSync(lock);
  });
  const untilEnded = (signal: AbortSignal): Promise<string> => Promise.race([exited, aborted(signal)]);
  return { url, adopted: false, recoveredStalePid: stale, untilEnded, stop: stopOneAtATime(site, isRunning) };
}

/**
 * Opens a file that the server and its children inherit, and with it a lock. The kernel keeps the lock until the last
 * of them has ended, whoever started them and in whichever container. Their pids and their shared memory tell nothing
 * to another container.
 * @returns null on Windows, where Postgres alone sees to it
 */
async function takeServerLock({ paths, user }: Site, signal: AbortSignal | undefined): Promise<number | null> {
  if (process.platform === 'win32') return null;
  for (const deadlineMs = performance.now() + LAUNCH_LIMIT_MS; ; await sleep(POLL_MS)) {
    signal?.throwIfAborted();
    const lock = lockFile(paths.lockFile);
    if (lock !== null) {
      await giveTo(user, paths.lockFile);
      return lock;
    }
    if (performance.now() < deadlineMs) continue;
    throw new VarveError(
      'conflict',
      `a Postgres that cannot be reached from here still runs in ${paths.folder}, perhaps in another container: stop it, or the container`,
      { slug: 'embedded-postgres-elsewhere' },
    );
  }
}

/**
 * The URL of the server that runs in `dataDir`, for a command beside a running service. Starts and stops nothing.
 *
 * @returns null if none is running or it does not accept connections now
 * @throws VarveError `forbidden` if the cluster belongs to another user
 */
export async function findRunningPostgres(dataDir: string): Promise<string | null> {
  const paths = clusterPaths(dataDir);
  const user = await chooseServerUser(paths.folder);
  const mark = await readPostmasterPid(paths.folder);
  if (mark === null || mark.port === null || !(await isServerOf(mark.pid, paths.folder, user))) return null;
  const url = await clusterUrl(paths, mark.port);
  return (await tryLogin(url)) === 'accepted' ? url : null;
}

/**
 * Waits until the server `pid` of this cluster accepts our password.
 *
 * @returns its URL, or null once it has ended or if there never was such a server
 */
async function waitForServer(
  { paths }: Site,
  pid: number,
  isRunning: () => boolean | Promise<boolean>,
  log: (message: string) => void,
): Promise<string | null> {
  const startMs = performance.now();
  let told = false;
  while (await isRunning()) {
    const mark = await readPostmasterPid(paths.folder);
    if (mark?.pid === pid && mark.port !== null) {
      const url = await clusterUrl(paths, mark.port);
      const answer = await tryLogin(url);
      if (answer === 'accepted') return url;
      if (answer === 'refused') {
        throw new VarveError(
          'unavailable',
          `the Postgres with process id ${pid} runs in ${paths.folder} and refuses the password in ${paths.passwordFile}`,
          { slug: 'embedded-postgres-password' },
        );
      }
    }
    const waitedMs = performance.now() - startMs;
    if (waitedMs > READY_LIMIT_MS) {
      throw new VarveError(
        'unavailable',
        `the Postgres with process id ${pid} in ${paths.folder} did not accept connections for ${READY_LIMIT_MS / 1000} s; see ${paths.logFile}`,
        { slug: 'embedded-postgres-start' },
      );
    }
    if (!told && waitedMs > SLOW_MS) {
      log('waiting for Postgres, which is recovering or still stopping');
      told = true;
    }
    await sleep(POLL_MS);
  }
  return null;
}

async function tryLogin(url: string): Promise<'accepted' | 'refused' | 'not yet'> {
  const database = openDatabase(url, { poolSize: 1, onError: () => {} });
  try {
    await database.db.selectNoFrom((expression) => expression.lit(1).as('one')).execute();
    return 'accepted';
  } catch (error) {
    const { code = '' } = error as { code?: string };
    return code !== CANNOT_CONNECT_NOW && INVALID_AUTHORIZATION.test(code) ? 'refused' : 'not yet';
  } finally {
    await database.close();
  }
}

interface LaunchOptions {
  readonly port: number;
  readonly fsync: boolean;
  readonly signal: AbortSignal | undefined;
  /** An open file for the server to inherit. */
  readonly lock: number | null;
  readonly log: (message: string) => void;
}

interface Launched {
  readonly url: string;
  /** Resolves with its signal or exit code. */
  readonly exited: Promise<string>;
  /** Whether it is running, as its parent knows, for whom no `/proc` is needed. */
  readonly isRunning: () => boolean;
}

async function launchRepeatedly(site: Site, options: LaunchOptions): Promise<Launched> {
  const deadlineMs = performance.now() + LAUNCH_LIMIT_MS;
  for (;;) {
    options.signal?.throwIfAborted();
    const port = options.port === 0 ? await choosePort(site.paths) : options.port;
    await refuseTakenPort(options.port);
    const launched = await launch(site, port, options);
    if ('url' in launched) {
      await writeFile(site.paths.portFile, String(port));
      await giveTo(site.user, site.paths.portFile);
      return launched;
    }
    if (performance.now() > deadlineMs || !PASSING_FAILURE.test(launched.failure)) {
      throw new VarveError('unavailable', `Postgres did not start: ${launched.failure}`, {
        slug: 'embedded-postgres-start',
      });
    }
    await sleep(POLL_MS);
  }
}

async function launch(
  site: Site,
  port: number,
  { fsync, lock, log }: LaunchOptions,
): Promise<Launched | { failure: string }> {
  const { paths, user, binaries, clusterName } = site;
  const settings: Record<string, string | number> = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '',
    max_connections: 100,
    shared_buffers: '128MB',
    wal_level: 'replica',
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...(fsync ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
  };
  const logFile = await open(paths.logFile, 'a', 0o600);
  try {
    await giveTo(user, paths.logFile);
    if ((await logFile.stat()).size > LOG_LIMIT_BYTES) await logFile.truncate();
    const { size: logStart } = await logFile.stat();
    const child = spawn(
      binaries.postgres,
      ['-D', clusterName, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      {
        ...user,
        cwd: paths.folder,
        env: SERVER_ENVIRONMENT,
        detached: true,
        windowsHide: true,
        stdio: ['ignore', logFile.fd, logFile.fd, ...(lock === null ? [] : [lock])],
      },
    );
    child.unref();
    let spawnError: Error | null = null;
    child.once('error', (error) => (spawnError = error));
    const exited = new Promise<string>((resolve) => {
      child.once('exit', (status, signal) => resolve(signal ?? `exit code ${status}`));
    });
    const isRunning = (): boolean => child.exitCode === null && child.signalCode === null;
    const url = child.pid === undefined ? null : await waitForServer(site, child.pid, isRunning, log);
    if (url !== null) return { url, exited, isRunning };
    // The exit and the error are told on a later turn of the loop.
    await sleep(0);
    const said = (await readFile(paths.logFile)).subarray(logStart).toString().trim();
    return { failure: spawnError === null ? said.slice(-LOG_QUOTE_LENGTH) : String(spawnError) };
  } finally {
    await logFile.close();
  }
}

/** The port of the last start if it is free, so that a URL somebody noted stays true; else any free one. */
async function choosePort(paths: ClusterPaths): Promise<number> {
  const last = Number(await readFile(paths.portFile, 'utf8').catch(() => ''));
  if (Number.isInteger(last) && last > 0 && last < 65_536 && (await isFreePort(last))) return last;
  return listenOnce(0);
}

/** @param port 0 stands for any that is free */
async function refuseTakenPort(port: number): Promise<void> {
  if (port === 0 || (await isFreePort(port))) return;
  throw new VarveError(
    'conflict',
    `port ${port} for the embedded Postgres is taken by another program: stop it, or choose another with VARVE_POSTGRES_PORT`,
    { slug: 'embedded-postgres-port' },
  );
}

async function isFreePort(port: number): Promise<boolean> {
  return listenOnce(port).then(
    () => true,
    // What else can be wrong with a port, the server itself says best.
    (error: NodeJS.ErrnoException) => error.code !== 'EADDRINUSE',
  );
}

/** @returns the port that the system gave; it is free again */
function listenOnce(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const { port: given } = server.address() as AddressInfo;
      server.close(() => resolve(given));
    });
  });
}

/** An adopted server is no child of ours: nobody tells us of its end. */
async function watchUntilGone(pid: number, signal: AbortSignal): Promise<string> {
  while (!signal.aborted && !(await hasEnded(pid))) await sleep(WATCH_MS, null, { signal }).catch(() => {});
  return 'ended';
}

function aborted(signal: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve('aborted');
    signal.addEventListener('abort', () => resolve('aborted'), { once: true });
  });
}

function stopOneAtATime(site: Site, isRunning: () => boolean): () => Promise<void> {
  let stopping: Promise<void> | null = null;
  return () => (stopping ??= stopServer(site, isRunning).finally(() => (stopping = null)));
}

/** @param isOursRunning what its parent knows; about another server the system is asked */
async function stopServer({ paths, user, binaries, clusterName }: Site, isOursRunning: () => boolean): Promise<void> {
  const mark = await readPostmasterPid(paths.folder);
  const isRunning = async (pid: number): Promise<boolean> => isOursRunning() || isServerOf(pid, paths.folder, user);
  if (mark === null || !(await isRunning(mark.pid))) return;
  const stopped = await runAs(
    user,
    binaries.pgCtl,
    ['stop', '-D', clusterName, '-m', 'fast', '-w', '-t', String(STOP_LIMIT_S)],
    { cwd: paths.folder },
  );
  if (stopped.status !== 0) {
    throw new VarveError('unavailable', `Postgres did not stop: ${stopped.stderr.trim() || stopped.stdout.trim()}`, {
      slug: 'embedded-postgres-stop',
    });
  }
  // pg_ctl looks for the mark, which goes a moment before the process does.
  for (let tries = 0; tries < GONE_TRIES && (await isRunning(mark.pid)); tries++) {
    await sleep(GONE_PAUSE_MS);
  }
}
