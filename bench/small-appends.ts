/** Small appends: one row of JSON a request, readable when it is answered; one client alone, and many at once. */
import { expectSame } from './answers.ts';
import type { Peer } from './peers/peer.ts';
import { quantile, type Measurement } from './table.ts';
import { Turns } from './turns.ts';
import type { Varve } from './varve.ts';

/** At once: a rack of sensors, and a building. */
const CROWDS = [16, 64] as const;
/** All take turns this many times. */
const TURNS = 5;
const WARM_UP = 10;

/**
 * @param appends of one client, in all
 * @param windowMs how long the many write, in each turn
 */
export async function measureSmallAppends(
  varve: Varve,
  peers: readonly Peer[],
  { appends, windowMs }: { appends: number; windowMs: number },
): Promise<Measurement[]> {
  const sensors: Sensor[] = [];
  for (let i = 0; i < Math.max(...CROWDS); i++) {
    sensors.push(new Sensor(varve, await varve.createSeries(`sensor/${i}`)));
  }
  const alone = new Sensor(varve, await varve.createSeries('sensor/alone'));
  for (let i = 0; i < WARM_UP; i++) await alone.send();

  const latencies: number[] = [];
  const turns = new Turns(peers);
  const crowds = CROWDS.map((writers) => ({ writers, rates: [] as number[], latencies: [] as number[] }));
  for (let turn = 0; turn < TURNS; turn++) {
    for (let i = 0; i < appends / TURNS; i++) latencies.push(await alone.send());
    await turns.take((peer) => peer.append(Math.ceil(appends / TURNS)));
    for (const { writers, rates, latencies: each } of crowds) {
      rates.push(await rateOf(sensors.slice(0, writers), windowMs, each));
    }
  }
  for (const sensor of [...sensors, alone]) await sensor.check();
  return [
    {
      measure: 'append one row of JSON, readable',
      values: null,
      unit: 'ms',
      varve: latencies,
      peers: turns.samples,
    },
    ...crowds.flatMap(({ writers, rates, latencies: each }): Measurement[] => [
      { measure: `the same by ${writers} writers at once, rate`, values: null, unit: '1/s', varve: rates },
      { measure: `the same by ${writers} writers at once, each`, values: null, unit: 'ms', varve: each },
      {
        measure: `the same by ${writers} writers at once, p99`,
        values: null,
        unit: 'ms',
        varve: [quantile(each, 0.99)],
      },
    ]),
  ];
}

/** One writer with a series of its own, that remembers what it has sent. */
class Sensor {
  readonly #varve: Varve;
  readonly #id: string;
  readonly #sent: number[] = [];

  constructor(varve: Varve, id: string) {
    this.#varve = varve;
    this.#id = id;
  }

  /** @returns ms until the row was visible */
  async send(): Promise<number> {
    const value = Math.sin(this.#sent.length);
    const begun = performance.now();
    await this.#varve.appendRow(this.#id, value);
    this.#sent.push(value);
    return performance.now() - begun;
  }

  async check(): Promise<void> {
    const npy = await this.#varve.readNpy(this.#id, 0, this.#sent.length + 1);
    expectSame(npy, Buffer.from(Float64Array.from(this.#sent).buffer), `series ${this.#id} after small appends`);
  }
}

/** Appends a second of all sensors together. @param latencies takes the ms of each */
async function rateOf(sensors: readonly Sensor[], windowMs: number, latencies: number[]): Promise<number> {
  let count = 0;
  const begun = performance.now();
  await Promise.all(
    sensors.map(async (sensor) => {
      while (performance.now() - begun < windowMs) {
        latencies.push(await sensor.send());
        count++;
      }
    }),
  );
  return (count / (performance.now() - begun)) * 1000;
}
