/**
 * `npm run bench:trickle`: a day of many slow sensors, as fast as it goes. Each irregular series sends a sample a
 * second, some at a time, one series after the other. So there is a commit for every few seconds of the day. Then the
 * day is flushed and compacted, and read beside a copy that was loaded at once.
 */
import { parseArgs } from 'node:util';
import { crc32 } from 'node:zlib';
import { Hdf5Judge } from '../test/torture/hdf5-judge.ts';
import { describeMachine } from './machine.ts';
import { quantile } from './table.ts';
import { Varve } from './varve.ts';
import { mulberry32 } from './workload.ts';

const { values: options } = parseArgs({
  options: {
    series: { type: 'string', default: '1000' },
    hours: { type: 'string', default: '24' },
    /** Samples of one append. */
    batch: { type: 'string', default: '60' },
    connections: { type: 'string', default: '8' },
  },
});
const SERIES = Number(options.series);
const ROWS_PER_BATCH = Number(options.batch);
const BATCHES = (Number(options.hours) * 3600) / ROWS_PER_BATCH;
const CONNECTIONS = Number(options.connections);
const RECORD_BYTES = 16;
const NS_PER_S = 1_000_000_000n;
const DAY_NS = 1_777_593_600n * NS_PER_S;
const READS = 50;

/** One append of a series: times a little off the second, values of a slow walk on a grid. */
function batchOf(series: number, batch: number): Buffer {
  const random = mulberry32(series * 1_000_003 + batch);
  const records = Buffer.alloc(ROWS_PER_BATCH * RECORD_BYTES);
  for (let i = 0; i < ROWS_PER_BATCH; i++) {
    const second = batch * ROWS_PER_BATCH + i;
    records.writeBigInt64LE(DAY_NS + BigInt(second) * NS_PER_S + BigInt(Math.floor(random() * 1e8)), i * RECORD_BYTES);
    const value = 20 + series / 100 + Math.round(Math.sin(second / 7000) * 100 + random() * 4) / 64;
    records.writeDoubleLE(value, i * RECORD_BYTES + 8);
  }
  return records;
}

const dayOf = (series: number): Buffer =>
  Buffer.concat(Array.from({ length: BATCHES }, (_, batch) => batchOf(series, batch)));

const varve = await Varve.start();
try {
  const machine = describeMachine();
  const ids: string[] = [];
  for (let i = 0; i < SERIES; i++) ids.push(await varve.createIrregularSeries(`sensor-${i}`));
  const begun = performance.now();
  for (let batch = 0; batch < BATCHES; batch++) {
    let next = 0;
    const send = async (): Promise<void> => {
      while (next < SERIES) {
        const series = next++;
        await varve.append(ids[series], batchOf(series, batch));
      }
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, send));
    const hours = ((batch + 1) * ROWS_PER_BATCH) / 3600;
    if (Number.isInteger(hours)) {
      console.error(`${hours} h after ${((performance.now() - begun) / 1000).toFixed(0)} s`);
    }
  }
  const seconds = (performance.now() - begun) / 1000;
  const commits = await varve.lastCommit();
  const before = await readTimes(ids[0], dayOf(0));
  await varve.flush();
  const reports = await varve.compact();
  const [accepted, written] = [
    await varve.metric('varve_accepted_bytes_total'),
    await varve.metric('varve_written_bytes_total'),
  ];
  const used = varve.cpuMs();
  const compacted = await readTimes(ids[0], dayOf(0));

  const copy = await varve.createIrregularSeries('copy');
  await varve.append(copy, dayOf(0));
  const copyBefore = await readTimes(copy, dayOf(0));
  await varve.flush();
  reports.push(...(await varve.compact()));
  const copyCompacted = await readTimes(copy, dayOf(0));

  const paths = await varve.livePaths();
  await judge(paths);
  const bytes = paths.reduce((sum, { bytes: each }) => sum + each, 0);
  const rows = SERIES * BATCHES * ROWS_PER_BATCH;
  const { cpu, cores, memoryGb, node, date } = machine;
  console.log(
    [
      `${cpu}, ${cores} cores, ${memoryGb} GiB, Node ${node}, ${date}`,
      `${SERIES} irregular series, ${rows.toLocaleString('en')} rows in ${SERIES * BATCHES} appends and ${commits} commits: ${seconds.toFixed(0)} s`,
      `${paths.length} compacted shards, ${(bytes / 1e6).toFixed(0)} MB of ${((rows * RECORD_BYTES) / 1e6).toFixed(0)} MB raw, peak RSS of compaction ${(Math.max(...reports.map(({ peakRssBytes }) => peakRssBytes)) / 1e6).toFixed(0)} MB`,
      `${(written / accepted).toFixed(2)} bytes written to spool and shards for one accepted; CPU of the service ${(used.service / 1000).toFixed(0)} s, of its Postgres ${(used.postgres / 1000).toFixed(0)} s; RSS of the service ${varve.peakRssMb()?.toFixed(0)} MB`,
      `a day of one series: before ${ms(before)}, compacted ${ms(compacted)}; loaded at once: before ${ms(copyBefore)}, compacted ${ms(copyCompacted)}; ratio ${(quantile(compacted, 0.5) / quantile(copyCompacted, 0.5)).toFixed(2)}×`,
    ].join('\n'),
  );
} finally {
  await varve.stop();
}

/** Every answer is compared bit for bit. @returns ms of each read */
async function readTimes(id: string, day: Buffer): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < READS; i++) {
    const from = performance.now();
    const answer = await varve.readOctets(id, `start=0`);
    times.push(performance.now() - from);
    if (!answer.equals(day)) throw new Error('answered other bytes than were sent');
  }
  return times;
}

/** h5dump and h5py open every shard, and h5py reads the values and times that were sent. */
async function judge(paths: readonly { path: string; series: Readonly<Record<string, number>> }[]): Promise<void> {
  const hdf5 = new Hdf5Judge();
  try {
    for (const { path, series } of paths) {
      const found = await hdf5.look(path, series);
      for (const [id, rows] of Object.entries(series)) {
        const answer = await varve.readOctets(id, 'start=0');
        const [times, values] = columns(answer);
        if (rows * RECORD_BYTES !== answer.length) continue; // a part of the series: compared where it is whole
        if (found[id].values_crc !== crc32(values) || found[id].times_crc !== crc32(times)) {
          throw new Error(`h5py reads other samples of ${id} than the API answers`);
        }
      }
    }
  } finally {
    hdf5.close();
  }
}

function columns(records: Buffer): [times: Buffer, values: Buffer] {
  const rows = records.length / RECORD_BYTES;
  const [times, values] = [Buffer.alloc(rows * 8), Buffer.alloc(rows * 8)];
  for (let i = 0; i < rows; i++) {
    records.copy(times, i * 8, i * RECORD_BYTES, i * RECORD_BYTES + 8);
    records.copy(values, i * 8, i * RECORD_BYTES + 8, (i + 1) * RECORD_BYTES);
  }
  return [times, values];
}

function ms(times: readonly number[]): string {
  return `${quantile(times, 0.5).toFixed(1)} ms`;
}
