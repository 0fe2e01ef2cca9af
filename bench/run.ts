/**
 * `npm run bench`: Varve over REST beside h5py in process, taking turns in one run, because a machine is never twice the same.
 * Every answer is compared bit for bit; a wrong one ends the run with an error.
 *
 * `--quick` runs all of it on little data, to see that it works: its times mean nothing. `--save` keeps every sample in
 * `bench/results`. `--overviews` and `--search` measure these instead, which takes minutes: a series of 10⁹ rows, a catalog of 10⁶ series
 * (`--series 100000`: of fewer).
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { projectRoot } from '../test/support/project-root.ts';
import { H5py } from './h5py.ts';
import { ingest, measureIngest } from './ingest.ts';
import { describeMachine, type Machine } from './machine.ts';
import { measureOverviews, OVERVIEWS, QUICK_OVERVIEWS } from './overview.ts';
import { measureReads } from './read.ts';
import { measureRecordings } from './recordings.ts';
import { measureSealing } from './seal.ts';
import { measureSearch } from './search.ts';
import { measureSmallAppends } from './small-appends.ts';
import { toMarkdown, type Measurement } from './table.ts';
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
}

const FULL: Size = {
  kinds: ['grid', 'noise'],
  rows: 1_000_000,
  rounds: 5,
  wholeReads: 50,
  shortReads: 500,
  appends: 100,
  windowMs: 2_000,
};
/** Done in ten seconds, most of which are the starts of two services. */
const QUICK: Size = {
  kinds: ['noise'],
  rows: 20_000,
  rounds: 1,
  wholeReads: 10,
  shortReads: 20,
  appends: 5,
  windowMs: 50,
};

/** Rows of a short read. */
const SHORT_ROWS = 10_000;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
    overviews: { type: 'boolean', default: false },
    search: { type: 'boolean', default: false },
    series: { type: 'string' },
  },
});
if (options.overviews) print(await measureOverviews(options.quick ? QUICK_OVERVIEWS : OVERVIEWS), null);
else if (options.search) {
  const usual = options.quick ? { series: 10_000, rounds: 10 } : { series: 1_000_000, rounds: 100 };
  const size = { ...usual, ...(options.series !== undefined && { series: Number(options.series) }) };
  print(await measureSearch(size, (line) => console.error(line)), 'jsonb + GIN');
} else await bench(options.quick ? QUICK : FULL, { save: options.save });

function print(measurements: readonly Measurement[], peer: string | null): void {
  console.log(toMarkdown(measurements, describeMachine(), peer));
}

async function bench(size: Size, { save }: { save: boolean }): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-bench-'));
  const machine = describeMachine();
  try {
    const peer = await H5py.start(folder);
    if (!peer) console.error('no python3 with h5py here: the table has no peer');
    const measurements: Measurement[] = [];
    try {
      for (const kind of size.kinds)
        measurements.push(...(await withVarve((varve) => measureArrays(varve, peer, kind, size))));
      measurements.push(...(await withVarve((varve) => measureSmallAppends(varve, peer, size))));
      if (peer) measurements.push(...(await measureRecordings()));
    } finally {
      await peer?.stop();
    }
    console.log(toMarkdown(measurements, machine, peer?.version ?? null));
    if (save) saveResult(machine, peer, size, measurements);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** A service of its own, so that memory and disk are those of this work. */
async function withVarve<T>(work: (varve: Varve) => Promise<T>): Promise<T> {
  const varve = await Varve.start();
  try {
    return await work(varve);
  } finally {
    await varve.stop();
  }
}

async function measureArrays(varve: Varve, peer: H5py | null, kind: ValueKind, size: Size): Promise<Measurement[]> {
  const workload = createWorkload(kind, size.rows);
  await peer?.load(workload);
  // Not counted: the first ingest starts threads. Its series are the ones that are read.
  const { ids } = await ingest(varve, workload, { level: 'visible', connections: 1, name: 'first' });
  const diskMb = varve.diskMb('shards') + varve.diskMb('spool');
  await peer?.write();
  const ingests = await measureIngest(varve, peer, workload, size.rounds);
  const whole = await measureReads(varve, peer, workload, ids, { rows: size.rows, reads: size.wholeReads });
  const short = await measureReads(varve, peer, workload, ids, { rows: SHORT_ROWS, reads: size.shortReads });
  const peerDiskMb = peer && (await peer.diskMb());
  const sealing = await measureSealing(varve, peer, workload, ids, [
    { rows: size.rows, reads: size.wholeReads },
    { rows: SHORT_ROWS, reads: size.shortReads },
  ]);
  return [
    ...ingests,
    whole,
    short,
    single('on the disk after one ingest', kind, diskMb, peerDiskMb),
    ...sealing,
    single('peak RSS, without Postgres', kind, varve.peakRssMb(), peer && peer.peakRssMb()),
  ];
}

function single(measure: string, values: ValueKind, varveMb: number | null, peerMb: number | null): Measurement {
  return {
    measure,
    values,
    unit: 'MB',
    varve: varveMb === null ? [] : [varveMb],
    peer: peerMb === null ? null : [peerMb],
  };
}

function saveResult(machine: Machine, peer: H5py | null, size: Size, measurements: readonly Measurement[]): void {
  const folder = join(projectRoot(), 'bench', 'results');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${machine.date.replaceAll(':', '-')}.json`);
  writeFileSync(path, JSON.stringify({ machine, peer: peer?.version ?? null, size, measurements }, null, 2));
  console.error(`saved in ${path}`);
}
