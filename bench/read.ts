/** Reads: a whole series, and few rows at random places, beside h5py with its file open. */
import { expectSame } from './answers.ts';
import type { H5py, Place } from './h5py.ts';
import type { Measurement } from './table.ts';
import type { Varve } from './varve.ts';
import { mulberry32, ROW_BYTES, type Workload } from './workload.ts';

/** The two sides take turns this many times. */
const TURNS = 10;
/** Reads of each side before the first that counts. */
const WARM_UP = 10;
const PLACES_SEED = 7;

/**
 * @param ids series of the workload, in its order, as the service stores them
 * @param rows of one read
 * @param reads of each side
 */
export async function measureReads(
  varve: Varve,
  peer: H5py | null,
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
  await peer?.read(warmUp);
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    const wanted = places(Math.ceil(reads / TURNS));
    ours.push(...(await readAll(wanted)));
    if (peer) theirs.push(...(await peer.read(wanted)));
  }
  const measure = `read ${rows.toLocaleString('en')} rows as .npy`;
  return { measure, values: workload.kind, unit: 'ms', varve: ours, peer: peer && theirs };
}
