/**
 * `npm run bench:many`: rows of many series in one request, readable when it is answered. Bodies are made beforehand: client and service share the cores.
 */
import { parseArgs } from 'node:util';
import { Dictionary, Float64, Int32, Table, tableToIPC, Utf8, vectorFromArray } from 'apache-arrow';
import { describeMachine } from './machine.ts';
import { quantile } from './table.ts';
import { Varve } from './varve.ts';
import { mulberry32 } from './workload.ts';

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
  },
});
const WINDOW_MS = Number(options.seconds) * 1000;
const WARM_UP_MS = 1_500;
const START_NS = 1_777_593_600_000_000_000n;
const NDJSON = 'application/x-ndjson';
const ARROW = 'application/vnd.apache.arrow.stream';

interface Shape {
  readonly series: number;
  readonly rows: number;
}
const SHAPES: readonly Shape[] = [
  { series: 1000, rows: 1 },
  { series: 100, rows: 100 },
  { series: 10_000, rows: 1 },
];

/** Rows of the n-th request: values of a walk on a grid, a second apart. */
function rowsOf({ rows }: Shape, n: number): { times: bigint[]; values: number[] } {
  const random = mulberry32(n);
  return {
    times: Array.from({ length: rows }, (_, i) => START_NS + BigInt(n * rows + i) * 1_000_000_000n),
    values: Array.from({ length: rows }, () => Math.round(random() * 4096) / 64),
  };
}

function linesOf(ids: readonly string[], shape: Shape, n: number, kind: Kind): string {
  const { times, values } = rowsOf(shape, n);
  const when = kind === 'regular' ? {} : { times: times.map(String) };
  return ids.map((series) => JSON.stringify({ series, ...when, values })).join('\n');
}

function arrowOf(ids: readonly string[], shape: Shape, n: number): Buffer {
  const { times, values } = rowsOf(shape, n);
  const columns = {
    series: vectorFromArray(
      times.flatMap(() => ids),
      new Dictionary(new Utf8(), new Int32()),
    ),
    time: vectorFromArray(BigInt64Array.from(times.flatMap((time) => ids.map(() => time)))),
    value: vectorFromArray(
      values.flatMap((value) => ids.map(() => value)),
      new Float64(),
    ),
  };
  return Buffer.from(tableToIPC(new Table(columns), 'stream'));
}

type Kind = 'regular' | 'irregular';
interface Case {
  readonly kind: Kind;
  readonly format: 'ndjson' | 'arrow';
  readonly connections: number;
}
const CASES: readonly Case[] = [
  { kind: 'irregular', format: 'ndjson', connections: 1 },
  { kind: 'irregular', format: 'ndjson', connections: 3 },
  { kind: 'regular', format: 'ndjson', connections: 1 },
  { kind: 'irregular', format: 'arrow', connections: 1 },
];

const varve = await Varve.start();
try {
  console.log(JSON.stringify(describeMachine()));
  for (const shape of SHAPES) {
    for (const each of CASES) console.log(`${shape.series} x ${shape.rows}: ${await measure(shape, each)}`);
  }
} finally {
  await varve.stop();
}

async function measure(shape: Shape, { kind, format, connections }: Case): Promise<string> {
  const name = `${shape.series}-${shape.rows}-${kind}-${format}-${connections}`;
  const made = { dtype: 'float64', sampling: { kind: 'irregular' } };
  const create = kind === 'irregular' ? made : { ...made, sampling: { kind: 'regular', rate_hz: 1 } };
  const ids = Array.from({ length: shape.series }, (_, i) => `${name}/${i}`);
  const when = kind === 'regular' ? {} : { times: ['1'] };
  const first = ids.map((series) => JSON.stringify({ series, ...when, values: [0], create }));
  await varve.appendMany(first.join('\n'), NDJSON);
  const bodies: (string | Buffer)[] = [];
  for (let n = 0; n < 100_000 / shape.series && n < 100; n++) {
    bodies.push(format === 'arrow' ? arrowOf(ids, shape, n) : linesOf(ids, shape, n, kind));
  }
  const latencies: number[] = [];
  let next = 0;
  const write = async (untilMs: number, isMeasured: boolean): Promise<void> => {
    while (performance.now() < untilMs) {
      const begun = performance.now();
      await varve.appendMany(bodies[next++ % bodies.length], format === 'arrow' ? ARROW : NDJSON);
      if (isMeasured) latencies.push(performance.now() - begun);
    }
  };
  const all = async (ms: number, isMeasured: boolean): Promise<number> => {
    const begun = performance.now();
    await Promise.all(Array.from({ length: connections }, () => write(begun + ms, isMeasured)));
    return performance.now() - begun;
  };
  await all(WARM_UP_MS, false);
  const before = varve.cpuMs();
  const ms = await all(WINDOW_MS, true);
  const after = varve.cpuMs();
  const cpuOf = (process: keyof typeof after): string =>
    `${((after[process] - before[process]) / latencies.length).toFixed(1)} ms`;
  const rows = (latencies.length * shape.series * shape.rows * 1000) / ms;
  const [p50, p95] = [0.5, 0.95].map((q) => quantile(latencies, q).toFixed(1));
  const mb = (Buffer.byteLength(bodies[0]) / 1e6).toFixed(2);
  const cpu = `cpu a request: service ${cpuOf('service')}, postgres ${cpuOf('postgres')}`;
  return `${Math.round(rows)} rows/s, p50 ${p50} ms, p95 ${p95} ms, ${cpu} (${kind}, ${format} of ${mb} MB, ${connections} connections)`;
}
