/** Borders of buckets by the clocks of time zones. */
import { bordersByClock, type BorderTask } from '../../core/overview/calendar-borders.ts';
import { offsetOf } from '../time-zone.ts';

export interface ZonedBorderTask extends BorderTask {
  readonly zone: string;
}

/** Borders of buckets that cover `[startNs, endNs)`, as {@link bordersByClock} places them. */
export function zonedBorders({ zone, ...task }: ZonedBorderTask): BigInt64Array {
  return bordersByClock(task, offsetOf(zone));
}
