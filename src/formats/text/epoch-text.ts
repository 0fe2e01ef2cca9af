/** Times as decimal numbers of one unit since 1970-01-01T00:00:00Z, with as many decimals as the nanoseconds need. */

/** Decimal digits that a nanosecond is below the unit. */
const DIGITS = { ns: 0, us: 3, ms: 6, s: 9 } as const;

export type EpochUnit = keyof typeof DIGITS;
export const EPOCH_UNITS = Object.keys(DIGITS) as [EpochUnit, ...EpochUnit[]];

/** A writer of times in the unit: `1777626000`, or `1777626000.000000001` where the time is no whole number of units. */
export function epochWriter(unit: EpochUnit): (ns: bigint) => string {
  const digits = DIGITS[unit];
  if (digits === 0) return String;
  const nsPerUnit = 10n ** BigInt(digits);
  return (ns) => {
    const distance = ns < 0n ? -ns : ns;
    const fraction = distance % nsPerUnit;
    const whole = `${ns < 0n ? '-' : ''}${distance / nsPerUnit}`;
    return fraction === 0n ? whole : `${whole}.${fraction.toString().padStart(digits, '0').replace(/0+$/, '')}`;
  };
}
