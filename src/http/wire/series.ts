/** Series on the wire: creation, change, search, answer. */
import { z } from 'zod';
import { CODECS } from '../../core/codec.ts';
import { DTYPE_NAMES, DTYPES, isBigDtype, type Dtype } from '../../core/dtype.ts';
import { formatRate, MAX_RATE_HZ, MIN_RATE_HZ, parseRate, rateHz } from '../../core/rate.ts';
import { jsonValueWriter } from '../../formats/number-text.ts';
import {
  CONTINUITIES,
  MAX_EXTERNAL_IDS,
  type LastValue,
  type NewSeries,
  type Sampling,
  type Series,
  type SeriesPatch,
} from '../../core/series.ts';
import { MAX_TAGS } from '../../core/tag-edit.ts';
import { formatTime } from '../../core/time.ts';
import { readUnit } from '../../flows/tag-units.ts';
import { channelAnswer, channelList, channels, labelled, scale } from './channels.ts';
import { provenance, provenancePatch } from './provenance.ts';
import { bodyTime, instant, name, numberOrDigits, timeOrNull, timeZone, unit, uuid } from './scalars.ts';
import { refineKeys, tagKey, tags, tagsAnswer, tagValue } from './tag-values.ts';

const MAX_DESCRIPTION_CHARS = 65_536;
const MAX_EXTERNAL_ID_CHARS = 500;

export const DEFAULT_PROJECT = 'default';

const description = z.string().max(MAX_DESCRIPTION_CHARS);
const continuity = z.enum(CONTINUITIES).meta({ description: 'What the signal does between two rows, as in NWB' });
const resolution = z.number().positive().meta({
  description: 'Smallest difference between two physical values that means anything',
});
const zoneLabel = timeZone.meta({
  description: 'Where it was recorded; times stay UTC',
  example: 'Europe/Berlin',
});
const externalId = z.string().min(1).max(MAX_EXTERNAL_ID_CHARS);

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
    continuity: continuity.nullable().default(null),
    resolution: resolution.nullable().default(null),
    missing_value: z
      .union([z.number(), z.string()], { error: 'must be a finite number, or digits of an integer' })
      .nullable()
      .default(null)
      .meta({
        description:
          'A stored value that stands for none: not counted, and NaN in physical values; raw ones have it as it is. Never changes. Integers past 2^53 as strings',
        example: -32768,
      }),
    time_zone: zoneLabel.nullable().default(null),
    external_ids: z
      .record(tagKey, externalId)
      .refine((value) => Object.keys(value).length <= MAX_EXTERNAL_IDS, `must be at most ${MAX_EXTERNAL_IDS}`)
      .superRefine(refineKeys)
      .default({})
      .meta({ description: 'What others call it, by who they are', example: { dandi: '000123' } }),
    provenance: provenance.default({}),
  })
  .superRefine(({ dtype, missing_value: given }, context) => {
    if (given === null || fitting(dtype, given) !== undefined) return;
    context.addIssue({ code: 'custom', path: ['missing_value'], message: `is no value of ${dtype}` });
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
      ? { kind: 'regular', rate: given.rate_hz, startNs: given.start ?? null }
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
  };
}

/** A JSON merge patch (RFC 7396): null removes a tag, an external id, a key of the provenance, the description, the unit and what else need not be said. */
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
      .superRefine(refineKeys)
      .optional(),
    continuity: continuity.nullable().optional(),
    resolution: resolution.nullable().optional(),
    time_zone: zoneLabel.nullable().optional(),
    external_ids: z.record(tagKey, externalId.nullable()).superRefine(refineKeys).optional(),
    provenance: provenancePatch.optional(),
  })
  .meta({ id: 'SeriesPatch', example: { tags: { species: 'mouse', anaesthetised: null } } });

export function toSeriesPatch({
  channels: listed,
  time_zone: timeZone,
  external_ids: externalIds,
  ...rest
}: z.output<typeof seriesPatch>): SeriesPatch {
  return { ...rest, timeZone, externalIds, ...(listed && { channels: labelled(listed) }) };
}

/** What an answer may have besides, if it is asked for. */
export const inclusion = z.enum(['last_value']).meta({ description: 'last_value: the newest row, time and values' });
export const includeQuery = z.strictObject({ include: inclusion.optional() });

const lastNumber = z.union([z.number(), z.string()]).nullable();

const lastValueAnswer = z
  .object({
    time: instant,
    row: z.int(),
    values: z.array(lastNumber).meta({ description: 'As stored, one a channel; spelled as in answers of samples' }),
    physical: z.array(lastNumber).meta({ description: 'Scale and offset applied' }),
  })
  .meta({
    id: 'LastValue',
    example: { time: '2026-05-01T09:10:00Z', row: 215_999, values: [1052, 987], physical: [0.14, -0.185] },
  });

const contentHashAnswer = z
  .object({
    values: z.string().meta({ description: 'Of the body of `GET …/samples?format=octet`; irregular: of its values' }),
    times: z.string().nullable().meta({ description: 'Irregular series: of the times, int64 ns; else null' }),
    rows: z.int(),
    commit: z.int().meta({ description: 'Of the samples that were hashed: older than `commit` if some have expired' }),
  })
  .meta({
    id: 'ContentHash',
    example: {
      values: 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      times: null,
      rows: 0,
      commit: 4711,
    },
  });

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
    unit_is_ucum: z.boolean().nullable().meta({
      description:
        'False: the unit, or that of a channel, is a text that UCUM does not know. Null: nobody has said a unit',
    }),
    continuity: z.enum(CONTINUITIES).nullable(),
    resolution: z.number().nullable(),
    missing_value: z.union([z.number(), z.string()]).nullable(),
    time_zone: z.string().nullable(),
    external_ids: z.record(z.string(), z.string()),
    provenance: z.record(z.string(), z.unknown()).meta({ description: 'As `Provenance` has it, and any other key' }),
    rows: z.int().meta({ description: 'Row numbers given out: the number of the next row' }),
    removed: z.int().meta({ description: 'Of these, rows that were removed since; the others keep their numbers' }),
    first_time: instant.nullable(),
    last_time: instant.nullable(),
    last_value: lastValueAnswer.nullable().optional().meta({ description: 'If asked for: the newest row' }),
    commit: z.int().meta({ description: 'Newest visible change of the samples' }),
    state: z.enum(['open', 'sealed']).meta({ description: 'sealed: takes no more samples' }),
    sealed_at: instant.nullable(),
    content_hash: contentHashAnswer.nullable().meta({ description: 'Of a sealed series, once it has been computed' }),
    version: z.int().meta({ description: 'Of the metadata' }),
    created_at: instant,
    updated_at: instant,
  })
  .meta({ id: 'Series' });

/** @param last undefined: was not asked for */
/** What is told of a change to who may not read. */
export const seriesReceipt = z
  .object({ id: uuid, version: z.int().meta({ description: 'Of the metadata' }) })
  .meta({ id: 'SeriesReceipt' });

export function toSeriesReceipt({ id, version }: Series): z.input<typeof seriesReceipt> {
  return { id, version };
}

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
        ? { kind: 'regular', rate_hz: rateHz(axis.rate), rate: formatRate(axis.rate), start: timeOrNull(axis.startNs) }
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
    numbers.map((value) => JSON.parse(jsonValueWriter(type)(value)) as z.input<typeof lastNumber>);
  return { time: formatTime(ns), row, values: spelled(dtype, values), physical: spelled('float64', physical) };
}

function areUcum(units: readonly (string | null | undefined)[]): boolean | null {
  const said = units.filter((each) => each !== null && each !== undefined);
  return said.length === 0 ? null : said.every((each) => readUnit(each) !== undefined);
}
