/** From planned parts to the bytes of a table. Runs in a codec thread; parts come series by series. */
import type { Aggregate, Fill } from '../../core/overview/aggregate-span.ts';
import type { OutBatch } from '../../core/signal/batch.ts';
import { castTo, type Dtype, type DtypeInfo } from '../../core/numbers/dtype.ts';
import type { BucketFold } from '../../core/overview/bucket-fold.ts';
import { columnOf, type NumberType, type Table, type TableBatch } from '../../core/signal/sample-table.ts';
import type { EpochUnit } from '../../formats/text/epoch-text.ts';
import { encodeInflux, type InfluxShape } from '../../formats/tables/table-influx.ts';
import { cutBatches, MAX_BATCH_ROWS } from '../../formats/samples/cut-batches.ts';
import { encodeTable, type TableFormatName } from '../../formats/tables/table-formats.ts';
import { DataRoot } from '../../storage/folder/data-root.ts';
import { eachOpened } from '../../storage/read/shard-files.ts';
import { alignAsOf, type AsOf, type AsOfPart } from './align-as-of.ts';
import { foldBuckets, type FoldTask } from '../overview/fold-overview.ts';
import type { AnsweredChannel } from '../overview/print-overview.ts';
import { aggregateValues } from '../overview/overview-values.ts';
import { rowBatches, type RowsTask } from '../read/print-samples.ts';

export interface TableTask {
  readonly table: Table;
  readonly form: TableForm;
  readonly format: TableFormatName;
  readonly epoch?: EpochUnit;
  readonly influx?: InfluxShape;
}

export type TableForm =
  /** @property dtype of the values of all series; null: each series has its own */
  | { readonly kind: 'rows'; readonly dtype: Dtype | null }
  | {
      readonly kind: 'long-buckets' | 'wide-buckets';
      readonly aggregates: readonly Aggregate[];
      readonly fill: Fill;
      /** One more than buckets. */
      readonly borders: BigInt64Array;
    }
  | ({ readonly kind: 'as-of' } & AsOf);

type BucketsForm = Extract<TableForm, { kind: 'long-buckets' | 'wide-buckets' }>;

interface AnyPart {
  /** Place of the series among all. */
  readonly place: number;
  /** Places of the labels of its channels among all labels. */
  readonly labels: readonly number[];
}

export interface RowsPart extends AnyPart {
  readonly rows: RowsTask;
}

export interface BucketsPart extends AnyPart {
  readonly channels: readonly AnsweredChannel[];
  readonly fold: FoldTask;
}

/** @param parts what the form takes, in the order of the series */
export async function* printTable(task: TableTask, parts: AsyncIterable<object>): AsyncGenerator<Uint8Array> {
  const { form, format, epoch, table, influx } = task;
  if (influx) {
    yield* encodeInflux(influxBatches(form, table, parts), influx);
    return;
  }
  switch (form.kind) {
    case 'rows':
      yield* encodeTable(format, longRows(form.dtype, parts as AsyncIterable<RowsPart>), table, { epoch });
      break;
    case 'as-of':
      yield* encodeTable(format, alignAsOf(form, parts as AsyncIterable<AsOfPart>), table, { epoch });
      break;
    case 'long-buckets':
      yield* encodeTable(format, longBuckets(form, table, parts as AsyncIterable<BucketsPart>), table, { epoch });
      break;
    case 'wide-buckets': {
      const { rows, batches } = await wideBuckets(form, table, parts as AsyncIterable<BucketsPart>);
      yield* encodeTable(format, batches, { ...table, rows }, { epoch });
    }
  }
}

function influxBatches(form: TableForm, table: Table, parts: AsyncIterable<object>): AsyncGenerator<TableBatch> {
  if (form.kind === 'rows') return longRows(form.dtype, parts as AsyncIterable<RowsPart>);
  return longBuckets(form as BucketsForm, table, parts as AsyncIterable<BucketsPart>);
}

/** Columns: time, series, name, channel, value. A row a value, channels of one time after each other. */
async function* longRows(dtype: Dtype | null, parts: AsyncIterable<RowsPart>): AsyncGenerator<TableBatch> {
  for await (const part of parts) {
    const channels = part.labels.length;
    const most = Math.max(1, Math.floor(MAX_BATCH_ROWS / channels));
    const batches = rowBatches(part.rows, eachOpened(new DataRoot(part.rows.dataRoot)), true);
    for await (const batch of cutBatches(batches, most)) yield melted(part, dtype, batch);
  }
}

function melted(part: RowsPart, dtype: Dtype | null, batch: OutBatch): TableBatch {
  const channels = part.labels.length;
  const rows = batch.rows * channels;
  let times = batch.times!;
  const labels = new Int32Array(rows);
  for (let i = 0; i < rows; i++) labels[i] = part.labels[i % channels];
  if (channels > 1) {
    const repeated = new BigInt64Array(rows);
    for (let i = 0; i < times.length; i++) repeated.fill(times[i], i * channels, (i + 1) * channels);
    times = repeated;
  }
  const places = new Int32Array(rows).fill(part.place);
  const values = dtype === null ? batch.values : castTo(dtype, batch.values);
  return { rows, columns: [times, places, places, labels, values], present: [null, null, null, null, null] };
}

/** Columns: start, end, series, name, channel, and the aggregates. Rows go series by series, and channel by channel. */
async function* longBuckets(
  { aggregates, fill, borders }: BucketsForm,
  { columns }: Table,
  parts: AsyncIterable<BucketsPart>,
): AsyncGenerator<TableBatch> {
  const dtypes = columns.slice(-aggregates.length).map(({ type }) => type as NumberType);
  for await (const { place, labels, channels, fold: task } of parts) {
    const fold = await folded(task);
    for (const [channel, { calibration }] of channels.entries()) {
      const kept = numbersWhere(fold.buckets, (i) => fill !== 'none' || fold.counts[i * fold.channels + channel] > 0);
      const start = BigInt64Array.from(kept, (i) => borders[i]);
      const end = BigInt64Array.from(kept, (i) => borders[i + 1]);
      const places = new Int32Array(kept.length).fill(place);
      const values = aggregates.map((name, a) =>
        columnOf(aggregateValues(fold, { name, channel, calibration, fill }, kept, start), dtypes[a]),
      );
      yield {
        rows: kept.length,
        columns: [
          start,
          end,
          places,
          places,
          new Int32Array(kept.length).fill(labels[channel]),
          ...values.map(({ data }) => data),
        ],
        present: [null, null, null, null, null, ...values.map(({ present }) => present)],
      };
    }
  }
}

/** Columns: time, and those of each series. All of them are in memory before the first row. */
async function wideBuckets(
  { aggregates, fill, borders }: BucketsForm,
  { columns }: Table,
  parts: AsyncIterable<BucketsPart>,
): Promise<{ rows: number; batches: AsyncGenerator<TableBatch> }> {
  const buckets = borders.length - 1;
  const all = numbersWhere(buckets, () => true);
  const start = borders.subarray(0, buckets);
  const isSeen = new Uint8Array(buckets);
  const made: MadeColumn[] = [{ data: start, present: null }];
  for await (const { channels, fold: task } of parts) {
    const fold = await folded(task);
    fold.counts.forEach((count, at) => {
      if (count > 0) isSeen[Math.floor(at / fold.channels)] = 1;
    });
    for (const [channel, { calibration }] of channels.entries()) {
      for (const name of aggregates) {
        const values = aggregateValues(fold, { name, channel, calibration, fill }, all, start);
        made.push(columnOf(values, columns[made.length].type as NumberType));
      }
    }
  }
  const kept = fill === 'none' ? numbersWhere(buckets, (i) => isSeen[i] === 1) : all;
  return { rows: kept.length, batches: pickRows(made, kept) };
}

type MadeColumn = ReturnType<typeof columnOf>;

async function* pickRows(columns: readonly MadeColumn[], kept: readonly number[]): AsyncGenerator<TableBatch> {
  for (let from = 0; from < kept.length; from += MAX_BATCH_ROWS) {
    const rows = kept.slice(from, from + MAX_BATCH_ROWS);
    yield {
      rows: rows.length,
      columns: columns.map(({ data }) => {
        const picked = new (data.constructor as DtypeInfo['array'])(rows.length);
        rows.forEach((row, i) => (picked[i] = data[row]));
        return picked;
      }),
      present: columns.map(({ present }) => present && Uint8Array.from(rows, (row) => present[row])),
    };
  }
}

function numbersWhere(count: number, isMeant: (number: number) => boolean): number[] {
  const numbers: number[] = [];
  for (let i = 0; i < count; i++) if (isMeant(i)) numbers.push(i);
  return numbers;
}

async function folded(task: FoldTask): Promise<BucketFold> {
  const folding = foldBuckets(task);
  let step = await folding.next();
  while (!step.done) step = await folding.next();
  return step.value.fold;
}
