/** Numbers that formats keep as short decimal texts: written only if the text says the very number. */
import { decimalRatio, plus, ratio, times, type Ratio } from '../../core/numbers/ratio.ts';
import type { Calibration } from '../../core/signal/calibration.ts';

/** The whole decimal text of a fraction, without an exponent. @returns null if it never ends, or has more characters */
export function exactDecimal(value: Ratio, maxLength: number): string | null {
  const twos = timesIn(value.den, 2n);
  const fives = timesIn(value.den, 5n);
  if (2n ** BigInt(twos) * 5n ** BigInt(fives) !== value.den) return null;
  const places = Math.max(twos, fives);
  const scaled = (value.num * 10n ** BigInt(places)) / value.den;
  const digits = String(scaled < 0n ? -scaled : scaled).padStart(places + 1, '0');
  const [whole, part] = [digits.slice(0, digits.length - places), digits.slice(digits.length - places)];
  const text = `${scaled < 0n ? '-' : ''}${whole}${part === '' ? '' : `.${part}`}`;
  return text.length <= maxLength ? text : null;
}

function timesIn(value: bigint, factor: bigint): number {
  let count = 0;
  for (let rest = value; rest % factor === 0n; count++) rest /= factor;
  return count;
}

/** A calibration as exact fractions: physical = slope × stored + intercept. */
export interface ExactMap {
  readonly slope: Ratio;
  readonly intercept: Ratio;
}

/** Its numbers are those that their shortest decimal texts say. */
export function exactMap(map: Calibration, channel: ExactRanges): ExactMap {
  switch (map.form) {
    case 'identity':
      return { slope: ratio(1n), intercept: ratio(0n) };
    case 'linear':
      return { slope: decimalRatio(map.slope), intercept: decimalRatio(map.intercept) };
    case 'converter': {
      const gain = decimalRatio(map.gain);
      const slope = ratio(gain.den, gain.num);
      return { slope, intercept: negative(times(decimalRatio(map.baseline), slope)) };
    }
    case 'ranges': {
      const [low, high] = [channel.physical_min, channel.physical_max].map((each) => decimalRatio(each!));
      const [from, to] = [channel.digital_min, channel.digital_max].map((each) => decimalRatio(each!));
      const steps = plus(to, negative(from));
      const slope = times(plus(high, negative(low)), ratio(steps.den, steps.num));
      return { slope, intercept: plus(low, negative(times(from, slope))) };
    }
    case 'converted': {
      const { slope, intercept } = exactMap(map.of, channel);
      const { multiply, divide, add } = map.conversion;
      const factor = times(decimalRatio(multiply), ratio(1n, BigInt(divide)));
      return { slope: times(slope, factor), intercept: plus(times(intercept, factor), decimalRatio(add)) };
    }
  }
}

interface ExactRanges {
  readonly physical_min?: number;
  readonly physical_max?: number;
  readonly digital_min?: number;
  readonly digital_max?: number;
}

/** The exact physical value of a stored one. */
export function mapped({ slope, intercept }: ExactMap, stored: number): Ratio {
  return plus(times(ratio(BigInt(stored)), slope), intercept);
}

export function negative({ num, den }: Ratio): Ratio {
  return { num: -num, den };
}
