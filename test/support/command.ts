/** One command of the compiled command line, run to its end, with its two outputs apart. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/** Compiled beside the tests. */
const CLI = fileURLToPath(new URL('../../src/main/cli.js', import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

type Environment = Readonly<Record<string, string>>;

/** @param env what it sees beside PATH and the like; nothing of the test run's own settings */
export function spawnVarve(args: readonly string[], env: Environment): ChildProcessByStdio<null, Readable, Readable> {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(VARVE_.*|NODE_OPTIONS|DATABASE_URL|REDIS_URL)$/.test(name),
  );
  // Not in the project, whose `.env` is a developer's own.
  const options = { cwd: tmpdir(), env: { ...Object.fromEntries(inherited), VARVE_ALLOW_FSYNC_OFF: '1', ...env } };
  return spawn(process.execPath, [CLI, ...args], { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
}

export async function runVarve(args: readonly string[], env: Environment): Promise<Finished> {
  const child = spawnVarve(args, env);
  const [stdout, stderr] = [textOf(child.stdout), textOf(child.stderr)];
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout: stdout(), stderr: stderr() };
}

/** Moves all that is fresh into shards, beside the service or without it. @returns what was done, a report a shard */
export function flushAll(dataRoot: string, env: Environment): Promise<unknown[]> {
  return rewriteAll('flush', dataRoot, env);
}

/** Makes one shard of all those of each lane. @returns what was done, a report a shard */
export function compactAll(dataRoot: string, env: Environment): Promise<unknown[]> {
  return rewriteAll('compact', dataRoot, env);
}

async function rewriteAll(command: 'flush' | 'compact', dataRoot: string, env: Environment): Promise<unknown[]> {
  const { code, stdout, stderr } = await runVarve([command, '--all', '--json'], { ...env, VARVE_DATA: dataRoot });
  if (code !== 0) throw new Error(`varve ${command} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as unknown[];
}

/** What a stream has given so far, whenever it is asked. */
export function textOf(stream: Readable): () => string {
  const pieces: Buffer[] = [];
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  return () => Buffer.concat(pieces).toString();
}
