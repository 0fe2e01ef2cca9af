/** A table of series side by side at the times of a clock: its columns, and what is to be read for it. */
import { invalidField, isVarveError, notFound, unprocessableField, VarveError } from '../../core/errors.ts';
import { blockByBlock } from '../../core/rows/read-plan.ts';
import type { Series } from '../../core/signal/series.ts';
import type { TableColumn } from '../../core/signal/sample-table.ts';
import type { AsOfPart, Ticks } from './align-as-of.ts';
import type { TimeRange } from '../../core/signal/time-span.ts';
import { quotedName, type ChosenSeries } from '../series/choose-series.ts';
import type { RowsTask, Section } from '../read/print-samples.ts';
import { visibleSeries } from '../series/series-reach.ts';
import type { SampleSelection } from '../read/read-service.ts';
import type { TableRequest, WantedTable } from './table-service.ts';
import { columnNotes, eachChannel, forNpy, tableWith } from './table-columns.ts';
import {
  clampNs,
  selectedRows,
  rangeOfTable,
  timeSelection,
  type TablePlanDeps,
  type PlannedTable,
} from './table-parts.ts';

type WantedAsOf = Extract<WantedTable, { by: 'as-of' }>;

/** Series that are read side by side: each has some blocks of up to a mebibyte in memory. */
const MAX_AS_OF_SERIES = 64;
/** Ticks of a clock: as many rows as a day at 100 Hz. */
const MAX_TICKS = 10_000_000n;
/** Memory that rows out of order in time take, for each series that is read side by side. */
export const AS_OF_ORDER_BYTES = 4 * 1024 * 1024;

/** @throws limit-exceeded naming `as_of`; invalid-input, not-found and unprocessable naming the field */
export async function planAsOf(
  deps: TablePlanDeps,
  request: TableRequest,
  wanted: WantedAsOf,
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
    about: columnNotes(series, channel),
  }));
  const { ticks, clock, span } = await clockOf(deps, request, wanted, chosen);
  const { toleranceNs, direction } = wanted;
  const before = direction === 'forward' ? 0n : toleranceNs;
  const after = direction === 'backward' ? 0n : toleranceNs;
  const selection: SampleSelection = {
    by: 'time',
    startNs: clampNs(span.startNs - before),
    endNs: clampNs(span.endNs + after),
  };
  async function* parts(): AsyncGenerator<AsOfPart> {
    if (clock) yield { rows: clock };
    for (const { series, selected } of chosen) {
      const rows = await selectedRows(deps, request, series, selected, selection, Infinity, {
        orderBytes: AS_OF_ORDER_BYTES,
      });
      yield { rows: { ...rows, sections: rows.sections.map(inBlocks) } };
    }
  }
  const rows = ticks ? ticks.count : clock!.shape.totalRows;
  return {
    table: tableWith(chosen, [{ name: 'time', type: 'time' }, ...forNpy(request, columns)], rows),
    form: { kind: 'as-of', ticks, toleranceNs, direction },
    parts: parts(),
  };
}

interface TableClock {
  readonly ticks: Ticks | null;
  readonly clock: RowsTask | null;
  /** The first time, and past the last one. */
  readonly span: TimeRange;
}

async function clockOf(
  deps: TablePlanDeps,
  request: TableRequest,
  { clock }: WantedAsOf,
  chosen: readonly ChosenSeries[],
): Promise<TableClock> {
  if ('everyNs' in clock) {
    const { everyNs } = clock;
    const { startNs, endNs } = rangeOfTable(request, chosen);
    const firstNs = startNs + ((everyNs - (((startNs % everyNs) + everyNs) % everyNs)) % everyNs);
    const count = firstNs < endNs ? (endNs - firstNs + everyNs - 1n) / everyNs : 0n;
    if (count > MAX_TICKS) {
      throw invalidField('as_of.every', `makes ${count} rows of the range; at most ${MAX_TICKS} are answered`);
    }
    return { ticks: { firstNs, everyNs, count: Number(count) }, clock: null, span: { startNs: firstNs, endNs } };
  }
  const series = await clockSeries(deps, request, clock.seriesId, chosen);
  // One channel is as good as all of them: it is the times that count.
  const rows = await selectedRows(deps, request, series, [0], timeSelection(request), Infinity);
  const { firstNs, lastNs } = series;
  const startNs = request.startNs ?? firstNs ?? 0n;
  const endNs = request.endNs ?? (lastNs === null ? 0n : clampNs(lastNs + 1n));
  return { ticks: null, clock: rows, span: { startNs, endNs } };
}

async function clockSeries(
  { db }: TablePlanDeps,
  { principal }: TableRequest,
  id: string,
  chosen: readonly ChosenSeries[],
): Promise<Series> {
  try {
    const series = await visibleSeries(db)(principal, { id });
    const [first] = chosen;
    if (first && series.timeReference !== first.series.timeReference) {
      const message = `${quotedName(series)} does not count time from the same point as ${quotedName(first.series)}`;
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

function inBlocks(section: Section): Section {
  return section.kind !== 'stored' ? section : { kind: 'stored', pieces: blockByBlock(section.pieces) };
}
