/**
 * `npm run bench`: Varve over REST beside its peers, taking turns in one run, because a machine is never twice the
 * same. Every answer of each is compared bit for bit; a wrong one ends the run with an error.
 *
 * - `--peers influxdb,victoria-metrics,clickhouse` starts these, too.
 * - `--quick` runs all of it on little data, to see that it works: its times mean nothing.
 * - `--save` keeps every sample in `bench/results`.
 * - `--overviews`, `--search` and `--stream` measure these instead, which takes minutes. They take a series of 10⁹
 *   rows, a catalog of 10⁶ series (`--series 100000`: of fewer), and 10 GB in and out (`--gigabytes`).
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { projectRoot } from '../test/support/project-root.ts';
import { ingest, measureIngest } from './ingest.ts';
import { measureCompaction } from './compact.ts';
import { describeMachine, type Machine } from './machine.ts';
import { measureOverviews, OVERVIEWS, QUICK_OVERVIEWS } from './overview.ts';
import { MORE_PEERS, USUAL_PEERS } from './peers/all.ts';
import { H5PY } from './peers/h5py.ts';
import type { Peer, PeerKind } from './peers/peer.ts';
import { VICTORIA_METRICS } from './peers/victoria-metrics.ts';
import { measureReads } from './read.ts';
import { measureReaders } from './readers.ts';
import { measureRecordings } from './recordings.ts';
import { measureSearch } from './search.ts';
import { measureSmallAppends } from './small-appends.ts';
import { measureStreaming } from './stream.ts';
import { toMarkdown, type Measurement } from './table.ts';
import { Turns } from './turns.ts';
import { Varve } from './varve.ts';
import { createWorkload, type ValueKind } from './workload.ts';

interface Size {
  readonly kinds: readonly ValueKind[];
  /** Rows of each series. */
  readonly rows: number;
  /** Ingests of each variant. */
  readonly rounds: number;
  /** Reads of a whole series, and of few rows. */
  readonly wholeReads: number;
  readonly shortReads: number;
  /** Small appends of one client, and how long many clients append in each turn. */
  readonly appends: number;
  readonly windowMs: number;
  /** How long many readers read in each turn. */
  readonly readersMs: number;
}

const FULL: Size = {
  kinds: ['grid', 'noise'],
  rows: 1_000_000,
  rounds: 5,
  wholeReads: 50,
  shortReads: 500,
  appends: 100,
  windowMs: 2_000,
  readersMs: 5_000,
};
/** Done in half a minute, most of which are the starts of services and peers. */
const QUICK: Size = {
  kinds: ['noise'],
  rows: 20_000,
  rounds: 1,
  wholeReads: 10,
  shortReads: 20,
  appends: 5,
  windowMs: 50,
  readersMs: 150,
};

/** Rows of a short read. */
const SHORT_ROWS = 10_000;
const QUICK_GIGABYTES = 0.05;
const GIGABYTES = 10;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
    overviews: { type: 'boolean', default: false },
    search: { type: 'boolean', default: false },
    stream: { type: 'boolean', default: false },
    gigabytes: { type: 'string' },
    peers: { type: 'string', default: '' },
    series: { type: 'string' },
  },
});
const log = (line: string): void => console.error(line);
if (options.overviews) print(await measureOverviews(options.quick ? QUICK_OVERVIEWS : OVERVIEWS));
else if (options.search) {
  const usual = options.quick ? { series: 10_000, rounds: 10 } : { series: 1_000_000, rounds: 100 };
  const size = {
    ...usual,
    ...(options.series !== undefined && { series: Number(options.series) }),
    victoria: morePeers(options.peers).includes(VICTORIA_METRICS),
  };
  print(await measureSearch(size, log));
} else if (options.stream) {
  print(await measureStreaming(Number(options.gigabytes ?? (options.quick ? QUICK_GIGABYTES : GIGABYTES)), log));
} else await bench(options.quick ? QUICK : FULL, [...USUAL_PEERS, ...morePeers(options.peers)], { save: options.save });

function print(measurements: readonly Measurement[]): void {
  console.log(toMarkdown(measurements, describeMachine(), []));
}

/** @param names with commas between */
function morePeers(names: string): PeerKind[] {
  return names.split(',').flatMap((name) => {
    if (name === '') return [];
    if (Object.hasOwn(MORE_PEERS, name)) return MORE_PEERS[name];
    throw new Error(`--peers: there is no ${name}, only ${Object.keys(MORE_PEERS).join(', ')}`);
  });
}

async function bench(size: Size, peerKinds: readonly PeerKind[], { save }: { save: boolean }): Promise<void> {
  const machine = describeMachine();
  const notes: string[] = [];
  const found = new Set<string>();
  const measurements: Measurement[] = [];
  for (const kind of size.kinds) {
    await withPeers(peerKinds, async (peers) => {
      // Nothing is flushed or compacted beside what is measured, but what is asked for.
      const measured = await withVarve((varve) => measureArrays(varve, peers, kind, size), ['--no-worker']);
      measurements.push(...measured);
      if (notes.length === 0)
        notes.push(...peers.map(({ name, version, layout }) => `${`${name} ${version}`.trim()}: ${layout}`));
      for (const peer of peers) {
        found.add(peer.name);
        const remark = peer.remark?.();
        if (remark) notes.push(`${peer.name}, ${kind}: ${remark}`);
      }
    });
  }
  log('small appends, readers and writers');
  await withVarve(async (varve) => {
    await withPeers(peerKinds, async (peers) => {
      measurements.push(...(await measureSmallAppends(varve, peers, size)));
    });
    measurements.push(...(await measureReaders(varve, size)));
  });
  if (found.has(H5PY.name)) measurements.push(...(await measureRecordings()));
  console.log(toMarkdown(measurements, machine, notes));
  if (save) saveResult(machine, { notes, size, measurements });
}

/** A service of its own, so that memory and disk are those of this work. */
async function withVarve<T>(work: (varve: Varve) => Promise<T>, args: readonly string[] = []): Promise<T> {
  const varve = await Varve.start({}, args);
  try {
    return await work(varve);
  } finally {
    await varve.stop();
  }
}

/** Fresh ones, for the same reason; without those that are not installed. */
async function withPeers(kinds: readonly PeerKind[], work: (peers: readonly Peer[]) => Promise<void>): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'varve-bench-'));
  const peers: Peer[] = [];
  try {
    const starts = kinds.map(async ({ name, needs, start }) => {
      const folder = join(root, name);
      await mkdir(folder);
      const peer = await start(folder);
      if (!peer) log(`no ${name} here: it needs ${needs}`);
      return peer;
    });
    const started = await Promise.allSettled(starts);
    peers.push(...started.flatMap((each) => (each.status === 'fulfilled' && each.value ? [each.value] : [])));
    // Those that have started are stopped before this is told.
    await Promise.all(starts);
    await work(peers);
  } finally {
    await Promise.allSettled(peers.map((peer) => peer.stop()));
    await rm(root, { recursive: true });
  }
}

async function measureArrays(
  varve: Varve,
  peers: readonly Peer[],
  kind: ValueKind,
  size: Size,
): Promise<Measurement[]> {
  log(`${kind}: once into all`);
  const workload = createWorkload(kind, size.rows);
  for (const peer of peers) await peer.load(workload);
  // Ours is not counted: the first ingest starts threads. Its series are the ones that are read.
  const { ids } = await ingest(varve, workload, { connections: 1, name: 'first' });
  const diskMb = varve.diskMb('shards') + varve.diskMb('spool');
  const [turns, disks, memories] = [new Turns(peers), new Turns(peers), new Turns(peers)];
  await turns.take(async (peer) => [(await peer.ingest()) / 1000]);
  await disks.take(async (peer) => [await peer.diskMb()]);
  log(`${kind}: ingest`);
  const ingests = await measureIngest(varve, turns, workload, size.rounds);
  log(`${kind}: reads`);
  const whole = await measureReads(varve, peers, workload, ids, { rows: size.rows, reads: size.wholeReads });
  const short = await measureReads(varve, peers, workload, ids, { rows: SHORT_ROWS, reads: size.shortReads });
  log(`${kind}: flush and compaction`);
  const compaction = await measureCompaction(varve, peers, workload, ids, [
    { rows: size.rows, reads: size.wholeReads },
    { rows: SHORT_ROWS, reads: size.shortReads },
  ]);
  const peakMb = varve.peakRssMb();
  await memories.take(async (peer) => [peer.peakRssMb() ?? []].flat());
  const inMb = { values: kind, unit: 'MB' } as const;
  return [
    ...ingests,
    whole,
    short,
    { ...inMb, measure: 'on the disk after one ingest', varve: [diskMb], peers: disks.samples },
    ...compaction,
    {
      ...inMb,
      measure: 'peak RSS, without Postgres',
      varve: peakMb === null ? [] : [peakMb],
      peers: memories.samples,
    },
  ];
}

function saveResult(machine: Machine, result: object): void {
  const folder = join(projectRoot(), 'bench', 'results');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${machine.date.replaceAll(':', '-')}.json`);
  writeFileSync(path, JSON.stringify({ machine, ...result }, null, 2));
  log(`saved in ${path}`);
}
