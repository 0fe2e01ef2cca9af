/** Keys and values of tags on the wire. */
import { z } from 'zod';
import { queryInteger } from './scalars.ts';
import { tagScalarAnswer } from './tag-values-schema.ts';

const MAX_ITEMS = 200;
const DEFAULT_ITEMS = 50;
/** As many as a value is known by in the index. */
const MAX_PREFIX_CHARS = 256;

export const tagQuery = z.strictObject({
  project: z.string().optional().meta({ description: 'Only of series of this project' }),
  prefix: z.string().max(MAX_PREFIX_CHARS).default('').meta({ description: 'What the key, or the text, begins with' }),
  limit: queryInteger(1, MAX_ITEMS, `Items of a page; default ${DEFAULT_ITEMS}`).default(DEFAULT_ITEMS),
  cursor: z.string().optional().meta({ description: 'From the link to the next page' }),
});

export const tagPosition = z
  .string()
  .max(2000)
  .refine((text) => !text.includes('\0'));

const counted = {
  count: z.int().meta({ description: 'Series that have it' }),
  estimated: z
    .literal(true)
    .optional()
    .meta({ description: 'The count is what Postgres reckons: it is too large to be counted' }),
};
const next = z.string().nullable().meta({ description: 'Link to the next page; null on the last' });

export const tagKeyPage = z
  .object({
    items: z
      .array(
        z.object({
          key: z.string().meta({ description: 'Key of the tag' }),
          types: z
            .array(z.enum(['string', 'number', 'boolean', 'time', 'quantity']))
            .meta({ description: 'Which its values have' }),
          ...counted,
        }),
      )
      .meta({ description: 'In alphabetical order' }),
    next,
  })
  .meta({
    id: 'TagKeyPage',
    description: 'A part of the keys of tags',
    example: { items: [{ key: 'species', types: ['string'], count: 120 }], next: null },
  });

export const tagValuePage = z
  .object({
    key: z.string().meta({ description: 'Key of the tag' }),
    items: z
      .array(z.object({ value: tagScalarAnswer.meta({ description: 'The value, in its type' }), ...counted }))
      .meta({ description: 'Texts by code point, numbers by size' }),
    next,
  })
  .meta({
    id: 'TagValuePage',
    description: 'A part of the values of a tag',
    example: {
      key: 'species',
      items: [
        { value: 'mouse', count: 90 },
        { value: 'rat', count: 30 },
      ],
      next: null,
    },
  });
