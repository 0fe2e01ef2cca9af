/** Samples on the wire: the parameters of appends, edits and reads, and what they answer. */
import { z } from 'zod';
import type { WantedChannel } from '../../core/signal/choose-channels.ts';
import { invalidField } from '../../core/errors.ts';
import { openRange } from '../../core/time.ts';
import type { SampleSelection } from '../../flows/read/read-service.ts';
import { EPOCH_UNITS } from '../../formats/text/epoch-text.ts';
import { ORIENTS } from '../../formats/samples/json.ts';
import type { AnswerFormatName, Spelling } from '../../formats/samples/wire-formats.ts';
import { ANSWER_FORMATS } from '../body/negotiate.ts';
import { bodyTime, queryBoolean, queryBound, queryInteger, queryTime, unit, uuid } from './scalars.ts';

const MAX_SOURCE_CHARS = 255;

/** A whole number of 64 bits: counters, but also clocks in nanoseconds, are used to tell one append from the next. */
const sequenceNumber = z
  .string()
  .transform((text, context) => {
    const value = /^-?\d{1,19}$/.test(text) ? BigInt(text) : null;
    if (value === null || BigInt.asIntN(64, value) !== value) {
      context.addIssue({ code: 'custom', message: 'must be a whole number of at most 64 bits' });
      return z.NEVER;
    }
    return value;
  })
  .meta({
    description: 'Number of this append among those of its source: the two together are an idempotency key',
    override: { type: 'integer', format: 'int64' },
  });

const source = z.string().min(1).max(MAX_SOURCE_CHARS).optional();
const SOURCE_EXAMPLE = 'logger-7';

const keyParameters = {
  source: source.meta({
    description: 'Who sends; with sequence, instead of an Idempotency-Key',
    example: SOURCE_EXAMPLE,
  }),
  sequence: sequenceNumber.optional(),
};

/** The source of a request with many items, which have sequence numbers each. */
export const sourceParameter = source.meta({
  description: 'Who sends; each item has a `sequence` then, and the two together are its idempotency key',
  example: SOURCE_EXAMPLE,
});

/** Which channels are wanted. */
export const channelParameters = {
  channels: z
    .string()
    .optional()
    .meta({ description: 'Labels or 0-based numbers, comma-separated or repeated', example: 'MLII,V5' }),
  'channels[]': z
    .array(z.string())
    .optional()
    .meta({
      description: 'One label each, as it is, commas and all; after those of channels',
      example: ['left, rear'],
    }),
};

/** How times on rows of regular series are heard. */
export const gapRule = z
  .enum(['likely', 'exact'])
  .optional()
  .meta({
    description:
      'How times on rows of a regular series are taken. `likely`, the default, refuses what looks like another rate, and rows go on within the tolerance. ' +
      '`exact` makes a gap wherever a row is not where the rate says, so that rows that were read can be appended as they were.',
  });

const appendParameters = z.strictObject({
  start: queryTime
    .optional()
    .meta({ description: 'Regular series: time of the first row, where the body does not say it' }),
  gaps: gapRule,
  ...keyParameters,
});

/** Checks that source and sequence come together. */
const refineKey = (
  { source, sequence }: { source?: string; sequence?: bigint },
  context: Pick<z.RefinementCtx, 'addIssue'>,
): void => {
  if ((source === undefined) === (sequence === undefined)) return;
  const [missing, given] = source === undefined ? ['source', 'sequence'] : ['sequence', 'source'];
  context.addIssue({ code: 'custom', path: [missing], message: `is needed with ${given}` });
};

/** Checks that a range has a length. */
const refineSampleRange = (
  { start, end }: { start?: bigint; end?: bigint },
  context: Pick<z.RefinementCtx, 'addIssue'>,
): void => {
  if (start !== undefined && end !== undefined && start >= end) {
    context.addIssue({ code: 'custom', path: ['end'], message: 'must be after start' });
  }
};

export const appendQuery = appendParameters.superRefine(refineKey);

export const replaceQuery = z
  .strictObject({
    start: queryBound.meta({ description: 'First time of the range, inclusive' }),
    end: queryBound.optional().meta({ description: 'Last time, exclusive; without it the range ends with the data' }),
    ...keyParameters,
  })
  .superRefine(refineKey)
  .superRefine(refineSampleRange);

/** Checks besides that one end at least is given: nobody should remove everything by accident. */
export const removeQuery = z
  .strictObject({
    start: queryBound
      .optional()
      .meta({ description: 'First time of the range, inclusive. One of start and end is needed' }),
    end: queryBound.optional().meta({ description: 'Last time, exclusive' }),
    ...keyParameters,
  })
  .superRefine(refineKey)
  .superRefine(refineSampleRange)
  .superRefine(({ start, end }, context) => {
    if (start !== undefined || end !== undefined) return;
    const message = 'one of start and end is needed: without either, all samples would be removed';
    for (const field of ['start', 'end']) context.addIssue({ code: 'custom', path: [field], message });
  });

/** A Python slice over rows, both ends optional. */
const rowSlice = z
  .string()
  .transform((text, context): { from?: number; to?: number } => {
    const match = /^(-?\d{1,15})?:(-?\d{1,15})?$/.exec(text);
    if (!match) {
      context.addIssue({ code: 'custom', message: 'must be a:b, half-open, as a Python slice' });
      return z.NEVER;
    }
    const [, from, to] = match.map((end) => (end === undefined ? undefined : Number(end)));
    // An end that counts from the back meets one that does not only where the length is known.
    if (from !== undefined && to !== undefined && from > to && from < 0 === to < 0) {
      context.addIssue({ code: 'custom', message: 'ends before it begins' });
    }
    return { ...(from !== undefined && { from }), ...(to !== undefined && { to }) };
  })
  .meta({
    description: 'Rows a:b, half-open; negative numbers count from the end, as in Python. Excludes start and end',
    example: '0:1000',
  });

export const clockTimesParameter = z.enum(['nominal', 'marks']).optional().meta({
  description:
    'Regular series: times on their grid (the default), or as their clock told them, between its marks evenly. Which rows are in a range the grid says',
});

/** Physical values in another unit. */
export const physicalUnit = unit.optional().meta({
  description:
    'Unit of the physical values, as UCUM writes it: they are converted. It implies physical. Refused where a channel measures something else',
  example: 'mV',
});

/** @throws nothing; adds an issue where raw values are asked for in a unit */
export function refineUnit(
  { physical, unit: wanted }: { physical?: boolean; unit?: string },
  context: Pick<z.RefinementCtx, 'addIssue'>,
): void {
  if (wanted === undefined || physical !== false) return;
  context.addIssue({ code: 'custom', path: ['unit'], message: 'is for physical values' });
}

/** Whether values are calibrated, and in which unit they are. */
export function toPhysicalWish({ physical, unit: wanted }: { physical?: boolean; unit?: string }): {
  readonly physical: boolean;
  readonly unit: string | null;
} {
  return { physical: physical ?? wanted !== undefined, unit: wanted ?? null };
}

const readParameters = z.strictObject({
  start: queryBound.optional().meta({ description: 'First time, inclusive' }),
  end: queryBound.optional().meta({ description: 'Last time, exclusive' }),
  rows: rowSlice.optional(),
  skip: queryInteger(
    1,
    Number.MAX_SAFE_INTEGER,
    'Part of a next link of an irregular series: rows with the time of start that came before',
  ).optional(),
  count: queryInteger(
    1,
    Number.MAX_SAFE_INTEGER,
    'Part of a next link of an irregular series: rows that are left of those asked for by rows',
  ).optional(),
  ...channelParameters,
  physical: queryBoolean
    .optional()
    .meta({ description: 'Scale and offset applied, as float64; NaN for the missing value' }),
  unit: physicalUnit,
  format: z.enum(ANSWER_FORMATS).optional().meta({ description: 'Instead of the Accept header' }),
  epoch: z.enum(EPOCH_UNITS).optional().meta({
    description:
      'CSV: times as numbers of this unit since 1970-01-01T00:00:00Z, with decimals where they are no whole ones, instead of RFC 3339',
  }),
  time: clockTimesParameter,
  orient: z.enum(ORIENTS).optional().meta({
    description: 'JSON: values as one list a row (the default), as a body has them, or one a channel',
  }),
  limit: queryInteger(
    1,
    Number.MAX_SAFE_INTEGER,
    'Most rows of this answer; the rest is behind the next link',
  ).optional(),
});

/** Checks that only one way to select is used, and that it runs forwards. */
export const readQuery = readParameters.superRefine((query, context) => {
  const { start, end, rows, skip, count } = query;
  refineUnit(query, context);
  if (skip !== undefined && start === undefined) {
    context.addIssue({ code: 'custom', path: ['skip'], message: 'needs start' });
  }
  if (rows && count !== undefined) context.addIssue({ code: 'custom', path: ['count'], message: 'excludes rows' });
  if (rows && (start !== undefined || end !== undefined)) {
    context.addIssue({ code: 'custom', path: ['rows'], message: 'excludes start and end' });
  }
  if (start !== undefined && end !== undefined && start > end) {
    context.addIssue({ code: 'custom', path: ['start'], message: 'is after end' });
    context.addIssue({ code: 'custom', path: ['end'], message: 'is before start' });
  }
});

export function toSelection({ start, end, rows, skip, count }: z.output<typeof readQuery>): SampleSelection {
  if (rows) return { by: 'rows', ...rows };
  return {
    by: 'time',
    ...openRange({ start, end }),
    ...(skip !== undefined && { startNs: start, skip }),
    ...(count !== undefined && { count }),
  };
}

/** @throws invalid-input for a parameter that is not for this format */
export function toSpelling({ epoch, orient }: z.output<typeof readQuery>, format: AnswerFormatName): Spelling {
  if (epoch !== undefined && format !== 'csv') throw invalidField('epoch', `is for csv; the answer would be ${format}`);
  if (orient !== undefined && format !== 'json')
    throw invalidField('orient', `is for json; the answer would be ${format}`);
  return { epoch, orient };
}

/** The parameters that make the selection again. */
export function fromSelection(selection: SampleSelection): Record<string, string> {
  if (selection.by === 'rows') return { rows: `${selection.from ?? ''}:${selection.to ?? ''}` };
  const { startNs: start, endNs: end, skip, count } = selection;
  const given = Object.entries({ start, end, skip, count }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [name, String(value)]));
}

/** Null: all. */
export function toChannels({
  channels: text,
  'channels[]': labels,
}: Pick<z.output<typeof readParameters>, 'channels' | 'channels[]'>): WantedChannel[] | null {
  if (text === undefined && labels === undefined) return null;
  const split = text === undefined ? [] : text.split(',').map((each) => each.trim());
  return [...split, ...(labels ?? []).map((label) => ({ label }))];
}

const value = z.union([z.number(), z.string()]).nullable().meta({
  description:
    'A number; integers past ±(2^53 − 1) as strings of their digits; null for NaN; "Infinity" and "-Infinity" as strings',
});

const orient = z.enum(ORIENTS);
const values = z.union([z.array(value), z.array(z.array(value))]);

/** For the document only: bodies of samples are read as a stream by the formats. */
export const samplesBody = z
  .object({
    values: values.meta({
      description: 'Rows × channels, of one channel a plain list. With `"orient": "channels"`, one list a channel',
    }),
    orient: orient.default('rows').meta({ description: 'How values lie' }),
    start: bodyTime
      .optional()
      .meta({ description: 'Regular series: time of the first row. Default: right after the newest' }),
    times: z
      .array(bodyTime.nullable())
      .optional()
      .meta({ description: 'One a row. Rows of a regular series need none; null: it has none' }),
  })
  .meta({
    id: 'NewSamples',
    description: 'Rows to be stored. An answer in JSON is such a body, too: it may be sent as it came',
    example: { values: [1, 2, 3] },
  });

export const samplesAnswer = z
  .object({
    series: uuid.meta({ description: 'Id of the series' }),
    first_row: z.int().nullable().meta({
      description:
        'Number of the first of these rows in the series; null: of an irregular one, whose rows have none that lasts',
    }),
    times: z.array(z.string()).meta({ description: 'Integer nanoseconds UTC, one a row' }),
    orient: orient.meta({ description: 'How values lie' }),
    values: values.meta({
      description: 'Rows × channels, of one channel a plain list. With `orient=channels`, one list a channel',
    }),
    next: z.string().nullable().meta({ description: 'Link to the rest, where the answer was cut at the limit' }),
  })
  .meta({
    id: 'Samples',
    description: 'Rows of a series',
    example: {
      series: '0198c5e0-7c3a-7b61-9d0e-1f5a2b3c4d5e',
      first_row: 0,
      times: ['1777626000000000000', '1777626000002777777'],
      orient: 'rows',
      values: [
        [12, 14],
        [13, 15],
      ],
      next: null,
    },
  });
