/**
 * A CSV file as a recording. In wide form it has a time column and one column for each channel. In long form it has
 * columns that say whose row it is, such as the bioreactor of a reading.
 */
import type { Batch, SampleShape } from '../../core/signal/batch.ts';
import { invalidField, VarveError } from '../../core/errors.ts';
import type { RecordedSeries, Recording } from '../../core/signal/recording.ts';
import type { TagValue } from '../../core/signal/series.ts';
import { parseTime } from '../../core/time.ts';
import { BatchBuilder } from '../samples/batch-builder.ts';
import { distinctLabels } from './channel-labels.ts';
import { csvRows, type CsvRow } from '../text/csv-rows.ts';
import { importedSpec } from './imported-series.ts';
import { csvValueReader, isCsvNumber } from '../text/number-text.ts';

export interface CsvRecordingOptions {
  /** Name of the series; in long form the values of the `by` columns follow it, after slashes. */
  readonly name: string;
  /** By default the first column whose values are times that state their zone, else the first with times. */
  readonly timeColumn?: string;
  /** Channels; by default all columns of numbers. */
  readonly valueColumns?: readonly string[];
  /** Columns whose values split the rows into series; by default the columns of text that repeats. */
  readonly by?: readonly string[];
  /** A comma by default. */
  readonly delimiter?: string;
}

/** The columns are told apart by this many rows. */
const SAMPLE_ROWS = 1000;
/** Each series reads the file again, so there is a limit to their number. */
const MAX_SERIES = 1000;

/**
 * Makes one irregular float64 series of the file, with a channel for each value column. In long form there is one
 * series for each combination of the `by` columns' values, which become tags. Rows keep the order of the file, whatever
 * their times.
 *
 * Times are RFC 3339 or `YYYY-MM-DD HH:MM:SS[.ffffff]`, with `Z`, `UTC`, an offset, or nothing, which means UTC. An
 * empty value is NaN.
 *
 * The whole file is read and checked before this resolves, and once more for each series that is read: memory stays
 * bounded.
 * @param open reads the file from its start
 * @throws `invalid-input` naming the option, or line and column; `limit-exceeded` for over 1,000 series
 */
export async function readCsvRecording(
  open: () => AsyncIterable<Uint8Array>,
  options: CsvRecordingOptions,
): Promise<Recording> {
  const rows = (): AsyncGenerator<CsvRow[]> => csvRows(open(), options.delimiter);
  const notes: string[] = [];
  const table = await tableOf(rows(), options, notes);
  const groups = await groupsOf(rows(), table, notes);
  const labels = distinctLabels(table.values.map((column) => table.header[column]));
  const shape: SampleShape = { dtype: 'float64', channelLabels: labels, kind: 'irregular' };
  // Where the columns were not named, one that has the same value throughout tells no series from another.
  const naming = table.by.filter((_, i) => options.by || new Set(groups.map((group) => group.key[i])).size > 1);
  const series = groups.map((group): RecordedSeries => ({
    spec: importedSpec({
      name: [options.name, ...naming.map((column) => group.key[table.by.indexOf(column)])].join('/'),
      dtype: 'float64',
      channels: labels.map((label) => ({ label })),
      sampling: { kind: 'irregular' },
      tags: Object.fromEntries(table.by.map((column, i) => [table.header[column], readTagValue(group.key[i])])),
      provenance: { format: 'CSV', columns: table.header, time_column: table.header[table.time] },
    }),
    rows: group.rows,
    batches: () => batchesOf(rows(), table, group.key, shape),
    annotations: [],
  }));
  return { series, notes };
}

/** Which column means what, by place. */
interface CsvTable {
  readonly header: readonly string[];
  readonly time: number;
  readonly values: readonly number[];
  readonly by: readonly number[];
}

interface CsvGroup {
  /** Values of the `by` columns. */
  readonly key: readonly string[];
  rows: number;
}

async function tableOf(
  source: AsyncGenerator<CsvRow[]>,
  options: CsvRecordingOptions,
  notes: string[],
): Promise<CsvTable> {
  let header: readonly string[] | undefined;
  const sample: (readonly string[])[] = [];
  for await (const rows of source) {
    for (const { fields } of rows) {
      if (isEmpty(fields)) continue;
      if (!header) header = fields.map((name) => name.trim());
      else sample.push(fields);
    }
    if (sample.length >= SAMPLE_ROWS) break;
  }
  if (!header || sample.length === 0) throw invalidField('body', 'has no rows below a header line');
  const names = header;
  const texts = (column: number): string[] =>
    sample.map((fields) => fields[column] ?? '').filter((text) => text.trim() !== '');
  const place = (name: string, option: string): number => {
    const column = names.indexOf(name.trim());
    if (column < 0) throw invalidField(option, `the file has no column ${name}; it has ${names.join(', ')}`);
    return column;
  };

  const columns = names.map((_, column) => column);
  const timeLike = columns.filter((column) => texts(column).length > 0 && texts(column).every(isDateTime));
  const zoned = timeLike.find((column) => texts(column).every(statesZone));
  const time = options.timeColumn === undefined ? (zoned ?? timeLike[0]) : place(options.timeColumn, 'timeColumn');
  if (time === undefined)
    throw invalidField('timeColumn', `no column of ${names.join(', ')} holds times; name the one that does`);
  const free = columns.filter((column) => column !== time && !timeLike.includes(column));
  const numeric = free.filter((column) => texts(column).length > 0 && texts(column).every(isCsvNumber));
  const repeating = free.filter(
    (column) => !numeric.includes(column) && new Set(texts(column)).size <= texts(column).length / 2,
  );
  const by = options.by?.map((name) => place(name, 'by')) ?? repeating;
  const values =
    options.valueColumns?.map((name) => place(name, 'valueColumns')) ??
    numeric.filter((column) => !by.includes(column));
  if (values.length === 0) throw invalidField('valueColumns', `no column of ${names.join(', ')} holds numbers`);

  if (options.timeColumn === undefined) notes.push(`times were taken from the column ${names[time]}`);
  if (!options.by && by.length > 0) notes.push(`rows were split into series by ${listed(by, names)}`);
  if (!texts(time).every(isDateTime)) notes.push('whole numbers in the time column were taken as nanoseconds');
  else if (!texts(time).every(statesZone)) notes.push('times without a zone were taken as UTC');
  const left = columns.filter((column) => column !== time && !values.includes(column) && !by.includes(column));
  if (left.length > 0) notes.push(`columns left out: ${listed(left, names)}`);
  return { header, time, values, by };
}

function listed(columns: readonly number[], header: readonly string[]): string {
  return columns.map((column) => header[column]).join(', ');
}

function isEmpty(fields: readonly string[]): boolean {
  return fields.length === 1 && fields[0] === '';
}

/** A time as instruments write it; pandas appends ` UTC`. */
function readTime(text: string): bigint | undefined {
  return parseTime(text.replace(/ ?UTC\s*$/, 'Z'));
}

/** Bare digits are a time only where the column was named: they might be anything. */
function isDateTime(text: string): boolean {
  return text.includes('-', 1) && readTime(text) !== undefined;
}

function statesZone(text: string): boolean {
  return /(?:Z|UTC|:\d{2}(?:\.\d+)?\s*[+-]\d{2}:?\d{2})\s*$/i.test(text);
}

/** Numbers among the tags can be searched by range. */
function readTagValue(text: string): TagValue {
  return text !== '' && String(Number(text)) === text && Number.isFinite(Number(text)) ? Number(text) : text;
}

/** Checks every row, and counts them by series, in order of first appearance. */
async function groupsOf(source: AsyncGenerator<CsvRow[]>, table: CsvTable, notes: string[]): Promise<CsvGroup[]> {
  const groups = new Map<string, CsvGroup & { lastNs: bigint }>();
  let backward = 0;
  for await (const rows of dataRows(source, table, null)) {
    for (const { key, timeNs } of rows) {
      const id = JSON.stringify(key);
      let group = groups.get(id);
      if (!group) {
        if (groups.size === MAX_SERIES) {
          const columns = listed(table.by, table.header);
          throw new VarveError('limit-exceeded', `the columns ${columns} make more than ${MAX_SERIES} series`);
        }
        group = { key, rows: 0, lastNs: timeNs };
        groups.set(id, group);
      }
      if (timeNs < group.lastNs) backward++;
      group.lastNs = timeNs;
      group.rows++;
    }
  }
  if (backward > 0)
    notes.push(`${backward} rows lie before the row above them in time; they were kept in the file's order`);
  return [...groups.values()];
}

/** The rows of one series. */
async function* batchesOf(
  source: AsyncGenerator<CsvRow[]>,
  table: CsvTable,
  key: readonly string[],
  shape: SampleShape,
): AsyncGenerator<Batch> {
  const batch = new BatchBuilder(shape);
  for await (const rows of dataRows(source, table, key)) {
    for (const { timeNs, values } of rows) {
      batch.push((c) => values[c], timeNs);
      if (batch.full) yield batch.take();
    }
  }
  if (batch.rows > 0) yield batch.take();
}

interface DataRow {
  readonly key: readonly string[];
  readonly timeNs: bigint;
  readonly values: readonly (number | bigint)[];
}

/** @param only the key of the rows that are wanted; null for all */
async function* dataRows(
  source: AsyncGenerator<CsvRow[]>,
  { header, time, values, by }: CsvTable,
  only: readonly string[] | null,
): AsyncGenerator<DataRow[]> {
  const read = csvValueReader('float64', (line, channel) => `line ${line} column ${header[values[channel]]}`);
  let isHeader = true;
  for await (const rows of source) {
    const found: DataRow[] = [];
    for (const { line, fields } of rows) {
      if (isEmpty(fields)) continue;
      if (isHeader) {
        isHeader = false;
        continue;
      }
      if (fields.length !== header.length) {
        throw invalidField(`line ${line}`, `has ${fields.length} fields, the header ${header.length}`);
      }
      if (only && !by.every((column, i) => fields[column] === only[i])) continue;
      const timeNs = readTime(fields[time]);
      if (timeNs === undefined) {
        throw invalidField(`line ${line} column ${header[time]}`, `"${fields[time].slice(0, 40)}" is not a time`);
      }
      found.push({
        key: by.map((column) => fields[column]),
        timeNs,
        values: values.map((column, c) => read(fields[column], line, c)),
      });
    }
    yield found;
  }
}
