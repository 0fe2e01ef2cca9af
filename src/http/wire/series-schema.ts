/** Series on the wire: creation, change, search, answer. */
import { recordingWish, toRecordingWish } from './recordings-schema.ts';
import { z } from 'zod';
import { CODECS } from '../../core/signal/codec.ts';
import { DTYPE_NAMES, DTYPES, isBigDtype, type Dtype } from '../../core/numbers/dtype.ts';
import { formatRate, MAX_RATE_HZ, MIN_RATE_HZ, parseRate, rateHz } from '../../core/signal/rate.ts';
import { jsonValueWriter } from '../../formats/text/number-text.ts';
import {
  CONTINUITIES,
  DEFAULT_PROJECT,
  MAX_EXTERNAL_IDS,
  type LastValue,
  type NewSeries,
  type Sampling,
  type Series,
  type SeriesPatch,
} from '../../core/signal/series.ts';
import { MAX_TAGS } from '../../core/tags/tag-edit.ts';
import { formatTime } from '../../core/time.ts';
import { readUnit } from '../../flows/series/tag-units.ts';
import { channelAnswer, channelList, channels, labelled, scale } from './channels.ts';
import { provenance, provenancePatch } from './provenance-schema.ts';
import { bodyTime, float, instant, name, numberOrDigits, timeOrNull, timeZone, unit, uuid } from './scalars.ts';
import { refineKeys, tagKey, tags, tagsAnswer, tagValue } from './tag-values-schema.ts';

const MAX_DESCRIPTION_CHARS = 65_536;
const MAX_EXTERNAL_ID_CHARS = 500;

/** What fields are that are asked for, changed and answered. */
const ABOUT = {
  description: 'What it is, in words; searches with text look into it',
  dtype: 'Number type of the values; never changes',
  unit: 'Unit of the physical values: a UCUM code, or any text; null: nobody has said one',
  scale: 'physical = raw × scale + offset, where a channel does not say otherwise',
  offset: 'See scale',
  sampling: 'regular: evenly spaced rows, at a rate; irregular: a time on every row',
  codec: 'How its samples are compressed in shards of compaction',
  tags: 'What it is found by: texts, numbers, booleans, times, quantities, and lists of these',
  continuity: 'What the signal does between two rows, as in NWB',
  resolution: 'Smallest difference between two physical values that means anything',
  timeZone: 'Where it was recorded; times stay UTC',
  externalIds: 'What others call it, by who they are',
  recording: 'The recording that it belongs to, with what was taken together with it; null: to none',
};

const description = z.string().max(MAX_DESCRIPTION_CHARS);
const continuity = z.enum(CONTINUITIES);
const resolution = float(z.number().positive());
const zoneLabel = timeZone.meta({ example: 'Europe/Berlin' });
const externalId = z.string().min(1).max(MAX_EXTERNAL_ID_CHARS);

/** Largest tolerance, in samples. */
const MAX_START_TOLERANCE = 1_000_000;
const startTolerance = float(z.number().min(0).max(MAX_START_TOLERANCE));

const sampling = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({
      kind: z.literal('regular').meta({ description: 'Evenly spaced rows' }),
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
      start: bodyTime
        .optional()
        .meta({ description: 'Time of the first row. Default: the first append says it, or times are relative' }),
      start_tolerance: startTolerance.optional().meta({
        description:
          'How many samples the start of an append may be off from what the clock mark before lets expect. Default: half a sample, and what a clock adds that drifts by a thousandth, up to one',
        example: 0.5,
      }),
    }),
    z.strictObject({ kind: z.literal('irregular').meta({ description: 'A time on every row' }) }),
  ],
  { error: 'kind must be "regular" or "irregular"' },
);

export const seriesCreate = z
  .strictObject({
    name: name.meta({ description: 'Unique in the project; slashes make it a path' }),
    project: name.default(DEFAULT_PROJECT).meta({ description: 'The project that it belongs to' }),
    description: description.nullable().default(null).meta({ description: ABOUT.description }),
    dtype: z.enum(DTYPE_NAMES).meta({ description: ABOUT.dtype }),
    channels: channels
      .default(1)
      .meta({ description: 'The columns of the values: a count, or a list that describes each' }),
    unit: unit.nullable().default(null).meta({ description: ABOUT.unit }),
    scale: scale.default(1).meta({ description: ABOUT.scale }),
    offset: float(z.number()).default(0).meta({ description: ABOUT.offset }),
    sampling: sampling.meta({ description: ABOUT.sampling }),
    time_reference: z
      .enum(['utc', 'relative'])
      .optional()
      .meta({ description: 'Default: relative for a regular series without a start, else utc' }),
    duplicates: z
      .enum(['last', 'error', 'keep'])
      .default('last')
      .meta({ description: 'What happens to a row of an irregular series whose time is stored already' }),
    codec: z.enum(CODECS).default('gzip').meta({ description: ABOUT.codec }),
    tags: tags.default({}).meta({ description: ABOUT.tags }),
    continuity: continuity.nullable().default(null).meta({ description: ABOUT.continuity }),
    resolution: resolution.nullable().default(null).meta({ description: ABOUT.resolution }),
    missing_value: z
      .union([z.number(), z.string()], { error: 'must be a finite number, or digits of an integer' })
      .nullable()
      .default(null)
      .meta({
        description:
          'A stored value that stands for none: not counted, and NaN in physical values; raw ones have it as it is. Never changes. Integers past 2^53 as strings',
        example: -32768,
      }),
    time_zone: zoneLabel.nullable().default(null).meta({ description: ABOUT.timeZone }),
    external_ids: z
      .record(tagKey, externalId)
      .refine((value) => Object.keys(value).length <= MAX_EXTERNAL_IDS, `must be at most ${MAX_EXTERNAL_IDS}`)
      .superRefine(refineKeys)
      .default({})
      .meta({ description: ABOUT.externalIds, example: { dandi: '000123' } }),
    provenance: provenance.default({}),
    recording: recordingWish.nullable().default(null).meta({ description: ABOUT.recording }),
  })
  .superRefine(({ dtype, missing_value: given }, context) => {
    if (given === null || fitting(dtype, given) !== undefined) return;
    context.addIssue({ code: 'custom', path: ['missing_value'], message: `is no value of ${dtype}` });
  })
  .meta({
    id: 'NewSeries',
    description: 'A series to be created: one signal, of one or more channels',
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

/** As many as 64 bits need. */
const DIGITS = /^-?\d{1,20}$/;

/** The value as arrays of the dtype hold it; undefined for one that they do not. */
function fitting(dtype: Dtype, given: number | string): number | bigint | undefined {
  const { range } = DTYPES[dtype];
  if (typeof given === 'string' && !DIGITS.test(given)) return undefined;
  if (!range) {
    const value = dtype === 'float32' ? Math.fround(Number(given)) : Number(given);
    return Number.isFinite(value) ? value : undefined;
  }
  if (typeof given === 'number' && !Number.isSafeInteger(given)) return undefined;
  const value = BigInt(given);
  if (value < range.min || value > range.max) return undefined;
  return isBigDtype(dtype) ? value : Number(value);
}

/** What a client asked for, with every default applied. */
export function newSeries(body: z.output<typeof seriesCreate>): NewSeries {
  const { sampling: given, channels: listed, missing_value: missing } = body;
  const axis: Sampling =
    given.kind === 'regular'
      ? {
          kind: 'regular',
          rate: given.rate_hz,
          startNs: given.start ?? null,
          ...(given.start_tolerance !== undefined && { startTolerance: given.start_tolerance }),
        }
      : { kind: 'irregular' };
  return {
    project: body.project,
    name: body.name,
    description: body.description,
    dtype: body.dtype,
    channels: labelled(typeof listed === 'number' ? Array.from({ length: listed }, () => ({})) : listed),
    unit: body.unit,
    scale: body.scale,
    offset: body.offset,
    sampling: axis,
    timeReference: body.time_reference ?? (axis.kind === 'regular' && axis.startNs === null ? 'relative' : 'utc'),
    duplicates: body.duplicates,
    codec: body.codec,
    tags: body.tags,
    continuity: body.continuity,
    resolution: body.resolution,
    missingValue: missing === null ? null : fitting(body.dtype, missing)!,
    timeZone: body.time_zone,
    externalIds: body.external_ids,
    provenance: body.provenance,
    recording: body.recording && toRecordingWish(body.recording),
  };
}

/**
 * A JSON merge patch (RFC 7396). Null removes a tag, an external id, a key of the provenance, the description, the unit
 * and what else need not be said.
 */
export const seriesPatch = z
  .strictObject({
    name: name.optional().meta({ description: 'A new one, unique in the project' }),
    description: description.nullable().optional().meta({ description: ABOUT.description }),
    unit: unit.nullable().optional().meta({ description: ABOUT.unit }),
    scale: scale.optional().meta({ description: ABOUT.scale }),
    offset: float(z.number()).optional().meta({ description: ABOUT.offset }),
    channels: channelList.optional().meta({ description: 'All of them, in order; their number does not change' }),
    tags: z
      .record(tagKey, tagValue.nullable())
      .refine((value) => Object.keys(value).length <= MAX_TAGS, `must be at most ${MAX_TAGS} tags`)
      .superRefine(refineKeys)
      .optional()
      .meta({ description: 'Tags to set, by key; null removes one, the others stay' }),
    continuity: continuity.nullable().optional().meta({ description: ABOUT.continuity }),
    resolution: resolution.nullable().optional().meta({ description: ABOUT.resolution }),
    time_zone: zoneLabel.nullable().optional().meta({ description: ABOUT.timeZone }),
    external_ids: z
      .record(tagKey, externalId.nullable())
      .superRefine(refineKeys)
      .optional()
      .meta({ description: `${ABOUT.externalIds}; null removes one, the others stay` }),
    provenance: provenancePatch.optional(),
    sampling: z
      .strictObject({
        start_tolerance: startTolerance
          .nullable()
          .optional()
          .meta({ description: 'As at creation, for appends from now on; null: the default' }),
      })
      .optional()
      .meta({ description: 'Only for a regular series; nothing else of its sampling changes' }),
  })
  .meta({
    id: 'SeriesPatch',
    description: 'What is to be changed; what is not named stays',
    example: { tags: { species: 'mouse', anaesthetised: null } },
  });

export function toSeriesPatch({
  channels: listed,
  time_zone: timeZone,
  external_ids: externalIds,
  sampling,
  ...rest
}: z.output<typeof seriesPatch>): SeriesPatch {
  return {
    ...rest,
    timeZone,
    externalIds,
    startTolerance: sampling?.start_tolerance,
    ...(listed && { channels: labelled(listed) }),
  };
}

/** What an answer may have besides, if it is asked for. */
export const inclusion = z.enum(['last_value']).meta({ description: 'last_value: the newest row, time and values' });
export const includeQuery = z.strictObject({ include: inclusion.optional() });

const lastNumber = z.union([z.number(), z.string()]).nullable();

const lastValueAnswer = z
  .object({
    time: instant.meta({ description: 'Time of the row, as RFC 3339' }),
    row: z
      .int()
      .nullable()
      .meta({ description: 'Number of the row; null for an irregular series, whose rows have no lasting number' }),
    values: z.array(lastNumber).meta({ description: 'As stored, one a channel; spelled as in answers of samples' }),
    physical: z.array(lastNumber).meta({ description: 'Scale and offset applied' }),
  })
  .meta({
    id: 'LastValue',
    description: 'The newest row of a series',
    example: { time: '2026-05-01T09:10:00Z', row: 215_999, values: [1052, 987], physical: [0.14, -0.185] },
  });

const contentHashAnswer = z
  .object({
    values: z
      .string()
      .meta({ description: 'Hash of the body of `GET …/samples?format=octet`; for an irregular series of its values' }),
    times: z.string().nullable().meta({ description: 'Hash of the times of an irregular series, int64 ns; else null' }),
    rows: z.int().meta({ description: 'Rows that were hashed' }),
    commit: z
      .int()
      .meta({ description: 'Commit of the samples that were hashed: older than `commit` if some have expired' }),
  })
  .meta({
    id: 'ContentHash',
    description: 'SHA-256 of all samples of a series',
    example: {
      values: 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      times: null,
      rows: 0,
      commit: 4711,
    },
  });

export const seriesAnswer = z
  .object({
    id: uuid.meta({ description: 'Stays, whatever else changes' }),
    project: z.string().meta({ description: 'The project that it belongs to' }),
    name: z.string().meta({ description: 'Unique in the project' }),
    description: z.string().nullable().meta({ description: ABOUT.description }),
    dtype: z.enum(DTYPE_NAMES).meta({ description: ABOUT.dtype }),
    channels: z.array(channelAnswer).meta({ description: 'The columns of the values, in order' }),
    unit: z.string().nullable().meta({ description: ABOUT.unit }),
    scale: z.number().meta({ description: ABOUT.scale }),
    offset: z.number().meta({ description: ABOUT.offset }),
    sampling: z
      .discriminatedUnion('kind', [
        z.object({
          kind: z.literal('regular').meta({ description: 'Evenly spaced rows' }),
          rate_hz: z.number().meta({ description: 'Rows a second, as a decimal number' }),
          rate: z.string().meta({ description: 'Exact: num/den', example: '360/1' }),
          start: instant.nullable().meta({ description: 'Time of the first row; null: no append has said it' }),
          start_tolerance: z
            .number()
            .nullable()
            .meta({ description: 'Samples that the start of an append may be off; null: as it is by default' }),
        }),
        z.object({ kind: z.literal('irregular').meta({ description: 'A time on every row' }) }),
      ])
      .meta({ description: ABOUT.sampling }),
    time_reference: z
      .enum(['utc', 'relative'])
      .meta({ description: 'utc: times are instants; relative: they count from the start of the recording' }),
    duplicates: z
      .enum(['last', 'error', 'keep'])
      .meta({ description: 'What happens to a row of an irregular series whose time is stored already' }),
    codec: z.enum(CODECS).meta({ description: ABOUT.codec }),
    tags: tagsAnswer.meta({ description: ABOUT.tags }),
    unit_is_ucum: z.boolean().nullable().meta({
      description:
        'False: the unit, or that of a channel, is a text that UCUM does not know. Null: nobody has said a unit',
    }),
    continuity: z.enum(CONTINUITIES).nullable().meta({ description: ABOUT.continuity }),
    resolution: z.number().nullable().meta({ description: ABOUT.resolution }),
    missing_value: z
      .union([z.number(), z.string()])
      .nullable()
      .meta({ description: 'A stored value that stands for none: not counted, NaN in physical values' }),
    time_zone: z.string().nullable().meta({ description: ABOUT.timeZone }),
    external_ids: z.record(z.string(), z.string()).meta({ description: ABOUT.externalIds }),
    provenance: z.record(z.string(), z.unknown()).meta({ description: 'As `Provenance` has it, and any other key' }),
    recording: z
      .object({
        id: uuid.meta({ description: 'Id of the recording' }),
        name: z.string().meta({ description: 'Its name' }),
      })
      .nullable()
      .meta({ description: ABOUT.recording }),
    rows: z.int().meta({ description: 'Row numbers given out: the number of the next row' }),
    removed: z.int().meta({ description: 'How many of these rows were removed since; the others keep their numbers' }),
    first_time: instant.nullable().meta({ description: 'Time of the oldest row; null: there is none' }),
    last_time: instant.nullable().meta({ description: 'Time of the newest row; null: there is none' }),
    last_value: lastValueAnswer.nullable().optional().meta({ description: 'If asked for: the newest row' }),
    commit: z.int().meta({ description: 'Newest visible change of the samples' }),
    state: z.enum(['open', 'sealed']).meta({ description: 'sealed: takes no more samples' }),
    sealed_at: instant.nullable().meta({ description: 'When it was sealed; null: it is open' }),
    content_hash: contentHashAnswer
      .nullable()
      .meta({ description: 'Hash of a sealed series, once it has been computed' }),
    version: z.int().meta({ description: 'Version of the metadata: rises with each change of them' }),
    created_at: instant.meta({ description: 'When it was created' }),
    updated_at: instant.meta({ description: 'When its metadata were changed last' }),
  })
  .meta({ id: 'Series', description: 'One signal: what it is, and what there is of it' });

/** What is told of a change to who may not read. */
export const seriesReceipt = z
  .object({
    id: uuid.meta({ description: 'Id of the series' }),
    version: z.int().meta({ description: 'Version of the metadata' }),
  })
  .meta({ id: 'SeriesReceipt', description: 'What a token that may not read is told of a change' });

export function toSeriesReceipt({ id, version }: Series): z.input<typeof seriesReceipt> {
  return { id, version };
}

/** @param last undefined: was not asked for */
export function toSeriesAnswer(series: Series, last?: LastValue | null): z.input<typeof seriesAnswer> {
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
        ? {
            kind: 'regular',
            rate_hz: rateHz(axis.rate),
            rate: formatRate(axis.rate),
            start: timeOrNull(axis.startNs),
            start_tolerance: axis.startTolerance ?? null,
          }
        : { kind: 'irregular' },
    time_reference: series.timeReference,
    duplicates: series.duplicates,
    codec: series.codec,
    tags: series.tags,
    unit_is_ucum: areUcum([series.unit, ...series.channels.map((each) => each.unit)]),
    continuity: series.continuity,
    resolution: series.resolution,
    missing_value: numberOrDigits(series.missingValue),
    time_zone: series.timeZone,
    external_ids: series.externalIds,
    provenance: series.provenance,
    recording: series.recording,
    rows: series.rows,
    removed: series.removed,
    first_time: timeOrNull(series.firstNs),
    last_time: timeOrNull(series.lastNs),
    ...(last !== undefined && { last_value: last && toLastValue(series.dtype, last) }),
    commit: Number(series.commit),
    state: series.sealedAt ? 'sealed' : 'open',
    sealed_at: series.sealedAt?.toISOString() ?? null,
    content_hash: series.contentHash && { ...series.contentHash, commit: Number(series.contentHash.commit) },
    version: series.version,
    created_at: series.createdAt.toISOString(),
    updated_at: series.updatedAt.toISOString(),
  };
}

function toLastValue(dtype: Dtype, { ns, row, values, physical }: LastValue): z.input<typeof lastValueAnswer> {
  const spelled = (type: Dtype, numbers: readonly (number | bigint)[]): z.input<typeof lastNumber>[] =>
    numbers.map((value) => {
      // JSON.stringify, which writes the rest of the answer, makes 0 of negative zero: it is a text as infinity is one.
      return Object.is(value, -0) ? '-0.0' : (JSON.parse(jsonValueWriter(type)(value)) as z.input<typeof lastNumber>);
    });
  return { time: formatTime(ns), row, values: spelled(dtype, values), physical: spelled('float64', physical) };
}

function areUcum(units: readonly (string | null | undefined)[]): boolean | null {
  const said = units.filter((each) => each !== null && each !== undefined);
  return said.length === 0 ? null : said.every((each) => readUnit(each) !== undefined);
}
