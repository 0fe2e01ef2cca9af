/** A question about many series on the wire. */
import { physicalUnit, toPhysicalWish } from './samples-schema.ts';
import { z } from 'zod';
import { AGGREGATES, FILLS, parseEvery } from '../../core/overview/aggregate-span.ts';
import { invalidField } from '../../core/errors.ts';
import { parseSort } from '../../core/tags/search-request.ts';
import { openRange } from '../../core/time.ts';
import { readExpression } from '../../core/tags/tag-tree.ts';
import { MAX_TABLE_SERIES } from '../../flows/series/choose-series.ts';
import { MAX_LATEST_ROWS } from '../../flows/read/latest-read.ts';
import type { WantedSeries } from '../../flows/series/series-service.ts';
import type { TableRequest, WantedTable } from '../../flows/table/table-service.ts';
import { readUnit } from '../../flows/series/tag-units.ts';
import { EPOCH_UNITS } from '../../formats/text/epoch-text.ts';
import { TABLE_FORMATS, type TableFormatName } from '../../formats/tables/table-formats.ts';
import { every, refineRange } from './overview-schema.ts';
import { bodyBound, timeZone, uuid } from './scalars.ts';

const LENGTH_FORMS = 'must be a whole number and a unit: ns, us, ms, s, m or h, such as 10ms';

/** A length of time in ns; 0 with a unit is no length. */
const length = z
  .string()
  .transform((text, context): bigint => {
    if (/^0(ns|us|ms|s|m|h)$/.test(text)) return 0n;
    const span = parseEvery(text);
    if (span?.kind === 'fixed') return span.ns;
    context.addIssue({ code: 'custom', message: LENGTH_FORMS });
    return z.NEVER;
  })
  .meta({ example: '10ms' });

const asOf = z
  .strictObject({
    clock: uuid.optional().meta({ description: 'A series: a row for each of its times. Excludes every' }),
    every: length
      .refine((ns) => ns > 0n, 'must be longer than nothing')
      .optional()
      .meta({ description: 'A row for each multiple of this, counted from 1970-01-01T00:00:00Z. Excludes clock' }),
    tolerance: length.meta({ description: 'How far away a row may be' }),
    direction: z.enum(['backward', 'forward', 'nearest']).default('backward').meta({
      description:
        'Which row counts: the last one at or before the time, the first one at or after it, or the nearer of the two',
    }),
  })
  .superRefine(({ clock, every: ticks }, context) => {
    if ((clock === undefined) === (ticks === undefined)) {
      const message = clock === undefined ? 'one of clock and every is needed' : 'excludes every';
      context.addIssue({ code: 'custom', path: ['clock'], message });
    }
  });

export const QUERY_EXAMPLES = {
  long: {
    summary: 'all rows of what a search finds',
    value: {
      where: {
        and: [
          { tag: 'species', eq: 'mouse' },
          { field: 'unit', eq: 'mV' },
        ],
      },
      start: '2026-05-01T09:00:00Z',
      end: '2026-05-01T09:10:00Z',
      physical: true,
      format: 'arrow-stream',
    },
  },
  buckets: {
    summary: 'one column for each series, aligned on hours',
    value: {
      where: { tag: 'room', eq: 'incubator-3' },
      start: '2026-05-01T00:00:00Z',
      end: '2026-05-08T00:00:00Z',
      form: 'wide',
      every: '1h',
      agg: ['mean'],
      fill: 'null',
      format: 'csv',
    },
  },
  as_of: {
    summary: 'side by side, at the times of one of them',
    value: {
      series: ['0198c5e0-0000-7000-8000-000000000001', '0198c5e0-0000-7000-8000-000000000002'],
      form: 'wide',
      as_of: { clock: '0198c5e0-0000-7000-8000-000000000001', tolerance: '500ms', direction: 'nearest' },
    },
  },
  latest: {
    summary: 'the newest value of each',
    value: { where: { tag: 'room', eq: 'incubator-3' }, latest: 1 },
  },
};

/** Fields that go with an alignment or without. */
const BUCKETS = ['agg', 'fill', 'tz'] as const;

export const queryBody = z
  .strictObject({
    series: z
      .array(uuid)
      .min(1)
      .max(MAX_TABLE_SERIES)
      .optional()
      .meta({ description: 'Ids, in the order in which the series are answered. Excludes where' }),
    where: z
      .unknown()
      .optional()
      .meta({
        override: { type: 'object' },
        description: `An expression as in \`POST /v1/series/search\`, that finds at most ${MAX_TABLE_SERIES} series. Excludes series`,
      }),
    sort: z.array(z.string()).default([]).meta({ description: 'With where: the order of the series' }),
    start: bodyBound.optional().meta({ description: 'First time, inclusive: RFC 3339, or integer nanoseconds UTC' }),
    end: bodyBound.optional().meta({ description: 'Last time, exclusive' }),
    channels: z
      .array(z.string().min(1))
      .min(1)
      .optional()
      .meta({ description: 'Labels or 0-based numbers, which each of the series must have. Default: all' }),
    physical: z
      .boolean()
      .optional()
      .meta({ description: 'Scale and offset applied, as float64; NaN for the missing value. Default: false' }),
    unit: physicalUnit,
    form: z.enum(['long', 'wide']).default('long').meta({
      description:
        'long: one row for each value (or bucket), with the series in a column. wide: one row for each time and one column for each channel of each series; needs every or as_of',
    }),
    every: every.optional(),
    agg: z
      .array(z.enum(AGGREGATES))
      .min(1)
      .optional()
      .meta({ description: 'With every', example: ['mean'] }),
    fill: z.enum(FILLS).optional().meta({ description: 'With every: what becomes of empty buckets. Default: none' }),
    tz: timeZone
      .optional()
      .meta({ description: 'With every: whose midnights, weeks, months and years count. Default: UTC' }),
    as_of: asOf.optional().meta({
      description: 'One row for each tick of a common clock, with the value that each series has there. Excludes every',
    }),
    latest: z
      .int()
      .min(1)
      .max(MAX_LATEST_ROWS)
      .optional()
      .meta({ description: 'The newest rows of each series, so many. Excludes start, end and limit' }),
    limit: z.int().min(1).optional().meta({ description: 'The first rows of each series in the range, so many' }),
    format: z.enum(TABLE_FORMATS).optional().meta({ description: 'Instead of the Accept header. npy: wide alone' }),
    epoch: z
      .enum(EPOCH_UNITS)
      .optional()
      .meta({ description: 'CSV: times as numbers of this unit, instead of RFC 3339' }),
  })
  .superRefine((body, context) => {
    const wrong = (field: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [field], message });
    refineRange(body, context);
    if (body.series === undefined && body.where === undefined) wrong('series', 'is required, or where');
    if (body.series !== undefined && body.where !== undefined) wrong('where', 'excludes series');
    if (body.where === undefined && body.sort.length > 0)
      wrong('sort', 'is for where; the order of series is their own');
    body.series?.forEach((id, index, ids) => {
      if (ids.indexOf(id) !== index)
        context.addIssue({ code: 'custom', path: ['series', index], message: 'is there twice' });
    });
    const kinds = (['every', 'as_of', 'latest', 'limit'] as const).filter((name) => body[name] !== undefined);
    for (const another of kinds.slice(1)) wrong(another, `excludes ${kinds[0]}`);
    if (body.form === 'wide' && body.every === undefined && body.as_of === undefined) {
      wrong('form', 'wide needs a common clock: every or as_of');
    }
    if (body.form === 'long' && body.as_of !== undefined) wrong('as_of', 'is for the wide form');
    if (body.every !== undefined && body.agg === undefined) wrong('agg', 'is required with every');
    for (const name of BUCKETS) if (body.every === undefined && body[name] !== undefined) wrong(name, 'is for every');
    for (const name of ['start', 'end'] as const) {
      if (body.latest !== undefined && body[name] !== undefined) wrong(name, 'excludes latest');
    }
  })
  .meta({ id: 'Query', description: 'Which series to read as one table, and how' });

type QueryBody = z.output<typeof queryBody>;

/** @throws invalid-input and unprocessable naming the field */
export function toTableRequest(body: QueryBody, format: TableFormatName): Omit<TableRequest, 'principal' | 'signal'> {
  const { start, end, channels, epoch } = body;
  if (epoch !== undefined && format !== 'csv') throw invalidField('epoch', `is for csv; the answer would be ${format}`);
  return {
    series: wantedSeries(body),
    ...openRange({ start, end }),
    channels: channels ?? null,
    ...toPhysicalWish(body),
    wanted: wantedTable(body),
    format,
    epoch,
  };
}

function wantedSeries({ series, where, sort }: QueryBody): WantedSeries {
  if (series) return { by: 'ids', ids: series };
  return {
    by: 'search',
    where: readExpression(where, 'where', readUnit),
    sort: parseSort(sort, (index) => `sort[${index}]`),
  };
}

function wantedTable(body: QueryBody): WantedTable {
  if (body.every) {
    return {
      by: 'buckets',
      isWide: body.form === 'wide',
      every: body.every,
      zone: body.tz ?? 'UTC',
      aggregates: AGGREGATES.filter((name) => body.agg!.includes(name)),
      fill: body.fill ?? 'none',
    };
  }
  if (body.as_of) {
    const { clock, every: everyNs, tolerance, direction } = body.as_of;
    return {
      by: 'as-of',
      clock: clock === undefined ? { everyNs: everyNs! } : { seriesId: clock },
      toleranceNs: tolerance,
      direction,
    };
  }
  if (body.latest !== undefined) return { by: 'newest', rows: body.latest };
  return { by: 'rows', most: body.limit ?? null };
}

const cell = z.union([z.number(), z.string()]).nullable();

export const tableAnswer = z
  .object({
    series: z
      .array(
        z.looseObject({
          id: uuid.meta({ description: 'Id of the series' }),
          project: z.string().meta({ description: 'Its project' }),
          name: z.string().meta({ description: 'Its name, unique in the project' }),
          unit: z.string().nullable().meta({ description: 'Unit of its values; null: nobody has said one' }),
          channels: z
            .array(
              z.object({
                label: z.string().meta({ description: 'Label of the channel' }),
                unit: z.string().nullable().meta({ description: 'Unit of its values' }),
              }),
            )
            .meta({ description: 'Those that were read' }),
        }),
      )
      .meta({ description: 'What was found, with its tags' }),
    columns: z
      .array(
        z.looseObject({
          name: z.string().meta({ description: 'Name of the column in data' }),
          type: z.string().meta({ description: 'Type of its values: a dtype, time or text' }),
        }),
      )
      .meta({ description: 'With unit, series, channel and aggregate where they have one' }),
    rows: z.int().meta({ description: 'Rows of the table' }),
    data: z.record(z.string(), z.array(cell)).meta({
      description:
        'One list for each column, by name: pandas.DataFrame(answer["data"]). Times are integer nanoseconds as strings; null where there is no value',
    }),
  })
  .meta({ id: 'Table', description: 'Many series as one table' });
