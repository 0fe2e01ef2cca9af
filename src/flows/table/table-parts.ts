/** What the parts of every table are planned with: a range of time, and rows of a series in it. */
import type { Table } from '../../core/signal/sample-table.ts';
import type { Series } from '../../core/signal/series.ts';
import { INT64_MAX, INT64_MIN } from '../../core/time.ts';
import type { AsOfPart } from './align-as-of.ts';
import type { TimeRange } from '../../core/signal/time-span.ts';
import type { ChosenSeries } from '../series/choose-series.ts';
import { planEnough, type Enough, type PlannedSelection } from '../read/plan-pages.ts';
import type { PlanLimits } from '../read/plan-samples.ts';
import type { RowsTask } from '../read/print-samples.ts';
import type { BucketsPart, RowsPart, TableForm } from './print-table.ts';
import { readSnapshot, rowsTask, type ReadDeps } from '../read/read-samples.ts';
import type { SampleSelection } from '../read/read-service.ts';
import { LARGEST_PLAN } from '../read/read-weight.ts';
import type { TableRequest } from './table-service.ts';

export interface PlannedTable {
  readonly table: Table;
  readonly form: TableForm;
  /** Made one by one, as they are worked off. */
  readonly parts: AsyncIterable<RowsPart | BucketsPart | AsOfPart>;
}

export type TablePlanDeps = Pick<ReadDeps, 'db' | 'root' | 'codec'>;

/** The rows of a selection, as of now. @param most first ones */
export async function selectedRows(
  deps: TablePlanDeps,
  { principal, physical, unit }: Pick<TableRequest, 'principal' | 'physical' | 'unit'>,
  { id }: Series,
  selected: readonly number[] | null,
  selection: SampleSelection,
  most: number,
  limits: PlanLimits = {},
): Promise<RowsTask> {
  const read = async (enough: Enough): Promise<PlannedSelection> => ({
    ...(await readSnapshot(deps, { principal, ref: { id }, selection }, enough)),
    most,
    limits,
  });
  const { snapshot, plan } = await planEnough(deps, most, read, { claim: LARGEST_PLAN });
  return rowsTask(deps, snapshot, plan, { selected, physical, unit, next: null });
}

export function timeSelection({ startNs, endNs }: TableRequest): SampleSelection {
  return { by: 'time', ...(startNs !== undefined && { startNs }), ...(endNs !== undefined && { endNs }) };
}

/** The range of the request; where it is open, where the samples of all series begin and end. */
export function rangeOfTable({ startNs, endNs }: TableRequest, chosen: readonly ChosenSeries[]): TimeRange {
  const firsts = chosen.flatMap(({ series }) => (series.firstNs === null ? [] : [series.firstNs]));
  const lasts = chosen.flatMap(({ series }) => (series.lastNs === null ? [] : [series.lastNs]));
  const from = startNs ?? (firsts.length > 0 ? firsts.reduce((a, b) => (b < a ? b : a)) : 0n);
  const to = endNs ?? (lasts.length > 0 ? clampNs(lasts.reduce((a, b) => (b > a ? b : a)) + 1n) : from);
  return { startNs: from, endNs: to > from ? to : from };
}

export function clampNs(ns: bigint): bigint {
  return ns < INT64_MIN ? INT64_MIN : ns > INT64_MAX ? INT64_MAX : ns;
}
