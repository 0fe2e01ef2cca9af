/** Ingest: all series over REST, one request a series, until all are acknowledged, beside the peers. */
import { expectSame } from './answers.ts';
import type { Measurement } from './table.ts';
import type { Turns } from './turns.ts';
import type { Varve } from './varve.ts';
import { workloadBytes, type Workload } from './workload.ts';

const CONNECTIONS = [1, 4];

/**
 * Stores the workload again and again, each time in new series, and reads all of it back.
 * @param rounds of all variants
 * @param turns of the peers in seconds, between any two of them; a peer has one way to ingest, which stands beside each of ours
 */
export async function measureIngest(
  varve: Varve,
  turns: Turns,
  workload: Workload,
  rounds: number,
): Promise<Measurement[]> {
  const taken = CONNECTIONS.map((connections) => ({ connections, ours: [] as number[] }));
  for (let round = 0; round < rounds; round++) {
    for (const { connections, ours } of taken) {
      ours.push((await ingest(varve, workload, { connections, name: `${connections}/${round}` })).seconds);
      await turns.take(async (peer) => [(await peer.ingest()) / 1000]);
    }
  }
  const mb = workloadBytes(workload) / 1e6;
  return taken.map(({ connections, ours }) => ({
    measure: `ingest ${mb} MB, readable, ${connections} connection${connections > 1 ? 's' : ''}`,
    values: workload.kind,
    unit: 's',
    varve: ours,
    peers: turns.samples,
  }));
}

/** @returns the new series, in the workload's order, after every bit of them has been compared; and the seconds of the acknowledgements */
export async function ingest(
  varve: Varve,
  workload: Workload,
  { connections, name }: { connections: number; name: string },
): Promise<{ ids: string[]; seconds: number }> {
  const ids: string[] = [];
  for (const i of workload.series.keys()) ids.push(await varve.createSeries(`${workload.kind}/${name}/${i}`));
  const waiting = workload.series.entries();
  const begun = performance.now();
  const send = async (): Promise<void> => {
    for (const [i, values] of waiting) await varve.append(ids[i], values);
  };
  await Promise.all(Array.from({ length: connections }, send));
  const seconds = (performance.now() - begun) / 1000;
  for (const [i, values] of workload.series.entries()) {
    expectSame(await varve.readNpy(ids[i], 0, workload.rows), values, `${name}, series ${i}`);
  }
  return { ids, seconds };
}
