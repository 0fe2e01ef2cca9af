/** All rows of some chunks of an irregular series in order of time, for a new shard, in bounded memory. For a worker thread. */
import { groupByTime } from '../../core/rows/time-order.ts';
import {
  EVER,
  rowsInOrderAtOnce,
  sortWindow,
  storedRows,
  timeWindows,
  type SortedRows,
  type SortTask,
} from '../read/order-windows.ts';

/** What is sorted at once; with the copy in order, and the chunk being read, twice that is in memory. */
const SORT_BYTES = 48 * 1024 * 1024;

/**
 * @param bytes what is sorted at once
 * @yields in order of time, rows that were taken out left out, by the series' rule for duplicates
 */
export async function* sortRun(task: SortTask, bytes = SORT_BYTES): AsyncGenerator<SortedRows> {
  const most = rowsInOrderAtOnce(bytes, task.rowBytes);
  for (const { ordered, chunks } of groupByTime(task.chunks)) {
    const group = { ...task, chunks };
    if (ordered) yield* storedRows(group, EVER);
    else for await (const window of timeWindows(group, EVER, most)) yield* sortWindow(group, window, most);
  }
}
