/** The service as its users run it: the compiled command line in a process of its own, on a free port and a fresh folder. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Compiled beside the tests. */
const CLI = fileURLToPath(new URL('../../src/main/cli.js', import.meta.url));
const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 30_000;

/** A run of the command line. */
export interface CliProcess {
  readonly pid: number;
  /** The exit code; null if a signal ended it. */
  readonly exited: Promise<number | null>;
  /** Everything it has printed so far, on either stream. */
  output(): string;
  /** The first line of standard output that begins so. @throws with the output if the process ends before, or takes too long */
  line(beginning: string): Promise<string>;
  signal(name: NodeJS.Signals): void;
}

/**
 * @param env what it sees beside PATH and the like; nothing of the test run's own settings
 * @param cwd where it is started; not in the project, whose `.env` is a developer's own
 */
export function runCli(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  { cwd = tmpdir() }: { cwd?: string } = {},
): CliProcess {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(VARVE_.*|NODE_OPTIONS|DATABASE_URL|REDIS_URL)$/.test(name),
  );
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd,
    // The run's Postgres is a fast one.
    env: { ...Object.fromEntries(inherited), VARVE_ALLOW_FSYNC_OFF: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let output = '';
  const watchers = new Set<() => void>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    output += text;
    for (const watch of watchers) watch();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return {
    pid: child.pid ?? 0,
    exited,
    output: () => output,
    async line(beginning) {
      let found: string | undefined;
      const printed = new Promise<void>((resolve) => {
        const watch = (): void => {
          found = stdout
            .split('\n')
            .slice(0, -1)
            .find((each) => each.startsWith(beginning));
          if (found !== undefined) resolve();
        };
        watchers.add(watch);
        watch();
      });
      await within(START_LIMIT_MS, Promise.race([printed, exited]));
      if (found !== undefined) return found;
      child.kill('SIGKILL');
      throw new Error(`"${beginning}" was not printed by varve ${args.join(' ')}:\n${output}`);
    },
    signal: (name) => void child.kill(name),
  };
}

export interface RunningService {
  /** Without a slash at the end; another one after each restart. */
  readonly url: string;
  readonly token: string;
  readonly dataRoot: string;
  readonly pid: number;
  /** What all its processes have printed. */
  output(): string;
  /** SIGTERM. @returns the exit code */
  stop(): Promise<number | null>;
  /** SIGKILL, as a crash or the kernel out of memory would; an embedded Postgres stays behind. */
  kill9(): Promise<void>;
  /** Starts it again in the same folder, stopping it first if it runs. */
  restart(): Promise<void>;
  /** Ends everything it has started, and removes its folder. */
  drop(): Promise<void>;
}

/** Starts `varve serve` and waits until it is ready. @throws with what it printed if it does not become so */
export async function startService({
  env = {},
  args = [],
}: {
  readonly env?: Readonly<Record<string, string>>;
  /** Options of `serve`. */
  readonly args?: readonly string[];
} = {}): Promise<RunningService> {
  const dataRoot = await mkdtemp(join(tmpdir(), 'varve-test-'));
  const processes: CliProcess[] = [];
  let running: CliProcess | null = null;
  let url = '';

  async function start(): Promise<void> {
    const started = runCli(['serve', ...args], { VARVE_DATA: dataRoot, VARVE_PORT: '0', ...env });
    processes.push(started);
    url = (await started.line('varve is ready at ')).split(' ').at(-1) ?? '';
    running = started;
  }

  async function end(name: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    const ending = running;
    running = null;
    if (!ending) return null;
    ending.signal(name);
    const code = await within(STOP_LIMIT_MS, ending.exited);
    if (code !== 'late') return code;
    ending.signal('SIGKILL');
    throw new Error(`did not end within ${STOP_LIMIT_MS} ms of ${name}:\n${ending.output()}`);
  }

  async function drop(): Promise<void> {
    await end('SIGTERM');
    await endPostgres(dataRoot);
    await rm(dataRoot, { recursive: true, maxRetries: 3 });
  }

  try {
    await start();
  } catch (error) {
    await drop();
    throw error;
  }
  return {
    get url() {
      return url;
    },
    get token() {
      return env.VARVE_TOKEN ?? readFileSync(join(dataRoot, 'token'), 'utf8').trim();
    },
    dataRoot,
    get pid() {
      return running?.pid ?? 0;
    },
    output: () => processes.map((each) => each.output()).join(''),
    stop: () => end('SIGTERM'),
    async kill9() {
      await end('SIGKILL');
    },
    async restart() {
      await end('SIGTERM');
      await start();
    },
    drop,
  };
}

/** The process of the embedded Postgres of a data folder, as its own mark says; null if it has none. */
export function postgresPid(dataRoot: string): number | null {
  const mark = join(dataRoot, 'postgres', 'cluster', 'postmaster.pid');
  return existsSync(mark) ? Number(readFileSync(mark, 'utf8').split('\n')[0]) : null;
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Ends a Postgres that a killed service has left. */
async function endPostgres(dataRoot: string): Promise<void> {
  const pid = postgresPid(dataRoot);
  if (pid === null || !isAlive(pid)) return;
  process.kill(pid, 'SIGINT'); // Postgres' fast shutdown
  for (let waited = 0; isAlive(pid) && waited < STOP_LIMIT_MS; waited += 50) await sleep(50);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function within<T>(limitMs: number, promise: Promise<T>): Promise<T | 'late'> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), limitMs)));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
