/** From buckets to the bytes of an answer. Runs on either side of a thread. */
import { fillGaps, type Aggregate, type Fill } from '../core/aggregate-span.ts';
import type { Calibration } from '../core/calibration.ts';
import { largestTriangles } from '../core/downsample.ts';
import { isBigDtype, type Dtype } from '../core/dtype.ts';
import type { BucketFold } from '../core/overview-fold.ts';
import { timeOfRow } from '../core/overview-plan.ts';
import type { Rate } from '../core/rate.ts';
import type { Segment } from '../core/segment.ts';
import { csvValueWriter, jsonValueWriter } from '../formats/number-text.ts';
import { formatTime } from '../core/time.ts';
import { foldBuckets, type Folded, type FoldTask } from './overview-fold.ts';
import { npyTable, type NpyField } from '../formats/npy-table.ts';

export type BucketFormat = 'json' | 'csv' | 'npy';

export interface AnsweredChannel {
  readonly label: string;
  readonly unit: string | null;
  /** Null: raw values. */
  readonly calibration: Calibration | null;
}

interface AnyAnswer {
  readonly format: BucketFormat;
  readonly seriesId: string;
  readonly channels: readonly AnsweredChannel[];
}

export interface BucketAnswer extends AnyAnswer {
  readonly kind: 'buckets';
  readonly columns: readonly Aggregate[];
  readonly fill: Fill;
  /** Where the buckets begin, and where the last one ends; null: as they were folded. */
  readonly borders: BigInt64Array | null;
}

/** A line of one channel. */
export interface LineAnswer extends AnyAnswer {
  readonly kind: 'line';
  readonly points: number;
  /** Regular series. */
  readonly clock: { readonly rate: Rate; readonly segments: readonly Segment[] } | null;
}

export interface BucketPrintTask {
  readonly fold: FoldTask;
  readonly answer: BucketAnswer | LineAnswer;
}

/** The answer in one piece. Pieces of no bytes come before it while there is work, so that it can be given up. */
export async function* printBuckets({ fold: task, answer }: BucketPrintTask): AsyncGenerator<Uint8Array> {
  const folding = foldBuckets(task);
  let step = await folding.next();
  for (; !step.done; step = await folding.next()) yield new Uint8Array(0);
  if (answer.kind === 'line') yield printLine(answer, task.dtype, step.value);
  else yield printTable(answer, task.dtype, step.value);
}

type Value = number | bigint | null;

interface Column {
  readonly name: Aggregate;
  readonly dtype: Dtype;
  /** By channel, then by bucket. */
  readonly values: readonly (readonly Value[])[];
}

function printTable(answer: BucketAnswer, dtype: Dtype, { fold, borders }: Folded): Uint8Array {
  const all = Array.from({ length: fold.buckets }, (_, i) => i);
  const counts = all.map((i) => bucketCount(fold, i));
  const kept = answer.fill === 'none' ? all.filter((i) => counts[i] > 0) : all;
  const edges = answer.borders ?? borders!;
  const start = BigInt64Array.from(kept, (i) => edges[i]);
  const end = BigInt64Array.from(kept, (i) => edges[i + 1]);
  const columns = answer.columns.map((name): Column => {
    const values = answer.channels.map(({ calibration }, c) => {
      const own = kept.map((i) => valueOf(fold, name, i * fold.channels + c, calibration));
      return answer.fill === 'previous' || answer.fill === 'linear' ? fillGaps(own, start, answer.fill) : own;
    });
    return { name, dtype: dtypeOf(name, dtype, answer), values };
  });
  const table: Table = { start, end, count: kept.map((i) => counts[i]), columns };
  if (answer.format === 'json') return Buffer.from(bucketsJson(answer, table));
  return answer.format === 'csv' ? Buffer.from(bucketsCsv(answer, table)) : bucketsNpy(table, answer.channels.length);
}

interface Table {
  readonly start: BigInt64Array;
  readonly end: BigInt64Array;
  readonly count: readonly number[];
  readonly columns: readonly Column[];
}

/** Of the channel that has most. */
function bucketCount({ counts, channels }: BucketFold, bucket: number): number {
  let most = 0;
  for (let at = bucket * channels; at < (bucket + 1) * channels; at++) if (counts[at] > most) most = counts[at];
  return most;
}

function dtypeOf(name: Aggregate, dtype: Dtype, { channels, fill }: BucketAnswer): Dtype {
  if (name === 'count') return 'int64';
  const isStored = name === 'min' || name === 'max' || name === 'first' || name === 'last';
  return isStored && fill !== 'linear' && channels.every(({ calibration }) => calibration === null) ? dtype : 'float64';
}

function valueOf(fold: BucketFold, name: Aggregate, at: number, calibration: Calibration | null): Value {
  const count = fold.counts[at];
  if (name === 'count') return count;
  const isOfRows = name === 'first' || name === 'last' || name === 'std';
  if (count === 0 || (isOfRows && fold.told[at] === 1)) return null;
  const falls = calibration !== null && slopeOf(calibration) < 0;
  const physical = (value: number | bigint): Value => (calibration ? toPhysicalValue(calibration, value) : value);
  switch (name) {
    case 'min':
      return physical((falls ? fold.maxs : fold.mins)[at]);
    case 'max':
      return physical((falls ? fold.mins : fold.maxs)[at]);
    case 'first':
      return physical(fold.firsts![at]);
    case 'last':
      return physical(fold.lasts![at]);
    case 'mean':
      return physical(fold.sums[at] / count);
    case 'sum':
      return calibration ? toPhysicalValue(calibration, fold.sums[at] / count) * count : fold.sums[at];
    case 'std': {
      if (count < 2) return null;
      const deviation = Math.sqrt(fold.squares![at] / (count - 1));
      return calibration ? deviation * Math.abs(slopeOf(calibration)) : deviation;
    }
  }
}

function slopeOf(map: Calibration): number {
  return map.form === 'identity' ? 1 : map.form === 'linear' ? map.slope : 1 / map.gain;
}

function toPhysicalValue(map: Calibration, value: number | bigint): number {
  const number = Number(value);
  if (map.form === 'identity') return number;
  return map.form === 'linear' ? number * map.slope + map.intercept : (number - map.baseline) / map.gain;
}

/** For values of a dtype, or nulls; a value that was interpolated is a number whatever the dtype. */
function jsonList(values: readonly Value[], dtype: Dtype): string {
  const write = jsonValueWriter(dtype);
  return `[${values.map((value) => (value === null ? 'null' : write(asStored(value, dtype)))).join(',')}]`;
}

function asStored(value: number | bigint, dtype: Dtype): number | bigint {
  return isBigDtype(dtype) ? BigInt(value) : value;
}

const jsonTimes = (times: BigInt64Array): string => `[${Array.from(times, (ns) => `"${ns}"`).join(',')}]`;

function bucketsJson({ seriesId, channels }: BucketAnswer, { start, end, count, columns }: Table): string {
  const each = channels.map(({ label, unit }, c) => {
    const lists = columns.map(({ name, dtype, values }) => `"${name}":${jsonList(values[c], dtype)}`);
    return `{"label":${JSON.stringify(label)},"unit":${JSON.stringify(unit)},${lists.join(',')}}`;
  });
  const buckets = `{"start":${jsonTimes(start)},"end":${jsonTimes(end)},"count":[${count.join(',')}]}`;
  return `{"series":"${seriesId}","buckets":${buckets},"channels":[${each.join(',')}]}`;
}

function bucketsCsv({ channels }: BucketAnswer, { start, end, count, columns }: Table): string {
  const fields = channels.flatMap(({ label }, c) =>
    columns.map(({ name, dtype, values }) => {
      const write = csvValueWriter(dtype);
      const text = (value: Value): string => (value === null ? '' : write(asStored(value, dtype)));
      return { head: `${label}.${name}`, values: values[c], text };
    }),
  );
  const lines = [['start', 'end', 'count', ...fields.map(({ head }) => quoted(head))].join(',')];
  for (let i = 0; i < start.length; i++) {
    const own = fields.map(({ values, text }) => text(values[i]));
    lines.push([formatTime(start[i]), formatTime(end[i]), count[i], ...own].join(','));
  }
  return `${lines.join('\n')}\n`;
}

function quoted(field: string): string {
  return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}

function bucketsNpy({ start, end, count, columns }: Table, channels: number): Uint8Array {
  const plain = (name: string, values: readonly Value[]): NpyField => ({
    name,
    dtype: 'int64',
    width: null,
    values: [values],
  });
  return npyTable(
    [
      plain('start', Array.from(start)),
      plain('end', Array.from(end)),
      plain('count', count),
      ...columns.map(({ name, dtype, values }): NpyField => ({ name, dtype, width: channels, values })),
    ],
    start.length,
  );
}

function printLine(answer: LineAnswer, dtype: Dtype, { fold }: Folded): Uint8Array {
  const [{ label, unit, calibration }] = answer.channels;
  const points = extremes(fold, answer);
  const physical = (value: number | bigint): number =>
    calibration ? toPhysicalValue(calibration, value) : Number(value);
  const base = points[0]?.ns ?? 0n;
  const xs = Float64Array.from(points, ({ ns }) => Number(ns - base));
  const ys = Float64Array.from(points, ({ value }) => physical(value));
  const kept = largestTriangles(xs, ys, answer.points);
  const times = BigInt64Array.from(kept, (i) => points[i].ns);
  const values = kept.map((i): Value => (calibration ? ys[i] : points[i].value));
  const type = calibration ? 'float64' : dtype;
  if (answer.format === 'npy') {
    const time: NpyField = { name: 'time', dtype: 'int64', width: null, values: [Array.from(times)] };
    return npyTable([time, { name: 'values', dtype: type, width: 1, values: [values] }], kept.length);
  }
  if (answer.format === 'csv') {
    const write = csvValueWriter(type);
    const lines = values.map((value, i) => `${formatTime(times[i])},${write(asStored(value!, type))}`);
    return Buffer.from(`${[`time,${quoted(label)}`, ...lines].join('\n')}\n`);
  }
  const channel = `{"label":${JSON.stringify(label)},"unit":${JSON.stringify(unit)}}`;
  const list = jsonList(values, type);
  return Buffer.from(
    `{"series":"${answer.seriesId}","channels":[${channel}],"times":${jsonTimes(times)},"values":[${list}]}`,
  );
}

interface Point {
  readonly ns: bigint;
  readonly value: number | bigint;
}

/** The smallest and the largest value of each bucket, in order of time. */
function extremes({ buckets, counts, mins, maxs, minAt, maxAt }: BucketFold, { clock }: LineAnswer): Point[] {
  const timeOf = (place: bigint): bigint => (clock ? timeOfRow(clock.segments, clock.rate, Number(place)) : place);
  const points: Point[] = [];
  for (let i = 0; i < buckets; i++) {
    if (counts[i] === 0) continue;
    const low = { ns: timeOf(minAt![i]), value: mins[i] };
    const high = { ns: timeOf(maxAt![i]), value: maxs[i] };
    if (low.value === high.value) points.push(low);
    else points.push(...(low.ns <= high.ns ? [low, high] : [high, low]));
  }
  return points;
}
