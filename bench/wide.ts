/**
 * `npm run bench:wide`: one recording of many channels as it comes, 384 channels of int16 at 30 kHz for a minute (`--
 * --minutes 10`). What is acknowledged and in no shard yet must not grow. It is told each second, as are the appends,
 * the bytes written for one byte, and the memory that the service takes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { describeMachine } from './machine.ts';
import { quantile } from './table.ts';
import { Varve } from './varve.ts';
import { mulberry32 } from './workload.ts';

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    channels: { type: 'string', default: '384' },
    rate: { type: 'string', default: '30000' },
    /** Appends a second. */
    appends: { type: 'string', default: '4' },
  },
});
const CHANNELS = Number(options.channels);
const RATE_HZ = Number(options.rate);
const APPENDS = Number(options.appends);
const SECONDS = Number(options.minutes) * 60;
const ROWS = Math.floor(RATE_HZ / APPENDS);
/** Different appends, sent in turns. */
const BATCHES = 8;
const MB = 1e6;

/** What an amplifier gives: slow waves that all channels share, and noise of a few steps. */
function batchOf(number: number): Buffer {
  const random = mulberry32(number + 1);
  const values = new Int16Array(ROWS * CHANNELS);
  for (let row = 0; row < ROWS; row++) {
    const wave = 200 * Math.sin((number * ROWS + row) / 300);
    for (let c = 0; c < CHANNELS; c++) {
      values[row * CHANNELS + c] = wave + (random() + random() + random() - 1.5) * 20;
    }
  }
  return Buffer.from(values.buffer);
}

const varve = await Varve.start();
try {
  const { cpu, cores, memoryGb, node, date } = describeMachine();
  const batches = Array.from({ length: BATCHES }, (_, i) => batchOf(i));
  const id = await varve.createSeries('wide', { dtype: 'int16', channels: CHANNELS, rateHz: RATE_HZ });
  const begun = performance.now();
  const backlog: number[] = [];
  const latencies: number[] = [];
  let isDone = false;
  const watch = async (): Promise<void> => {
    while (!isDone) {
      backlog.push((await varve.metric('varve_fresh_bytes')) / MB);
      await sleep(1000);
    }
  };
  const watching = watch();
  let late = 0;
  for (let n = 0; n < SECONDS * APPENDS; n++) {
    const due = begun + (n * 1000) / APPENDS;
    const early = due - performance.now();
    if (early > 0) await sleep(early);
    else late = Math.max(late, -early);
    const from = performance.now();
    await varve.append(id, batches[n % BATCHES]);
    latencies.push(performance.now() - from);
  }
  const seconds = (performance.now() - begun) / 1000;
  isDone = true;
  await watching;
  const raw = SECONDS * APPENDS * batches[0].length;
  const spent = varve.cpuMs();
  const written = await varve.metric('varve_written_bytes_total');
  const half = backlog.slice(backlog.length >> 1);
  console.log(
    [
      `${cpu}, ${cores} cores, ${memoryGb} GiB, Node ${node}, ${date}`,
      `${CHANNELS} channels of int16 at ${RATE_HZ} Hz: ${(raw / MB).toFixed(0)} MB in ${seconds.toFixed(0)} s of ${SECONDS}, at most ${(late / 1000).toFixed(1)} s late`,
      `an append of ${(batches[0].length / MB).toFixed(1)} MB: p50 ${quantile(latencies, 0.5).toFixed(0)} ms, p95 ${quantile(latencies, 0.95).toFixed(0)} ms`,
      `not yet in a shard: median of the first half ${quantile(backlog.slice(0, backlog.length >> 1), 0.5).toFixed(0)} MB, of the second ${quantile(half, 0.5).toFixed(0)} MB, most ${Math.max(...backlog).toFixed(0)} MB`,
      `written for a byte: ${(written / raw).toFixed(2)}; processor: service ${(spent.service / 1000 / seconds).toFixed(2)}, Postgres ${(spent.postgres / 1000 / seconds).toFixed(2)}; peak RSS ${varve.peakRssMb()?.toFixed(0)} MB`,
      `backlog in MB each second: ${backlog.map((each) => each.toFixed(0)).join(' ')}`,
    ].join('\n'),
  );
} finally {
  await varve.stop();
}
