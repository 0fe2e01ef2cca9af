/** A server program of a peer: started on a free port of the loopback, ended with the bench. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { peakRssMb } from '../machine.ts';

const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 30_000;
const POLL_MS = 50;
/** How much of what a program printed an error quotes, from its end. */
const QUOTE_LENGTH = 2_000;

export interface Program {
  /** Since its start. */
  peakRssMb(): number | null;
  stop(): Promise<void>;
}

/**
 * @param isReady asked again and again until it neither throws nor says no
 * @returns null if there is no such program
 * @throws with what it printed if it ends by itself or does not become ready
 */
export async function startProgram(
  command: string,
  args: readonly string[],
  cwd: string,
  isReady: () => Promise<boolean>,
): Promise<Program | null> {
  const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (printed = (printed + text).slice(-QUOTE_LENGTH)));
  }
  const started = await once(child, 'spawn').catch((error: NodeJS.ErrnoException) => error);
  if ('code' in started && started.code === 'ENOENT') return null;
  if (started instanceof Error) throw started;
  let ended = false;
  const exited = once(child, 'exit').then(() => (ended = true));
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    const waiting = new AbortController();
    await Promise.race([exited, sleep(STOP_LIMIT_MS, undefined, waiting).catch(() => {})]);
    waiting.abort();
    if (!ended) child.kill('SIGKILL');
    await exited;
  };
  const deadline = performance.now() + START_LIMIT_MS;
  while (!(await isReady().catch(() => false))) {
    if (ended || performance.now() > deadline) {
      await stop();
      throw new Error(`${command} did not start:\n${printed}`);
    }
    await sleep(POLL_MS);
  }
  return { peakRssMb: () => peakRssMb(child.pid ?? 0), stop };
}

/** Ports that nobody listens on now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
