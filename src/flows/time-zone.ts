/** The clocks of time zones, as the zone data of Node know them. */
import { IANAZone } from 'luxon';
import { seldomAsked, type OffsetAt } from '../core/place-clock.ts';

const MS_PER_MINUTE = 60_000;
const OFFSET = /^([+-])(\d{2}):?(\d{2})$/;

export function isTimeZone(name: string): boolean {
  return IANAZone.isValidZone(name);
}

/** The clock of a time zone. @param zone IANA name; remembers what it was asked */
export function offsetOf(zone: string): OffsetAt {
  const clock = IANAZone.create(zone);
  return seldomAsked((utcMs) => Math.round(clock.offset(utcMs) * MS_PER_MINUTE));
}

/** The clock of a zone or of a fixed offset such as `+01:00`; undefined if there is none of the name. */
export function zoneClock(zone: string): OffsetAt | undefined {
  const match = OFFSET.exec(zone);
  if (!match) return isTimeZone(zone) ? offsetOf(zone) : undefined;
  const minutes = Number(match[2]) * 60 + Number(match[3]);
  if (minutes > 18 * 60) return undefined;
  const offset = (match[1] === '-' ? -minutes : minutes) * MS_PER_MINUTE;
  return () => offset;
}
