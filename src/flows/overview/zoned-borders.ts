/** The clocks of time zones, and the borders of buckets by them. */
import { IANAZone } from 'luxon';
import { bordersByClock, type BorderTask } from '../../core/overview/calendar-borders.ts';
import { seldomAsked, type OffsetAt } from '../../core/overview/place-clock.ts';

const MS_PER_MINUTE = 60_000;

export interface ZonedBorderTask extends BorderTask {
  readonly zone: string;
}

export function isTimeZone(name: string): boolean {
  return IANAZone.isValidZone(name);
}

/** The clock of a time zone. @param zone IANA name, as the zone data of Node know it; remembers what it was asked */
export function offsetOf(zone: string): OffsetAt {
  const clock = IANAZone.create(zone);
  return seldomAsked((utcMs) => Math.round(clock.offset(utcMs) * MS_PER_MINUTE));
}

/** Borders of buckets that cover `[startNs, endNs)`, as {@link bordersByClock} places them. */
export function zonedBorders({ zone, ...task }: ZonedBorderTask): BigInt64Array {
  return bordersByClock(task, offsetOf(zone));
}
