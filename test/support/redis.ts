/** A real Redis for a test file: a child process on a free port, without persistence. */
import { spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { Redis } from 'ioredis';

export interface TestRedis {
  readonly url: string;
  /** Forgets everything, as an operator's slip or a failover without persistence would. */
  flushall(): Promise<void>;
  /** Starts the server again on the same port, empty, also after `stop`. */
  restart(): Promise<void>;
  stop(): Promise<void>;
  /** Stops and removes the server's folder. */
  drop(): Promise<void>;
}

const START_LIMIT_MS = 5_000;

/** True if there is a redis-server to start. */
export function hasRedisServer(): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, 'redis-server'), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** @throws if there is no redis-server on the PATH or it does not start */
export async function startRedis(): Promise<TestRedis> {
  const port = await freePort();
  const url = `redis://127.0.0.1:${port}`;
  const folder = await mkdtemp(join(tmpdir(), 'varve-redis-'));
  const options = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder];
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    child = spawn('redis-server', options, { stdio: 'ignore' });
    const failed = new Promise<never>((_, reject) => child?.once('error', reject));
    await Promise.race([failed, ask(url, (redis) => redis.ping())]);
  }

  async function stop(): Promise<void> {
    const stopping = child;
    child = undefined;
    if (!stopping) return;
    const exited = new Promise((resolve) => stopping.once('exit', resolve));
    stopping.kill('SIGKILL');
    await exited;
  }

  await start();
  return {
    url,
    flushall: () => ask(url, (redis) => redis.flushall()),
    async restart() {
      await stop();
      await start();
    },
    stop,
    async drop() {
      await stop();
      await rm(folder, { recursive: true });
    },
  };
}

/** Sends one command over a connection of its own, waiting for the server to listen. */
async function ask(url: string, command: (redis: Redis) => Promise<unknown>): Promise<void> {
  const retries = START_LIMIT_MS / 50;
  const redis = new Redis(url, { retryStrategy: (times) => (times > retries ? null : 50), maxRetriesPerRequest: null });
  redis.on('error', () => {});
  try {
    await command(redis);
  } finally {
    redis.disconnect();
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
