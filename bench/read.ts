/** Reads: a whole series, and few rows at random places, beside the peers. */
import { expectSame } from './answers.ts';
import type { Peer, Place } from './peers/peer.ts';
import type { Measurement } from './table.ts';
import { Turns } from './turns.ts';
import type { Varve } from './varve.ts';
import { mulberry32, ROW_BYTES, type Workload } from './workload.ts';

/** All take turns this many times. */
const TURNS = 10;
/** Reads before the first that counts, of Varve and of each peer. */
const WARM_UP = 10;
const PEER_WARM_UP = 2;
const PLACES_SEED = 7;

/**
 * @param ids series of the workload, in its order, as the service stores them
 * @param rows of one read
 * @param reads of each, fewer of a slow peer
 */
export async function measureReads(
  varve: Varve,
  peers: readonly Peer[],
  workload: Workload,
  ids: readonly string[],
  { rows, reads }: { rows: number; reads: number },
): Promise<Measurement> {
  const random = mulberry32(PLACES_SEED);
  const places = (count: number): Place[] =>
    Array.from({ length: count }, () => {
      const from = Math.floor(random() * (workload.rows - rows + 1));
      return { series: Math.floor(random() * ids.length), from, to: from + rows };
    });
  const readAll = async (wanted: readonly Place[]): Promise<number[]> => {
    const times: number[] = [];
    for (const { series, from, to } of wanted) {
      const begun = performance.now();
      const npy = await varve.readNpy(ids[series], from, to);
      times.push(performance.now() - begun);
      const sent = workload.series[series].subarray(from * ROW_BYTES, to * ROW_BYTES);
      expectSame(npy, sent, `rows ${from}:${to} of series ${series}`);
    }
    return times;
  };
  const warmUp = places(WARM_UP);
  await readAll(warmUp);
  for (const peer of peers) await peer.read(warmUp.slice(0, PEER_WARM_UP));
  const ours: number[] = [];
  const turns = new Turns(peers);
  for (let turn = 0; turn < TURNS; turn++) {
    const wanted = places(Math.ceil(reads / TURNS));
    ours.push(...(await readAll(wanted)));
    await turns.take((peer) => peer.read(wanted));
  }
  const measure = `read ${rows.toLocaleString('en')} rows as .npy`;
  return { measure, values: workload.kind, unit: 'ms', varve: ours, peers: turns.samples };
}
