/** An `.npy` file as a recording: one series, or one for each dtype of a structured array. */
import { copyValues } from '../../core/numbers/copy-values.ts';
import { castTo, commonDtype, DTYPES, type Dtype } from '../../core/numbers/dtype.ts';
import { invalidField, unprocessableField } from '../../core/errors.ts';
import type { Batch } from '../../core/signal/batch.ts';
import { parseRate } from '../../core/signal/rate.ts';
import type { RecordedSeries, Recording } from '../../core/signal/recording.ts';
import type { Sampling } from '../../core/signal/series.ts';
import { isTime } from '../../core/time.ts';
import { fullBatchRows } from '../samples/batch-builder.ts';
import { distinctLabels, channelLabelOf } from './channel-labels.ts';
import { importedSpec } from './imported-series.ts';
import {
  columnValues,
  datetimes,
  readNpyArray,
  npyRowBlocks,
  type NpyArray,
  type NpyColumn,
  type ReadBytes,
} from './npy-array.ts';
import { MAX_WIDE_COLUMNS } from './column-plan.ts';

const TIME_FIELD = /^(?:time|times|timestamps?|datetime|date|t|ts)$/i;

export interface NpyRecordingOptions {
  /** Name of the series. */
  readonly name: string;
  /** Samples a second, as a number or a text such as `30000/1001`; needed unless the array has times. */
  readonly rate?: number | string;
  /** UTC ns of the first row; without it times count from the start of the recording. */
  readonly startNs?: bigint;
  /** One a column; `channel_1` … by default. */
  readonly channelLabels?: readonly string[];
  /** Whether the first axis is that of the rows, or of the channels. */
  readonly orient?: 'rows' | 'channels';
}

/**
 * A plain array with a rate becomes a regular series, a structured one of a time and values an irregular one. Rows may
 * lie in C order or in Fortran order. bool becomes uint8 and float16 float32, which hold them exactly.
 * @param open reads the file; called once for the header and once for each reading of the samples
 * @throws `invalid-input` naming `body` or the option; `unprocessable` for arrays that cannot be samples, and on `rate` if it is missing
 */
export async function readNpyRecording(open: ReadBytes, options: NpyRecordingOptions): Promise<Recording> {
  const array = await readNpyArray(open, options.orient);
  const { time, values } = splitColumns(array);
  if (
    values.length > MAX_WIDE_COLUMNS &&
    values.length > array.rows &&
    options.orient === undefined &&
    !array.isStructured
  ) {
    throw invalidField(
      'orient',
      `the array has ${array.rows} rows and ${values.length} columns: --orient rows if each row is a time, --orient channels if each row is a channel`,
    );
  }
  const labels =
    options.channelLabels ??
    distinctLabels(values.map(({ name }, i) => channelLabelOf(name ?? '', `channel_${i + 1}`)));
  if (labels.length !== values.length) {
    throw invalidField('channelLabels', `names ${labels.length} channels, the array has ${values.length}`);
  }
  const notes: string[] = [];
  const sampling = samplingOf(time !== null, options, notes);
  const widened = values.filter(({ kind }) => kind === 'bool' || kind === 'half');
  if (widened.length > 0)
    notes.push(
      `${widened[0].kind === 'bool' ? 'bool became uint8' : 'float16 became float32'}, which holds it exactly`,
    );
  const series = partsOf(values).map(({ dtype, places }, i): RecordedSeries => {
    const partLabels = places.map((place) => labels[place]);
    return {
      spec: importedSpec({
        name: i === 0 ? options.name : `${options.name}/${partLabels.length === 1 ? partLabels[0] : dtype}`,
        dtype,
        channels: partLabels.map((label) => ({ label })),
        sampling,
        timeReference: sampling.kind === 'regular' && options.startNs === undefined ? 'relative' : 'utc',
        provenance: { format: 'npy' },
      }),
      rows: array.rows,
      batches: () => batchesOf(open, array, { dtype, columns: places.map((place) => values[place]), time }),
      annotations: [],
    };
  });
  await checkEnd(open, array);
  return { series, notes };
}

/** @throws `invalid-input` if the file is shorter than its header says: nothing of it is imported then */
async function checkEnd(open: ReadBytes, { dataOffset, rows, rowBytes }: NpyArray): Promise<void> {
  const end = dataOffset + rows * rowBytes;
  let found = 0;
  for await (const piece of open(end - 1, end + 1)) found += piece.length;
  if (found === 1) return;
  throw invalidField('body', `${found === 0 ? 'ends before' : 'is longer than'} the ${rows} rows that its header says`);
}

function splitColumns({ columns, isStructured }: NpyArray): { time: NpyColumn | null; values: NpyColumn[] } {
  const datetime = columns.find(({ kind }) => kind === 'datetime');
  const named = columns.find(
    ({ name, dtype, kind }) => name !== null && TIME_FIELD.test(name) && dtype === 'int64' && kind === 'number',
  );
  const time = isStructured ? (datetime ?? named ?? null) : null;
  const values = columns.filter((column) => column !== time);
  const other = values.find(({ kind }) => kind === 'datetime');
  if (other)
    throw unprocessableField(
      'body',
      `holds times${other.name === null ? '' : ` in ${other.name}`}, which are no samples`,
    );
  if (values.length === 0) throw unprocessableField('body', 'holds times, and no values');
  const unclear = time === null && isStructured ? values.find(({ name }) => TIME_FIELD.test(name ?? '')) : undefined;
  if (unclear) {
    throw unprocessableField(
      'body',
      `has a field ${unclear.name} of ${unclear.dtype}; times are datetime64, or int64 ns`,
    );
  }
  return { time, values };
}

/** Columns that share a dtype; one that holds all of them exactly, if there is one. */
function partsOf(columns: readonly NpyColumn[]): { dtype: Dtype; places: number[] }[] {
  const numbers = columns.filter(({ kind }) => kind !== 'bool');
  const common = commonDtype(numbers.length === 0 ? ['uint8'] : [...new Set(numbers.map(({ dtype }) => dtype))]);
  const parts = new Map<Dtype, number[]>();
  columns.forEach(({ dtype, kind }, place) => {
    const part = kind === 'bool' && numbers.length > 0 ? 'uint8' : (common ?? dtype);
    parts.set(part, [...(parts.get(part) ?? []), place]);
  });
  return [...parts].map(([dtype, places]) => ({ dtype, places }));
}

async function* batchesOf(
  open: ReadBytes,
  array: NpyArray,
  {
    dtype,
    columns,
    time,
  }: { readonly dtype: Dtype; readonly columns: readonly NpyColumn[]; readonly time: NpyColumn | null },
): AsyncGenerator<Batch> {
  let firstRow = 0;
  for await (const block of npyRowBlocks(open, array, fullBatchRows(array.rowBytes))) {
    const rows = block.length / array.rowBytes;
    const values = new DTYPES[dtype].array(rows * columns.length);
    columns.forEach((column, c) => {
      copyValues(
        values,
        { at: c, step: columns.length },
        castTo(dtype, columnValues(block, array, column)),
        { at: 0, step: 1 },
        rows,
      );
    });
    yield { rows, values, times: time && timesOf(columnValues(block, array, time) as BigInt64Array, time, firstRow) };
    firstRow += rows;
  }
}

function timesOf(values: BigInt64Array, { stepNs }: NpyColumn, firstRow: number): BigInt64Array {
  if (stepNs > 0n) return datetimes(values, stepNs, firstRow);
  const bad = values.findIndex((ns) => !isTime(ns));
  if (bad >= 0) throw invalidField(`row ${firstRow + bad} column time`, 'is outside the years 1678 to 2261');
  return values;
}

function samplingOf(hasTimes: boolean, options: NpyRecordingOptions, notes: string[]): Sampling {
  if (hasTimes) {
    if (options.rate !== undefined) notes.push('the array has a time for each row; the given rate was not used');
    return { kind: 'irregular' };
  }
  if (options.rate === undefined) {
    throw unprocessableField('rate', 'is missing: the array has no times, so its sampling rate must be given');
  }
  const rate = parseRate(options.rate);
  if (!rate) throw invalidField('rate', `${options.rate} is not a sampling rate in Hz`);
  if (options.startNs === undefined) notes.push('no start was given: times count from the start of the recording');
  return { kind: 'regular', rate, startNs: options.startNs ?? 0n };
}
