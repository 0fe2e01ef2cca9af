/** What a table takes in memory: the plans of series that are worked on side by side, and what is held of the answer. */
import { readPlanSizes } from '../../catalog/read/plan-sizes.ts';
import type { Database } from '../../catalog/database.ts';
import { DTYPES } from '../../core/numbers/dtype.ts';
import { MAX_PIECE_BYTES } from '../../core/rows/read-plan.ts';
import type { TableFormatName } from '../../formats/tables/table-formats.ts';
import { MAX_JSON_CELLS } from '../../formats/tables/table-text.ts';
import { bucketsBytes } from '../overview/bucket-weight.ts';
import { aggregateDetails } from '../overview/read-overview.ts';
import { jsonBytes, STREAM_BYTES } from '../read/answer-room.ts';
import { orderedBytes } from '../read/order-windows.ts';
import { PLANS_AT_ONCE } from '../read/plan-ahead.ts';
import { ORDER_BYTES } from '../read/plan-samples.ts';
import { COPIES_IN_ORDERING, MOST_CHUNKS, MOST_HELD_BYTES, planBytes, planTooLarge } from '../read/read-weight.ts';
import type { ChosenSeries } from '../series/choose-series.ts';
import { AS_OF_ORDER_BYTES } from './plan-as-of.ts';
import type { TableForm } from './print-table.ts';
import type { TableRequest } from './table-service.ts';

/** Pieces that a series as of a clock has in memory: one is looked at, and others are read ahead. */
const AS_OF_PIECES = 4;

/**
 * What the series take that are worked on side by side: their plans, and rows of them that are put in order.
 * @throws limit-exceeded `too-many-chunks`
 */
export async function plansBytes(
  db: Database,
  { wanted }: Pick<TableRequest, 'wanted'>,
  chosen: readonly ChosenSeries[],
): Promise<number> {
  const isAsOf = wanted.by === 'as-of';
  const orderBytes = isAsOf ? AS_OF_ORDER_BYTES : ORDER_BYTES;
  const clock = isAsOf && 'seriesId' in wanted.clock ? [wanted.clock.seriesId] : [];
  const sizes = await readPlanSizes(db, [...new Set([...chosen.map(({ series }) => series.id), ...clock])]);
  const sizeOf = (id: string): number => {
    const size = sizes.get(id) ?? { chunks: 0, heldBytes: 0 };
    if (size.chunks > MOST_CHUNKS || size.heldBytes > MOST_HELD_BYTES) throw planTooLarge();
    return planBytes(size);
  };
  let mostOrdering = 0;
  const each = chosen.map(({ series }) => {
    const rowBytes = series.channels.length * DTYPES[series.dtype].bytes;
    const isOrdered = series.sampling.kind === 'regular';
    // What is in order is held; one series at a time is put in order.
    const held = isOrdered ? 0 : Math.min(orderBytes, orderedBytes(series.rows, rowBytes));
    mostOrdering = Math.max(mostOrdering, held);
    const pieces = isAsOf ? AS_OF_PIECES * Math.min(MAX_PIECE_BYTES, series.rows * rowBytes) : 0;
    return sizeOf(series.id) + held + pieces;
  });
  const atOnce = isAsOf ? each : each.toSorted((a, b) => b - a).slice(0, PLANS_AT_ONCE);
  const ordering = (COPIES_IN_ORDERING - 1) * mostOrdering;
  return [...clock.map(sizeOf), ...atOnce].reduce((sum, bytes) => sum + bytes, ordering);
}

/** What is held of the answer itself. */
export function heldOfTable(form: TableForm, format: TableFormatName, chosen: readonly ChosenSeries[]): number {
  const text = format === 'json' ? jsonBytes(mostValues(chosen)) : 0;
  return STREAM_BYTES + text + foldedBytes(form, chosen);
}

/** Buckets of one series are folded at a time; of a wide table all columns are kept. */
function foldedBytes(form: TableForm, chosen: readonly ChosenSeries[]): number {
  if (form.kind !== 'long-buckets' && form.kind !== 'wide-buckets') return 0;
  const buckets = form.borders.length - 1;
  const details = aggregateDetails(form.aggregates);
  const counts = chosen.map(({ channels }) => channels.length);
  const most = Math.max(0, ...counts);
  const kept = form.kind === 'wide-buckets' ? counts.reduce((sum, count) => sum + count, 0) : most;
  return bucketsBytes(buckets * most, details, 0) + bucketsBytes(buckets * kept, {}, form.aggregates.length);
}

/** Most values of a table of JSON. */
function mostValues(chosen: readonly ChosenSeries[]): number {
  const stored = chosen.reduce((sum, { series, channels }) => sum + series.rows * channels.length, 0);
  return Math.min(MAX_JSON_CELLS, stored);
}
