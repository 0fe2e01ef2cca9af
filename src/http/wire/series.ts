/** Series on the wire: creation, change, search, answer. */
import { z } from 'zod';
import { CODECS } from '../../core/codec.ts';
import { DTYPE_NAMES } from '../../core/dtype.ts';
import { formatRate, MAX_RATE_HZ, MIN_RATE_HZ, parseRate, rateHz } from '../../core/rate.ts';
import type { Channel, NewSeries, Sampling, Series, SeriesPatch } from '../../core/series.ts';
import { MAX_TAG_LIST, MAX_TAGS } from '../../core/tag-edit.ts';
import { parseTime } from '../../core/time.ts';
import { bodyTime, freeObject, instant, name, timeOrNull, uuid } from './scalars.ts';

const MAX_CHANNELS = 65_536;
const MAX_TAG_KEY_CHARS = 200;
const MAX_TAG_TEXT_CHARS = 4096;
const MAX_TIME_CHARS = 64;
const MAX_LABEL_CHARS = 200;
const MAX_UNIT_CHARS = 200;
const MAX_DESCRIPTION_CHARS = 65_536;

export const DEFAULT_PROJECT = 'default';

const label = z
  .string()
  .min(1)
  .max(MAX_LABEL_CHARS)
  .refine((text) => !/\p{Cc}/u.test(text), 'must have no control characters')
  .refine((text) => text.trim() === text, 'must not start or end with a space');
const unit = z.string().min(1).max(MAX_UNIT_CHARS);
const description = z.string().max(MAX_DESCRIPTION_CHARS);
const scale = z.number().refine((value) => value !== 0, 'must not be 0');
const tagKey = z
  .string()
  .min(1)
  .max(MAX_TAG_KEY_CHARS)
  .refine((text) => !/\p{Cc}/u.test(text), 'must have no control characters');
const timeTag = z.strictObject({
  time: z
    .string()
    .max(MAX_TIME_CHARS)
    .refine((text) => parseTime(text) !== undefined && !/^[+-]?\d+$/.test(text.trim()), 'must be an RFC 3339 time'),
});
const quantityTag = z.strictObject({ value: z.number(), unit: z.string().min(1).max(MAX_UNIT_CHARS) });
const tagScalar = z.union([z.string().max(MAX_TAG_TEXT_CHARS), z.number(), z.boolean(), timeTag, quantityTag], {
  error: `must be a string of at most ${MAX_TAG_TEXT_CHARS} characters, a finite number, true, false, {"time": RFC 3339} or {"value": number, "unit": UCUM}`,
});
const tagValue = z.union([tagScalar, z.array(tagScalar).min(1).max(MAX_TAG_LIST).readonly()], {
  error: `must be a string of at most ${MAX_TAG_TEXT_CHARS} characters, a finite number, true, false, {"time": RFC 3339}, {"value": number, "unit": UCUM}, or a list of 1 to ${MAX_TAG_LIST} of these`,
});
const tags = z
  .record(tagKey, tagValue)
  .refine((value) => Object.keys(value).length <= MAX_TAGS, `must be at most ${MAX_TAGS} tags`);

/** Longest text about a channel. */
const MAX_CHANNEL_TEXT = 500;
const channelText = z.string().min(1).max(MAX_CHANNEL_TEXT);

const aboutChannel = {
  location: channelText.optional().meta({ description: 'Where it was taken', example: 'V1, layer 4' }),
  group: channelText.optional().meta({ description: 'What it belongs to', example: 'shank 2' }),
  filtering: channelText
    .optional()
    .meta({ description: 'As the amplifier applied it', example: 'HP:0.1Hz LP:75Hz N:50Hz' }),
  reference: channelText.optional().meta({ description: 'What it was taken against', example: 'A1' }),
  impedance_ohm: z.number().min(0).optional(),
  bad: z.boolean().optional().meta({ description: 'true: not to be used' }),
};

const channel = z
  .strictObject({
    label: label.optional().meta({ description: 'Default: ch0, ch1, …; of a single channel: value' }),
    unit: unit.optional(),
    scale: scale.optional(),
    offset: z.number().optional(),
    gain: z
      .number()
      .refine((value) => value !== 0, 'must not be 0')
      .optional()
      .meta({ description: 'Stored steps per physical unit, as WFDB says it: physical = (raw − baseline) / gain' }),
    baseline: z.number().optional(),
    ...aboutChannel,
    info: freeObject.optional().meta({ description: 'Anything else' }),
  })
  .refine((given) => given.gain === undefined || (given.scale === undefined && given.offset === undefined), {
    path: ['gain'],
    message: 'excludes scale and offset',
  })
  .refine((given) => given.baseline === undefined || given.gain !== undefined, {
    path: ['baseline'],
    message: 'needs gain',
  })
  .meta({ id: 'NewChannel' });

const channelList = z
  .array(channel)
  .min(1)
  .max(MAX_CHANNELS)
  .superRefine((list, context) => {
    const seen = new Map<string, number>();
    labelsOf(list).forEach((text, at) => {
      if (seen.has(text)) {
        const message = `is the label of channel ${seen.get(text)}, too`;
        context.addIssue({ code: 'custom', path: [at, 'label'], message });
      }
      seen.set(text, at);
    });
  });

const channels = z.union([z.int().min(1).max(MAX_CHANNELS), channelList], {
  error: `must be a count from 1 to ${MAX_CHANNELS} or a list of channels`,
});

const sampling = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({
      kind: z.literal('regular'),
      rate_hz: z
        .union([z.number(), z.string()], { error: 'must be a number of Hz or "num/den"' })
        .transform((value, context) => {
          const rate = parseRate(value);
          if (!rate) {
            const message = `must be a rate from ${MIN_RATE_HZ} to ${MAX_RATE_HZ} Hz: a number, or "num/den"`;
            context.addIssue({ code: 'custom', message });
            return z.NEVER;
          }
          return rate;
        })
        .meta({ description: 'Exact: a decimal number means itself, "30000/1001" is a fraction', example: 360 }),
      start: bodyTime.optional(),
    }),
    z.strictObject({ kind: z.literal('irregular') }),
  ],
  { error: 'kind must be "regular" or "irregular"' },
);

export const seriesCreate = z
  .strictObject({
    name,
    project: name.default(DEFAULT_PROJECT),
    description: description.nullable().default(null),
    dtype: z.enum(DTYPE_NAMES),
    channels: channels.default(1),
    unit: unit.nullable().default(null),
    scale: scale.default(1),
    offset: z.number().default(0),
    sampling,
    time_reference: z
      .enum(['utc', 'relative'])
      .optional()
      .meta({ description: 'Default: relative for a regular series without a start, else utc' }),
    duplicates: z
      .enum(['last', 'error', 'keep'])
      .default('last')
      .meta({ description: 'What happens to a row of an irregular series whose time is stored already' }),
    codec: z.enum(CODECS).default('gzip'),
    tags: tags.default({}),
    provenance: freeObject.default({}),
  })
  .meta({
    id: 'NewSeries',
    example: {
      name: 'mouse-12/ecg',
      dtype: 'int16',
      channels: [{ label: 'MLII', unit: 'mV' }, { label: 'V5' }],
      unit: 'mV',
      scale: 0.005,
      offset: -5.12,
      tags: {
        species: 'mouse',
        age_days: 61,
        anaesthetised: false,
        depth: { value: 300, unit: 'um' },
        implanted: { time: '2026-03-01T10:00:00Z' },
        stimulus: ['gratings', 'tones'],
      },
      sampling: { kind: 'regular', rate_hz: 360, start: '2026-05-01T09:00:00Z' },
    },
  });

/** What a client asked for, with every default applied. */
export function newSeries(body: z.output<typeof seriesCreate>): NewSeries {
  const { sampling: given, time_reference, channels: listed, ...rest } = body;
  const axis: Sampling =
    given.kind === 'regular'
      ? { kind: 'regular', rate: given.rate_hz, startNs: given.start ?? null }
      : { kind: 'irregular' };
  return {
    ...rest,
    channels: labelled(typeof listed === 'number' ? Array.from({ length: listed }, () => ({})) : listed),
    sampling: axis,
    timeReference: time_reference ?? (axis.kind === 'regular' && axis.startNs === null ? 'relative' : 'utc'),
  };
}

type UnlabelledChannel = Omit<Channel, 'label'> & { readonly label?: string };

function labelsOf(list: readonly UnlabelledChannel[]): string[] {
  return list.map((given, at) => given.label ?? (list.length === 1 ? 'value' : `ch${at}`));
}

function labelled(list: readonly UnlabelledChannel[]): Channel[] {
  const labels = labelsOf(list);
  return list.map((given, at) => ({ ...given, label: labels[at] }));
}

/** A JSON merge patch (RFC 7396): null removes a tag, the description or the unit. */
export const seriesPatch = z
  .strictObject({
    name: name.optional(),
    description: description.nullable().optional(),
    unit: unit.nullable().optional(),
    scale: scale.optional(),
    offset: z.number().optional(),
    channels: channelList.optional().meta({ description: 'All of them, in order; their number does not change' }),
    tags: z
      .record(tagKey, tagValue.nullable())
      .refine((value) => Object.keys(value).length <= MAX_TAGS, `must be at most ${MAX_TAGS} tags`)
      .optional(),
    provenance: freeObject.optional(),
  })
  .meta({ id: 'SeriesPatch', example: { tags: { species: 'mouse', anaesthetised: null } } });

export function toSeriesPatch({ channels: listed, ...rest }: z.output<typeof seriesPatch>): SeriesPatch {
  return { ...rest, ...(listed && { channels: labelled(listed) }) };
}

const tagScalarAnswer = z.union([
  z.string(),
  z.number(),
  z.boolean(),
  z.object({ time: z.string() }),
  z.object({ value: z.number(), unit: z.string() }),
]);
const tagValueAnswer = z.union([tagScalarAnswer, z.array(tagScalarAnswer).readonly()]).meta({ id: 'TagValue' });

const channelAnswer = z
  .object({
    label: z.string(),
    unit: z.string().optional(),
    scale: z.number().optional(),
    offset: z.number().optional(),
    gain: z.number().optional(),
    baseline: z.number().optional(),
    ...aboutChannel,
    info: z.record(z.string(), z.unknown()).optional(),
  })
  .meta({ id: 'Channel' });

export { tagKey, tagScalar, tagScalarAnswer, tags };
export const tagsAnswer = z.record(z.string(), tagValueAnswer);

export const seriesAnswer = z
  .object({
    id: uuid,
    project: z.string(),
    name: z.string(),
    description: z.string().nullable(),
    dtype: z.enum(DTYPE_NAMES),
    channels: z.array(channelAnswer),
    unit: z.string().nullable(),
    scale: z.number(),
    offset: z.number(),
    sampling: z.discriminatedUnion('kind', [
      z.object({
        kind: z.literal('regular'),
        rate_hz: z.number(),
        rate: z.string().meta({ description: 'Exact: num/den', example: '360/1' }),
        start: instant.nullable(),
      }),
      z.object({ kind: z.literal('irregular') }),
    ]),
    time_reference: z.enum(['utc', 'relative']),
    duplicates: z.enum(['last', 'error', 'keep']),
    codec: z.enum(CODECS),
    tags: tagsAnswer,
    provenance: z.record(z.string(), z.unknown()),
    rows: z.int().meta({ description: 'Row numbers given out: the number of the next row' }),
    removed: z.int().meta({ description: 'Of these, rows that were removed since; the others keep their numbers' }),
    first_time: instant.nullable(),
    last_time: instant.nullable(),
    commit: z.int().meta({ description: 'Newest visible change of the samples' }),
    version: z.int().meta({ description: 'Of the metadata' }),
    created_at: instant,
    updated_at: instant,
  })
  .meta({ id: 'Series' });

export function toSeriesAnswer(series: Series): z.input<typeof seriesAnswer> {
  const { sampling: axis } = series;
  return {
    id: series.id,
    project: series.project,
    name: series.name,
    description: series.description,
    dtype: series.dtype,
    channels: series.channels.map((each) => ({ ...each })),
    unit: series.unit,
    scale: series.scale,
    offset: series.offset,
    sampling:
      axis.kind === 'regular'
        ? { kind: 'regular', rate_hz: rateHz(axis.rate), rate: formatRate(axis.rate), start: timeOrNull(axis.startNs) }
        : { kind: 'irregular' },
    time_reference: series.timeReference,
    duplicates: series.duplicates,
    codec: series.codec,
    tags: series.tags,
    provenance: series.provenance,
    rows: series.rows,
    removed: series.removed,
    first_time: timeOrNull(series.firstNs),
    last_time: timeOrNull(series.lastNs),
    commit: Number(series.commit),
    version: series.version,
    created_at: series.createdAt.toISOString(),
    updated_at: series.updatedAt.toISOString(),
  };
}
