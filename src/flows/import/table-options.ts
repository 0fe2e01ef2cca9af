/** Options of an import as readers of tables take them: names of zones and times have become what they mean. */
import { invalidField } from '../../core/errors.ts';
import { instantsOf, type OffsetAt } from '../../core/place-clock.ts';
import { parseTime, TIME_FORMS } from '../../core/time.ts';
import type { RowsOptions } from '../../formats/recordings/rows-recording.ts';
import { zoneClock } from '../time-zone.ts';
import type { RecordingOptions } from './recording-options.ts';

const NS_PER_MS = 1_000_000n;
const STATES_ZONE = /(?:[Zz]|[+-]\d{2}:?\d{2})\s*$|^\s*[+-]?\d+\s*$/;

/** @throws `invalid-input` naming the option */
export function tableOptions(name: string, options: RecordingOptions): RowsOptions {
  const zone = zoneOf(options.tz);
  const startNs = startNsOf(options.start, zone?.offsetAt);
  const { timeColumn, valueColumn, by, decimal, dateFormat, epoch, elapsed, header, orient, dtype, columns } = options;
  return {
    name,
    ...(timeColumn !== undefined && { timeColumn }),
    ...(valueColumn !== undefined && { valueColumns: valueColumn }),
    ...(by !== undefined && { by }),
    ...(decimal !== undefined && { decimal }),
    ...(dateFormat !== undefined && { dateFormat }),
    ...(epoch !== undefined && { epoch }),
    ...(elapsed !== undefined && { elapsed }),
    ...(header !== undefined && { header }),
    ...(orient !== undefined && { orient }),
    ...(dtype !== undefined && { dtype }),
    ...(columns !== undefined && { columns }),
    ...(zone !== undefined && { zone }),
    ...(startNs !== undefined && { startNs }),
  };
}

/** @throws `invalid-input` on `--tz` */
function zoneOf(tz: string | undefined): RowsOptions['zone'] {
  if (tz === undefined) return undefined;
  const offsetAt = zoneClock(tz);
  if (!offsetAt)
    throw invalidField('--tz', `${tz} is no time zone, such as Europe/Berlin, and no offset, such as +01:00`);
  return { name: tz, offsetAt };
}

/** A time without a zone is that of the place. @throws `invalid-input` on `--start` */
export function startNsOf(start: string | undefined, offsetAt?: OffsetAt): bigint | undefined {
  if (start === undefined) return undefined;
  const ns = parseTime(start);
  if (ns === undefined) throw invalidField('--start', `${start} is not ${TIME_FORMS}`);
  if (!offsetAt || STATES_ZONE.test(start)) return ns;
  const below = ((ns % NS_PER_MS) + NS_PER_MS) % NS_PER_MS;
  const [instant] = instantsOf(Number((ns - below) / NS_PER_MS), offsetAt);
  if (instant === undefined) throw invalidField('--start', `the clock of the time zone skipped ${start}`);
  return BigInt(instant) * NS_PER_MS + below;
}
