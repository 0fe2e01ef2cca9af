/** When a recording began, where its file says so by the clock on the wall. */
import { formatTime, isTime, parseTime } from '../../core/time.ts';
import type { TimeReference } from '../../core/signal/series.ts';

/** A time zone that a user has named. */
export interface LocalZone {
  /** As the IANA names it. */
  readonly name: string;
  /** UTC of what the clock on the wall showed, both in ns. */
  utcNs(localNs: bigint): bigint;
}

export interface RecordingStart {
  readonly startNs: bigint;
  readonly timeReference: TimeReference;
  readonly timeZone: string | null;
}

/**
 * The start as series state it, with a note of what was assumed.
 * @param localNs what the clock showed, as if it were UTC; null or undefined: the file has no usable date and time
 * @param options a zone, UTC without; or a start that takes the place of all this
 */
export function startAt(
  localNs: bigint | null | undefined,
  { zone, startNs: given }: { readonly zone?: LocalZone; readonly startNs?: bigint },
  notes: string[],
): RecordingStart {
  if (given !== undefined) {
    notes.push(`the start ${formatTime(given)} was given; what the file says of it is in the provenance`);
    return { startNs: given, timeReference: 'utc', timeZone: zone?.name ?? null };
  }
  if (localNs === null || localNs === undefined || !isTime(localNs)) {
    notes.push('the file has no usable start: times count from the start of the recording');
    return { startNs: 0n, timeReference: 'relative', timeZone: null };
  }
  if (!zone) {
    notes.push(`the start ${formatTime(localNs).slice(0, -1)} has no zone and was taken as UTC; --tz names its zone`);
    return { startNs: localNs, timeReference: 'utc', timeZone: null };
  }
  const startNs = zone.utcNs(localNs);
  notes.push(`the start was taken as of ${zone.name}: ${formatTime(startNs)}`);
  return { startNs, timeReference: 'utc', timeZone: zone.name };
}

/** The time of the calendar as if it were UTC; undefined if there is no such. @param second may have a fraction */
export function localTimeNs(
  year: number,
  month: number,
  day: number,
  hour = 0,
  minute = 0,
  second: number | string = 0,
): bigint | undefined {
  const two = (value: number): string => String(value).padStart(2, '0');
  const [whole, fraction] = String(second).split('.');
  const date = `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}`;
  const clock = `${two(hour)}:${two(minute)}:${whole.padStart(2, '0')}${fraction ? `.${fraction.slice(0, 9)}` : ''}`;
  return parseTime(`${date}T${clock}Z`);
}
