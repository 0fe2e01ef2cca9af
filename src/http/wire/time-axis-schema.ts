/** The time axis of regular series on the wire: where data are, and what clocks said. */
import { z } from 'zod';
import type { ClockMark } from '../../core/signal/place-run.ts';
import { formatTime } from '../../core/time.ts';
import type { DataSpan } from '../../flows/series/time-axis-service.ts';
import { instant, queryBound, queryInteger } from './scalars.ts';

const DEFAULT_PAGE = 1000;
const MAX_PAGE = 10_000;

const page = {
  limit: queryInteger(1, MAX_PAGE, `Items of a page; default ${DEFAULT_PAGE}`).default(DEFAULT_PAGE),
  cursor: z.string().optional().meta({ description: 'From the link to the next page' }),
};

const segmentsParameters = z.strictObject({
  start: queryBound.optional().meta({ description: 'Those that touch the time from here …' }),
  end: queryBound.optional().meta({ description: '… to here, exclusive' }),
  ...page,
});

export const segmentsQuery = segmentsParameters.superRefine(({ start, end }, context) => {
  if (start === undefined || end === undefined || start <= end) return;
  context.addIssue({ code: 'custom', path: ['start'], message: 'is after end' });
  context.addIssue({ code: 'custom', path: ['end'], message: 'is before start' });
});

export const marksQuery = z.strictObject(page);

/** Where a page of segments ended, inside a cursor. */
export const segmentPosition = z
  .string()
  .regex(/^-?\d{1,19}$/)
  .transform(BigInt);

/** Where a page of marks ended. */
export const markPosition = z.int().nonnegative();

const next = z.string().nullable().meta({ description: 'Link to the next page; null on the last' });
const ns = (description: string) => z.string().meta({ description, example: '1777626001500000000' });

export const segmentsAnswer = z
  .object({
    items: z
      .array(
        z
          .object({
            start: ns('Time of the first row: integer nanoseconds UTC'),
            end: ns('Time of the row that would follow the last: integer nanoseconds UTC'),
            start_time: instant.meta({ description: 'start as RFC 3339' }),
            end_time: instant.meta({ description: 'end as RFC 3339' }),
            rows: z.int().meta({ description: 'How many' }),
            first_row: z.int().meta({ description: 'Number of the first of them; the others follow' }),
          })
          .meta({ id: 'Segment', description: 'Evenly spaced rows without a gap' }),
      )
      .meta({ description: 'In order of time; what lies between two of them is a gap' }),
    next,
  })
  .meta({ id: 'SegmentPage', description: 'Where a regular series has data' });

export const marksAnswer = z
  .object({
    items: z
      .array(
        z
          .object({
            row: z.int().meta({ description: 'Number of the row' }),
            time: ns('When it was, as the client said: integer nanoseconds UTC'),
          })
          .meta({ id: 'ClockMark', description: 'The time that a client said a row has' }),
      )
      .meta({ description: 'In order of rows' }),
    next,
  })
  .meta({ id: 'ClockMarkPage', description: 'A part of the clock marks of a series' });

export function toSegmentAnswer({ firstRow, rows, startNs, endNs }: DataSpan) {
  return {
    start: startNs.toString(),
    end: endNs.toString(),
    start_time: formatTime(startNs),
    end_time: formatTime(endNs),
    rows,
    first_row: firstRow,
  };
}

export function toMarkAnswer(mark: ClockMark) {
  return { row: mark.row, time: mark.ns.toString() };
}
