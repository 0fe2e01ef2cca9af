/**
 * Torture: kills, stops and cuts off everything that a store is made of, again and again, while clients write and read.
 * After each cycle everything that was acknowledged must be there, once, in order and bit for bit.
 *
 * `npm run torture -- [--seconds 60 | --cycles 20] [--seed 1] [--redis]`
 *
 * The decisions of a run follow from its seed; when the machine does what does not. A failure keeps its folder.
 */
import { parseArgs } from 'node:util';
import { Checks } from './checks.ts';
import { FAULTS, passGraces, type Fault } from './faults.ts';
import { Hdf5Judge } from './hdf5-judge.ts';
import { sleep, within } from './pause.ts';
import { Random } from './random.ts';
import { Readers } from './readers.ts';
import { Store } from './store.ts';
import { Writers } from './writers.ts';

const CYCLES_PER_STORE = 25;
const WHOLE_EVERY_CYCLES = 5;
const FAULTS_MAX = 3;
/** Chance that what a dead worker has left half done is waited for, as it is outside of tests. */
const NATURAL_GRACE = 0.1;
/** Chance that a cycle ends with everything in shards; else some of it is fresh still. */
const ALL_FLUSHED = 0.5;
/** Nothing that is done in a cycle takes nearly as long. */
const STEP_LIMIT_MS = 150_000;
const DEFAULT_SECONDS = 60;

const { values: options } = parseArgs({
  options: {
    cycles: { type: 'string' },
    seconds: { type: 'string' },
    seed: { type: 'string' },
    redis: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
});
const seed = options.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(options.seed);
const cycles = Number(options.cycles ?? Infinity);
const seconds = Number(options.seconds ?? (options.cycles === undefined ? DEFAULT_SECONDS : Infinity));
const begunMs = performance.now();

const random = new Random(seed);
const usable = FAULTS.filter((fault) => options.redis || !fault.needsRedis).filter(
  ({ name }) => options.only === undefined || name.includes(options.only),
);
const weighted: readonly Fault[] = usable.flatMap((fault) => new Array<Fault>(fault.weight).fill(fault));

const totals = {
  writes: 0,
  edits: 0,
  seals: 0,
  samples: 0,
  bytes: 0,
  retries: 0,
  replays: 0,
  reads: 0,
  shards: 0,
  spooled: 0,
  judged: 0,
  compacted: 0,
};
const faultCounts = new Map<string, number>();
const hits = new Map<string, number>();
const errorsLogged = new Map<string, number>();
let longestSettleMs = 0;
let cycle = 0;
let lastFaults: string[] = [];
let tortured: Store | null = null;

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    console.error(`${signal}: ending everything; seed ${seed}, cycle ${cycle}`);
    const end = (): never => process.exit(130);
    void (tortured?.close() ?? Promise.resolve()).then(end, end);
  });
}

/** One store, from its first cycle to its last check. */
async function torture(judge: Hdf5Judge): Promise<void> {
  const store = await Store.open(options.redis, random.fork(`store ${cycle}`));
  tortured = store;
  const writers = new Writers(store, random.fork(`writers ${cycle}`));
  const readers = new Readers(store, random.fork(`readers ${cycle}`));
  const checks = new Checks(store, judge, random.fork(`checks ${cycle}`));
  try {
    const last = cycle + CYCLES_PER_STORE;
    while (cycle < Math.min(last, cycles) && (cycle === 0 || performance.now() - begunMs < seconds * 1000)) {
      cycle++;
      const settleMs = await oneCycle(store, writers, readers, checks, random.fork(`cycle ${cycle}`));
      longestSettleMs = Math.max(longestSettleMs, settleMs);
      console.log(
        `cycle ${cycle}: ${lastFaults.join(' + ')}; ${writers.counts.writes} writes, settled after ${(settleMs / 1000).toFixed(2)} s`,
      );
    }
    lastFaults = ['the end of the store'];
    totals.spooled += await checks.spool();
    await checks.samples(true);
    totals.shards += await checks.shards();
  } catch (error) {
    writers.abandon();
    readers.abandon();
    console.error(`FAILED: ${error instanceof Error ? error.stack : String(error)}`);
    await store.close().catch((reason: unknown) => console.error(`the store does not close: ${String(reason)}`));
    console.error(`seed ${seed}, cycle ${cycle}, faults: ${lastFaults.join(' + ')}; kept in ${store.folder}`);
    process.exitCode = 1;
    return;
  } finally {
    for (const key of ['writes', 'edits', 'seals', 'samples', 'bytes', 'retries', 'replays'] as const)
      totals[key] += writers.counts[key];
    totals.reads += readers.reads;
    totals.judged += checks.judged;
    totals.compacted += checks.compacted;
    for (const [hit, count] of store.hits) add(hits, hit, count);
    for (const process of store.processes) for (const error of process.errorsLogged()) add(errorsLogged, error, 1);
  }
  await store.close();
  await store.remove();
}

/** @returns how long it took until every write was answered, and mostly flushed, once everything ran again */
async function oneCycle(
  store: Store,
  writers: Writers,
  readers: Readers,
  checks: Checks,
  random: Random,
): Promise<number> {
  lastFaults = [];
  const firstWrite = store.series.map((series) => series.writes.length);
  writers.start();
  readers.start();
  await sleep(random.between(200, 700));
  const running: Promise<void>[] = [];
  for (let i = random.between(1, FAULTS_MAX); i > 0; i--) {
    const fault = random.pick(weighted);
    lastFaults.push(fault.name);
    add(faultCounts, fault.name, 1);
    const run = within(STEP_LIMIT_MS, fault.name, fault.run(store, random.fork(`${fault.name} ${i}`)));
    running.push(run);
    run.catch(() => {}); // told below
    if (random.chance(0.5)) await run;
    else await sleep(random.between(0, 500));
  }
  await Promise.all(running);
  await sleep(random.between(0, 500));

  await within(STEP_LIMIT_MS, 'starting everything again', store.startAll());
  await checks.ready();
  if (!random.chance(NATURAL_GRACE)) await passGraces(store);
  const settling = performance.now();
  await within(STEP_LIMIT_MS, 'finishing the writes', writers.finish());
  await within(STEP_LIMIT_MS, 'finishing the reads', readers.finish());
  if (random.chance(ALL_FLUSHED)) await checks.flushed();
  const settleMs = performance.now() - settling;
  if (random.chance(0.3)) {
    const writes = store.series.flatMap((series, i) =>
      series.writes.slice(firstWrite[i]).map((write) => ({ series, write })),
    );
    await writers.replay(writes);
  }
  checks.processes();
  const whole = cycle % WHOLE_EVERY_CYCLES === 0;
  await checks.samples(whole);
  await checks.shards();
  if (whole) await checks.verify();
  return settleMs;
}

const judge = new Hdf5Judge();
console.log(`torture with seed ${seed}, ${options.redis ? 'Redis' : 'Postgres'} as the queue`);
while (process.exitCode !== 1 && cycle < cycles && (cycle === 0 || performance.now() - begunMs < seconds * 1000)) {
  await torture(judge);
}
judge.close();

console.log(
  [
    `${process.exitCode === 1 ? 'FAILED' : 'passed'}: ${cycle} cycles in ${((performance.now() - begunMs) / 1000).toFixed(0)} s, seed ${seed}`,
    'faults:',
    ...listed(faultCounts),
    'aims that were hit:',
    ...listed(hits),
    'errors in the logs:',
    ...listed(errorsLogged),
    `${totals.writes} writes of ${totals.samples} samples (${(totals.bytes / 1e6).toFixed(1)} MB), ${totals.edits} edits and ${totals.seals} seals among them, ${totals.retries} retries, ${totals.replays} replays, ${totals.reads} reads amid faults`,
    `longest settling ${(longestSettleMs / 1000).toFixed(2)} s; ${totals.shards} shards at the ends of the stores; ${totals.spooled} files swept from the spool; ${totals.judged} shards judged, ${totals.compacted} of them compacted`,
  ].join('\n'),
);

function add(counts: Map<string, number>, key: string, count: number): void {
  counts.set(key, (counts.get(key) ?? 0) + count);
}

function listed(counts: ReadonlyMap<string, number>): string[] {
  return [...counts].sort(([, a], [, b]) => b - a).map(([key, count]) => `  ${count} × ${key}`);
}
