/** Flushing and compaction: how fast, how small, and what reading costs afterwards; beside the peers that compress by request. */
import type { RewriteReport } from '../src/flows/rewrite/rewrite-shards.ts';
import type { Peer } from './peers/peer.ts';
import { measureReads } from './read.ts';
import type { Measurement } from './table.ts';
import { Turns } from './turns.ts';
import type { Varve } from './varve.ts';
import { workloadBytes, type Workload } from './workload.ts';

const MB = 1e6;
/** Series of the workload have float64. */
const VALUE_BYTES = 8;

interface Reads {
  readonly rows: number;
  readonly reads: number;
}

/** Flushes and compacts what has been ingested. @param reads of whole series, and of few rows */
export async function measureCompaction(
  varve: Varve,
  peers: readonly Peer[],
  workload: Workload,
  ids: readonly string[],
  reads: readonly Reads[],
): Promise<Measurement[]> {
  const flushes = await varve.flush();
  const reports = await varve.compact();
  const packing = peers.filter((peer) => peer.ingestCompressed);
  const rates = new Turns(packing);
  await rates.take(async (peer) => [workloadBytes(workload) / MB / ((await peer.ingestCompressed!()) / 1000)]);
  const values = workload.kind;
  // A flush has compressed them already: what a shard has says little of how much is worked off.
  const [{ rows: stored }] = await varve.query<{ rows: string }>('select sum(rows) as rows from heads');
  const rawBytes = Number(stored) * VALUE_BYTES;
  let storedBytes = 0;
  for (const id of ids) storedBytes += await varve.storedBytes(id);
  const disk = new Turns(packing);
  await disk.take(async (peer) => [await peer.diskMb()]);
  const measured: Measurement[] = [];
  for (const { rows, reads: count } of reads) {
    const measurement = await measureReads(varve, packing, workload, ids, { rows, reads: count });
    measured.push({ ...measurement, measure: `${measurement.measure}, compacted` });
  }
  return [
    {
      measure: 'flushed by one thread',
      values,
      unit: 'MB/s',
      varve: [rateOf(flushes, rawBytes)],
    },
    {
      measure: 'compacted by one thread, gzip',
      values,
      unit: 'MB/s',
      varve: [rateOf(reports, rawBytes)],
      peers: rates.samples,
    },
    {
      measure: 'on the disk, compacted',
      values,
      unit: 'MB',
      varve: [storedBytes / MB],
      peers: disk.samples,
    },
    {
      measure: 'peak RSS of compaction',
      values,
      unit: 'MB',
      varve: [Math.max(...reports.map(({ peakRssBytes }) => peakRssBytes)) / MB],
    },
    ...measured,
  ];
}

function rateOf(reports: readonly RewriteReport[], rawBytes: number): number {
  const seconds = reports.reduce((sum, { tookMs }) => sum + tookMs, 0) / 1000;
  return rawBytes / MB / seconds;
}
