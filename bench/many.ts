/**
 * Rows of many series in one request, readable when it is answered: how many a second, and, on Linux, what a request costs the processors. The latter
 * says something on a busy machine, too.
 *
 * node dist/bench/many.js [--seconds 5] [--arrow]
 */
import { readdirSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { tableFromArrays, tableToIPC } from '@uwdata/flechette';
import { postgresPid, startService } from '../test/support/service.ts';
import { HttpClient, type Answer } from './http.ts';

const IS_LINUX = process.platform === 'linux';
const SHAPES = [
  { series: 1000, rows: 1 },
  { series: 100, rows: 100 },
];
const CONNECTIONS = [1, 4];
/** What Linux counts processor time in. */
const TICK_MS = 10;

const { values: options } = parseArgs({
  options: { seconds: { type: 'string', default: '5' }, arrow: { type: 'boolean' } },
});

const service = await startService({
  env: process.env.BENCH_NODE_OPTIONS ? { NODE_OPTIONS: process.env.BENCH_NODE_OPTIONS } : {},
});
const http = new HttpClient(8);
const headers = { authorization: `Bearer ${service.token}` };

/** Times go on from request to request. */
let clockMs = Date.UTC(2026, 4, 1);

function body(series: number, rows: number): { type: string; body: Buffer } {
  const times = Array.from({ length: rows }, (_, i) => clockMs + i);
  clockMs += rows;
  const valueOf = (s: number, i: number): number => Math.round(1000 * Math.sin(s + clockMs + i)) / 8;
  if (options.arrow) {
    const names = Array.from({ length: series * rows }, (_, i) => nameOf(series, rows, Math.floor(i / rows)));
    const time = BigInt64Array.from({ length: series * rows }, (_, i) => BigInt(times[i % rows]) * 1_000_000n);
    const value = Float64Array.from({ length: series * rows }, (_, i) => valueOf(Math.floor(i / rows), i % rows));
    const ipc = tableToIPC(tableFromArrays({ series: names, time, value }), { format: 'stream' });
    return { type: 'application/vnd.apache.arrow.stream', body: Buffer.from(ipc) };
  }
  const stamps = times.map((ms) => `${ms}000000`).join(',');
  const lines = Array.from({ length: series }, (_, s) => {
    const values = Array.from({ length: rows }, (_value, i) => valueOf(s, i));
    return `{"series":"${nameOf(series, rows, s)}","times":[${stamps}],"values":[${values.join(',')}]}`;
  });
  return { type: 'application/x-ndjson', body: Buffer.from(lines.join('\n')) };
}

function nameOf(series: number, rows: number, s: number): string {
  return `many/${series}x${rows}/${s}`;
}

async function send(series: number, rows: number): Promise<number> {
  const { type, body: bytes } = body(series, rows);
  const began = performance.now();
  const answer = await http.exchange(`${service.url}/v1/samples`, {
    method: 'POST',
    headers: { ...headers, 'content-type': type, 'content-length': String(bytes.length) },
    body: bytes,
  });
  expectStored(answer, series);
  return performance.now() - began;
}

function expectStored(answer: Answer, series: number): void {
  const { items } = JSON.parse(answer.body.toString()) as { items?: { status: number }[] };
  if (answer.status === 200 && items?.length === series && items.every(({ status }) => status === 201)) return;
  throw new Error(`${answer.status}: ${answer.body.toString().slice(0, 500)}`);
}

/** Processor time so far in ms: of a process, or of its children. */
function cpuMs(pid: number, whose: 'own' | 'children' = 'own'): number {
  const statOf = (id: string | number): string[] => readFileSync(`/proc/${id}/stat`, 'utf8').split(') ')[1].split(' ');
  const msOf = (stat: readonly string[]): number => (Number(stat[11]) + Number(stat[12])) * TICK_MS;
  if (whose === 'own') return msOf(statOf(pid));
  let sum = 0;
  for (const id of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = statOf(id);
      if (Number(stat[1]) === pid) sum += msOf(stat);
    } catch {
      // It has ended meanwhile.
    }
  }
  return sum;
}

for (const { series, rows } of SHAPES) {
  const specs = Array.from({ length: series }, (_, s) => ({
    name: nameOf(series, rows, s),
    dtype: 'float64',
    sampling: { kind: 'irregular' },
  }));
  await http.expect(`${service.url}/v1/series/bulk`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/x-ndjson' },
    body: specs.map((spec) => JSON.stringify(spec)).join('\n'),
  });
  for (const connections of CONNECTIONS) {
    const latencies: number[] = [];
    const postmaster = postgresPid(service.dataRoot)!;
    const cpu = (): number[] => (IS_LINUX ? [cpuMs(service.pid), cpuMs(postmaster, 'children'), cpuMs(process.pid)] : []);
    const before = cpu();
    const began = performance.now();
    const until = began + Number(options.seconds) * 1000;
    await Promise.all(
      Array.from({ length: connections }, async () => {
        while (performance.now() < until) latencies.push(await send(series, rows));
      }),
    );
    const seconds = (performance.now() - began) / 1000;
    latencies.sort((a, b) => a - b);
    const rate = Math.round((latencies.length * series * rows) / seconds);
    const at = (part: number): string => latencies[Math.floor(latencies.length * part)].toFixed(1);
    const spent = cpu().map((ms, i) => ((ms - before[i]) / latencies.length).toFixed(1));
    const cost = IS_LINUX ? `; CPU ms a request: service ${spent[0]}, Postgres ${spent[1]}, client ${spent[2]}` : '';
    console.log(`${series} x ${rows}, ${connections} clients: ${rate} rows/s, p50 ${at(0.5)} ms, p95 ${at(0.95)} ms${cost}`);
  }
}
http.close();
await service.drop();
