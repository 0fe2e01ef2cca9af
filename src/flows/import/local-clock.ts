/** The clock on the wall of a time zone. */
import { IANAZone } from 'luxon';
import { invalidField } from '../../core/errors.ts';
import { UNIT_NS } from '../../core/time.ts';
import type { LocalZone } from '../../formats/recordings/local-start.ts';

const MS_PER_MINUTE = 60_000;

/**
 * What the clock showed twice, in the hour when it is set back, is taken as the first of the two. What it never showed
 * is taken as if it had not been set forward yet.
 * @param name as the IANA has it
 * @throws `invalid-input` on `--tz`
 */
export function localZone(name: string): LocalZone {
  if (!IANAZone.isValidZone(name)) throw invalidField('--tz', `${name} is no time zone, as Europe/Berlin is one`);
  const zone = IANAZone.create(name);
  const offsetMs = (utcMs: number): number => Math.round(zone.offset(utcMs) * MS_PER_MINUTE);
  return {
    name,
    utcNs(localNs) {
      const localMs = Number(localNs / UNIT_NS.ms);
      const offsets = [localMs - 86_400_000, localMs + 86_400_000].map(offsetMs);
      // The larger offset gives the earlier time.
      const fits = offsets.filter((offset) => offsetMs(localMs - offset) === offset);
      return localNs - BigInt(fits.length > 0 ? Math.max(...fits) : offsets[0]) * UNIT_NS.ms;
    },
  };
}
