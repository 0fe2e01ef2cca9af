/** Sealing: how fast, how small, and what reading costs afterwards; beside the peers that compress by request. */
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

/** Seals what has been ingested. @param reads of whole series, and of few rows */
export async function measureSealing(
  varve: Varve,
  peers: readonly Peer[],
  workload: Workload,
  ids: readonly string[],
  reads: readonly Reads[],
): Promise<Measurement[]> {
  const reports = await varve.seal();
  const packing = peers.filter((peer) => peer.ingestCompressed);
  const rates = new Turns(packing);
  await rates.take(async (peer) => [workloadBytes(workload) / MB / ((await peer.ingestCompressed!()) / 1000)]);
  const paths = reports.flatMap(({ path }) => (path === null ? [] : [path]));
  const seconds = reports.reduce((sum, { tookMs }) => sum + tookMs, 0) / 1000;
  const values = workload.kind;
  // Everything that was ingested is sealed, not only the series that are read.
  const sealedBytes = reports.reduce((sum, { bytesBefore }) => sum + bytesBefore, 0);
  const share = workloadBytes(workload) / sealedBytes;
  const disk = new Turns(packing);
  await disk.take(async (peer) => [await peer.diskMb()]);
  const measured: Measurement[] = [];
  for (const { rows, reads: count } of reads) {
    const measurement = await measureReads(varve, packing, workload, ids, { rows, reads: count });
    measured.push({ ...measurement, measure: `${measurement.measure}, sealed` });
  }
  return [
    {
      measure: 'sealed by one thread, gzip',
      values,
      unit: 'MB/s',
      varve: [sealedBytes / MB / seconds],
      peers: rates.samples,
    },
    {
      measure: 'on the disk, sealed',
      values,
      unit: 'MB',
      varve: [varve.liveDiskMb(paths) * share],
      peers: disk.samples,
    },
    {
      measure: 'peak RSS of sealing',
      values,
      unit: 'MB',
      varve: [Math.max(...reports.map(({ peakRssBytes }) => peakRssBytes)) / MB],
    },
    ...measured,
  ];
}
