/** Clients that append, each to a series of its own, and try again with the same key until the answer is certain. */
import type { VarveProcess } from './varve-process.ts';
import { Finding, demand } from './finding.ts';
import type { ModelSeries, SentBatch } from './model-series.ts';
import { sleep } from './pause.ts';
import type { Random } from './random.ts';
import type { Store } from './store.ts';

const REQUEST_LIMIT_MS = 20_000;
const RETRY_MS_MAX = 250;
/** Even with faults all around, everything comes back within a cycle. */
const CERTAIN_LIMIT_MS = 120_000;
const PAUSE_MS_MAX = 60;
/** Statuses that say "not now", as opposed to "never". */
const PASSING = new Set([503]);

export interface WriterCounts {
  batches: number;
  samples: number;
  bytes: number;
  retries: number;
  replays: number;
}

interface Answer {
  readonly write: string;
  readonly level: 'durable' | 'visible';
  readonly rows: number;
  readonly first_row?: number;
  readonly last_row?: number;
}

export class Writers {
  readonly counts: WriterCounts = { batches: 0, samples: 0, bytes: 0, retries: 0, replays: 0 };
  readonly #store: Store;
  readonly #random: Random;
  readonly #late = new Set<Promise<unknown>>();
  #running: Promise<void>[] = [];
  #stop = false;
  #isAbandoned = false;

  constructor(store: Store, random: Random) {
    this.#store = store;
    this.#random = random;
  }

  start(): void {
    this.#stop = false;
    this.#running = this.#store.series.map((series) => this.#write(series));
    for (const writer of this.#running) writer.catch(() => {}); // told by finish
  }

  /** Lets every client bring its batch to a certain end. @throws Finding */
  async finish(): Promise<void> {
    this.#stop = true;
    await Promise.all(this.#running);
    await Promise.all(this.#late);
  }

  /** After a failure: nothing is sent any more, whatever becomes of it. */
  abandon(): void {
    this.#stop = this.#isAbandoned = true;
  }

  /** Sends batches again that have been acknowledged; each must be answered as the first time. */
  async replay(batches: readonly { series: ModelSeries; batch: SentBatch }[]): Promise<void> {
    for (const { series, batch } of batches) {
      await this.#untilCertain(series, batch);
      this.counts.replays++;
    }
  }

  async #write(series: ModelSeries): Promise<void> {
    const random = this.#random.fork(`${series.name}@${series.batches.length}`);
    while (!this.#stop) {
      const batch = series.nextBatch();
      if (random.chance(0.05)) {
        // A client whose first try hangs somewhere, and who tries elsewhere.
        const twin = this.#untilCertain(series, batch).finally(() => this.#late.delete(twin));
        twin.catch(() => {});
        this.#late.add(twin);
      }
      await this.#untilCertain(series, batch);
      this.counts.batches++;
      this.counts.samples += batch.rows * series.kind.channels;
      this.counts.bytes += batch.body.length;
      if (random.chance(0.1)) await this.replay([{ series, batch: random.pick(series.batches.slice(-20)) }]);
      await sleep(random.between(0, PAUSE_MS_MAX));
    }
  }

  async #untilCertain(series: ModelSeries, batch: SentBatch): Promise<void> {
    const endMs = performance.now() + CERTAIN_LIMIT_MS;
    let last = 'no try';
    while (performance.now() < endMs && !this.#isAbandoned) {
      const server = this.#random.pick(this.#store.servers);
      const url = server.url;
      if (url !== null) {
        try {
          return check(series, batch, await this.#send(server, url, series, batch));
        } catch (error) {
          if (error instanceof Finding) throw error;
          last = describe(error);
          this.counts.retries++;
        }
      }
      await sleep(this.#random.between(10, RETRY_MS_MAX));
    }
    throw new Finding(`no certain answer to ${batch.key} within ${CERTAIN_LIMIT_MS} ms; last: ${last}`);
  }

  async #send(server: VarveProcess, url: string, series: ModelSeries, batch: SentBatch): Promise<Answer> {
    const query = batch.startNs === null ? '' : `?start=${batch.startNs}`;
    const isSlow = batch.body.length > 65_536 && this.#random.chance(0.3);
    const response = await fetch(`${url}/v1/series/${series.id}/samples${query}`, {
      method: 'POST',
      headers: {
        ...this.#store.headers,
        'Content-Type': batch.contentType,
        'Idempotency-Key': batch.key,
        Prefer: this.#random.chance(0.5) ? 'respond-async' : 'wait=5',
      },
      signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
      ...(isSlow
        ? { body: ReadableStream.from(slowly(batch.body, server, this.#random)), duplex: 'half' as const }
        : { body: batch.body }),
    });
    const text = await response.text();
    if (response.status === 201 || response.status === 202) return JSON.parse(text) as Answer;
    const what = `${batch.key}: ${response.status} ${text}`;
    if (PASSING.has(response.status)) throw new Error(what);
    throw new Finding(`an append was refused: ${what}`);
  }
}

async function* slowly(body: Buffer, server: VarveProcess, random: Random): AsyncGenerator<Uint8Array> {
  const pieces = random.between(2, 6);
  const size = Math.ceil(body.length / pieces);
  server.uploads++;
  try {
    for (let at = 0; at < body.length; at += size) {
      yield body.subarray(at, at + size);
      await sleep(random.between(10, 120));
    }
  } finally {
    server.uploads = Math.max(0, server.uploads - 1);
  }
}

/** An acknowledgement must say what was sent, at the place the oracle expects, and always the same write. */
function check(series: ModelSeries, batch: SentBatch, answer: Answer): void {
  demand(batch.write === null || batch.write === answer.write, () => {
    return `${batch.key} is write ${batch.write} and then write ${answer.write}`;
  });
  batch.write = answer.write;
  demand(answer.rows === batch.rows, () => `${batch.key} has ${batch.rows} rows, the answer says ${answer.rows}`);
  if (answer.level !== 'visible') return;
  const [first, last] = [batch.firstRow, batch.firstRow + batch.rows - 1];
  demand(answer.first_row === first && answer.last_row === last, () => {
    return `${batch.key} has rows ${first}…${last}, the answer says ${answer.first_row}…${answer.last_row}`;
  });
  series.visibleRows = Math.max(series.visibleRows, batch.firstRow + batch.rows);
}

function describe(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { message?: string; code?: string } };
  return `${message ?? String(error)}${cause ? ` (${cause.code ?? cause.message})` : ''}`;
}
