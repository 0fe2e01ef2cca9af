/** Clients that read while everything breaks: what they are shown must always be what some number of whole writes leaves, in order, as sent. */
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
    if (series.irregular) {
      const start = series.newestNs - BigInt(this.#random.between(1, RECENT_NS));
      return this.#compare(url, series, `start=${start}`, (writes) =>
        series.octetsInTime(start, FAR_FUTURE_NS, writes),
      );
    }
    const from = Math.max(0, series.rows - this.#random.between(0, ROWS_BACK_MAX));
    return this.#compare(url, series, `rows=${from}:`, (writes) =>
      series.rowsOf({ from, to: Math.max(from, series.rows) }, writes),
    );
  }

  /** All that was acknowledged before it was asked for, and never a part of a write. */
  async #compare(
    url: string,
    series: ModelSeries,
    selection: string,
    octets: (writes: number) => Buffer,
  ): Promise<void> {
    const least = series.acknowledged;
    if (least === 0) return;
    const response = await this.#fetch(url, series, selection);
    if (!response) return;
    const bytes = Buffer.from(await response.arrayBuffer());
    for (let writes = series.writes.length; writes >= least; writes--) if (bytes.equals(octets(writes))) return;
    throw new Finding(
      `${series.name} ${selection}: ${bytes.length} bytes that no number of writes from ${least} to ${series.writes.length} leaves`,
    );
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
}
