/**
 * `npm run bench:lines`: line protocol over a thousand series, readable when it is answered, beside those who invented and adopted it. Bodies are made
 * beforehand: client and services share the cores, and all take turns in one run.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { HttpClient } from './http.ts';
import { describeMachine } from './machine.ts';
import { startInfluxDb } from './peers/influxdb.ts';
import type { StartedService } from './peers/service.ts';
import { startVictoriaMetrics } from './peers/victoria-metrics.ts';
import { quantile } from './table.ts';
import { Varve } from './varve.ts';
import { mulberry32 } from './workload.ts';

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    /** Names, between commas, of `influxdb` and `victoria-metrics`. */
    peers: { type: 'string', default: '' },
  },
});
const WINDOW_MS = Number(options.seconds) * 1000;
const WARM_UP_MS = WINDOW_MS / 5;
const SERIES = 1_000;
const LINES = [5_000, 50_000];
const CONNECTIONS = [1, 4];
/** Bodies of one case, sent again and again: a row that comes again takes its own place, here and there. */
const BODIES = 20;
const START_NS = 1_777_593_600_000_000_000n;

interface Target {
  readonly name: string;
  send(body: Buffer): Promise<void>;
  cpuMs(): string | null;
}

function bodyOf(lines: number, n: number): Buffer {
  const random = mulberry32(n);
  const text = Array.from({ length: lines }, (_, i) => {
    const series = i % SERIES;
    const ns = START_NS + BigInt(n * lines + i) * 1_000_000n;
    return `samples,host=machine-${series},rack=${series % 40} value=${Math.round(random() * 4096) / 64} ${ns}`;
  });
  return Buffer.from(text.join('\n'));
}

const folder = await mkdtemp(join(tmpdir(), 'varve-bench-lines-'));
const varve = await Varve.start();
const started: StartedService[] = [];
try {
  console.log(JSON.stringify(describeMachine()));
  const targets: Target[] = [
    {
      name: 'Varve',
      send: (body) => varve.writeLines(body),
      cpuMs: () => JSON.stringify(varve.cpuMs()),
    },
  ];
  const http = new HttpClient(Math.max(...CONNECTIONS));
  const add = (name: string, service: StartedService | null, path: string): void => {
    if (!service) return console.log(`${name} is not installed`);
    started.push(service);
    const send = async (body: Buffer): Promise<void> => {
      await http.expect(service.url + path, { method: 'POST', body });
    };
    targets.push({ name: `${name} ${service.version}`, send, cpuMs: () => null });
  };
  if (options.peers.includes('influxdb')) {
    const influx = await startInfluxDb(folder);
    if (influx) await influx.http.expect(`${influx.url}/query?q=create%20database%20bench`, { method: 'POST' });
    add('InfluxDB', influx, '/write?db=bench');
  }
  if (options.peers.includes('victoria-metrics')) {
    add('VictoriaMetrics', await startVictoriaMetrics(folder, []), '/write?db=bench');
  }
  for (const lines of LINES) {
    const bodies = Array.from({ length: BODIES }, (_, n) => bodyOf(lines, n));
    for (const connections of CONNECTIONS) {
      for (const target of targets) console.log(await measure(target, { lines, bodies, connections }));
    }
  }
  http.close();
} finally {
  for (const { program } of started) await program.stop();
  await varve.stop();
  await rm(folder, { recursive: true, force: true });
}

interface Case {
  readonly lines: number;
  readonly bodies: readonly Buffer[];
  readonly connections: number;
}

async function measure(target: Target, { lines, bodies, connections }: Case): Promise<string> {
  let next = 0;
  const latencies: number[] = [];
  const all = async (ms: number, isMeasured: boolean): Promise<number> => {
    const begun = performance.now();
    const write = async (): Promise<void> => {
      while (performance.now() - begun < ms) {
        const sent = performance.now();
        await target.send(bodies[next++ % bodies.length]);
        if (isMeasured) latencies.push(performance.now() - sent);
      }
    };
    await Promise.all(Array.from({ length: connections }, write));
    return performance.now() - begun;
  };
  await all(WARM_UP_MS, false);
  const before = target.cpuMs();
  const ms = await all(WINDOW_MS, true);
  const rate = Math.round((latencies.length * lines * 1000) / ms);
  const [p50, p95] = [0.5, 0.95].map((q) => quantile(latencies, q).toFixed(1));
  return `${target.name}: ${rate} points/s, p50 ${p50} ms, p95 ${p95} ms${cpuOf(before, target.cpuMs(), latencies.length)} (${lines} lines, ${connections} connections)`;
}

function cpuOf(before: string | null, after: string | null, requests: number): string {
  if (before === null || after === null) return '';
  const [a, b] = [before, after].map((text) => JSON.parse(text) as Record<string, number>);
  const each = Object.keys(b).map((process) => `${process} ${((b[process] - a[process]) / requests).toFixed(1)} ms`);
  return `, cpu a request: ${each.join(', ')}`;
}
