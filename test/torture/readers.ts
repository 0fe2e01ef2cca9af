/** Clients that read while everything breaks: what they are shown must always be whole appends, in order, as sent. */
import { Finding, demand } from './finding.ts';
import type { ModelSeries } from './model-series.ts';
import { sleep } from './pause.ts';
import type { Random } from './random.ts';
import type { Store } from './store.ts';

const READERS = 2;
/** Rows of irregular series are up to a millisecond apart. */
const RECENT_NS = 500_000_000;
const FAR_FUTURE_NS = 2n ** 63n - 1n;
const REQUEST_LIMIT_MS = 20_000;
const PAUSE_MS_MAX = 80;
const ROWS_BACK_MAX = 20_000;

export class Readers {
  reads = 0;
  readonly #store: Store;
  readonly #random: Random;
  #running: Promise<void>[] = [];
  #stop = false;

  constructor(store: Store, random: Random) {
    this.#store = store;
    this.#random = random;
  }

  start(): void {
    this.#stop = false;
    this.#running = Array.from({ length: READERS }, () => this.#read());
    for (const reader of this.#running) reader.catch(() => {}); // told by finish
  }

  /** @throws Finding */
  async finish(): Promise<void> {
    this.#stop = true;
    await Promise.all(this.#running);
  }

  /** After a failure. */
  abandon(): void {
    this.#stop = true;
  }

  async #read(): Promise<void> {
    while (!this.#stop) {
      const { url } = this.#random.pick(this.#store.servers);
      if (url !== null) {
        try {
          await this.#readOnce(url, this.#random.pick(this.#store.series));
          this.reads++;
        } catch (error) {
          if (error instanceof Finding) throw error; // anything else is a server that is away
        }
      }
      await sleep(this.#random.between(5, PAUSE_MS_MAX));
    }
  }

  #readOnce(url: string, series: ModelSeries): Promise<void> {
    return series.irregular ? this.#readTimes(url, series) : this.#readRows(url, series);
  }

  /** From some time to the end: rows that are visible, with everything that was acknowledged before, and never a part of an append. */
  async #readTimes(url: string, series: ModelSeries): Promise<void> {
    const least = series.visibleRows;
    const newest = series.batches.at(-1)?.times?.at(-1);
    if (newest === undefined) return;
    const start = newest - BigInt(this.#random.between(1, RECENT_NS));
    const response = await this.#fetch(url, series, `start=${start}`);
    if (!response) return;
    const bytes = Buffer.from(await response.arrayBuffer());
    const isKnown = series
      .boundariesFrom(least)
      .some((rows) => bytes.equals(series.octetsInTime(start, FAR_FUTURE_NS, rows)));
    demand(isKnown, () => `${series.name} from ${start}: not what was sent, or part of an append`);
  }

  async #fetch(url: string, series: ModelSeries, selection: string): Promise<Response | null> {
    const response = await fetch(`${url}/v1/series/${series.id}/samples?${selection}&format=octet`, {
      headers: this.#store.headers,
      signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
    });
    if (response.status === 200) return response;
    const text = await response.text();
    demand(response.status === 503, () => `a read of ${series.name} was answered ${response.status} ${text}`);
    return null;
  }

  /** From some row to the end: how many rows there are is part of the answer. */
  async #readRows(url: string, series: ModelSeries): Promise<void> {
    const acknowledged = series.visibleRows;
    const from = Math.max(0, acknowledged - this.#random.between(0, ROWS_BACK_MAX));
    const response = await this.#fetch(url, series, `rows=${from}:`);
    if (!response) return;
    const bytes = Buffer.from(await response.arrayBuffer());
    const rows = from + Number(response.headers.get('x-varve-rows'));
    const where = `${series.name}, rows ${from}:${rows}`;
    demand(bytes.length === (rows - from) * series.recordBytes, () => `${where}: ${bytes.length} bytes`);
    demand(rows >= acknowledged, () => `${where}: ${acknowledged} rows had been acknowledged as visible`);
    demand(rows <= series.rows, () => `${where}: only ${series.rows} were ever sent`);
    demand(series.isBoundary(rows), () => `${where}: part of an append is visible`);
    demand(bytes.equals(series.octetsBetween(from, rows)), () => `${where}: not what was sent`);
  }
}
