/** A real MQTT broker for a test file: Debian's mosquitto on a free port. */
import { describe } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { freePort } from './redis.ts';
import { skipSuite } from './skip-suite.ts';

export interface TestMosquitto {
  readonly url: string;
  /** Stops and removes its folder. */
  drop(): Promise<void>;
}

const START_LIMIT_MS = 10_000;
/** Debian keeps it where only root looks. */
const PATH = [process.env.PATH ?? '', '/usr/sbin', '/usr/local/sbin'].join(delimiter);

/** A suite that needs mosquitto; skipped, and said so, where it is missing (an error with VARVE_TEST_NO_SKIP=1). */
export function describeMosquitto(name: string, suite: () => void): void {
  if (!PATH.split(delimiter).some(hasMosquitto)) return skipSuite(name, 'no mosquitto', 'VARVE_TEST_NO_SKIP');
  describe(name, suite);
}

function hasMosquitto(folder: string): boolean {
  try {
    accessSync(join(folder, 'mosquitto'), constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export async function startMosquitto(): Promise<TestMosquitto> {
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), 'varve-mosquitto-'));
  const config = join(folder, 'mosquitto.conf');
  const lines = [`listener ${port} 127.0.0.1`, 'allow_anonymous true', 'max_queued_messages 100000'];
  // As root it becomes another account, unless it is told that this one is meant.
  if (process.getuid?.() === 0) lines.push('user root');
  await writeFile(config, `${lines.join('\n')}\n`);
  const child: ChildProcess = spawn('mosquitto', ['-c', config], { stdio: 'ignore', env: { ...process.env, PATH } });
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  await Promise.race([failed, listening(port)]);
  return {
    url: `mqtt://127.0.0.1:${port}`,
    async drop() {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
      await rm(folder, { recursive: true });
    },
  };
}

async function listening(port: number): Promise<void> {
  for (let waited = 0; waited < START_LIMIT_MS; waited += 50) {
    const isThere = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
      setTimeout(() => socket.destroy(), 1000).unref();
    });
    if (isThere) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('mosquitto does not listen');
}
