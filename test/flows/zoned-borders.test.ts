/** Days, weeks, months and years of a place. */
import { describe, expect, test } from '@jest/globals';
import { fixedBorders, parseEvery, type CalendarUnit, type Every } from '../../src/core/overview/aggregate-span.ts';
import { formatTime, INT64_MAX, INT64_MIN, parseTime } from '../../src/core/time.ts';
import { zonedBorders } from '../../src/flows/overview/zoned-borders.ts';
import { isTimeZone } from '../../src/flows/time-zone.ts';

function bordersOf(every: Every, zone: string, start: string, end: string): string[] {
  return [...zonedBorders({ every, zone, startNs: parseTime(start)!, endNs: parseTime(end)! })].map(formatTime);
}

const borders = (unit: CalendarUnit, count: number, zone: string, start: string, end: string): string[] =>
  bordersOf({ kind: 'calendar', unit, count }, zone, start, end);

describe('calendar borders', () => {
  test('a day of summer time has 23 hours, or 25', () => {
    expect(borders('day', 1, 'Europe/Berlin', '2026-03-28T12:00:00Z', '2026-03-30T12:00:00Z')).toEqual([
      '2026-03-27T23:00:00Z',
      '2026-03-28T23:00:00Z',
      '2026-03-29T22:00:00Z',
      '2026-03-30T22:00:00Z',
    ]);
    expect(borders('day', 1, 'Europe/Berlin', '2026-10-25T00:00:00Z', '2026-10-25T12:00:00Z')).toEqual([
      '2026-10-24T22:00:00Z',
      '2026-10-25T23:00:00Z',
    ]);
  });

  test('a day without midnight begins when the clock goes on', () => {
    expect(borders('day', 1, 'America/Sao_Paulo', '2018-11-04T12:00:00Z', '2018-11-04T13:00:00Z')).toEqual([
      '2018-11-04T03:00:00Z',
      '2018-11-05T02:00:00Z',
    ]);
  });

  test('weeks begin on Monday; months and years with their first day', () => {
    expect(borders('week', 1, 'UTC', '2026-05-01T00:00:00Z', '2026-05-05T00:00:00Z')).toEqual([
      '2026-04-27T00:00:00Z',
      '2026-05-04T00:00:00Z',
      '2026-05-11T00:00:00Z',
    ]);
    expect(borders('month', 3, 'UTC', '2026-05-01T00:00:00Z', '2026-07-01T00:00:00Z')).toEqual([
      '2026-04-01T00:00:00Z',
      '2026-07-01T00:00:00Z',
    ]);
    expect(borders('year', 1, 'Asia/Kolkata', '1969-06-01T00:00:00Z', '1970-01-01T00:00:00Z')).toEqual([
      '1968-12-31T18:30:00Z',
      '1969-12-31T18:30:00Z',
      '1970-12-31T18:30:00Z',
    ]);
  });

  test('several days are counted from 1970', () => {
    expect(borders('day', 7, 'UTC', '1970-01-03T00:00:00Z', '1970-01-09T00:00:00Z')).toEqual([
      '1970-01-01T00:00:00Z',
      '1970-01-08T00:00:00Z',
      '1970-01-15T00:00:00Z',
    ]);
  });

  test('of two midnights the first one begins the day', () => {
    expect(borders('day', 1, 'Atlantic/Azores', '2026-10-24T12:00:00Z', '2026-10-26T00:30:00Z')).toEqual([
      '2026-10-24T00:00:00Z',
      '2026-10-25T00:00:00Z',
      '2026-10-26T01:00:00Z',
    ]);
    // Clocks there went from 00:01 back to 23:01 of the day before.
    expect(borders('day', 1, 'America/St_Johns', '2010-11-07T02:00:00Z', '2010-11-07T04:00:00Z')).toEqual([
      '2010-11-06T02:30:00Z',
      '2010-11-07T02:30:00Z',
      '2010-11-08T03:30:00Z',
    ]);
  });

  test.each([
    ['Pacific/Apia', '2011-12-29T12:00:00Z', ['2011-12-29T10:00:00Z', '2011-12-30T10:00:00Z', '2011-12-31T10:00:00Z']],
    [
      'Pacific/Kwajalein',
      '1993-08-20T14:00:00Z',
      ['1993-08-20T12:00:00Z', '1993-08-21T12:00:00Z', '1993-08-22T12:00:00Z'],
    ],
  ])('a date that %s skips has no bucket', (zone, start, expected) => {
    expect(borders('day', 1, zone, start, expected[2])).toEqual(expected);
  });

  test('hours of a zone begin at its midnight and go on in elapsed time', () => {
    const every = (text: string, zone: string, start: string, end: string): string[] =>
      bordersOf(parseEvery(text)!, zone, start, end);
    expect(every('6h', 'Europe/Berlin', '2026-03-28T23:30:00Z', '2026-03-29T23:00:00Z')).toEqual([
      '2026-03-28T23:00:00Z',
      '2026-03-29T05:00:00Z',
      '2026-03-29T11:00:00Z',
      '2026-03-29T17:00:00Z',
      '2026-03-29T22:00:00Z',
      '2026-03-30T04:00:00Z',
    ]);
    expect(every('12h', 'Europe/Berlin', '2026-10-24T22:00:00Z', '2026-10-25T23:30:00Z')).toEqual([
      '2026-10-24T22:00:00Z',
      '2026-10-25T10:00:00Z',
      '2026-10-25T22:00:00Z',
      '2026-10-25T23:00:00Z',
      '2026-10-26T11:00:00Z',
    ]);
    expect(every('1h', 'Asia/Kolkata', '2026-05-01T00:00:00Z', '2026-05-01T00:40:00Z')).toEqual([
      '2026-04-30T23:30:00Z',
      '2026-05-01T00:30:00Z',
      '2026-05-01T01:30:00Z',
    ]);
    expect(every('36h', 'Asia/Kolkata', '1970-01-01T00:00:00Z', '1970-01-02T12:00:00Z')).toEqual([
      '1969-12-31T18:30:00Z',
      '1970-01-02T06:30:00Z',
      '1970-01-03T18:30:00Z',
    ]);
  });

  test('what divides a day is counted in UTC as from 1970', () => {
    const [startNs, endNs] = [parseTime('2026-05-01T01:02:03Z')!, parseTime('2026-05-03T00:00:00Z')!];
    for (const text of ['15m', '90m', '6h', '24h', '7h', '25h']) {
      const every = parseEvery(text) as Extract<Every, { kind: 'fixed' }>;
      expect(zonedBorders({ every, zone: 'Etc/UTC', startNs, endNs })).toEqual(fixedBorders(every.ns, startNs, endNs));
    }
  });

  test('the ends of time are in a bucket', () => {
    for (const text of ['1d', '1mo', '100000y']) {
      for (const [startNs, endNs] of [
        [INT64_MIN, INT64_MIN + 1n],
        [INT64_MAX - 1n, INT64_MAX],
      ]) {
        const found = zonedBorders({ every: parseEvery(text)!, zone: 'Europe/Berlin', startNs, endNs });
        expect([found[0] <= startNs, found[found.length - 1] >= endNs]).toEqual([true, true]);
      }
    }
  });

  test('zones are known by their names', () => {
    expect(['Europe/Berlin', 'UTC', 'Mars/Olympus', '', 'x; drop'].map(isTimeZone)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});
