/** Fewer rows than all on the wire: overviews, lines, aggregates, and the newest rows. */
import { z } from 'zod';
import { AGGREGATES, EVERY_FORMS, FILLS, parseEvery } from '../../core/overview/aggregate-span.ts';
import { MAX_LATEST_ROWS } from '../../flows/read/latest-read.ts';
import { BUCKET_FORMATS } from '../../flows/overview/print-overview.ts';
import { MAX_POINTS } from '../../flows/overview/read-overview.ts';
import type { WantedBuckets } from '../../flows/overview/overview-service.ts';
import { clockTimesParameter, readQuery, refineUnit } from './samples-schema.ts';
import { queryInteger, timeZone, uuid } from './scalars.ts';

const { start, end, channels, physical, unit, epoch, orient, format } = readQuery.shape;
const chosen = { channels, 'channels[]': readQuery.shape['channels[]'] };
const range = {
  start,
  end,
  ...chosen,
  physical,
  unit,
  format: z.enum(BUCKET_FORMATS).optional().meta({ description: 'Instead of the Accept header' }),
};

const points = queryInteger(
  1,
  MAX_POINTS,
  'Answer so many buckets of equal spans of time, each with minimum, maximum and mean',
);
const method = z.enum(['buckets', 'lttb']).default('buckets').meta({
  description:
    'With points. lttb: a line of so many points of one channel that looks like all of them (largest triangle, three buckets)',
});
export const every = z
  .string()
  .transform((text, context) => {
    const span = parseEvery(text);
    if (!span) {
      context.addIssue({ code: 'custom', message: EVERY_FORMS });
      return z.NEVER;
    }
    return span;
  })
  .meta({
    description: `Answer aggregates of buckets of this span: a whole number and a unit. The unit is ns, us, ms, s, m or h, or d, w (from Monday), mo or y of the calendar of tz.
A day begins at the first instant at which the clock of tz shows midnight or later, so every row is in one day.
ns to h are elapsed time. A span that divides 24 h begins anew at each local midnight, so the last bucket of a day may be shorter.
Other spans are counted from local midnight of 1970-01-01. The first and the last bucket have only rows of the range`,
    example: '1m',
  });
const agg = z
  .string()
  .transform((text, context) => {
    const names = [...new Set(text.split(',').map((each) => each.trim()))];
    const known = AGGREGATES.filter((name) => names.includes(name));
    const unknown = names.find((name) => !(AGGREGATES as readonly string[]).includes(name));
    if (unknown !== undefined) {
      context.addIssue({ code: 'custom', message: `${JSON.stringify(unknown)} is none of ${AGGREGATES.join(', ')}` });
      return z.NEVER;
    }
    return known;
  })
  .meta({
    description: `With every: some of ${AGGREGATES.join(', ')}, comma-separated or repeated`,
    example: 'mean,max',
  });
const fill = z.enum(FILLS).default('none').meta({
  description:
    'With every: empty buckets are left out, or answered with null, the value before, or one on the line between their neighbours',
});
const tz = timeZone
  .default('UTC')
  .meta({ description: 'With every: whose midnights, weeks, months and years count', example: 'Europe/Berlin' });
const latest = queryInteger(
  1,
  MAX_LATEST_ROWS,
  'Answer the newest rows, so many, in order of time. Excludes start, end, rows and limit',
);

export function refineRange(
  query: { start?: bigint; end?: bigint; physical?: boolean; unit?: string },
  context: Pick<z.RefinementCtx, 'addIssue'>,
): void {
  const { start: from, end: to } = query;
  refineUnit(query, context);
  if (from === undefined || to === undefined || from <= to) return;
  context.addIssue({ code: 'custom', path: ['start'], message: 'is after end' });
  context.addIssue({ code: 'custom', path: ['end'], message: 'is before start' });
}

export const pointsQuery = z.strictObject({ ...range, points, method }).superRefine(refineRange);
export const everyQuery = z.strictObject({ ...range, every, agg, fill, tz }).superRefine(refineRange);
export const latestQuery = z
  .strictObject({ latest, ...chosen, physical, unit, format, epoch, time: clockTimesParameter, orient })
  .superRefine(refineUnit);

/** Parameters that each choose another kind of answer, and those that none of these takes. */
export const ANSWER_KINDS = ['points', 'every', 'latest'] as const;
export const NOT_WITH = ['rows', 'limit', 'skip', 'count'] as const;

/** Everything that a read may be asked, as the document shows it. */
export const anyReadQuery = z.strictObject({
  ...readQuery.shape,
  points: points.optional(),
  method: method.optional(),
  every: every.optional(),
  agg: agg.optional(),
  fill: fill.optional(),
  tz: tz.optional(),
  latest: latest.optional(),
});

export function toWantedPoints(query: z.output<typeof pointsQuery>): WantedBuckets {
  return { by: query.method === 'lttb' ? 'line' : 'points', points: query.points };
}

export function toWantedEvery(query: z.output<typeof everyQuery>): WantedBuckets {
  return { by: 'every', every: query.every, zone: query.tz, aggregates: query.agg, fill: query.fill };
}

const number = z.union([z.number(), z.string()]).nullable();
const timeList = z.array(z.string()).meta({ description: 'Integer nanoseconds UTC' });
const aboutChannel = {
  label: z.string().meta({ description: 'Label of the channel' }),
  unit: z.string().nullable().meta({ description: 'Unit of the values; null: nobody has said one' }),
};

const ofSeries = uuid.meta({ description: 'Id of the series' });

export const bucketsAnswer = z
  .object({
    series: ofSeries,
    buckets: z
      .object({
        start: timeList.meta({ description: 'When each begins: integer nanoseconds UTC' }),
        end: timeList.meta({ description: 'When each ends, exclusive' }),
        count: z
          .array(z.int())
          .meta({ description: 'Values that are neither NaN nor missing, of the channel that has most' }),
      })
      .meta({ description: 'Where the buckets lie in time, and what is in them' }),
    channels: z
      .array(
        z.looseObject({
          ...aboutChannel,
          min: z.array(number).optional().meta({ description: 'Smallest value of each bucket' }),
          max: z.array(number).optional().meta({ description: 'Largest value of each bucket' }),
          mean: z.array(number).optional().meta({ description: 'Arithmetic mean of each bucket' }),
        }),
      )
      .meta({ description: 'With each aggregate that was asked for by its name' }),
  })
  .meta({
    id: 'Buckets',
    description:
      'One list an aggregate and channel, one value a bucket; null where a bucket has none. Integers past 2^53 are strings',
  });

export const lineAnswer = z
  .object({
    series: ofSeries,
    channels: z.array(z.object(aboutChannel)).meta({ description: 'The one that was chosen' }),
    times: timeList,
    orient: z.literal('channels').meta({ description: 'How values lie' }),
    values: z.array(z.array(number)).meta({ description: 'One list a channel, one value a time' }),
  })
  .meta({ id: 'Line', description: 'A line of fewer points that looks like all of them' });

export const BUCKETS_DESCRIPTION = `With \`points\`, \`every\` or \`latest\`, less than all rows is answered.

**points=N**: N buckets of equal spans of the range, or of the part of it that has data.
In a regular series a border between two buckets is moved back to where cells of a summary begin, by at most half a bucket.
In an irregular series of more than 1,048,576 rows, a border is moved to where a cell begins, which a compaction may change.
Where rows have no summary, it is moved to where a chunk begins, by at most two buckets. A bucket may then be empty and have no length.
\`start\` and \`end\` of a bucket tell where it really lies, and its minimum, maximum, mean and count are exact for that span.
At a gap a border stays where it is; if there are very many gaps, at the longest ones.
Expired samples are known by summaries alone, and so are the ends of the range there. The cost follows N, not the rows.

**points=N&method=lttb**: a line of at most N points. They are chosen from the minimum and the maximum of 2 N buckets.
Where summaries answer, a point has the time of its cell, so after a flush or a compaction others may be chosen.
The first and the last row are always among the points. So are the rows on either side of each gap, if N is large enough.
A line is broken by a gap, by rows that were removed, or by a bucket that has no value. A point without a value lies there, and counts as one.
It is null or NaN; in npy of integers it is the missing value, or it is left out.

**every=…&agg=…**: exact for exactly the rows of each bucket. \`std\` is that of a sample (n − 1).
Sums of integers have every digit, as text past 2^53; Arrow and npy have them as float64. The mean lies within minimum and maximum.
Expired samples are known by summaries, whose cells count in the bucket in which they begin. \`first\` and \`last\` are not known there.

Counts, minima and maxima are the same wherever rows lie, and so are sums and means of integers.
After a flush or a compaction, means of floats may differ by at most 2^-50 of the largest magnitude in the bucket.
Sums may differ by that times the count, and \`std\` by that and 2^-40 of itself (2^-23 where samples have expired). So the \`ETag\` of all these answers is weak, in every format.

**latest=N**: the newest N rows, in order of time.`;
