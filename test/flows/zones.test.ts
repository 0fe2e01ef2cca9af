/** Calendars of all zones, beside Python's zoneinfo: every change of a clock from 1970 to 2037. */
import { beforeAll, expect, test } from '@jest/globals';
import { parseEvery } from '../../src/core/overview/aggregate-span.ts';
import { bordersByClock } from '../../src/core/overview/calendar-borders.ts';
import type { OffsetAt } from '../../src/core/place-clock.ts';
import { isTimeZone, offsetOf } from '../../src/flows/time-zone.ts';
import { describePython } from '../support/python.ts';

/**
 * A day in Python. It begins at the first instant at or past midnight in Python's own idea of local time, which is
 * found by looking at every change.
 */
const JUDGE = `
import json, os, struct, sys, zoneinfo
from bisect import bisect_right

FROM, TO, DAY = 0, 2145916800, 86400  # 1970 to 2037, in s

def version():
    for root in zoneinfo.TZPATH:
        for name in ('tzdata.zi', '+VERSION'):
            try:
                with open(os.path.join(root, name)) as f:
                    return f.readline().replace('# version', '').strip()
            except OSError:
                pass
    try:
        import tzdata
        return tzdata.IANA_VERSION
    except ImportError:
        return 'unknown'

from datetime import datetime, timedelta
EPOCH = datetime(1970, 1, 1)
STEP = 3 * DAY  # no clock changes and changes back within three days
INSTANTS = [(s, EPOCH + timedelta(seconds=s)) for s in range(FROM - STEP, TO + 2 * STEP, STEP)]

def offsets(zone):
    # of a time in UTC: local minus UTC
    offset = lambda utc: int(zone.fromutc(utc.replace(tzinfo=zone)).utcoffset().total_seconds())
    at = lambda s: offset(EPOCH + timedelta(seconds=s))
    first = before = at(FROM - 2 * STEP)
    changes = []
    for s, utc in INSTANTS:
        after = offset(utc)
        if after != before:
            low, high = s - STEP, s
            while high - low > 1:
                middle = (low + high) // 2
                if at(middle) == before: low = middle
                else: high = middle
            changes.append((high, after))
        before = after
    return first, changes

out = {}
for name in sorted(zoneinfo.available_timezones()):
    first, changes = offsets(zoneinfo.ZoneInfo(name))
    runs = [(-10**18, first)] + changes
    ends = [at for at, _ in changes] + [10**18]
    def midnight(day):  # the first second whose local time is that midnight or later
        # Runs from two days before suffice: no clock is further from UTC.
        i = max(0, bisect_right(ends, day * DAY - 2 * DAY))
        while True:
            (begin, offset), end = runs[i], ends[i]
            at = max(begin, day * DAY - offset)
            if at < end: return at
            i += 1
    days = {d for at, _ in changes for d in range((at // DAY) - 2, (at // DAY) + 4)} | {0, 20574, 24000}
    days = sorted(d for d in days if 0 <= d and d * DAY < TO)
    out[name] = {'first': first, 'changes': changes, 'midnights': [[d, midnight(d)] for d in days]}
json.dump({'version': version(), 'zones': out}, sys.stdout)
`;

interface Judged {
  readonly version: string;
  readonly zones: Readonly<
    Record<string, { first: number; changes: [at: number, offset: number][]; midnights: [day: number, at: number][] }>
  >;
}

const S = 1_000_000_000n;
const DAY = 86_400n;
/** In seconds. */
const LENGTHS = [
  ['15m', 900],
  ['1h', 3600],
  ['6h', 21_600],
  ['12h', 43_200],
] as const;

describePython('days, hours and months of all zones', ['zoneinfo'], (run) => {
  let judged: Judged;

  beforeAll(() => {
    judged = JSON.parse(run(JUDGE).toString()) as Judged;
  }, 120_000);

  test('every row is in exactly one bucket, which begins where Python says that midnight is', () => {
    const leftOut: string[] = [];
    let changes = 0;
    for (const [zone, { first, changes: changed, midnights }] of Object.entries(judged.zones)) {
      const offsetAt = clockOf(zone);
      if (!offsetAt || !sameData(offsetAt, first, changed)) {
        leftOut.push(zone);
        continue;
      }
      changes += changed.length;
      const bordersOf = (text: string, startNs: bigint, endNs: bigint): bigint[] => [
        ...bordersByClock({ every: parseEvery(text)!, startNs, endNs }, offsetAt),
      ];
      const faults: unknown[] = [];
      const at = new Map(midnights);
      for (const [day, midnight] of midnights) {
        const next = at.get(day + 1);
        if (next === undefined || next === midnight) continue;
        const [begin, end] = [BigInt(midnight) * S, BigInt(next) * S];
        // The bucket of the first row of the day, of one within and of the last.
        for (const startNs of [begin, (begin + end) / 2n, end - 1n]) {
          const found = bordersOf('1d', startNs, end);
          if (found.join() !== [begin, end].join()) faults.push({ zone, day, startNs, found });
        }
        for (const [text, length] of LENGTHS) {
          const found = bordersOf(text, begin, end);
          const expected = Array.from(
            { length: Math.ceil((next - midnight) / length) },
            (_, i) => begin + BigInt(i * length) * S,
          );
          if (found.join() !== [...expected, end].join()) faults.push({ zone, day, text, found });
        }
      }
      expect(faults.slice(0, 3)).toEqual([]);
    }
    const zones = Object.keys(judged.zones).length;
    console.info(
      `${zones - leftOut.length} of ${zones} zones with ${changes} changes from 1970 to 2037. Zone data of Node: ${process.versions.tz}, ` +
        `of Python: ${judged.version}. Left out, because the two differ: ${leftOut.join(', ') || 'none'}`,
    );
    // Versions of the zone data differ in few zones.
    expect(leftOut.length).toBeLessThan(zones / 5);
  }, 120_000);

  test('weeks, months and years begin with their first day; borders rise and leave nothing out', () => {
    const [startNs, endNs] = [13_000n * DAY * S + 1n, 16_000n * DAY * S];
    // Of names for one clock the last.
    const clocks = new Map(
      Object.entries(judged.zones).map(([zone, { first, changes }]) => [`${first} ${changes.join()}`, zone]),
    );
    for (const zone of clocks.values()) {
      const offsetAt = clockOf(zone);
      if (!offsetAt) continue;
      const bordersOf = (text: string, from: bigint, to: bigint): bigint[] => [
        ...bordersByClock({ every: parseEvery(text)!, startNs: from, endNs: to }, offsetAt),
      ];
      const days = new Set(bordersOf('1d', startNs, endNs + 400n * DAY * S));
      for (const text of ['1w', '1mo', '3mo', '1y', '5h', '36h']) {
        const borders = bordersOf(text, startNs, endNs);
        const rises = borders.every((ns, at) => at === 0 || ns > borders[at - 1]);
        const begins = text.endsWith('h') || borders.slice(1).every((ns) => days.has(ns));
        const covers = borders[0] <= startNs && borders[borders.length - 1] >= endNs;
        expect([zone, text, covers, rises, begins]).toEqual([zone, text, true, true, true]);
      }
    }
  }, 120_000);
});

/** Undefined for a name that Node's data do not have. */
function clockOf(zone: string): OffsetAt | undefined {
  return isTimeZone(zone) ? offsetOf(zone) : undefined;
}

/** At every change, right before, and in the middle between two. */
function sameData(offsetAt: OffsetAt, first: number, changes: readonly [at: number, offset: number][]): boolean {
  let offset = first;
  let from = 0;
  for (const [at, after] of changes) {
    if (offsetAt(at * 1000 - 1000) !== offset * 1000 || offsetAt(((from + at) / 2) * 1000) !== offset * 1000)
      return false;
    if (offsetAt(at * 1000) !== after * 1000) return false;
    offset = after;
    from = at;
  }
  return true;
}
