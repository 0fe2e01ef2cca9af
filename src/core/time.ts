/**
 * Times are int64 nanoseconds since 1970-01-01T00:00:00Z (UTC, no leap seconds), as bigint.
 * On the wire: RFC 3339, or integer nanoseconds as a decimal string. Ranges are half-open `[start, end)`.
 */

export const NS_PER_S = 1_000_000_000n;
export const INT64_MIN = -(2n ** 63n);
export const INT64_MAX = 2n ** 63n - 1n;

const RFC3339 =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*([Zz]|[+-]\d{2}:?\d{2})?)?$/;

/**
 * Nanoseconds of an RFC 3339 time, or of integer nanoseconds written in decimal.
 * A date alone is its midnight; a time without an offset is UTC. Fractions down to 1 ns are kept exactly.
 * @returns undefined if the text is not a time or lies outside int64 nanoseconds (years 1677 to 2262)
 * @see https://www.rfc-editor.org/rfc/rfc3339#section-5.6
 */
export function parseTime(text: string): bigint | undefined {
  const trimmed = text.trim();
  if (/^[+-]?\d{1,19}$/.test(trimmed)) return inInt64(BigInt(trimmed));
  const match = RFC3339.exec(trimmed);
  if (!match) return undefined;
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', zone = 'Z'] = match;
  const monthNumber = Number(month);
  const dayNumber = Number(day);
  const seconds = Math.min(Number(second), 59); // a leap second :60 is the same instant as the next :00 (below)
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return undefined;
  if (Number(year) < 100) return undefined; // Date.UTC would take them for years of the 20th century; int64 ends at 1677 anyway
  const ms = Date.UTC(Number(year), monthNumber - 1, dayNumber, Number(hour), Number(minute), seconds);
  const date = new Date(ms);
  if (date.getUTCMonth() !== monthNumber - 1 || date.getUTCDate() !== dayNumber) return undefined;
  const leap = Number(second) === 60 ? NS_PER_S : 0n;
  let offsetMinutes = 0;
  if (zone !== 'Z' && zone !== 'z') {
    const sign = zone.startsWith('-') ? -1 : 1;
    const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(-2))];
    if (hours > 23 || minutes > 59) return undefined;
    offsetMinutes = sign * (hours * 60 + minutes);
  }
  const ns =
    BigInt(ms - offsetMinutes * 60_000) * 1_000_000n + leap + BigInt(fraction.padEnd(9, '0').slice(0, 9) || '0');
  return inInt64(ns);
}

function inInt64(ns: bigint): bigint | undefined {
  return ns >= INT64_MIN && ns <= INT64_MAX ? ns : undefined;
}

/** RFC 3339 in UTC with as many fraction digits as needed: none, or 9 without trailing zeros. */
export function formatTime(ns: bigint): string {
  let seconds = ns / NS_PER_S;
  let fraction = ns % NS_PER_S;
  if (fraction < 0n) {
    fraction += NS_PER_S;
    seconds -= 1n;
  }
  const base = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  if (fraction === 0n) return `${base}Z`;
  return `${base}.${fraction.toString().padStart(9, '0').replace(/0+$/, '')}Z`;
}
