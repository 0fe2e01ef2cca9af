/** What is done to a store while clients write to it and read from it. */
import { execFile } from 'node:child_process';
import { readdirSync, readlinkSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { sleep, until } from './pause.ts';
import type { Random } from './random.ts';
import type { Store } from './store.ts';
import { CLI, type VarveProcess } from './varve-process.ts';

/** How long to wait for a process to be in the midst of what it shall be caught at. */
const AIM_LIMIT_MS = 1_500;
const POLL_MS = 3;
const OVERTAKEN_MS_MAX = 5_000;
const FULL_DISK_MS_MAX = 6_000;
/** Longer than any grace there is. */
const ALL_GRACES_S = 48 * 3600;

export interface Fault {
  readonly name: string;
  /** Relative to the others. */
  readonly weight: number;
  readonly needsRedis?: true;
  run(store: Store, random: Random): Promise<void>;
}

/** When a worker is caught: anywhere, with a shard that is registered, or with its file half made. */
const MOMENTS = ['any', 'registered', 'registered', 'file', 'file'] as const;

export const FAULTS: readonly Fault[] = [
  {
    name: 'worker killed',
    weight: 5,
    async run(store, random) {
      const worker = await caught(store, random);
      await worker?.kill();
      await maybeRestart(worker, random);
    },
  },
  {
    name: 'worker paused',
    weight: 2,
    async run(store, random) {
      const worker = await caught(store, random);
      await sleep(random.between(50, 800));
      worker?.resume();
    },
  },
  {
    name: 'worker paused past every grace, then resumed',
    weight: 4,
    run: (store, random) => overtaken(store, random, (worker) => Promise.resolve(worker.resume())),
  },
  {
    name: 'worker paused past every grace, then killed',
    weight: 3,
    run: (store, random) => overtaken(store, random, (worker) => worker.kill()),
  },
  {
    name: 'all that is half made given up under those who make it',
    weight: 3,
    async run(store, random) {
      for (let i = random.between(1, 4); i > 0; i--) {
        await aim(store, random);
        await passGraces(store).catch(() => {});
        await varve(store, 'recover');
      }
    },
  },
  {
    name: 'flushed and compacted by hand, twice at once',
    weight: 3,
    async run(store) {
      const commands = ['flush', 'flush', 'compact', 'compact'] as const;
      await Promise.all(commands.map((command) => varve(store, command, '--all')));
    },
  },
  {
    name: 'disk full',
    weight: 4,
    async run(store, random) {
      if (!store.disk) return;
      await aim(store, random);
      store.disk.leave(random.chance(0.3) ? 0 : random.between(0, 2_000_000));
      await sleep(random.between(200, FULL_DISK_MS_MAX));
      store.disk.free();
    },
  },
  {
    name: 'worker told to end',
    weight: 2,
    async run(store, random) {
      const worker = await caught(store, random);
      worker?.resume();
      await worker?.terminate();
      await maybeRestart(worker, random);
    },
  },
  {
    name: 'server killed',
    weight: 3,
    async run(store, random) {
      const server = random.pick(store.servers);
      await sleep(random.between(0, 300));
      await server.kill();
      await maybeRestart(server, random);
    },
  },
  {
    name: 'server killed amid an upload',
    weight: 4,
    async run(store, random) {
      const uploading = (): VarveProcess | undefined => store.servers.find(({ uploads }) => uploads > 0);
      await until(AIM_LIMIT_MS, POLL_MS, () => uploading() !== undefined);
      await sleep(random.between(0, 60));
      const server = uploading() ?? store.servers[0];
      await server.kill();
      await maybeRestart(server, random);
    },
  },
  {
    name: 'server told to end',
    weight: 2,
    async run(store, random) {
      const server = random.pick(store.servers);
      await server.terminate();
      await maybeRestart(server, random);
    },
  },
  {
    name: 'server paused',
    weight: 1,
    async run(store, random) {
      const server = random.pick(store.servers);
      server.pause();
      await sleep(random.between(100, 1500));
      server.resume();
    },
  },
  {
    name: 'every process killed',
    weight: 2,
    async run(store, random) {
      await aim(store, random);
      await Promise.all(store.processes.map((process) => process.kill()));
    },
  },
  { name: 'Postgres shut down at once', weight: 4, run: (store, random) => crashPostgres(store, random, 'immediate') },
  { name: 'Postgres killed', weight: 3, run: (store, random) => crashPostgres(store, random, 'kill') },
  {
    name: 'Postgres takes no connections',
    weight: 2,
    run: (store, random) => store.postgres.halt(random.between(200, 4_000)),
  },
  {
    name: 'connections to Postgres cut',
    weight: 3,
    async run(store, random) {
      for (let i = random.between(1, 5); i > 0; i--) {
        await aim(store, random);
        await store.postgres
          .query(
            `select pg_terminate_backend(pid) from pg_stat_activity
             where pid <> pg_backend_pid() and application_name like 'varve%' and random() < 0.6`,
          )
          .catch(() => {});
      }
    },
  },
  {
    name: 'jobs deleted from the queue',
    weight: 2,
    async run(store) {
      if (store.redis) await store.redis.flushall().catch(() => {});
      else await store.postgres.query('truncate bullmq.job, bullmq.dedup, bullmq.dedup_next').catch(() => {});
    },
  },
  {
    name: 'Redis killed',
    weight: 4,
    needsRedis: true,
    async run(store, random) {
      await store.redis?.stop();
      await sleep(random.between(0, 2_000));
      await store.redis?.restart();
    },
  },
];

/**
 * Lets all the time go by that a shard which is being made is left alone. Rows and files seem old; whoever makes them goes on if they still run.
 */
export async function passGraces(store: Store): Promise<void> {
  await store.postgres.query(
    `update shards set made_at = made_at - make_interval(secs => $1) where state = 'writing'`,
    [ALL_GRACES_S],
  );
  const old = Date.now() / 1000 - ALL_GRACES_S;
  for (const path of halfMade(store)) {
    try {
      utimesSync(path, old, old);
    } catch {
      // It is made by now.
    }
  }
}

/** A command beside the service; it may fail as everything around it. */
function varve(store: Store, ...args: readonly string[]): Promise<void> {
  const env = { PATH: process.env.PATH, ...store.env };
  return new Promise((resolve) => void execFile(process.execPath, [CLI, ...args], { env }, () => resolve()));
}

/** Waits for a drawn moment: anywhere, while a shard is registered, or just after somebody began its file. */
async function aim(store: Store, random: Random): Promise<void> {
  try {
    const moment = random.pick(MOMENTS);
    if (moment === 'any') await sleep(random.between(0, 400));
    if (moment === 'registered') {
      await until(AIM_LIMIT_MS, POLL_MS, async () => {
        const rows = await store.postgres.query(`select from shards where state = 'writing' limit 1`);
        return rows.length > 0;
      });
    }
    if (moment === 'file') {
      await fileAppears(store);
      await sleep(random.between(0, 20));
    }
  } catch {
    // Postgres is away: that is a moment, too.
  }
}

/** A file takes some ms from its first byte to its name: this looks as often as the event loop turns. */
async function fileAppears(store: Store): Promise<void> {
  const endMs = performance.now() + AIM_LIMIT_MS;
  while (halfMade(store).length === 0 && performance.now() < endMs) await setImmediate();
}

/** Files of shards that have no name yet. */
function halfMade(store: Store): string[] {
  const folder = join(store.dataRoot, 'shards');
  try {
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    return names.filter((name) => name.endsWith('.tmp')).map((name) => join(folder, name));
  } catch {
    return []; // a folder that went away while it was listed
  }
}

/** Halts a worker at a drawn moment, one that makes a file if there is. All are halted at once, for only then it can be told who was at it. */
async function caught(store: Store, random: Random): Promise<VarveProcess | undefined> {
  await aim(store, random);
  const workers = store.workers.filter(({ isRunning, isStopped }) => isRunning && !isStopped);
  if (workers.length === 0) return undefined;
  for (const worker of workers) worker.pause();
  const maker = workers.find(({ pid }) => makesFile(pid));
  const worker = maker ?? random.pick(workers);
  for (const other of workers) if (other !== worker) other.resume();
  if (maker) store.count('a worker was caught with a file half made');
  return worker;
}

/** Whether a process has the file of a shard open that has no name yet. */
function makesFile(pid: number): boolean {
  try {
    const folder = `/proc/${pid}/fd`;
    return readdirSync(folder).some((fd) => {
      try {
        return readlinkSync(join(folder, fd)).endsWith('.h5.tmp');
      } catch {
        return false;
      }
    });
  } catch {
    return false;
  }
}

/**
 * Halts a worker, with a file half made if possible, until others have given up what it makes, and have made it again.
 * @param then what happens to the halted one afterwards
 */
async function overtaken(store: Store, random: Random, then: (worker: VarveProcess) => Promise<void>): Promise<void> {
  const worker = await caught(store, random);
  if (!worker) return;
  try {
    await passGraces(store);
    const given = await varve(store, 'recover').then(() =>
      store.postgres.query(`select from shards where state = 'writing' and made_at < now() - interval '1 day'`),
    );
    if (given.length === 0) store.count('what a halted worker made was given up');
    await sleep(random.between(0, OVERTAKEN_MS_MAX));
  } catch {
    // Postgres is away: then nobody takes over before it is back.
  }
  await then(worker);
}

async function crashPostgres(store: Store, random: Random, how: 'immediate' | 'kill'): Promise<void> {
  await aim(store, random);
  await store.postgres.crash(how);
  await sleep(random.between(0, 1_500));
  await store.postgres.start();
}

async function maybeRestart(process: VarveProcess | undefined, random: Random): Promise<void> {
  if (random.chance(0.3)) return;
  await sleep(random.between(0, 300));
  // Postgres may be away just now, which ends a start; then the process is started with everything else.
  await process?.start().catch(() => process.kill());
}
