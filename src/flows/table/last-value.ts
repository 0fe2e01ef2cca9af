/** The newest row of each of some series. */
import { calibrationOf, toPhysical } from '../../core/signal/calibration.ts';
import { isVarveError } from '../../core/errors.ts';
import type { LastValue, Series } from '../../core/signal/series.ts';
import { SMALL_READ_BYTES } from '../read/answer-room.ts';
import { planAhead } from '../read/plan-ahead.ts';
import { newestSelection } from './plan-table.ts';
import { rowBatches } from '../read/print-samples.ts';
import { onceMore, type ReadDeps } from '../read/read-samples.ts';
import type { Principal } from '../principal.ts';
import { selectedRows } from './table-parts.ts';

/** Series whose last values are answered at once: those of each are read. */
export const MAX_LAST_VALUES = 100;

/** Some plans of a few chunks, and the piece that has the last row of each. */
const LAST_VALUES_BYTES = SMALL_READ_BYTES;

/** What a read of the latest row says, a few series side by side; null where there is none. @throws corrupt; unavailable */
export async function lastValues(
  deps: ReadDeps,
  principal: Principal,
  series: readonly Series[],
): Promise<(LastValue | null)[]> {
  return deps.room.during(LAST_VALUES_BYTES, async () => {
    const values: (LastValue | null)[] = [];
    for await (const value of planAhead(series, (each) => lastValue(deps, principal, each))) values.push(value);
    return values;
  });
}

async function lastValue(deps: ReadDeps, principal: Principal, series: Series): Promise<LastValue | null> {
  try {
    return await onceMore(() => readLast(deps, principal, series));
  } catch (error) {
    // It was deleted after it had been found.
    if (isVarveError(error) && error.code === 'not-found') return null;
    throw error;
  }
}

async function readLast(deps: ReadDeps, principal: Principal, series: Series): Promise<LastValue | null> {
  const selection = await newestSelection(deps, series, 1);
  const task = await selectedRows(deps, { principal, physical: false }, series, null, selection, Infinity);
  let last: LastValue | null = null;
  for await (const { firstRow, rows, values, times } of rowBatches(task, deps.files, true)) {
    if (rows === 0) continue;
    const newest = values.slice(-task.channels);
    const calibrations = series.channels.map((channel) => calibrationOf(series, channel));
    last = {
      ns: times![rows - 1],
      row: series.sampling.kind === 'regular' ? firstRow + rows - 1 : null,
      values: [...newest],
      physical: [...toPhysical(series, newest, calibrations)],
    };
  }
  return last;
}
