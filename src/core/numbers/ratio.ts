/** Exact fractions. */

/** In lowest terms; `den` is positive. */
export interface Ratio {
  readonly num: bigint;
  readonly den: bigint;
}

export const ZERO: Ratio = { num: 0n, den: 1n };
export const ONE: Ratio = { num: 1n, den: 1n };

/** More digits than a float64 can tell from its neighbours, with one that says whether there are others. */
const DOUBLE_DIGITS = 40;
const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?$/;

export function ratio(num: bigint, den = 1n): Ratio {
  const divisor = gcd(num < 0n ? -num : num, den < 0n ? -den : den) * (den < 0n ? -1n : 1n);
  return { num: num / divisor, den: den / divisor };
}

/**
 * The number that a decimal text says; for a float64, that of its shortest decimal form. @throws RangeError for a text
 * that is no number
 */
export function decimalRatio(value: number | string): Ratio {
  const [matched, sign, whole = '', part = '', exponent = '0'] = DECIMAL.exec(String(value)) ?? [];
  if (matched === undefined || whole + part === '') throw new RangeError(`${value} is no decimal number`);
  const mantissa = BigInt(`${sign === '-' ? '-' : ''}${whole}${part}`);
  return times(ratio(mantissa), powerOfTen(Number(exponent) - part.length));
}

export function powerOfTen(exponent: number): Ratio {
  return exponent >= 0 ? { num: 10n ** BigInt(exponent), den: 1n } : { num: 1n, den: 10n ** BigInt(-exponent) };
}

export function times(a: Ratio, b: Ratio): Ratio {
  return ratio(a.num * b.num, a.den * b.den);
}

export function plus(a: Ratio, b: Ratio): Ratio {
  return ratio(a.num * b.den + b.num * a.den, a.den * b.den);
}

/** @param exponent a whole number; negative only where the ratio is not zero */
export function power({ num, den }: Ratio, exponent: number): Ratio {
  const by = BigInt(Math.abs(exponent));
  return exponent >= 0 ? { num: num ** by, den: den ** by } : ratio(den ** by, num ** by);
}

/** The nearest float64: infinite or zero beyond its range. */
export function toFloat(value: Ratio): number {
  return Number(decimalText(value, DOUBLE_DIGITS));
}

/** The ratio as a decimal of so many digits, cut off. A last digit 1 stands for what was cut off. */
export function decimalText({ num, den }: Ratio, digits: number): string {
  if (num === 0n) return '0';
  const size = num < 0n ? -num : num;
  const shift = digits - (String(size).length - String(den).length);
  const scaled = shift >= 0 ? size * 10n ** BigInt(shift) : size;
  const by = shift >= 0 ? den : den * 10n ** BigInt(-shift);
  const rest = scaled % by === 0n ? '0' : '1';
  return `${num < 0n ? '-' : ''}${scaled / by}${rest}e${-shift - 1}`;
}

/** The greatest common divisor. @param a not negative; `b` as well */
export function gcd(a: bigint, b: bigint): bigint {
  while (b) [a, b] = [b, a % b];
  return a;
}
