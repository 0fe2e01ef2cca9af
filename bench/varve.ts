/** Varve as its users meet it: `varve serve` in a process of its own, and HTTP over connections that are kept. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { findRunningPostgres } from '../src/main/postgres/embedded-postgres.ts';
import type { RewriteReport } from '../src/flows/rewrite/rewrite-shards.ts';
import { runCli, startService, type RunningService } from '../test/support/service.ts';
import { HttpClient, type Answer, type Call } from './http.ts';
import { allocatedBytes, cpuMs, peakRssMb, rssMb } from './machine.ts';
import { RATE_HZ } from './workload.ts';

/** Connections at the same time; a client that asks one thing after the other uses one of them. */
const MAX_CONNECTIONS = 64;
const MB = 1e6;

export class Varve {
  readonly #service: RunningService;
  readonly #token: string;
  readonly #http = new HttpClient(MAX_CONNECTIONS);

  private constructor(service: RunningService) {
    this.#service = service;
    this.#token = service.token;
  }

  /** A fresh data folder, embedded Postgres and queue, a free port: the defaults. Call {@link stop}. @param env what is not; @param args of `serve` */
  static async start(env: Readonly<Record<string, string>> = {}, args: readonly string[] = []): Promise<Varve> {
    return new Varve(await startService({ env, args }));
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

  /** One request with the values as they lie in memory, readable when it is answered. */
  async append(seriesId: string, values: Buffer): Promise<void> {
    await this.appendPieces(seriesId, values.length, [values]);
  }

  /** One request with many values, made while they are sent. */
  async appendPieces(seriesId: string, byteLength: number, pieces: Iterable<Buffer>): Promise<void> {
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(byteLength) };
    const path = `/v1/series/${seriesId}/samples`;
    expectStatus(await this.#exchange(path, { method: 'POST', headers, body: pieces }), [201]);
  }

  /** All of a series in one answer, given away piece by piece. */
  async pourOctets(seriesId: string, into: (piece: Buffer) => void): Promise<void> {
    const url = `${this.#service.url}/v1/series/${seriesId}/samples?rows=0:&format=octet`;
    await this.#http.pour(url, { headers: { authorization: `Bearer ${this.#token}` } }, into);
  }

  /** One row as JSON. */
  async appendRow(seriesId: string, value: number): Promise<void> {
    const path = `/v1/series/${seriesId}/samples`;
    expectStatus(await this.#postJson(path, { values: [value] }), [201]);
  }

  /** Rows of many series, each of which must be stored. @returns the commit that they came with */
  async appendMany(body: Buffer | string, mediaType: string): Promise<number> {
    const answer = await this.#exchange('/v1/samples', {
      method: 'POST',
      headers: { 'content-type': mediaType, 'content-length': String(Buffer.byteLength(body)) },
      body,
    });
    const { commit, items } = expectStatus(answer, [200]) as { commit: number; items: { status: number }[] };
    const refused = items.find(({ status }) => status !== 201);
    if (refused) throw new Error(JSON.stringify(refused));
    return commit;
  }

  /** One request of line protocol, readable when it is answered. */
  async writeLines(body: Buffer): Promise<void> {
    const headers = { 'content-type': 'text/plain', 'content-length': String(body.length) };
    const answer = await this.#exchange('/write?db=default', { method: 'POST', headers, body });
    if (answer.status !== 204) throw new Error(`${answer.status}: ${answer.body.toString()}`);
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

  /** One number of `/metrics`, summed over its labels. */
  async metric(name: string): Promise<number> {
    const text = (await this.#exchange('/metrics')).body.toString();
    const lines = text.split('\n').filter((each) => each.startsWith(`${name} `) || each.startsWith(`${name}{`));
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  /** Stored bytes of a series: blocks of chunks and summaries. */
  async storedBytes(seriesId: string): Promise<number> {
    const answer = await this.#exchange(`/v1/series/${seriesId}/storage`);
    return (expectStatus(answer, [200]) as { stored_bytes: number }).stored_bytes;
  }

  /** The number of the newest commit: how many there were. */
  async lastCommit(): Promise<number> {
    const [{ value }] = await this.query<{ value: string }>('select value from commit_counter');
    return Number(value);
  }

  /** What Postgres says. */
  async query<R extends pg.QueryResultRow>(text: string): Promise<R[]> {
    const client = new pg.Client({
      connectionString: (await findRunningPostgres(join(this.#service.dataRoot, 'postgres')))!,
    });
    await client.connect();
    try {
      return (await client.query<R>(text)).rows;
    } finally {
      await client.end();
    }
  }

  /** Shards that readers use, with the rows of each series in them. */
  async livePaths(): Promise<Array<{ path: string; bytes: number; series: Record<string, number> }>> {
    const rows = await this.query<{ path: string; bytes: string; series: Record<string, number> }>(
      `select path, bytes, jsonb_object_agg(series_id, rows) as series from (
         select h.path, h.bytes, c.series_id, sum(c.rows) as rows
         from shards h join chunks c on c.shard_id = h.id where h.state = 'live' group by 1, 2, 3) each
       group by path, bytes`,
    );
    return rows.map((row) => ({ ...row, path: join(this.#service.dataRoot, row.path), bytes: Number(row.bytes) }));
  }

  /** Flushes everything, in a process of its own beside the service. */
  flush(): Promise<RewriteReport[]> {
    return this.#rewrite('flush');
  }

  /** Compacts everything, in a process of its own beside the service. */
  compact(): Promise<RewriteReport[]> {
    return this.#rewrite('compact');
  }

  async #rewrite(command: 'flush' | 'compact'): Promise<RewriteReport[]> {
    const { dataRoot } = this.#service;
    const ran = runCli([command, '--all', '--json'], { VARVE_DATA: dataRoot });
    if ((await ran.exited) !== 0) throw new Error(`varve ${command}: ${ran.output()}`);
    return JSON.parse(ran.output()) as RewriteReport[];
  }

  /** What the service's own process has resident. */
  rssMb(): number | null {
    return rssMb(this.#service.pid);
  }

  /**
   * Peak memory of the service's own process since its start, without Postgres; null where the system does not tell.
   */
  peakRssMb(): number | null {
    return peakRssMb(this.#service.pid);
  }

  /** Processor time of the service and of its Postgres so far, in ms. */
  cpuMs(): { service: number; postgres: number } {
    const { pid, dataRoot } = this.#service;
    const postmaster = Number(
      readFileSync(join(dataRoot, 'postgres', 'cluster', 'postmaster.pid'), 'utf8').split('\n')[0],
    );
    const postgres = cpuMs([postmaster]);
    return { service: cpuMs([pid, postmaster]) - postgres, postgres };
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
