/** Sealing: how fast, how small, and what reading costs afterwards; beside h5py's shuffle and gzip. */
import type { H5py } from './h5py.ts';
import { measureReads } from './read.ts';
import type { Measurement } from './table.ts';
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
  peer: H5py | null,
  workload: Workload,
  ids: readonly string[],
  reads: readonly Reads[],
): Promise<Measurement[]> {
  const reports = await varve.seal();
  const peerMs = peer && (await peer.writeCompressed());
  const paths = reports.flatMap(({ path }) => (path === null ? [] : [path]));
  const seconds = reports.reduce((sum, { tookMs }) => sum + tookMs, 0) / 1000;
  const values = workload.kind;
  // Everything that was ingested is sealed, not only the series that are read.
  const sealedBytes = reports.reduce((sum, { bytesBefore }) => sum + bytesBefore, 0);
  const share = workloadBytes(workload) / sealedBytes;
  const diskMb = peer && (await peer.diskMb());
  const measured: Measurement[] = [];
  for (const { rows, reads: count } of reads) {
    const measurement = await measureReads(varve, peer, workload, ids, { rows, reads: count });
    measured.push({ ...measurement, measure: `${measurement.measure}, sealed` });
  }
  return [
    {
      measure: 'sealed by one thread, gzip',
      values,
      unit: 'MB/s',
      varve: [sealedBytes / MB / seconds],
      peer: peerMs === null ? null : [workloadBytes(workload) / MB / (peerMs / 1000)],
    },
    {
      measure: 'on the disk, sealed',
      values,
      unit: 'MB',
      varve: [varve.liveDiskMb(paths) * share],
      peer: diskMb === null ? null : [diskMb],
    },
    {
      measure: 'peak RSS of sealing',
      values,
      unit: 'MB',
      varve: [Math.max(...reports.map(({ peakRssBytes }) => peakRssBytes)) / MB],
      peer: null,
    },
    ...measured,
  ];
}
