/** One `varve serve` or `varve worker` as a child process that can be killed, stopped and started again. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { demand } from './finding.ts';
import { until } from './pause.ts';

export const CLI = fileURLToPath(new URL('../../src/main/cli.js', import.meta.url));
const START_LIMIT_MS = 60_000;
const POLL_MS = 20;
const TERM_LIMIT_MS = 45_000;
/** Level of errors in pino. */
const ERROR_LEVEL = 50;
const OWN_SETTINGS = /^(VARVE_.*|NODE_OPTIONS|DATABASE_URL|REDIS_URL)$/;

export class VarveProcess {
  readonly name: string;
  readonly role: 'server' | 'worker';
  /** Requests of ours that have sent half of their body to it. */
  uploads = 0;
  /** Where it answers; null while it does not. */
  url: string | null = null;
  isStopped = false;
  readonly logFile: string;
  readonly #env: Readonly<Record<string, string>>;
  #child: ChildProcess | null = null;
  #exited: Promise<unknown> = Promise.resolve();
  #printed = '';
  #ending = false;
  #ownEnd: string | null = null;

  constructor(name: string, role: 'server' | 'worker', logFile: string, env: Readonly<Record<string, string>>) {
    this.name = name;
    this.role = role;
    this.logFile = logFile;
    this.#env = env;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child !== null;
  }

  /** Starts it unless it runs, and waits until it is ready. */
  async start(): Promise<void> {
    if (this.#child) return;
    const inherited = Object.entries(process.env).filter(([name]) => !OWN_SETTINGS.test(name));
    const log = openSync(this.logFile, 'a');
    const args = this.role === 'server' ? ['serve', '--no-worker'] : ['worker'];
    const child = spawn(process.execPath, [CLI, ...args], {
      env: { ...Object.fromEntries(inherited), ...this.#env },
      stdio: ['ignore', 'pipe', log],
    });
    closeSync(log);
    this.#child = child;
    this.#ending = false;
    this.#printed = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.#printed += text));
    this.#exited = new Promise<void>((resolve) => {
      child.once('exit', (code, signal) => {
        if (!this.#ending) this.#ownEnd = `${this.name} ended by itself (${signal ?? code}); see ${this.logFile}`;
        this.#child = null;
        this.url = null;
        this.isStopped = false;
        this.uploads = 0;
        resolve();
      });
    });
    const ready = await until(START_LIMIT_MS, POLL_MS, () => !this.#child || / is ready/.test(this.#printed));
    demand(ready && this.isRunning, () => `${this.name} did not start; see ${this.logFile}`);
    this.url = /http:\S+/.exec(this.#printed)?.[0] ?? null;
  }

  /** SIGKILL. Resolves when the process is gone. */
  async kill(): Promise<void> {
    this.#ending = true;
    this.url = null;
    this.#child?.kill('SIGKILL');
    await this.#exited;
  }

  /** SIGTERM, which must end it in good order. */
  async terminate(): Promise<void> {
    if (!this.#child) return;
    this.#ending = true;
    this.#child.kill('SIGTERM');
    const ended = await until(TERM_LIMIT_MS, POLL_MS, () => !this.isRunning);
    demand(ended, () => `${this.name} did not end within ${TERM_LIMIT_MS} ms of SIGTERM; see ${this.logFile}`);
  }

  /** SIGSTOP: it does nothing more and knows nothing of it. */
  pause(): void {
    this.isStopped = this.#child?.kill('SIGSTOP') ?? false;
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
    this.isStopped = false;
  }

  /** What ended it, if that was not asked for. */
  takeOwnEnd(): string | null {
    const end = this.#ownEnd;
    this.#ownEnd = null;
    return end;
  }

  /** What it logged as an error, without what differs from time to time. */
  errorsLogged(): string[] {
    if (!existsSync(this.logFile)) return [];
    const lines = readFileSync(this.logFile, 'utf8').split('\n').filter(Boolean);
    return lines.flatMap((line) => {
      if (!line.startsWith('{')) return [line.slice(0, 200)];
      const { level, msg, err, reason } = JSON.parse(line) as Logged;
      if (level < ERROR_LEVEL) return [];
      return [
        `${msg}: ${err?.message ?? reason ?? ''}`.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '…').replaceAll(/\d+/g, 'n'),
      ];
    });
  }
}

interface Logged {
  readonly level: number;
  readonly msg: string;
  readonly err?: { readonly message: string };
  readonly reason?: string;
}
