/** Clients that append, edit and seal, each a series of its own, and try again with the same key until the answer is certain. */
import { createHash } from 'node:crypto';
import type { VarveProcess } from './varve-process.ts';
import { Finding, demand } from './finding.ts';
import type { ModelSeries, SentWrite } from './model-series.ts';
import { sleep } from './pause.ts';
import type { Random } from './random.ts';
import type { Store } from './store.ts';

const REQUEST_LIMIT_MS = 20_000;
const RETRY_MS_MAX = 250;
/** Even with faults all around, everything comes back within a cycle. */
const CERTAIN_LIMIT_MS = 120_000;
const PAUSE_MS_MAX = 60;
/** Statuses that say "not now", as opposed to "never": Postgres is away, the disk is full. */
const PASSING = new Set([503, 507]);
const TIME_BYTES = 8;
const FAR_PAST_NS = -(2n ** 63n);
const FAR_FUTURE_NS = 2n ** 63n - 1n;

export interface WriterCounts {
  writes: number;
  edits: number;
  seals: number;
  samples: number;
  bytes: number;
  retries: number;
  replays: number;
}

interface Answer {
  readonly write: string;
  readonly level: string;
  readonly rows?: number;
  readonly removed?: number;
  readonly first_row?: number;
  readonly last_row?: number;
}

export class Writers {
  readonly counts: WriterCounts = { writes: 0, edits: 0, seals: 0, samples: 0, bytes: 0, retries: 0, replays: 0 };
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

  /** Sends writes again that have been acknowledged; each must be answered as the first time. */
  async replay(writes: readonly { series: ModelSeries; write: SentWrite }[]): Promise<void> {
    for (const { series, write } of writes) {
      await this.#untilCertain(series, write);
      this.counts.replays++;
    }
  }

  async #write(series: ModelSeries): Promise<void> {
    const random = this.#random.fork(`${series.name}@${series.writes.length}`);
    while (!this.#stop) {
      const write = series.next();
      if (random.chance(0.05)) {
        // A client whose first try hangs somewhere, and who tries elsewhere.
        const twin = this.#untilCertain(series, write).finally(() => this.#late.delete(twin));
        twin.catch(() => {});
        this.#late.add(twin);
      }
      await this.#untilCertain(series, write);
      series.acknowledged = series.writes.length;
      this.counts.writes++;
      if (write.kind !== 'append') this.counts.edits++;
      this.counts.samples += write.rows * series.kind.channels;
      this.counts.bytes += write.body.length;
      if (random.chance(0.1)) await this.replay([{ series, write: random.pick(series.writes.slice(-20)) }]);
      if (random.chance(0.01)) await this.#seal(series);
      await sleep(random.between(0, PAUSE_MS_MAX));
    }
  }

  /** A sealed series has the hash of what was acknowledged, and takes nothing. Then it is opened again. */
  async #seal(series: ModelSeries): Promise<void> {
    const post = (url: string, path: string, body?: string): Promise<Response> =>
      fetch(`${url}/v1/series/${series.id}/${path}`, {
        method: 'POST',
        headers: { ...this.#store.headers, ...(body !== undefined && { 'Content-Type': 'application/json' }) },
        body,
        signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
      });
    const told = await this.#certain(`sealing ${series.name}`, 200, (_, url) => post(url, 'seal'));
    const { content_hash: hash } = JSON.parse(told) as { content_hash: { values: string } | null };
    const expected = createHash('sha256').update(valuesOf(series)).digest('hex');
    demand(hash?.values === `sha256:${expected}`, () => `${series.name} was sealed with the hash of other values`);
    const row = new Array<number>(series.kind.channels).fill(1);
    const times = series.irregular ? [String(series.newestNs + 1n)] : undefined;
    const body = JSON.stringify({ values: [row], times });
    await this.#certain(`an append to ${series.name}, which is sealed,`, 409, (_, url) => post(url, 'samples', body));
    await this.#certain(`unsealing ${series.name}`, 200, (_, url) => post(url, 'unseal'));
    this.counts.seals++;
  }

  async #untilCertain(series: ModelSeries, write: SentWrite): Promise<void> {
    const status = write.kind === 'append' ? 201 : 200;
    const text = await this.#certain(write.key, status, (server, url) => this.#send(server, url, series, write));
    check(series, write, JSON.parse(text) as Answer);
  }

  /** Asks one server or another until the answer is certain. @returns its body. @throws Finding if it has another status */
  async #certain(
    what: string,
    status: number,
    ask: (server: VarveProcess, url: string) => Promise<Response>,
  ): Promise<string> {
    const endMs = performance.now() + CERTAIN_LIMIT_MS;
    let last = 'no try';
    while (performance.now() < endMs && !this.#isAbandoned) {
      const server = this.#random.pick(this.#store.servers);
      const url = server.url;
      if (url !== null) {
        try {
          const response = await ask(server, url);
          const text = await response.text();
          if (response.status === status) return text;
          last = `${response.status} ${text}`;
          demand(PASSING.has(response.status), () => `${what} was answered ${last}`);
        } catch (error) {
          if (error instanceof Finding) throw error;
          last = describe(error);
        }
        this.counts.retries++;
      }
      await sleep(this.#random.between(10, RETRY_MS_MAX));
    }
    throw new Finding(`no certain answer to ${what} within ${CERTAIN_LIMIT_MS} ms; last: ${last}`);
  }

  #send(server: VarveProcess, url: string, series: ModelSeries, write: SentWrite): Promise<Response> {
    const { kind, range, startNs, body } = write;
    const query = range ? `?start=${range.from}&end=${range.to}` : startNs === null ? '' : `?start=${startNs}`;
    const isSlow = body.length > 65_536 && this.#random.chance(0.3);
    const headers = { ...this.#store.headers, 'Idempotency-Key': write.key };
    const address = `${url}/v1/series/${series.id}/samples${query}`;
    const signal = AbortSignal.timeout(REQUEST_LIMIT_MS);
    if (kind === 'remove') return fetch(address, { method: 'DELETE', headers, signal });
    return fetch(address, {
      method: kind === 'append' ? 'POST' : 'PUT',
      headers: { ...headers, 'Content-Type': write.contentType },
      signal,
      ...(isSlow
        ? { body: ReadableStream.from(slowly(body, server, this.#random)), duplex: 'half' as const }
        : { body }),
    });
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

/** All values that a plain read gives. */
function valuesOf(series: ModelSeries): Buffer {
  if (!series.irregular) return series.rowsOf({ from: 0, to: series.rows });
  const records = series.octetsInTime(FAR_PAST_NS, FAR_FUTURE_NS);
  const recordBytes = series.rowBytes + TIME_BYTES;
  const rows = Array.from({ length: records.length / recordBytes }, (_, row) =>
    records.subarray(row * recordBytes + TIME_BYTES, (row + 1) * recordBytes),
  );
  return Buffer.concat(rows);
}

/** An acknowledgement must say what was sent, at the place the oracle expects, and always the same write. */
function check(series: ModelSeries, write: SentWrite, answer: Answer): void {
  const { key, kind, rows, at } = write;
  demand(write.write === null || write.write === answer.write, () => {
    return `${key} is write ${write.write} and then write ${answer.write}`;
  });
  write.write = answer.write;
  demand(answer.level === 'visible', () => `${key} is ${answer.level}`);
  if (kind === 'remove') {
    const { from, to } = series.removedBy(write);
    demand(answer.removed !== undefined && answer.removed >= from && answer.removed <= to, () => {
      return `${key} removes ${from} to ${to} rows, the answer says ${answer.removed}`;
    });
    return;
  }
  demand(answer.rows === rows, () => `${key} has ${rows} rows, the answer says ${answer.rows}`);
  const [first, last] = series.irregular ? [] : [at.from, at.to - 1];
  demand(answer.first_row === first && answer.last_row === last, () => {
    return `${key} has rows ${first}…${last}, the answer says ${answer.first_row}…${answer.last_row}`;
  });
}

function describe(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { message?: string; code?: string } };
  return `${message ?? String(error)}${cause ? ` (${cause.code ?? cause.message})` : ''}`;
}
