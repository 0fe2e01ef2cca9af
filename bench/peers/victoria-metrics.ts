/** VictoriaMetrics: its JSON lines in and out. */
import { join } from 'node:path';
import { HttpClient } from '../http.ts';
import { settledDiskMb } from './files.ts';
import { START_MS } from '../workload.ts';
import type { PeerKind, Place } from './peer.ts';
import { freePorts, startProgram } from './program.ts';
import { ServicePeer, StartedProgram, type Service, type StartedService } from './service.ts';

/** Rows of a request, which is a line. Much longer ones take it longer, and more memory. */
const LINE_ROWS = 50_000;

class VictoriaMetrics extends StartedProgram implements Service {
  readonly name = 'VictoriaMetrics';
  readonly layout = 'JSON lines, 50,000 rows a request; not durable when it answers';
  /** It keeps decimals, those of a block with one exponent. */
  readonly tolerance = 1e-11;
  #round = 0;

  /** What it deletes lies there for a month: another name is as good. */
  async clear(): Promise<void> {
    this.#round++;
  }

  encode(series: number, values: Float64Array, firstRow: number): Buffer[] {
    const metric = { __name__: `round${this.#round}`, series: String(series) };
    const lines: Buffer[] = [];
    for (let from = 0; from < values.length; from += LINE_ROWS) {
      const rows = Array.from(values.subarray(from, from + LINE_ROWS));
      const timestamps = rows.map((_, i) => START_MS + firstRow + from + i);
      lines.push(Buffer.from(`${JSON.stringify({ metric, values: rows, timestamps })}\n`));
    }
    return lines;
  }

  async send(piece: Buffer): Promise<void> {
    await this.http.expect(`${this.url}/api/v1/import`, { method: 'POST', body: piece });
  }

  /** Until then nobody can read them. */
  async finish(): Promise<void> {
    await this.http.expect(`${this.url}/internal/force_flush`);
  }

  ask({ series, from, to }: Place): Promise<Buffer> {
    const match = encodeURIComponent(`round${this.#round}{series="${series}"}`);
    const range = `start=${(START_MS + from) / 1000}&end=${(START_MS + to - 1) / 1000}`;
    return this.http.expect(`${this.url}/api/v1/export?match[]=${match}&${range}`);
  }

  /** A line a block, in any order. */
  decode(answer: Buffer): Float64Array {
    const blocks = answer
      .toString()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { values: number[]; timestamps: number[] })
      .sort((a, b) => a.timestamps[0] - b.timestamps[0]);
    return Float64Array.from(blocks.flatMap(({ values }) => values));
  }

  async diskMb(): Promise<number> {
    await this.http.expect(`${this.url}/internal/force_merge`);
    return settledDiskMb(this.folder);
  }
}

/** @param more arguments besides those of all benches. @returns null if it is not installed here */
export async function startVictoriaMetrics(folder: string, more: readonly string[]): Promise<StartedService | null> {
  const [port] = await freePorts(1);
  const data = join(folder, 'victoria-metrics');
  const http = new HttpClient(1);
  const url = `http://127.0.0.1:${port}`;
  const args = [`-storageDataPath=${data}`, `-httpListenAddr=127.0.0.1:${port}`, '-retentionPeriod=100y', ...more];
  const program = await startProgram('victoria-metrics', args, folder, async () => {
    return (await http.exchange(`${url}/health`)).status === 200;
  });
  if (!program) return null;
  const metrics = (await http.expect(`${url}/metrics`)).toString();
  const version = /vm_app_version\{version="([^"]*)"/.exec(metrics)?.[1] ?? '';
  return { url, http, program, version, folder: data };
}

export const VICTORIA_METRICS: PeerKind = {
  name: 'VictoriaMetrics',
  needs: 'victoria-metrics (Debian: victoria-metrics)',
  async start(folder) {
    const started = await startVictoriaMetrics(folder, [
      '-import.maxLineLen=1000000000',
      '-search.maxExportDuration=10m',
    ]);
    return started && new ServicePeer(new VictoriaMetrics(started));
  },
};
