/** InfluxDB 1: line protocol in, CSV out. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HttpClient } from '../http.ts';
import { settledDiskMb } from './files.ts';
import { START_MS } from '../workload.ts';
import type { PeerKind, Place } from './peer.ts';
import { freePorts, startProgram } from './program.ts';
import { ServicePeer, StartedProgram, type Service, type StartedService } from './service.ts';

/** Lines of a request: its makers advise 5,000 to 10,000; larger ones are faster, until it refuses them. */
const LINES = 50_000;

class InfluxDb extends StartedProgram implements Service {
  readonly name = 'InfluxDB';
  readonly layout = 'line protocol, 50,000 lines a request; read as CSV';

  async clear(): Promise<void> {
    for (const statement of ['drop database bench', 'create database bench']) {
      await this.http.expect(`${this.url}/query?q=${encodeURIComponent(statement)}`, { method: 'POST' });
    }
  }

  encode(series: number, values: Float64Array, firstRow: number): Buffer[] {
    const pieces: Buffer[] = [];
    for (let from = 0; from < values.length; from += LINES) {
      const lines = Array.from(
        values.subarray(from, from + LINES),
        (value, i) => `samples,series=${series} value=${value} ${START_MS + firstRow + from + i}`,
      );
      pieces.push(Buffer.from(lines.join('\n')));
    }
    return pieces;
  }

  async send(piece: Buffer): Promise<void> {
    await this.http.expect(`${this.url}/write?db=bench&precision=ms`, { method: 'POST', body: piece });
  }

  async finish(): Promise<void> {}

  ask({ series, from, to }: Place): Promise<Buffer> {
    const query = `select value from samples where "series" = '${series}' and time >= ${START_MS + from}ms and time < ${START_MS + to}ms`;
    return this.http.expect(`${this.url}/query?db=bench&epoch=ms&q=${encodeURIComponent(query)}`, {
      headers: { accept: 'application/csv' },
    });
  }

  /** Lines of name, tags, time and value, after one of titles. */
  decode(answer: Buffer): Float64Array {
    const lines = answer.toString('latin1').trimEnd().split('\n').slice(1);
    return Float64Array.from(lines, (line) => Number(line.slice(line.lastIndexOf(',') + 1)));
  }

  diskMb(): Promise<number> {
    return settledDiskMb(this.folder);
  }
}

/** @returns null if it is not installed here */
export async function startInfluxDb(folder: string): Promise<StartedService | null> {
  const [port, rpcPort] = await freePorts(2);
  const data = join(folder, 'influxdb');
  await mkdir(data);
  const config = join(folder, 'influxdb.conf');
  await writeFile(
    config,
    `reporting-disabled = true
bind-address = "127.0.0.1:${rpcPort}"
[meta]
  dir = "${data}/meta"
[data]
  dir = "${data}/data"
  wal-dir = "${data}/wal"
  query-log-enabled = false
  cache-snapshot-write-cold-duration = "1s"
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:${port}"
  log-enabled = false
  max-body-size = 0
`,
  );
  const http = new HttpClient(1);
  const url = `http://127.0.0.1:${port}`;
  let version = '';
  const program = await startProgram('influxd', ['-config', config], folder, async () => {
    const { status, headers } = await http.exchange(`${url}/ping`);
    version = String(headers['x-influxdb-version']);
    return status === 204;
  });
  return program && { folder: data, url, http, program, version };
}

export const INFLUXDB: PeerKind = {
  name: 'InfluxDB',
  needs: 'influxd (Debian: influxdb)',
  async start(folder) {
    const started = await startInfluxDb(folder);
    return started && new ServicePeer(new InfluxDb(started));
  },
};
