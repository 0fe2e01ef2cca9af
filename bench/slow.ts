/**
 * `npm run bench:slow`: very many slow sensors for an hour, 100,000 irregular series with a row a minute. Each minute
 * it tells what is in no shard yet, how much memory the service takes and how much disk Postgres takes. None of them
 * may grow with the time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { describeMachine } from './machine.ts';
import { quantile } from './table.ts';
import { Varve } from './varve.ts';

const { values: options } = parseArgs({
  options: {
    series: { type: 'string', default: '100000' },
    minutes: { type: 'string', default: '60' },
    /** Series of one request. */
    items: { type: 'string', default: '1000' },
  },
});
const SERIES = Number(options.series);
const MINUTES = Number(options.minutes);
const ITEMS = Number(options.items);
const REQUESTS = SERIES / ITEMS;
const MINUTE_MS = 60_000;
const NDJSON = 'application/x-ndjson';
const MB = 1e6;

const create = { dtype: 'float64', sampling: { kind: 'irregular' } };
const bodyOf = (request: number, minute: number, isFirst: boolean): string =>
  Array.from({ length: ITEMS }, (_, i) => {
    const n = request * ITEMS + i;
    const time = String(BigInt(Date.now()) * 1_000_000n + BigInt(n));
    const row = { series: `slow/${n}`, times: [time], values: [20 + Math.sin(minute + n)] };
    return JSON.stringify(isFirst ? { ...row, create } : row);
  }).join('\n');

const varve = await Varve.start();
try {
  const { cpu, cores, memoryGb, node, date } = describeMachine();
  console.log(`${cpu}, ${cores} cores, ${memoryGb} GiB, Node ${node}, ${date}`);
  const begunAt = performance.now();
  for (let request = 0; request < REQUESTS; request++) await varve.appendMany(bodyOf(request, -1, true), NDJSON);
  console.log(`${SERIES} series made on first sight in ${((performance.now() - begunAt) / 1000).toFixed(0)} s`);
  const begun = performance.now();
  const cpuBefore = varve.cpuMs();
  for (let minute = 0; minute < MINUTES; minute++) {
    const latencies: number[] = [];
    for (let request = 0; request < REQUESTS; request++) {
      const due = begun + (minute + request / REQUESTS) * MINUTE_MS;
      await sleep(Math.max(0, due - performance.now()));
      const from = performance.now();
      await varve.appendMany(bodyOf(request, minute, false), NDJSON);
      latencies.push(performance.now() - from);
    }
    console.log(await state(minute + 1, latencies));
  }
  const cpuAfter = varve.cpuMs();
  const part = (process: keyof typeof cpuAfter): string =>
    ((100 * (cpuAfter[process] - cpuBefore[process])) / (performance.now() - begun)).toFixed(0);
  console.log(`processor: service ${part('service')} %, Postgres ${part('postgres')} % of one`);
} finally {
  await varve.stop();
}

async function state(minute: number, latencies: readonly number[]): Promise<string> {
  const [{ bytes }] = await varve.query<{ bytes: string }>('select pg_database_size(current_database()) as bytes');
  const [{ chunks }] = await varve.query<{ chunks: string }>('select count(*) as chunks from chunks');
  const fresh = await varve.metric('varve_fresh_chunks');
  const [p50, p99] = [0.5, 0.99].map((q) => quantile(latencies, q).toFixed(0));
  return `minute ${minute}: ${fresh} fresh chunks, ${chunks} in shards; Postgres ${(Number(bytes) / MB).toFixed(0)} MB, shards ${varve.diskMb('shards').toFixed(0)} MB, RSS ${varve.rssMb()?.toFixed(0)} MB; a request ${p50} ms, p99 ${p99} ms`;
}
