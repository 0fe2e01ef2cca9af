/** From the series of a question to a table: its columns, and series by series what is to be read and folded for it. */
import { withOverview } from '../catalog/overview-snapshot.ts';
import { readSampleSnapshot } from '../catalog/sample-snapshot.ts';
import { commonDtype, isBigDtype, type Dtype } from '../core/dtype.ts';
import { invalidField, isVarveError, notFound, unprocessableField, VarveError } from '../core/errors.ts';
import { blockByBlock } from '../core/read-plan.ts';
import type { Channel, Series } from '../core/series.ts';
import type { Table, TableColumn } from '../core/table.ts';
import { INT64_MAX, INT64_MIN } from '../core/time.ts';
import { visibleSeries } from './series-reach.ts';
import type { AsOfPart, Ticks } from './align-as-of.ts';
import { clampBorders, everyBorders, type TimeSpan } from './bucket-borders.ts';
import { named, type ChosenSeries } from './choose-series.ts';
import { selectNewest } from './latest-read.ts';
import { aggregateDetails, answeredChannel, MAX_BUCKET_VALUES, planFold } from './overview-read.ts';
import { aggregateDtype } from './overview-values.ts';
import { planAhead } from './plan-ahead.ts';
import { planSamples } from './plan-samples.ts';
import type { Section } from './print-samples.ts';
import type { BucketsPart, RowsPart, TableForm } from './print-table.ts';
import { readSnapshot, rowsTask, type ReadDeps } from './read-samples.ts';
import type { SampleSelection, TableRequest, WantedTable } from './service.ts';

export interface PlannedTable {
  readonly table: Table;
  readonly form: TableForm;
  /** Made one by one, as they are worked off. */
  readonly parts: AsyncIterable<RowsPart | BucketsPart | AsOfPart>;
}

type PlanDeps = Pick<ReadDeps, 'db' | 'root' | 'codec'>;
type Wanted<K extends WantedTable['by']> = Extract<WantedTable, { by: K }>;

/** Series that are read side by side: each has some blocks of up to a mebibyte in memory. */
const MAX_AS_OF_SERIES = 64;
/** Ticks of a clock: as many rows as a day at 100 Hz. */
const MAX_TICKS = 10_000_000n;
/** Rows out of order in time, of all series that are read side by side. */
const MAX_HELD_BYTES = 256 * 1024 * 1024;

/** @throws invalid-input, unprocessable and limit-exceeded naming the field; not-found */
export function planTable(
  deps: PlanDeps,
  request: TableRequest,
  chosen: readonly ChosenSeries[],
): Promise<PlannedTable> {
  const { wanted } = request;
  switch (wanted.by) {
    case 'rows':
    case 'newest':
      return planRows(deps, request, wanted, chosen);
    case 'buckets':
      return planBuckets(deps, request, wanted, chosen);
    case 'as-of':
      return planAsOf(deps, request, wanted, chosen);
  }
}

async function planRows(
  deps: PlanDeps,
  request: TableRequest,
  wanted: Wanted<'rows' | 'newest'>,
  chosen: readonly ChosenSeries[],
): Promise<PlannedTable> {
  refuseNpy(request);
  const labels = wordsOf(chosen);
  const dtype = request.physical ? 'float64' : sharedDtype(chosen);
  const columns: TableColumn[] = [
    { name: 'time', type: 'time' },
    ...namingColumns(chosen, labels),
    { name: 'value', type: dtype, about: sharedUnit(chosen) },
  ];
  const most = wanted.by === 'rows' ? (wanted.most ?? Infinity) : Infinity;
  const parts = planAhead(chosen, async ({ series, selected, channels }, place): Promise<RowsPart> => {
    const selection = wanted.by === 'rows' ? timeSelection(request) : await newest(deps, series, wanted.rows);
    const rows = await rowsOf(deps, request, series, selected, selection, most);
    return { place, labels: channels.map(({ label }) => labels.indexOf(label)), rows };
  });
  return { table: tableOf(chosen, columns, null), form: { kind: 'rows', dtype }, parts };
}

async function newest(deps: PlanDeps, { id }: Series, rows: number): Promise<SampleSelection> {
  return selectNewest(deps, await readSampleSnapshot(deps.db, { id }, { by: 'rows', from: 0, to: 0 }), rows);
}

async function rowsOf(
  deps: PlanDeps,
  { principal, physical }: TableRequest,
  { id }: Series,
  selected: readonly number[] | null,
  selection: SampleSelection,
  most: number,
): Promise<RowsPart['rows']> {
  const read = await readSnapshot(deps, { principal, ref: { id }, selection });
  const plan = await planSamples(deps, read.snapshot, read.selection, most);
  return rowsTask(deps, read.snapshot, plan, { selected, physical, next: null });
}

async function planBuckets(
  deps: PlanDeps,
  request: TableRequest,
  wanted: Wanted<'buckets'>,
  chosen: readonly ChosenSeries[],
): Promise<PlannedTable> {
  const span = spanOf(request, chosen);
  const borders = await everyBorders(deps.codec, wanted, span);
  const { aggregates, fill, isWide } = wanted;
  const labels = wordsOf(chosen);
  const columns = isWide ? wideColumns(chosen, wanted, request) : longColumns(chosen, labels, wanted, request);
  const width = Math.max(1, isWide ? columns.length - 1 : aggregates.length * mostChannels(chosen));
  if ((borders.length - 1) * width > MAX_BUCKET_VALUES) {
    const message = `makes ${borders.length - 1} buckets of ${width} values each; at most ${MAX_BUCKET_VALUES} values are answered`;
    throw invalidField('every', message);
  }
  const parts = planAhead(chosen, async ({ series, selected, channels }, place): Promise<BucketsPart> => {
    const plan = {
      dataRoot: deps.root.root,
      selected,
      details: aggregateDetails(aggregates),
      borders: clampBorders(borders, span),
      rule: 'fixed' as const,
    };
    const { fold } = await withOverview(deps.db, { id: series.id }, (reader) => planFold(reader, plan));
    return {
      place,
      labels: channels.map(({ label }) => labels.indexOf(label)),
      channels: channels.map((channel) => answeredChannel(series, channel, request.physical)),
      fold,
    };
  });
  const kind = isWide ? 'wide-buckets' : 'long-buckets';
  return { table: tableOf(chosen, columns, null), form: { kind, aggregates, fill, borders }, parts };
}

function longColumns(
  chosen: readonly ChosenSeries[],
  labels: readonly string[],
  { aggregates, fill }: Wanted<'buckets'>,
  request: TableRequest,
): TableColumn[] {
  refuseNpy(request);
  const isStored = aggregates.some((name) => aggregateDtype(name, 'int8', request.physical, fill) === 'int8');
  const dtype = isStored ? sharedDtype(chosen) : 'float64';
  return [
    { name: 'start', type: 'time' },
    { name: 'end', type: 'time' },
    ...namingColumns(chosen, labels),
    ...aggregates.map((name): TableColumn => ({
      name,
      type: aggregateDtype(name, dtype, request.physical, fill),
      nullable: name !== 'count',
      about: name === 'count' ? {} : sharedUnit(chosen),
    })),
  ];
}

function wideColumns(
  chosen: readonly ChosenSeries[],
  { aggregates, fill }: Wanted<'buckets'>,
  request: TableRequest,
): TableColumn[] {
  const columns = eachChannel(chosen).flatMap(({ series, channel, name }) =>
    aggregates.map((aggregate): TableColumn => ({
      name: aggregates.length === 1 ? name : `${name}.${aggregate}`,
      type: aggregateDtype(aggregate, series.dtype, request.physical, fill),
      nullable: aggregate !== 'count',
      about: { ...aboutChannel(series, channel), aggregate },
    })),
  );
  return [{ name: 'time', type: 'time' }, ...forNpy(request, columns)];
}

async function planAsOf(
  deps: PlanDeps,
  request: TableRequest,
  wanted: Wanted<'as-of'>,
  chosen: readonly ChosenSeries[],
): Promise<PlannedTable> {
  if (chosen.length > MAX_AS_OF_SERIES) {
    const message = `at most ${MAX_AS_OF_SERIES} series are read side by side; there are ${chosen.length}`;
    throw new VarveError('limit-exceeded', `as_of: ${message}`, { errors: [{ field: 'as_of', message }] });
  }
  const columns = eachChannel(chosen).map(({ series, channel, name }): TableColumn => ({
    name,
    type: request.physical ? 'float64' : series.dtype,
    nullable: true,
    about: aboutChannel(series, channel),
  }));
  const { ticks, clock, span } = await clockOf(deps, request, wanted, chosen);
  const { toleranceNs, direction } = wanted;
  const before = direction === 'forward' ? 0n : toleranceNs;
  const after = direction === 'backward' ? 0n : toleranceNs;
  const selection: SampleSelection = {
    by: 'time',
    startNs: clamp(span.startNs - before),
    endNs: clamp(span.endNs + after),
  };
  async function* parts(): AsyncGenerator<AsOfPart> {
    if (clock) yield { rows: clock };
    let held = 0;
    for (const { series, selected } of chosen) {
      const rows = await rowsOf(deps, request, series, selected, selection, Infinity);
      held += rows.sections.reduce((sum, section) => sum + heldBytes(section), 0);
      if (held > MAX_HELD_BYTES) {
        throw new VarveError('limit-exceeded', 'too many rows are out of order in time; ask for a shorter range', {
          slug: 'disorder-too-large',
        });
      }
      yield { rows: { ...rows, sections: rows.sections.map(inBlocks) } };
    }
  }
  const rows = ticks ? ticks.count : clock!.shape.totalRows;
  return {
    table: tableOf(chosen, [{ name: 'time', type: 'time' }, ...forNpy(request, columns)], rows),
    form: { kind: 'as-of', ticks, toleranceNs, direction },
    parts: parts(),
  };
}

interface Clock {
  readonly ticks: Ticks | null;
  readonly clock: RowsPart['rows'] | null;
  /** The first time, and past the last one. */
  readonly span: TimeSpan;
}

async function clockOf(
  deps: PlanDeps,
  request: TableRequest,
  { clock }: Wanted<'as-of'>,
  chosen: readonly ChosenSeries[],
): Promise<Clock> {
  if ('everyNs' in clock) {
    const { everyNs } = clock;
    const { startNs, endNs } = spanOf(request, chosen);
    const firstNs = startNs + ((everyNs - (((startNs % everyNs) + everyNs) % everyNs)) % everyNs);
    const count = firstNs < endNs ? (endNs - firstNs + everyNs - 1n) / everyNs : 0n;
    if (count > MAX_TICKS) {
      throw invalidField('as_of.every', `makes ${count} rows of the range; at most ${MAX_TICKS} are answered`);
    }
    return { ticks: { firstNs, everyNs, count: Number(count) }, clock: null, span: { startNs: firstNs, endNs } };
  }
  const series = await clockSeries(deps, request, clock.seriesId, chosen);
  // One channel is as good as all of them: it is the times that count.
  const rows = await rowsOf(deps, request, series, [0], timeSelection(request), Infinity);
  const { firstNs, lastNs } = series;
  const startNs = request.startNs ?? firstNs ?? 0n;
  const endNs = request.endNs ?? (lastNs === null ? 0n : clamp(lastNs + 1n));
  return { ticks: null, clock: rows, span: { startNs, endNs } };
}

async function clockSeries(
  { db }: PlanDeps,
  { principal }: TableRequest,
  id: string,
  chosen: readonly ChosenSeries[],
): Promise<Series> {
  try {
    const series = await visibleSeries(db)(principal, { id });
    const [first] = chosen;
    if (first && series.timeReference !== first.series.timeReference) {
      const message = `${named(series)} does not count time from the same point as ${named(first.series)}`;
      throw unprocessableField('as_of.clock', message, 'time-reference-mixed');
    }
    return series;
  } catch (error) {
    if (!isVarveError(error) || error.code !== 'not-found') throw error;
    throw new VarveError('not-found', notFound('series', id).message, {
      errors: [{ field: 'as_of.clock', message: 'is not there' }],
    });
  }
}

function heldBytes(section: Section): number {
  return section.kind === 'held' ? section.values.byteLength + section.times.byteLength : 0;
}

function inBlocks(section: Section): Section {
  return section.kind === 'held' ? section : { kind: 'stored', pieces: blockByBlock(section.pieces) };
}

function timeSelection({ startNs, endNs }: TableRequest): SampleSelection {
  return { by: 'time', ...(startNs !== undefined && { startNs }), ...(endNs !== undefined && { endNs }) };
}

/** The range of the request; where it is open, where the samples of all series begin and end. */
function spanOf({ startNs, endNs }: TableRequest, chosen: readonly ChosenSeries[]): TimeSpan {
  const firsts = chosen.flatMap(({ series }) => (series.firstNs === null ? [] : [series.firstNs]));
  const lasts = chosen.flatMap(({ series }) => (series.lastNs === null ? [] : [series.lastNs]));
  const from = startNs ?? (firsts.length > 0 ? firsts.reduce((a, b) => (b < a ? b : a)) : 0n);
  const to = endNs ?? (lasts.length > 0 ? clamp(lasts.reduce((a, b) => (b > a ? b : a)) + 1n) : from);
  return { startNs: from, endNs: to > from ? to : from };
}

function clamp(ns: bigint): bigint {
  return ns < INT64_MIN ? INT64_MIN : ns > INT64_MAX ? INT64_MAX : ns;
}

function tableOf(chosen: readonly ChosenSeries[], columns: readonly TableColumn[], rows: number | null): Table {
  return {
    columns,
    timeReference: chosen[0]?.series.timeReference ?? 'utc',
    rows,
    about: {
      series: chosen.map(({ series, channels }) => ({
        id: series.id,
        project: series.project,
        name: series.name,
        unit: series.unit,
        channels: channels.map(({ label, unit }) => ({ label, unit: unit ?? series.unit })),
        tags: series.tags,
      })),
    },
  };
}

/** Labels of all channels, each once. */
function wordsOf(chosen: readonly ChosenSeries[]): string[] {
  return [...new Set(chosen.flatMap(({ channels }) => channels.map(({ label }) => label)))];
}

function namingColumns(chosen: readonly ChosenSeries[], labels: readonly string[]): TableColumn[] {
  return [
    { name: 'series', type: 'text', words: chosen.map(({ series }) => series.id) },
    { name: 'name', type: 'text', words: chosen.map(({ series }) => series.name) },
    { name: 'channel', type: 'text', words: labels },
  ];
}

/** @throws unprocessable where no dtype holds all values exactly */
function sharedDtype(chosen: readonly ChosenSeries[]): Dtype {
  if (chosen.length === 0) return 'float64';
  const dtypes = [...new Set(chosen.map(({ series }) => series.dtype))];
  const dtype = commonDtype(dtypes);
  if (dtype) return dtype;
  const message = `no dtype holds the values of ${dtypes.join(' and ')} exactly; ask for physical values, which are float64, or for fewer series`;
  throw unprocessableField('physical', message, 'dtypes-mixed');
}

function sharedUnit(chosen: readonly ChosenSeries[]): Record<string, string> {
  const units = new Set(chosen.flatMap(({ series, channels }) => channels.map(({ unit }) => unit ?? series.unit)));
  const [unit] = units;
  return units.size === 1 && unit !== null ? { unit } : {};
}

function aboutChannel(series: Series, channel: Channel): Record<string, string> {
  const unit = channel.unit ?? series.unit;
  return { series: series.id, series_name: series.name, channel: channel.label, ...(unit !== null && { unit }) };
}

interface NamedChannel {
  readonly series: Series;
  readonly channel: Channel;
  readonly name: string;
}

/** A column is named after its series; after series and channel where there are several; where two would have one name, the id takes the place of the series' name. */
function eachChannel(chosen: readonly ChosenSeries[]): NamedChannel[] {
  const columns = chosen.flatMap(({ series, channels }) =>
    channels.map((channel) => {
      const suffix = channels.length === 1 ? '' : `:${channel.label}`;
      return { series, channel, suffix, name: series.name + suffix };
    }),
  );
  const uses = new Map<string, number>([['time', 1]]);
  for (const { name } of columns) uses.set(name, (uses.get(name) ?? 0) + 1);
  return columns.map(({ series, channel, suffix, name }) => ({
    series,
    channel,
    name: uses.get(name) === 1 ? name : series.id + suffix,
  }));
}

function mostChannels(chosen: readonly ChosenSeries[]): number {
  return Math.max(0, ...chosen.map(({ channels }) => channels.length));
}

function refuseNpy({ format }: TableRequest): void {
  if (format === 'npy') throw invalidField('format', 'npy is for the wide form; the long one has texts');
}

/** @throws unprocessable where NumPy has no way to say that a value is missing */
function forNpy({ format }: TableRequest, columns: readonly TableColumn[]): readonly TableColumn[] {
  if (format !== 'npy') return columns;
  const wrong = columns.find(({ type, nullable }) => nullable && isBigDtype(type as Dtype));
  if (wrong) {
    const message = `npy has no missing value of ${wrong.type} (${JSON.stringify(wrong.name)}), and float64 would lose digits; ask for arrow, csv or physical values`;
    throw unprocessableField('format', message);
  }
  return columns;
}
