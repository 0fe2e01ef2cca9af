/** From buckets to the bytes of an answer. Runs on either side of a thread. */
import type { Aggregate, Fill } from '../../core/overview/aggregate-span.ts';
import { toPhysicalValue, type Calibration } from '../../core/signal/calibration.ts';
import { columnName, TIME_COLUMN } from '../../core/signal/column-names.ts';
import { DTYPES, isBigDtype, type Dtype } from '../../core/numbers/dtype.ts';
import { chooseLine, runAt, type LinePoint } from '../../core/overview/broken-line.ts';
import type { RowShape } from '../../core/numbers/missing-value.ts';
import type { BucketFold } from '../../core/overview/bucket-fold.ts';

import type { Rate } from '../../core/signal/rate.ts';
import { timeOfRow, type RowRange, type Segment } from '../../core/signal/segment.ts';
import type { TimeReference } from '../../core/signal/series.ts';
import {
  columnOf,
  type NumberType,
  type Table,
  type TableBatch,
  type TableColumn,
} from '../../core/signal/sample-table.ts';
import { npyTable, type NpyField } from '../../formats/tables/structured-npy.ts';
import { jsonValueWriter } from '../../formats/text/number-text.ts';
import { encodeTable } from '../../formats/tables/table-formats.ts';
import { foldBuckets, type Folded, type FoldTask } from './fold-overview.ts';
import { aggregateType, aggregateValues, type Value } from './overview-values.ts';

export const BUCKET_FORMATS = ['json', 'csv', 'npy', 'arrow', 'arrow-stream'] as const;
export type BucketFormat = (typeof BUCKET_FORMATS)[number];
/** Those that are tables and nothing else. */
type TableFormat = Exclude<BucketFormat, 'json' | 'npy'>;

export interface AnsweredChannel {
  readonly label: string;
  readonly unit: string | null;
  /** Null: raw values. */
  readonly calibration: Calibration | null;
}

interface AnyAnswer {
  readonly format: BucketFormat;
  readonly seriesId: string;
  readonly timeReference: TimeReference;
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
  readonly clock: {
    readonly rate: Rate;
    readonly segments: readonly Segment[];
    /** Rows of the range that follow each other without a gap. */
    readonly runs: readonly RowRange[];
  } | null;
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
  if (answer.kind === 'line') yield await printLine(answer, task, step.value);
  else yield await printBucketTable(answer, task.missingValue, tableOf(answer, task.dtype, step.value));
}

interface AggregateColumn {
  readonly name: Aggregate;
  readonly type: NumberType;
  /** Values by channel, then by bucket. */
  readonly values: readonly (readonly Value[])[];
}

function tableOf(answer: BucketAnswer, dtype: Dtype, { fold, borders }: Folded): BucketTable {
  const all = Array.from({ length: fold.buckets }, (_, i) => i);
  const counts = all.map((i) => bucketCount(fold, i));
  const kept = answer.fill === 'none' ? all.filter((i) => counts[i] > 0) : all;
  const edges = answer.borders ?? borders!;
  const start = BigInt64Array.from(kept, (i) => edges[i]);
  const end = BigInt64Array.from(kept, (i) => edges[i + 1]);
  const columns = answer.columns.map((name): AggregateColumn => {
    const values = answer.channels.map(({ calibration }, c) =>
      aggregateValues(fold, { name, channel: c, calibration, fill: answer.fill }, kept, start),
    );
    const isCalibrated = answer.channels.some(({ calibration }) => calibration !== null);
    return { name, type: aggregateType(name, dtype, isCalibrated, answer.fill), values };
  });
  return { start, end, count: kept.map((i) => counts[i]), columns };
}

interface BucketTable {
  readonly start: BigInt64Array;
  readonly end: BigInt64Array;
  readonly count: readonly number[];
  readonly columns: readonly AggregateColumn[];
}

/** Number of values in a bucket, of the channel that has most. */
function bucketCount({ counts, channels }: BucketFold, bucket: number): number {
  let most = 0;
  for (let at = bucket * channels; at < (bucket + 1) * channels; at++) if (counts[at] > most) most = counts[at];
  return most;
}

/** A JSON list of values of a dtype, or nulls. A value that was interpolated is a number whatever the dtype. */
function jsonList(values: readonly Value[], type: NumberType): string {
  const write = jsonValueWriter(type);
  return `[${values.map((value) => (value === null ? 'null' : write(asStored(value, type)))).join(',')}]`;
}

function asStored(value: number | bigint, type: NumberType): number | bigint {
  return type !== 'number' && isBigDtype(type) ? BigInt(value) : value;
}

const jsonTimes = (times: BigInt64Array): string => `[${Array.from(times, (ns) => `"${ns}"`).join(',')}]`;

function bucketsJson({ seriesId, channels }: BucketAnswer, { start, end, count, columns }: BucketTable): string {
  const each = channels.map(({ label, unit }, c) => {
    const lists = columns.map(({ name, type, values }) => `"${name}":${jsonList(values[c], type)}`);
    return `{"label":${JSON.stringify(label)},"unit":${JSON.stringify(unit)},${lists.join(',')}}`;
  });
  const buckets = `{"start":${jsonTimes(start)},"end":${jsonTimes(end)},"count":[${count.join(',')}]}`;
  return `{"series":"${seriesId}","buckets":${buckets},"channels":[${each.join(',')}]}`;
}

async function printBucketTable(
  answer: BucketAnswer,
  missingValue: RowShape['missingValue'],
  table: BucketTable,
): Promise<Uint8Array> {
  switch (answer.format) {
    case 'json':
      return Buffer.from(bucketsJson(answer, table));
    case 'npy':
      return bucketsNpy(table, answer.channels.length, missingValue ?? 0);
    default:
      return bucketsTable(answer, answer.format, table);
  }
}

/** One column for each channel and aggregate, named `<label>.<aggregate>`. */
function bucketsTable(answer: BucketAnswer, format: TableFormat, table: BucketTable): Promise<Uint8Array> {
  const { start, end, count } = table;
  const fields = answer.channels.flatMap((channel, c) =>
    table.columns.map(({ name, type, values }): PrintedColumn => ({
      name: `${channel.label}.${name}`,
      type,
      nullable: true,
      about: { ...aboutChannel(channel), aggregate: name },
      ...columnOf(values[c], type),
    })),
  );
  return printColumns(answer, format, [
    { name: 'start', type: 'time', data: start, present: null },
    { name: 'end', type: 'time', data: end, present: null },
    { name: 'count', type: 'int64', ...columnOf(count, 'int64') },
    ...fields,
  ]);
}

type PrintedColumn = TableColumn & ReturnType<typeof columnOf>;

function aboutChannel({ label, unit }: AnsweredChannel): Record<string, string> {
  return { channel: label, ...(unit !== null && { unit }) };
}

async function printColumns(
  { seriesId, timeReference }: AnyAnswer,
  format: TableFormat,
  columns: readonly PrintedColumn[],
): Promise<Uint8Array> {
  const rows = columns[0].data.length;
  const table: Table = { columns, timeReference, rows, about: { series: seriesId } };
  const batch = { rows, columns: columns.map(({ data }) => data), present: columns.map(({ present }) => present) };
  const pieces: Uint8Array[] = [];
  for await (const piece of encodeTable(format, only(batch), table)) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function* only(batch: TableBatch): AsyncGenerator<TableBatch> {
  yield batch;
}

/** Prints buckets as rows. @param none in stored values that are integers: what a bucket without a value has */
function bucketsNpy({ start, end, count, columns }: BucketTable, channels: number, none: number | bigint): Uint8Array {
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
      // Where the counts of the channels are asked for, they are what is called so.
      ...(columns.some(({ name }) => name === 'count') ? [] : [plain('count', count)]),
      ...columns.map(({ name, type, values }): NpyField => {
        return { name, dtype: type === 'number' ? 'float64' : type, width: channels, values, none };
      }),
    ],
    start.length,
  );
}

async function printLine(answer: LineAnswer, task: FoldTask, folded: Folded): Promise<Uint8Array> {
  const [channel] = answer.channels;
  const { label, unit, calibration } = channel;
  const points = pointsOf(folded, answer);
  const physical = (value: number | bigint): number =>
    calibration ? toPhysicalValue(calibration, value) : Number(value);
  const ys = Float64Array.from(points, ({ value }) => physical(value));
  const type = calibration ? 'float64' : task.dtype;
  const chosen = chooseLine(points, ys, answer.points);
  // An integer of an .npy array can say that there is no value only by the missing value.
  const saysNone = answer.format !== 'npy' || DTYPES[type].kind === 'float' || task.missingValue !== null;
  const kept = saysNone ? chosen : chosen.filter(({ at }) => at !== null);
  const times = BigInt64Array.from(kept, ({ ns }) => ns);
  const values = kept.map(({ at }): Value => (at === null ? null : calibration ? ys[at] : points[at].value));
  if (answer.format === 'npy') {
    const time: NpyField = { name: 'time', dtype: 'int64', width: null, values: [Array.from(times)] };
    const none = task.missingValue ?? 0;
    return npyTable([time, { name: 'values', dtype: type, width: 1, values: [values], none }], kept.length);
  }
  if (answer.format !== 'json') {
    return printColumns(answer, answer.format, [
      { name: TIME_COLUMN, type: 'time', data: times, present: null },
      { name: columnName(label), type, nullable: true, about: aboutChannel(channel), ...columnOf(values, type) },
    ]);
  }
  const about = `{"label":${JSON.stringify(label)},"unit":${JSON.stringify(unit)}}`;
  const list = jsonList(values, type);
  return Buffer.from(
    `{"series":"${answer.seriesId}","channels":[${about}],"times":${jsonTimes(times)},"orient":"channels","values":[${list}]}`,
  );
}

/** The smallest and the largest value of each bucket, in order of time. Rows without a value between two buckets part the line, as a gap does. */
function pointsOf({ fold, ends }: Folded, { clock }: LineAnswer): LinePoint[] {
  const { buckets, counts, mins, maxs, seen } = fold;
  const points: LinePoint[] = [];
  let blanks = 0;
  const add = (place: bigint, value: number | bigint): void => {
    const ns = clock ? timeOfRow(clock.segments, clock.rate, Number(place)) : place;
    points.push({ ns, value, piece: blanks + (clock ? runAt(clock.runs, Number(place)) : 0) });
  };
  for (let i = 0; i < buckets; i++) {
    if (counts[i] === 0) {
      blanks += seen[i];
      continue;
    }
    const [low, high] = [fold.minAt![i], fold.maxAt![i]];
    if (mins[i] === maxs[i]) add(low, mins[i]);
    else if (low <= high) {
      add(low, mins[i]);
      add(high, maxs[i]);
    } else {
      add(high, maxs[i]);
      add(low, mins[i]);
    }
  }
  const [first, last] = ends ?? [];
  if (first && (points.length === 0 || first.ns < points[0].ns))
    points.unshift({ ...first, piece: points[0]?.piece ?? 0 });
  if (last && last.ns > points.at(-1)!.ns) points.push({ ...last, piece: points.at(-1)!.piece });
  return points;
}
