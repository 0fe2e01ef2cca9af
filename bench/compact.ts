/** Flushing and compaction: how fast, how small, and what reading costs afterwards; beside the peers that compress by request. */
import type { RewriteReport } from '../src/flows/rewrite/rewrite-shards.ts';
import type { Peer } from './peers/peer.ts';
import { measureReads } from './read.ts';
import type { Measurement } from './table.ts';
import { Turns } from './turns.ts';
import type { Varve } from './varve.ts';
import { workloadBytes, type Workload } from './workload.ts';

const MB = 1e6;

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
  const paths = reports.flatMap(({ path }) => (path === null ? [] : [path]));
  const values = workload.kind;
  // Everything that was ingested is compacted, not only the series that are read.
  const share = workloadBytes(workload) / reports.reduce((sum, { bytesBefore }) => sum + bytesBefore, 0);
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
      varve: [rateOf(flushes)],
    },
    {
      measure: 'compacted by one thread, gzip',
      values,
      unit: 'MB/s',
      varve: [rateOf(reports)],
      peers: rates.samples,
    },
    {
      measure: 'on the disk, compacted',
      values,
      unit: 'MB',
      varve: [varve.liveDiskMb(paths) * share],
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

function rateOf(reports: readonly RewriteReport[]): number {
  const bytes = reports.reduce((sum, { bytesBefore }) => sum + bytesBefore, 0);
  const seconds = reports.reduce((sum, { tookMs }) => sum + tookMs, 0) / 1000;
  return bytes / MB / seconds;
}
