/** The clock of a place: how far it is ahead of UTC, and when that changes. */

/** The offset of a clock from UTC at an instant, both in ms. */
export type OffsetAt = (utcMs: number) => number;

const MS_PER_SECOND = 1000;
/** No clock changes and changes back within this: in Freetown it took 95 hours, in September 1939. */
const STEADY_MS = 72 * 3_600_000;

/**
 * The same clock, asked once for three days, and more often where it changes. It takes some ten microseconds to ask the
 * zone data.
 */
export function seldomAsked(offsetAt: OffsetAt): OffsetAt {
  const begins = new Map<number, number>();
  const changes = new Map<number, number>();
  const beginOf = (cell: number): number => kept(begins, cell, () => offsetAt(cell * STEADY_MS));
  return (utcMs) => {
    const cell = Math.floor(utcMs / STEADY_MS);
    const [before, after] = [beginOf(cell), beginOf(cell + 1)];
    if (before === after) return before;
    const change = kept(changes, cell, () => changeWithin(cell * STEADY_MS, (cell + 1) * STEADY_MS, offsetAt));
    return utcMs < change ? before : after;
  };
}

function kept(found: Map<number, number>, at: number, find: () => number): number {
  let value = found.get(at);
  if (value === undefined) found.set(at, (value = find()));
  return value;
}

/**
 * The instant at which the offset becomes another, in ms. Clocks change at whole seconds.
 * @param from a whole second, as `to`; between them the clock changes once
 */
export function changeWithin(from: number, to: number, offsetAt: OffsetAt): number {
  const before = offsetAt(from);
  let [low, high] = [from, to];
  while (high - low > MS_PER_SECOND) {
    const middle = low + Math.floor((high - low) / 2 / MS_PER_SECOND) * MS_PER_SECOND;
    if (offsetAt(middle) === before) low = middle;
    else high = middle;
  }
  return high;
}

/** Longer than any clock is ahead of UTC or behind it. */
const DAY_MS = 86_400_000;

/**
 * The instants at which a clock shows a local time: two where it is set back over it, none where it skips it.
 * @param localMs what the clock shows, as if it were UTC
 * @returns ms UTC, rising
 */
export function instantsOf(localMs: number, offsetAt: OffsetAt): number[] {
  const offsets = new Set([offsetAt(localMs - DAY_MS), offsetAt(localMs + DAY_MS)]);
  const instants = [...offsets].map((offset) => localMs - offset).filter((ms) => ms + offsetAt(ms) === localMs);
  return instants.sort((a, b) => a - b);
}
