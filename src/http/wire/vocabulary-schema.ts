/** Vocabularies on the wire. */
import { z } from 'zod';
import { TAG_TYPES } from '../../core/tags/vocabulary.ts';
import type { StoredVocabulary } from '../../flows/series/metadata-service.ts';
import { instant, uuid } from './scalars.ts';
import { refineKeys, tagKey, tagScalar, tagScalarAnswer } from './tag-values-schema.ts';

const MAX_KEYS = 1000;
const MAX_VALUES = 1000;
const MAX_UNIT_CHARS = 200;

const keyRule = z
  .strictObject({
    type: z.enum(TAG_TYPES).nullable().default(null).meta({ description: 'Type of each value; null: any' }),
    unit: z
      .string()
      .min(1)
      .max(MAX_UNIT_CHARS)
      .nullable()
      .default(null)
      .meta({ description: 'Unit of quantities: any unit that compares with this one' }),
    values: z
      .array(tagScalar)
      .min(1)
      .max(MAX_VALUES)
      .nullable()
      .default(null)
      .meta({ description: 'What each value may be; null: anything' }),
    required: z.boolean().default(false).meta({ description: 'Whether every new series must have the tag' }),
  })
  .superRefine(({ type, unit, values }, context) => {
    if (unit !== null && type !== 'quantity') {
      context.addIssue({ code: 'custom', path: ['unit'], message: 'needs the type quantity' });
    }
    values?.forEach((value, at) => {
      if (type === null || type === typeOf(value)) return;
      context.addIssue({ code: 'custom', path: ['values', at], message: `must be of the type ${type}` });
    });
  });

function typeOf(value: z.output<typeof tagScalar>): string {
  if (typeof value !== 'object') return typeof value;
  return 'time' in value ? 'time' : 'quantity';
}

export const vocabularyBody = z
  .strictObject({
    closed: z.boolean().default(false).meta({ description: 'Refuse keys that are not named' }),
    keys: z
      .record(tagKey, keyRule)
      .refine((keys) => Object.keys(keys).length <= MAX_KEYS, `must be at most ${MAX_KEYS} keys`)
      .superRefine(refineKeys)
      .meta({ description: 'Rules by the key of the tag' }),
  })
  .meta({
    id: 'NewVocabulary',
    description: 'Which tags the series of a project may and must have',
    example: {
      closed: true,
      keys: {
        species: { type: 'string', values: ['mouse', 'rat'], required: true },
        depth: { type: 'quantity', unit: 'mm' },
        born: { type: 'time' },
      },
    },
  });

const stored = {
  project: z.string().meta({ description: 'Whose series it is for' }),
  closed: z.boolean().meta({ description: 'Whether keys that are not named are refused' }),
  keys: z
    .record(
      z.string(),
      z.object({
        type: z.enum(TAG_TYPES).nullable().meta({ description: 'Type of each value; null: any' }),
        unit: z.string().nullable().meta({ description: 'Unit of quantities: any unit that compares with this one' }),
        values: z.array(tagScalarAnswer).nullable().meta({ description: 'What each value may be; null: anything' }),
        required: z.boolean().meta({ description: 'Whether every new series must have the tag' }),
      }),
    )
    .meta({ description: 'Rules by the key of the tag' }),
  updated_at: instant.meta({ description: 'When it was set' }),
};

export const vocabularyAnswer = z
  .object(stored)
  .meta({ id: 'Vocabulary', description: 'Which tags the series of a project may and must have' });

export const storedVocabularyAnswer = z
  .object({
    ...stored,
    unfit: z
      .object({
        series: z.int().meta({ description: 'How many do not fit' }),
        sample: z.array(uuid).meta({ description: 'Ids of the first of them' }),
      })
      .meta({ description: 'Series of the project that do not fit, and the first of them; they stay as they are' }),
  })
  .meta({ id: 'StoredVocabulary', description: 'A vocabulary, and the series that do not fit it' });

export function toVocabularyAnswer(
  project: string,
  { closed, keys, updatedAt }: StoredVocabulary,
): z.input<typeof vocabularyAnswer> {
  const rules = Object.entries(keys).map(([key, { type, unit, values, required }]) => {
    return [key, { type, unit, values: values && [...values], required }] as const;
  });
  return { project, closed, keys: Object.fromEntries(rules), updated_at: updatedAt.toISOString() };
}
