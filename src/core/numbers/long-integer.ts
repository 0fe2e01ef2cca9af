/** Integers that no JSON number keeps: past ±2^53 two of them share a float64. They are kept as text, by their digits. */

const LIMIT = 2n ** 53n;
const MAX_DIGITS = 4096;

/** True of the digits of an integer past ±2^53, written as JSON does. */
export function isLongInteger(text: string): boolean {
  if (!/^-?[1-9]\d{15,}$/.test(text) || text.length > MAX_DIGITS) return false;
  const value = BigInt(text);
  return value > LIMIT || value < -LIMIT;
}
