/** PostgreSQL: the one that Varve brings along, a cluster of its own; binary COPY in and out. */
import pg from 'pg';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/main/postgres/embedded-postgres.ts';
import { peakRssMb } from '../machine.ts';
import { START_MS } from '../workload.ts';
import type { PeerKind, Place } from './peer.ts';
import { copyIn, copyOut, decodeDoubles, encodeRows } from './postgres-copy.ts';
import { ServicePeer, type Service } from './service.ts';

/** Microseconds from 2000 to the first row, as PostgreSQL counts. */
const START_US = (BigInt(START_MS) - 946_684_800_000n) * 1000n;
const STEP_US = 1000n;
/** A smallint, a timestamptz and a float8, each after its length. */
const ROW_BYTES = 4 + 2 + 4 + 8 + 4 + 8;
const MB = 1e6;

class Postgres implements Service {
  readonly name = 'PostgreSQL';
  readonly layout = 'one table of series, time and value, binary COPY a series, index on series and time, analyze';
  readonly version: string;
  readonly #server: EmbeddedPostgres;
  readonly #client: pg.Client;
  /** Pid of the process that serves the connection. */
  readonly #pid: number;

  constructor(server: EmbeddedPostgres, client: pg.Client, { version, pid }: { version: string; pid: number }) {
    this.version = version;
    this.#server = server;
    this.#client = client;
    this.#pid = pid;
  }

  async clear(): Promise<void> {
    await this.#client.query('drop table if exists samples');
    await this.#client.query(
      'create table samples (series smallint not null, time timestamptz not null, value float8 not null)',
    );
  }

  encode(series: number, values: Float64Array, firstRow: number): Buffer[] {
    const rows = encodeRows(values.length, 3, ROW_BYTES, (into, at, row) => {
      into.writeInt32BE(2, at);
      into.writeInt16BE(series, at + 4);
      into.writeInt32BE(8, at + 6);
      into.writeBigInt64BE(START_US + BigInt(firstRow + row) * STEP_US, at + 10);
      into.writeInt32BE(8, at + 18);
      into.writeDoubleBE(values[row], at + 22);
    });
    return [rows];
  }

  async send(piece: Buffer): Promise<void> {
    await copyIn(this.#client, 'copy samples from stdin (format binary)', piece);
  }

  async finish(): Promise<void> {
    await this.#client.query('create index on samples (series, time)');
    await this.#client.query('analyze samples');
  }

  ask({ series, from, to }: Place): Promise<Buffer> {
    const time = (row: number): string => `'2026-05-01 09:00:00Z'::timestamptz + interval '${row} ms'`;
    const where = `series = ${series} and time >= ${time(from)} and time < ${time(to)}`;
    return copyOut(
      this.#client,
      `copy (select value from samples where ${where} order by time) to stdout (format binary)`,
    );
  }

  decode(answer: Buffer): Float64Array {
    return decodeDoubles(answer);
  }

  async diskMb(): Promise<number> {
    const { rows } = await this.#client.query<{ bytes: string }>(`select pg_total_relation_size('samples') as bytes`);
    return Number(rows[0].bytes) / MB;
  }

  /** With the pages it shares with the server's other processes. */
  peakRssMb(): number | null {
    return peakRssMb(this.#pid);
  }

  async stop(): Promise<void> {
    await this.#client.end();
    await this.#server.stop();
  }
}

export const POSTGRES: PeerKind = {
  name: 'PostgreSQL',
  needs: 'a platform that the embedded Postgres has binaries for',
  async start(folder) {
    const server = await startEmbeddedPostgres({ dataDir: folder, log: () => {} });
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    const { rows } = await client.query<{ version: string; pid: number }>(
      `select current_setting('server_version') as version, pg_backend_pid() as pid`,
    );
    return new ServicePeer(new Postgres(server, client, rows[0]));
  },
};
