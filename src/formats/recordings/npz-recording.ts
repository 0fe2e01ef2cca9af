/** An `.npz` archive as a recording: a series for each of its arrays, at the times or the rate that another of them has. */
import { invalidField, isVarveError, messageOf, unprocessableField } from '../../core/errors.ts';
import type { RecordedSeries, Recording } from '../../core/signal/recording.ts';
import { isTime, UNIT_NS } from '../../core/time.ts';
import type { Batch } from '../../core/signal/batch.ts';
import { readNpyHead } from '../samples/npy.ts';
import { columnValues, datetimes, readNpyArray, npyRowBlocks, type NpyArray, type ReadBytes } from './npy-array.ts';
import { readNpyRecording, type NpyRecordingOptions } from './npy-recording.ts';

const TIME_ARRAY = /^(?:t|ts|time|times|timestamps?|datetime)$/i;
const RATE_ARRAY = /^(?:fs|rate|sfreq|srate|sampling_?(?:rate|frequency)|sample_?rate)$/i;

export interface NpzOptions extends NpyRecordingOptions {
  /** Unit of times that are numbers, since 1970. */
  readonly epoch?: 's' | 'ms' | 'us' | 'ns';
  /** Unit of times that are numbers, since the start. */
  readonly elapsed?: 'ns' | 'us' | 'ms' | 's' | 'min' | 'h' | 'd';
}

const UNITS: Readonly<Record<string, bigint>> = { ...UNIT_NS, min: UNIT_NS.m, d: 24n * UNIT_NS.h };

/** @param arrays by the name of their member, without `.npy` @throws as {@link readNpyRecording} does, naming the array */
export async function readNpzRecording(
  arrays: ReadonlyMap<string, Uint8Array>,
  options: NpzOptions,
): Promise<Recording> {
  const notes: string[] = [];
  const scalar = [...arrays].find(([name, bytes]) => RATE_ARRAY.test(name) && readNpyHead(bytes)?.shape.length === 0);
  const timed = [...arrays].find(([name]) => TIME_ARRAY.test(name));
  const times = timed ? await timesOf(timed[0], timed[1], options) : null;
  const rate = options.rate ?? (scalar && (await numberOf(scalar[1])));
  if (scalar && options.rate === undefined) notes.push(`the rate was taken from ${scalar[0]}`);
  if (times && timed) notes.push(`times were taken from ${timed[0]}`);
  const values = [...arrays].filter(
    ([name, bytes]) => name !== timed?.[0] && (readNpyHead(bytes)?.shape.length ?? 0) > 0,
  );
  if (values.length === 0) throw unprocessableField('body', 'holds no arrays of samples');
  const series: RecordedSeries[] = [];
  for (const [name, bytes] of values) {
    const open = openBytes(bytes);
    const shape = readNpyHead(bytes)?.shape ?? [];
    // An array whose other axis is as long as the times lies the wrong way round.
    const isTurned =
      times !== null && shape.length === 2 && shape[0] !== times.ns.length && shape[1] === times.ns.length;
    const orient =
      options.orient ?? (isTurned ? 'channels' : times !== null && shape[0] === times.ns.length ? 'rows' : undefined);
    const each = values.length === 1 ? options.name : `${options.name}/${name}`;
    try {
      const recording = await readNpyRecording(open, {
        ...options,
        name: each,
        ...(orient && { orient }),
        ...(times ? { rate: 1 } : rate === undefined ? {} : { rate }),
      });
      if (!times) {
        series.push(...recording.series);
        continue;
      }
      for (const recorded of recording.series) {
        if (recorded.spec.sampling.kind === 'irregular') series.push(recorded);
        else if (recorded.rows === times.ns.length) series.push(withTimes(recorded, times));
        else throw unprocessableField('body', `has ${recorded.rows} rows, and there are ${times.ns.length} times`);
      }
    } catch (error) {
      throw isVarveError(error) ? Object.assign(error, { message: `${name}: ${messageOf(error)}` }) : error;
    }
  }
  return { series, notes };
}

function openBytes(bytes: Uint8Array): ReadBytes {
  return async function* (from = 0, to = bytes.length) {
    yield bytes.subarray(from, to);
  };
}

interface ArrayTimes {
  readonly ns: BigInt64Array;
  readonly relative: boolean;
}

async function wholeColumn(bytes: Uint8Array): Promise<{ array: NpyArray; block: Uint8Array }> {
  const open = openBytes(bytes);
  const array = await readNpyArray(open, 'rows');
  if (array.columns.length !== 1) throw unprocessableField('body', 'has more than one column');
  for await (const block of npyRowBlocks(open, array, array.rows)) return { array, block };
  throw invalidField('body', 'is empty');
}

async function timesOf(name: string, bytes: Uint8Array, { epoch, elapsed, startNs }: NpzOptions): Promise<ArrayTimes> {
  const { array, block } = await wholeColumn(bytes);
  const [column] = array.columns;
  const values = columnValues(block, array, column);
  if (column.kind === 'datetime') return { ns: datetimes(values as BigInt64Array, column.stepNs, 0), relative: false };
  const unit = epoch ?? elapsed;
  if (unit === undefined) {
    throw invalidField(
      'epoch',
      `${name} holds numbers: --epoch s|ms|us|ns says what they count since 1970, --elapsed since the start`,
    );
  }
  const unitNs = UNITS[unit];
  const base = epoch === undefined ? (startNs ?? 0n) : 0n;
  const ns = BigInt64Array.from(values as ArrayLike<number | bigint>, (value: number | bigint, i: number) => {
    if (typeof value === 'number' && !Number.isFinite(value))
      throw invalidField(`row ${i} of ${name}`, 'is not a time');
    const at = (typeof value === 'bigint' ? value * unitNs : decimalOf(value, unitNs)) + base;
    if (!isTime(at)) throw invalidField(`row ${i} of ${name}`, 'is outside the years 1678 to 2261');
    return at;
  });
  return { ns, relative: epoch === undefined && startNs === undefined };
}

/** Whole units exactly, and what is below them as finely as the float says it. */
function decimalOf(value: number, unitNs: bigint): bigint {
  const whole = Math.trunc(value);
  return BigInt(whole) * unitNs + BigInt(Math.round((value - whole) * Number(unitNs)));
}

async function numberOf(bytes: Uint8Array): Promise<number> {
  const head = readNpyHead(bytes);
  const text = Buffer.from(bytes.subarray(0, head?.dataOffset))
    .toString('latin1')
    .replace(/\(\s*\)/, '(1,)');
  const { array, block } = await wholeColumn(
    Buffer.concat([Buffer.from(text.slice(0, head?.dataOffset), 'latin1'), bytes.subarray(head?.dataOffset)]),
  );
  return Number(columnValues(block, array, array.columns[0])[0]);
}

function withTimes(recorded: RecordedSeries, { ns, relative }: ArrayTimes): RecordedSeries {
  return {
    ...recorded,
    spec: { ...recorded.spec, sampling: { kind: 'irregular' }, timeReference: relative ? 'relative' : 'utc' },
    batches: async function* (): AsyncGenerator<Batch> {
      let row = 0;
      for await (const batch of recorded.batches()) {
        yield { ...batch, times: ns.subarray(row, row + batch.rows) };
        row += batch.rows;
      }
    },
  };
}
