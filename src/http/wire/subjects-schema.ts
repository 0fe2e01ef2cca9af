/** Subjects on the wire: open to any key; those that are known have a shape. No message repeats a value. */
import { z } from 'zod';
import type { StoredSubject } from '../../flows/series/subject-service.ts';
import { readUnit } from '../../flows/series/tag-units.ts';
import { freeObject, instant, fitsBytes, MAX_OBJECT_BYTES, name, queryInteger } from './scalars.ts';

const MAX_TEXT_CHARS = 500;
const MAX_DESCRIPTION_CHARS = MAX_OBJECT_BYTES;
const MAX_PAGE = 200;
const DEFAULT_PAGE = 50;
/** The dimension of mass in UCUM. */
const MASS = readUnit('g')!.dimension;

const text = z.string().min(1).max(MAX_TEXT_CHARS);

export const subjectId = name.meta({
  description: 'As `subject` of provenance has it: a pseudonym, for it stays in series, and is in addresses and logs',
  example: 'm-12',
});

const EXAMPLE = {
  species: 'Mus musculus',
  sex: 'F',
  strain: 'C57BL/6J',
  date_of_birth: '2026-01-17',
  weight: { value: 23.5, unit: 'g' },
  litter: 4,
};

export const subjectBody = z
  .looseObject({
    species: text.optional().meta({ description: 'Best its Latin name' }),
    sex: text.optional().meta({ description: 'Such as F, M, U (unknown) or O (other), as in NWB' }),
    strain: text.optional().meta({ description: 'Strain of an animal' }),
    genotype: text.optional().meta({ description: 'What was changed in it' }),
    date_of_birth: z.iso.date('must be a date such as 2026-01-17').optional().meta({ description: 'A day' }),
    age: text.optional().meta({ description: 'ISO 8601 duration, or in words', example: 'P90D' }),
    weight: z
      .looseObject({
        value: z.number().positive().meta({ description: 'In the unit' }),
        unit: z
          .string()
          .refine((code) => readUnit(code)?.dimension === MASS, 'must be a UCUM unit of mass, such as g or kg')
          .meta({ description: 'A UCUM unit of mass' }),
      })
      .optional()
      .meta({ description: 'At the time of the recordings' }),
    handedness: text.optional().meta({ description: 'Which hand it prefers' }),
    description: z.string().max(MAX_DESCRIPTION_CHARS).optional().meta({ description: 'Anything else, in words' }),
  })
  .refine((value) => fitsBytes(value, MAX_OBJECT_BYTES), `must have at most ${MAX_OBJECT_BYTES} bytes of JSON`)
  .meta({ id: 'NewSubject', description: 'Any key may be given; these have a shape', example: EXAMPLE });

export const subjectAnswer = z
  .object({
    project: z.string().meta({ description: 'Its project' }),
    id: z.string().meta({ description: 'What series call it in their provenance' }),
    content: freeObject.meta({ description: 'What is known of it, as it was set' }),
    updated_at: instant.meta({ description: 'When it was set' }),
  })
  .meta({
    id: 'Subject',
    description: 'What is known of a subject',
    example: { project: 'sleep-lab', id: 'm-12', content: EXAMPLE, updated_at: '2026-05-01T09:00:00.000Z' },
  });

export const subjectQuery = z.strictObject({
  limit: queryInteger(1, MAX_PAGE, `Subjects of a page; default ${DEFAULT_PAGE}`).default(DEFAULT_PAGE),
  cursor: z.string().optional().meta({ description: 'From the link to the next page' }),
});

/** Where a page ended: the identifier of its last subject. */
export const subjectPosition = z.string();

export const subjectPage = z
  .object({
    items: z.array(subjectAnswer).meta({ description: 'By identifier' }),
    next: z.string().nullable().meta({ description: 'Link to the next page; null on the last' }),
  })
  .meta({ id: 'Subjects', description: 'A part of the subjects of a project' });

export function toSubjectAnswer(
  project: string,
  { id, content, updatedAt }: StoredSubject,
): z.input<typeof subjectAnswer> {
  return { project, id, content, updated_at: updatedAt.toISOString() };
}
