/** From the series of a question to a table: its columns, and series by series what is to be read and folded for it. */
import { withOverview } from '../../catalog/read/overview-snapshot.ts';
import { readSampleSnapshot } from '../../catalog/read/sample-snapshot.ts';
import { DTYPES, type Dtype } from '../../core/numbers/dtype.ts';
import { invalidField } from '../../core/errors.ts';
import type { Series } from '../../core/signal/series.ts';
import type { TableColumn } from '../../core/signal/sample-table.ts';
import { clampBorders, everyBorders } from '../overview/bucket-borders.ts';
import type { ChosenSeries } from '../series/choose-series.ts';
import { selectNewest } from '../read/latest-read.ts';
import { aggregateDetails, answeredChannel, fitting, MAX_BUCKET_VALUES, planFold } from '../overview/read-overview.ts';
import { aggregateType } from '../overview/overview-values.ts';
import { planAhead } from '../read/plan-ahead.ts';
import { LARGEST_PLAN } from '../read/read-weight.ts';
import { planAsOf } from './plan-as-of.ts';
import type { BucketsPart, RowsPart } from './print-table.ts';
import type { SampleSelection } from '../read/read-service.ts';
import type { TableRequest, WantedTable } from './table-service.ts';
import {
  columnNotes,
  eachChannel,
  forNpy,
  mostChannels,
  namingColumns,
  labelPlaces,
  refuseNpy,
  sharedDtype,
  sharedUnit,
  tableWith,
  allLabels,
} from './table-columns.ts';
import { selectedRows, rangeOfTable, timeSelection, type TablePlanDeps, type PlannedTable } from './table-parts.ts';

type WantedBy<K extends WantedTable['by']> = Extract<WantedTable, { by: K }>;

/** @throws invalid-input, unprocessable and limit-exceeded naming the field; not-found */
export function planTable(
  deps: TablePlanDeps,
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
  deps: TablePlanDeps,
  request: TableRequest,
  wanted: WantedBy<'rows' | 'newest'>,
  chosen: readonly ChosenSeries[],
): Promise<PlannedTable> {
  refuseNpy(request);
  const labels = allLabels(chosen);
  // Series of InfluxDB have each a type of its own, and none is turned into another.
  const dtype = request.influx ? null : request.physical ? 'float64' : sharedDtype(chosen);
  const columns: TableColumn[] = [
    { name: 'time', type: 'time' },
    ...namingColumns(chosen, labels),
    { name: 'value', type: dtype ?? 'number', about: sharedUnit(chosen) },
  ];
  const most = wanted.by === 'rows' ? (wanted.most ?? Infinity) : Infinity;
  const parts = planAhead(chosen, async ({ series, selected, channels }, place): Promise<RowsPart> => {
    const selection = wanted.by === 'rows' ? timeSelection(request) : await newestSelection(deps, series, wanted.rows);
    const rows = await selectedRows(deps, request, series, selected, selection, most);
    return { place, labels: labelPlaces(channels, labels), rows };
  });
  return { table: tableWith(chosen, columns, null), form: { kind: 'rows', dtype }, parts };
}

/** Selects the newest rows of one series. */
export async function newestSelection(deps: TablePlanDeps, { id }: Series, rows: number): Promise<SampleSelection> {
  return selectNewest(
    { ...deps, claim: LARGEST_PLAN },
    await readSampleSnapshot(deps.db, { id }, { by: 'rows', from: 0, to: 0 }),
    rows,
  );
}

async function planBuckets(
  deps: TablePlanDeps,
  request: TableRequest,
  wanted: WantedBy<'buckets'>,
  chosen: readonly ChosenSeries[],
): Promise<PlannedTable> {
  const span = rangeOfTable(request, chosen);
  const borders = await everyBorders(deps.codec, wanted, span);
  const { aggregates, fill, isWide } = wanted;
  const labels = allLabels(chosen);
  const columns = isWide ? wideColumns(chosen, wanted, request) : longColumns(chosen, labels, wanted, request);
  const width = Math.max(1, isWide ? columns.length - 1 : aggregates.length * mostChannels(chosen));
  if ((borders.length - 1) * width > MAX_BUCKET_VALUES) {
    const message = `makes ${borders.length - 1} buckets of ${width} values each; at most ${MAX_BUCKET_VALUES} values are answered`;
    throw invalidField('every', message);
  }
  const plan = {
    dataRoot: deps.root.root,
    details: aggregateDetails(aggregates),
    borders: clampBorders(borders, span),
    rule: 'fixed' as const,
  };
  const parts = planAhead(chosen, async ({ series, selected, channels }, place): Promise<BucketsPart> => {
    const { fold } = await withOverview(deps.db, { id: series.id }, (reader) =>
      planFold(fitting(reader, LARGEST_PLAN, 0), { ...plan, selected }),
    );
    return {
      place,
      labels: labelPlaces(channels, labels),
      channels: channels.map((channel) => answeredChannel(series, channel, request.physical)),
      fold,
    };
  });
  const kind = isWide ? 'wide-buckets' : 'long-buckets';
  return { table: tableWith(chosen, columns, null), form: { kind, aggregates, fill, borders }, parts };
}

function longColumns(
  chosen: readonly ChosenSeries[],
  labels: readonly string[],
  { aggregates, fill }: WantedBy<'buckets'>,
  request: TableRequest,
): TableColumn[] {
  refuseNpy(request);
  if (request.influx) {
    const numbers = aggregates.map((name): TableColumn => ({ name, type: 'number', nullable: true }));
    return [
      { name: 'start', type: 'time' },
      { name: 'end', type: 'time' },
      ...namingColumns(chosen, labels),
      ...numbers,
    ];
  }
  const isStored = aggregates.some((name) => aggregateType(name, 'int8', request.physical, fill) === 'int8');
  const dtype = isStored ? sharedDtype(chosen) : 'float64';
  return [
    { name: 'start', type: 'time' },
    { name: 'end', type: 'time' },
    ...namingColumns(chosen, labels),
    ...aggregates.map((name): TableColumn => ({
      name,
      type: aggregateType(name, name === 'sum' ? summedDtype(chosen) : dtype, request.physical, fill),
      nullable: name !== 'count',
      about: name === 'count' ? {} : sharedUnit(chosen),
    })),
  ];
}

/** The dtype of sums in one column: an integer's, if any of the series has integers. */
function summedDtype(chosen: readonly ChosenSeries[]): Dtype {
  return chosen.find(({ series }) => DTYPES[series.dtype].kind === 'int')?.series.dtype ?? 'float64';
}

function wideColumns(
  chosen: readonly ChosenSeries[],
  { aggregates, fill }: WantedBy<'buckets'>,
  request: TableRequest,
): TableColumn[] {
  const columns = eachChannel(chosen).flatMap(({ series, channel, name }) =>
    aggregates.map((aggregate): TableColumn => ({
      name: aggregates.length === 1 ? name : `${name}.${aggregate}`,
      type: aggregateType(aggregate, series.dtype, request.physical, fill),
      nullable: aggregate !== 'count',
      about: { ...columnNotes(series, channel), aggregate },
    })),
  );
  return [{ name: 'time', type: 'time' }, ...forNpy(request, columns)];
}
