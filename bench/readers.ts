/** Many readers at once, while nothing is written and while writers go on and on; and the writers, alone and beside the readers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expectSame } from './answers.ts';
import { ingest } from './ingest.ts';
import type { Measurement } from './table.ts';
import type { Varve } from './varve.ts';
import { createWorkload, mulberry32, ROW_BYTES, type Workload } from './workload.ts';

const READERS = 16;
const WRITERS = 2;
/** Rows of one append. */
const BATCH_ROWS = 32_768;
/** A writer sends its next batch so long after the one before, or as soon as that is readable: 2.1 MB/s each. */
const BATCH_EVERY_MS = 125;
const SHORT_ROWS = 10_000;
/** One of so many reads is of a whole series. */
const WHOLE_EVERY = 20;
/** Alone, beside the other, and again. */
const TURNS = 3;
const SEED = 41;
const MB = 1e6;

/** @param rows of each series that is read @param windowMs of each turn of each of the three */
export async function measureReaders(
  varve: Varve,
  { rows, readersMs: windowMs }: { rows: number; readersMs: number },
): Promise<Measurement[]> {
  const workload = createWorkload('noise', rows);
  const { ids } = await ingest(varve, workload, { connections: 1, name: 'readers' });
  const readers = Array.from({ length: READERS }, (_, i) => new Reader(varve, workload, ids, SEED + i));
  const writers: Writer[] = [];
  for (let i = 0; i < WRITERS; i++) {
    writers.push(new Writer(varve, await varve.createSeries(`written/${i}`), workload, SEED - 1 - i));
  }
  const alone = { reads: new Reads(), appends: new Appends() };
  const together = { reads: new Reads(), appends: new Appends() };
  await runAll(readers, windowMs / TURNS, new Reads());
  for (let turn = 0; turn < TURNS; turn++) {
    await runAll(readers, windowMs, alone.reads);
    await runAll(writers, windowMs, alone.appends);
    await Promise.all([runAll(readers, windowMs, together.reads), runAll(writers, windowMs, together.appends)]);
  }
  for (const writer of writers) await writer.check();

  const beside = ', during ingest';
  const readRows = ({ short, whole, rates }: Reads, when: string): Measurement[] => [
    {
      measure: `${READERS} readers: ${SHORT_ROWS.toLocaleString('en')} rows as .npy${when}`,
      values: null,
      unit: 'ms',
      varve: short,
    },
    {
      measure: `${READERS} readers: ${rows.toLocaleString('en')} rows as .npy${when}`,
      values: null,
      unit: 'ms',
      varve: whole,
    },
    { measure: `${READERS} readers: reads${when}`, values: null, unit: '1/s', varve: rates },
  ];
  const batch = `${((BATCH_ROWS * ROW_BYTES) / 1e3).toFixed(0)} KB`;
  const appendRows = ({ times, rates }: Appends, when: string): Measurement[] => [
    { measure: `${WRITERS} writers: append of ${batch}, readable${when}`, values: null, unit: 'ms', varve: times },
    { measure: `${WRITERS} writers: ingest${when}`, values: null, unit: 'MB/s', varve: rates },
  ];
  return [
    ...readRows(alone.reads, ''),
    ...readRows(together.reads, beside),
    ...appendRows(alone.appends, ''),
    ...appendRows(together.appends, `, beside ${READERS} readers`),
  ];
}

/** What readers found in some windows. */
class Reads {
  readonly short: number[] = [];
  readonly whole: number[] = [];
  /** Reads a second of all, of each window. */
  readonly rates: number[] = [];

  get count(): number {
    return this.short.length + this.whole.length;
  }

  endWindow(before: number, seconds: number): void {
    this.rates.push((this.count - before) / seconds);
  }
}

/** What writers found in some windows. */
class Appends {
  readonly times: number[] = [];
  /** MB a second of all, of each window. */
  readonly rates: number[] = [];

  get count(): number {
    return this.times.length;
  }

  endWindow(before: number, seconds: number): void {
    this.rates.push(((this.count - before) * BATCH_ROWS * ROW_BYTES) / MB / seconds);
  }
}

interface Found {
  readonly count: number;
  endWindow(before: number, seconds: number): void;
}

/** Everybody again and again until the window ends; what is under way then is finished and counted. */
async function runAll<F extends Found>(
  clients: readonly { step(found: F): Promise<void> }[],
  windowMs: number,
  found: F,
): Promise<void> {
  const before = found.count;
  const begun = performance.now();
  await Promise.all(
    clients.map(async (client) => {
      do await client.step(found);
      while (performance.now() - begun < windowMs);
    }),
  );
  found.endWindow(before, (performance.now() - begun) / 1000);
}

/** Reads at random places; every answer is compared. */
class Reader {
  readonly #varve: Varve;
  readonly #workload: Workload;
  readonly #ids: readonly string[];
  readonly #random: () => number;
  #reads = 0;

  constructor(varve: Varve, workload: Workload, ids: readonly string[], seed: number) {
    this.#varve = varve;
    this.#workload = workload;
    this.#ids = ids;
    this.#random = mulberry32(seed);
    // So that they do not all read whole series at the same time.
    this.#reads = Math.floor(this.#random() * WHOLE_EVERY);
  }

  async step(found: Reads): Promise<void> {
    const isWhole = this.#reads++ % WHOLE_EVERY === 0;
    const rows = isWhole ? this.#workload.rows : SHORT_ROWS;
    const series = Math.floor(this.#random() * this.#ids.length);
    const from = Math.floor(this.#random() * (this.#workload.rows - rows + 1));
    const begun = performance.now();
    const npy = await this.#varve.readNpy(this.#ids[series], from, from + rows);
    found[isWhole ? 'whole' : 'short'].push(performance.now() - begun);
    const sent = this.#workload.series[series].subarray(from * ROW_BYTES, (from + rows) * ROW_BYTES);
    expectSame(npy, sent, `rows ${from}:${from + rows} of series ${series}`);
  }
}

/** Appends to a series of its own, and remembers what it has sent. */
class Writer {
  readonly #varve: Varve;
  readonly #id: string;
  readonly #source: Buffer;
  readonly #random: () => number;
  readonly #sent: Buffer[] = [];

  constructor(varve: Varve, id: string, workload: Workload, seed: number) {
    this.#varve = varve;
    this.#id = id;
    this.#source = Buffer.concat(workload.series);
    this.#random = mulberry32(seed);
  }

  async step(found: Appends): Promise<void> {
    const rows = this.#source.length / ROW_BYTES - BATCH_ROWS;
    const from = Math.floor(this.#random() * rows) * ROW_BYTES;
    const batch = this.#source.subarray(from, from + BATCH_ROWS * ROW_BYTES);
    const pause = sleep(BATCH_EVERY_MS);
    const begun = performance.now();
    await this.#varve.append(this.#id, batch);
    found.times.push(performance.now() - begun);
    this.#sent.push(batch);
    await pause;
  }

  async check(): Promise<void> {
    const rows = this.#sent.length * BATCH_ROWS;
    expectSame(await this.#varve.readNpy(this.#id, 0, rows), Buffer.concat(this.#sent), `series ${this.#id}`);
  }
}
