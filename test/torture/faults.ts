/** What is done to a store while clients write to it and read from it. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { sleep, until } from './pause.ts';
import type { Random } from './random.ts';
import type { Store } from './store.ts';
import type { VarveProcess } from './varve-process.ts';

/** How long to wait for a process to be in the midst of what it shall be caught at. */
const AIM_LIMIT_MS = 1_500;
const POLL_MS = 3;
const TAKEOVER_LIMIT_MS = 8_000;

export interface Fault {
  readonly name: string;
  /** Relative to the others. */
  readonly weight: number;
  readonly needsRedis?: true;
  run(store: Store, random: Random): Promise<void>;
}

/** When a worker is caught: anywhere, with a lease, or with a journal being applied to a shard. */
const MOMENTS = ['any', 'lease', 'lease', 'journal', 'journal'] as const;

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
    name: 'worker paused past its lease, then resumed',
    weight: 4,
    run: (store, random) => overtaken(store, random, (worker) => Promise.resolve(worker.resume())),
  },
  {
    name: 'worker paused past its lease, then killed',
    weight: 3,
    run: (store, random) => overtaken(store, random, (worker) => worker.kill()),
  },
  {
    name: 'worker paused past its lease, its heir killed, then resumed',
    weight: 3,
    run: (store, random) => overtaken(store, random, (worker) => Promise.resolve(worker.resume()), true),
  },
  {
    name: 'all leases expired under their holders',
    weight: 3,
    async run(store, random) {
      for (let i = random.between(1, 10); i > 0; i--) {
        await expireLeases(store).catch(() => {});
        await sleep(random.between(0, 150));
      }
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

/** Ends the leases of processes that are gone, or all, without the wait of half a minute. */
export async function expireLeases(store: Store, pids?: readonly number[]): Promise<void> {
  await store.postgres.query(
    `update lanes set lease_expires_at = now() - interval '1 second'
     where lease_holder is not null and ($1::int[] is null or (lease_holder->>'pid')::int = any($1))`,
    [pids ?? null],
  );
}

/** Waits for a drawn moment: anywhere, while somebody has a lease, or just after somebody began to write a journal. */
async function aim(store: Store, random: Random): Promise<void> {
  try {
    const moment = random.pick(MOMENTS);
    if (moment === 'any') await sleep(random.between(0, 400));
    if (moment === 'lease') await until(AIM_LIMIT_MS, POLL_MS, async () => (await leaseHolders(store)).length > 0);
    if (moment === 'journal') {
      await journalAppears(store);
      await sleep(random.between(0, 4));
    }
  } catch {
    // Postgres is away: that is a moment, too.
  }
}

/** A commit takes some ms from its journal's first byte to the last: this looks as often as the event loop turns. */
async function journalAppears(store: Store): Promise<void> {
  const rows = await store.postgres.query<{ path: string }>(`select path from shards where state = 'hot'`);
  const journals = rows.map(({ path }) => join(store.dataRoot, `${path}.journal`));
  const endMs = performance.now() + AIM_LIMIT_MS;
  while (!journals.some((path) => existsSync(path)) && performance.now() < endMs) await setImmediate();
}

/** Halts a worker at a drawn moment, one with a lease if there is. All are halted at once, for only then it can be told who was at it. */
async function caught(store: Store, random: Random): Promise<VarveProcess | undefined> {
  await aim(store, random);
  const workers = store.workers.filter(({ isRunning, isStopped }) => isRunning && !isStopped);
  if (workers.length === 0) return undefined;
  for (const worker of workers) worker.pause();
  const holders = await leaseHolders(store).catch((): number[] => []);
  const worker = workers.find(({ pid }) => holders.includes(pid)) ?? random.pick(workers);
  for (const other of workers) if (other !== worker) other.resume();
  if (holders.includes(worker.pid)) {
    store.count('a worker was caught in a drain');
    if (journalsOnDisk(store) > 0) store.count('a worker was caught with a journal on disk');
  }
  return worker;
}

/** Processes that hold leases. */
async function leaseHolders(store: Store): Promise<number[]> {
  const rows = await store.postgres.query<{ pid: number }>(
    `select (lease_holder->>'pid')::int as pid from lanes where lease_holder is not null`,
  );
  return rows.map(({ pid }) => pid);
}

function journalsOnDisk(store: Store): number {
  const names = readdirSync(join(store.dataRoot, 'shards'), { recursive: true }) as string[];
  return names.filter((name) => name.endsWith('.journal')).length;
}

/**
 * Halts a worker, in a drain if possible, and lets another take its lanes over.
 * @param then what happens to the halted one afterwards
 */
async function overtaken(
  store: Store,
  random: Random,
  then: (worker: VarveProcess) => Promise<void>,
  heirDies = false,
): Promise<void> {
  const worker = await caught(store, random);
  if (!worker) return;
  try {
    const { pid } = worker;
    await expireLeases(store, [pid]);
    let heirs: number[] = [];
    const taken = await until(TAKEOVER_LIMIT_MS, POLL_MS, async () => {
      const holders = await leaseHolders(store);
      heirs = holders.filter((holder) => holder !== pid);
      return !holders.includes(pid);
    });
    if (taken && heirs.length > 0) store.count('a halted worker was overtaken');
    if (heirDies) await store.workers.find((heir) => heirs.includes(heir.pid))?.kill();
    await sleep(random.between(0, 1_000));
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
