/** Varve as its users meet it: `varve serve` in a process of its own, and HTTP over connections that are kept. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { findRunningPostgres } from '../src/main/embedded-postgres.ts';
import type { SealReport } from '../src/flows/seal-lane.ts';
import { runCli, startService, type RunningService } from '../test/support/service.ts';
import { HttpClient, type Answer, type Call } from './http.ts';
import { allocatedBytes, peakRssMb } from './machine.ts';
import { RATE_HZ } from './workload.ts';

/** Connections at the same time; a client that asks one thing after the other uses one of them. */
const MAX_CONNECTIONS = 32;
/** Series whose last commit stands for that of all. */
const COMMITS_LOOKED_AT = 16;
const SETTLE_POLL_MS = 20;
const SETTLE_LIMIT_MS = 120_000;
const MB = 1e6;

export type Level = 'durable' | 'visible';

export class Varve {
  readonly #service: RunningService;
  readonly #token: string;
  readonly #http = new HttpClient(MAX_CONNECTIONS);

  private constructor(service: RunningService) {
    this.#service = service;
    this.#token = service.token;
  }

  /** A fresh data folder, embedded Postgres and queue, a free port: the defaults. Call {@link stop}. @param env what is not */
  static async start(env: Readonly<Record<string, string>> = {}): Promise<Varve> {
    return new Varve(await startService({ env }));
  }

  /** @returns the id of a new regular series, of one channel of float64 unless told otherwise */
  async createSeries(
    name: string,
    { dtype, channels, rateHz } = { dtype: 'float64', channels: 1, rateHz: RATE_HZ },
  ): Promise<string> {
    const sampling = { kind: 'regular', rate_hz: rateHz, start: '2026-05-01T09:00:00Z' };
    const answer = await this.#postJson('/v1/series', { name, dtype, channels, sampling });
    return (expectStatus(answer, [201]) as { id: string }).id;
  }

  /** @returns the id of a new irregular series of float64, one channel */
  async createIrregularSeries(name: string): Promise<string> {
    const answer = await this.#postJson('/v1/series', { name, dtype: 'float64', sampling: { kind: 'irregular' } });
    return (expectStatus(answer, [201]) as { id: string }).id;
  }

  /**
   * One request with the values as they lie in memory, acknowledged at the level that is asked for.
   * @returns the id of the write
   */
  async append(seriesId: string, values: Buffer, level: Level): Promise<string> {
    const headers = {
      'content-type': 'application/octet-stream',
      ...(level === 'durable' && { prefer: 'respond-async' }),
    };
    const path = `/v1/series/${seriesId}/samples`;
    const answer = await this.#exchange(path, { method: 'POST', headers, body: values });
    // Asked for no more than durable, it may tell that the rows are visible already.
    return (expectStatus(answer, level === 'durable' ? [202, 201] : [201]) as { write: string }).write;
  }

  /** One request with many values, made while they are sent. @returns the id of the write, durable by now */
  async appendPieces(seriesId: string, byteLength: number, pieces: Iterable<Buffer>): Promise<string> {
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(byteLength) };
    const answer = await this.#exchange(`/v1/series/${seriesId}/samples`, { method: 'POST', headers, body: pieces });
    // It waits for the rows to be visible, but not for ever.
    return (expectStatus(answer, [201, 202]) as { write: string }).write;
  }

  /** All of a series in one answer, given away piece by piece. */
  async pourOctets(seriesId: string, into: (piece: Buffer) => void): Promise<void> {
    const url = `${this.#service.url}/v1/series/${seriesId}/samples?rows=0:&format=octet`;
    await this.#http.pour(url, { headers: { authorization: `Bearer ${this.#token}` } }, into);
  }

  /** One row as JSON, visible when this resolves. */
  async appendRow(seriesId: string, value: number): Promise<void> {
    const path = `/v1/series/${seriesId}/samples`;
    expectStatus(await this.#postJson(path, { values: [value] }), [201]);
  }

  /** Waits until the writes are visible. */
  async settle(writes: readonly string[], limitMs = SETTLE_LIMIT_MS): Promise<void> {
    const deadline = performance.now() + limitMs;
    for (const write of writes) {
      for (;;) {
        const answer = await this.#exchange(`/v1/writes/${write}`);
        const { state } = expectStatus(answer, [200]) as { state: string };
        if (state === 'applied') break;
        if (state === 'failed') throw new Error(`write ${write} failed: ${answer.body.toString()}`);
        if (performance.now() > deadline) throw new Error(`write ${write} is ${state} after ${limitMs} ms`);
        await sleep(SETTLE_POLL_MS);
      }
    }
  }

  /** @returns the whole `.npy` document */
  async readNpy(seriesId: string, from: number, to: number): Promise<Buffer> {
    const answer = await this.#exchange(`/v1/series/${seriesId}/samples?rows=${from}:${to}&format=npy`);
    if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.body.toString()}`);
    return answer.body;
  }

  async readOctets(seriesId: string, selection: string): Promise<Buffer> {
    const answer = await this.#exchange(`/v1/series/${seriesId}/samples?${selection}&format=octet`);
    if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.body.toString()}`);
    return answer.body;
  }

  /** One number of `/metrics`. */
  async metric(name: string): Promise<number> {
    const text = (await this.#exchange('/metrics')).body.toString();
    const line = text.split('\n').find((each) => each.startsWith(`${name} `));
    return Number(line?.split(' ').at(-1));
  }

  /** Of a series: blocks of chunks and summaries. */
  async storedBytes(seriesId: string): Promise<number> {
    const answer = await this.#exchange(`/v1/series/${seriesId}/storage`);
    return (expectStatus(answer, [200]) as { stored_bytes: number }).stored_bytes;
  }

  /** The highest commit number of some series: about how many commits there were. */
  async lastCommit(ids: readonly string[]): Promise<number> {
    const commits = await Promise.all(
      ids.slice(-COMMITS_LOOKED_AT).map(async (id) => {
        const answer = await this.#exchange(`/v1/series/${id}`);
        return (expectStatus(answer, [200]) as { commit: number }).commit;
      }),
    );
    return Math.max(...commits);
  }

  /** The sealed shards, with the rows of each series in them, as Postgres says. */
  async sealedPaths(): Promise<Array<{ path: string; bytes: number; series: Record<string, number> }>> {
    const { dataRoot } = this.#service;
    const client = new pg.Client({ connectionString: (await findRunningPostgres(join(dataRoot, 'postgres')))! });
    await client.connect();
    try {
      const { rows } = await client.query<{ path: string; bytes: string; series: Record<string, number> }>(
        `select path, bytes, jsonb_object_agg(series_id, rows) as series from (
           select h.path, h.bytes, c.series_id, sum(c.rows) as rows
           from shards h join chunks c on c.shard_id = h.id where h.state = 'sealed' group by 1, 2, 3) each
         group by path, bytes`,
      );
      return rows.map((row) => ({ ...row, path: join(dataRoot, row.path), bytes: Number(row.bytes) }));
    } finally {
      await client.end();
    }
  }

  /** Seals everything, in a process of its own beside the service, and forgets the old files. */
  async seal(): Promise<SealReport[]> {
    const { dataRoot } = this.#service;
    const compact = runCli(['compact', '--all', '--json'], { VARVE_DATA: dataRoot });
    if ((await compact.exited) !== 0) throw new Error(`varve compact: ${compact.output()}`);
    return JSON.parse(compact.output()) as SealReport[];
  }

  /** What the files take that hold what readers see: the old ones stay for a minute. */
  liveDiskMb(paths: readonly string[]): number {
    return paths.reduce((sum, path) => sum + allocatedBytes(join(this.#service.dataRoot, path)), 0) / MB;
  }

  /** Of the service's own process since its start, without Postgres; null where the system does not tell. */
  peakRssMb(): number | null {
    return peakRssMb(this.#service.pid);
  }

  /** What a folder of the data root takes on the disk. */
  diskMb(folder: 'shards' | 'spool'): number {
    return allocatedBytes(join(this.#service.dataRoot, folder)) / MB;
  }

  async stop(): Promise<void> {
    this.#http.close();
    await this.#service.drop();
  }

  #postJson(path: string, content: object): Promise<Answer> {
    const headers = { 'content-type': 'application/json' };
    return this.#exchange(path, { method: 'POST', headers, body: JSON.stringify(content) });
  }

  #exchange(path: string, call: Call = {}): Promise<Answer> {
    const headers = { ...call.headers, authorization: `Bearer ${this.#token}` };
    return this.#http.exchange(`${this.#service.url}${path}`, { ...call, headers });
  }
}

function expectStatus(answer: Answer, expected: readonly number[]): unknown {
  if (!expected.includes(answer.status)) throw new Error(`${answer.status}: ${answer.body.toString()}`);
  return JSON.parse(answer.body.toString());
}
