/** Where the buckets of aggregates begin and end. */
import { fixedBorders, mostBuckets, type Every } from '../../core/overview/aggregate-span.ts';
import { invalidField } from '../../core/errors.ts';
import type { CodecPool } from '../../storage/threads/codec-pool.ts';
import type { TimeRange } from '../../core/signal/time-span.ts';
import { zonedBorders } from './zoned-borders.ts';

/**
 * Most buckets of an answer: those of a fixed length, and those of a calendar, which take some twenty microseconds
 * each.
 */
const MAX_FIXED_BUCKETS = 100_000;
const MAX_CALENDAR_BUCKETS = 20_000;
/**
 * Most borders by a clock that are found on the main thread. They take a millisecond, which is what handing over to a
 * thread costs.
 */
const CALENDAR_HERE = 50;

export interface WantedBorders {
  readonly every: Every;
  readonly zone: string;
}

/** Borders of the buckets that cover a range. @throws invalid-input naming `every` where they would be too many */
export async function everyBorders(
  codec: Pick<CodecPool, 'run'>,
  wanted: WantedBorders,
  span: TimeRange,
): Promise<BigInt64Array> {
  return (
    bordersHere(wanted, span) ??
    codec.run<BigInt64Array>('calendar', { every: wanted.every, zone: wanted.zone, ...span })
  );
}

/** Does what {@link everyBorders} does for borders that are found at once; null: they take a thread. */
export function bordersHere({ every, zone }: WantedBorders, { startNs, endNs }: TimeRange): BigInt64Array | null {
  if (startNs >= endNs) return BigInt64Array.of(startNs);
  const most = mostBuckets(every, startNs, endNs);
  const limit = every.kind === 'fixed' ? MAX_FIXED_BUCKETS : MAX_CALENDAR_BUCKETS;
  if (most > limit) {
    throw invalidField(
      'every',
      `makes ${most - 2n} buckets of the range; at most ${limit} are answered. Ask for longer ones, or a shorter range`,
    );
  }
  // Where every day has 24 hours, what divides a day is counted from 1970 as well as from each midnight.
  if (every.kind === 'fixed' && zone === 'UTC') return fixedBorders(every.ns, startNs, endNs);
  return most <= CALENDAR_HERE ? zonedBorders({ every, zone, startNs, endNs }) : null;
}

/** The borders of those buckets that cover a range; null if the buckets do not cover it. */
export function bordersWithin(borders: BigInt64Array, { startNs, endNs }: TimeRange): BigInt64Array | null {
  if (startNs >= endNs) return BigInt64Array.of(startNs);
  const to = borders.findIndex((ns) => ns >= endNs);
  let from = to;
  while (from >= 0 && borders[from] > startNs) from--;
  return from < 0 ? null : borders.slice(from, to + 1);
}

/** The rows that count: in the first and the last bucket only those of the range. */
export function clampBorders(borders: BigInt64Array, { startNs, endNs }: TimeRange): BigInt64Array {
  return borders.map((ns) => (ns < startNs ? startNs : ns > endNs ? endNs : ns));
}
