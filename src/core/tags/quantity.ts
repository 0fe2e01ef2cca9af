/**
 * Quantities as searches and vocabularies compare them: in base units, reckoned exactly and rounded once, to the
 * nearest float64.
 *
 * Two quantities are equal if they differ by no more than the tolerance. It takes in what clients lose when they
 * convert a number themselves, and units with π, which no number is exactly.
 */
import { decimalRatio, plus, times, toFloat } from '../numbers/ratio.ts';
import type { TagUnit } from '../signal/tag-value.ts';

/** One part in 10^14 of the value, or of where the scale of its unit begins (273.15 K), if that is more. */
export const QUANTITY_TOLERANCE = 1e-14;

export interface Quantity {
  /** A number, or the digits of an integer past 2^53. */
  readonly value: number | string;
  readonly unit: TagUnit;
}

/** The quantity in base units. It is infinite or zero where a float64 does not reach. */
export function baseOf({ value, unit }: Quantity): number {
  return toFloat(plus(times(decimalRatio(value), unit.factor), unit.shift));
}

/** Everything from `low` to `high`, in base units, is equal to it. */
export function equalRange(quantity: Quantity): { readonly low: number; readonly high: number } {
  const base = baseOf(quantity);
  if (!Number.isFinite(base)) return { low: base, high: base };
  const margin = QUANTITY_TOLERANCE * Math.max(Math.abs(base), Math.abs(toFloat(quantity.unit.shift)));
  return { low: base - margin, high: base + margin };
}

/** True of units of one dimension, and values that are equal. */
export function sameQuantity(a: Quantity, b: Quantity): boolean {
  if (a.unit.dimension !== b.unit.dimension) return false;
  const { low, high } = equalRange(b);
  const base = baseOf(a);
  return base >= low && base <= high;
}

/** False of what no float64 can say in base units: too large, or too small to be told from zero. */
export function isInReach(quantity: Quantity): boolean {
  const base = baseOf(quantity);
  return (
    Number.isFinite(base) &&
    (base !== 0 || plus(times(decimalRatio(quantity.value), quantity.unit.factor), quantity.unit.shift).num === 0n)
  );
}
