/** Days, weeks, months and years of a place. */
import { describe, expect, test } from '@jest/globals';
import type { CalendarUnit } from '../../src/core/aggregate-span.ts';
import { formatTime, parseTime } from '../../src/core/time.ts';
import { calendarBorders, isTimeZone } from '../../src/flows/aggregate-calendar.ts';

const borders = (unit: CalendarUnit, count: number, zone: string, start: string, end: string): string[] =>
  [
    ...calendarBorders({
      every: { kind: 'calendar', unit, count },
      zone,
      startNs: parseTime(start)!,
      endNs: parseTime(end)!,
    }),
  ].map(formatTime);

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
