/** Fractions of whole numbers as the doubles next to them. */

/** Bits of a quotient: those of a double, and some that say on which side of a half the rest lies. */
const QUOTIENT_BITS = 66;

/**
 * The double nearest to a fraction, ties to even: what `float(Fraction(num, den))` is in Python. Dividing two doubles would round three
 * times where either has more than 53 bits. Subnormal numbers are rounded twice.
 * @param den above 0
 */
export function nearestNumber(num: bigint, den: bigint): number {
  if (num < 0n) return -nearestNumber(-num, den);
  if (num === 0n) return 0;
  const shift = QUOTIENT_BITS + bitLength(den) - bitLength(num);
  const [top, bottom] = shift >= 0 ? [num << BigInt(shift), den] : [num, den << BigInt(-shift)];
  const quotient = top / bottom;
  // A rest of any size is one bit below those that count, so that it breaks ties.
  const sticky = quotient * bottom === top ? quotient : quotient | 1n;
  // In two steps: for a small fraction the power alone would be 0.
  const half = shift >> 1;
  return Number(sticky) * 2 ** -half * 2 ** (half - shift);
}

function bitLength(value: bigint): number {
  return value.toString(2).length;
}
