/** Tags on the wire. */
import { z } from 'zod';
import { repeatedName } from '../../core/same-name.ts';
import { MAX_TAG_LIST, MAX_TAGS } from '../../core/tags/tag-edit.ts';
import { parseTime } from '../../core/time.ts';
import { longIntegerText, unit } from './scalars.ts';

const MAX_TAG_KEY_CHARS = 200;
const MAX_TAG_TEXT_CHARS = 4096;
const MAX_TIME_CHARS = 64;

export const tagKey = z
  .string()
  .min(1)
  .max(MAX_TAG_KEY_CHARS)
  .refine((text) => !/\p{Cc}/u.test(text), 'must have no control characters')
  // No object of JavaScript can be trusted to have it.
  .refine((text) => text !== '__proto__', 'is not possible');

/** Checks that no key of an object is there in two spellings. */
export const refineKeys = (value: object, context: Pick<z.RefinementCtx, 'addIssue'>): void => {
  const keys = Object.keys(value);
  const repeated = keys[repeatedName(keys)];
  if (repeated === undefined) return;
  const message = 'is there twice: spellings that look alike are one name';
  context.addIssue({ code: 'custom', path: [repeated], message });
};
const timeTag = z.strictObject({
  time: z
    .string()
    .max(MAX_TIME_CHARS)
    .refine((text) => parseTime(text) !== undefined && !/^[+-]?\d+$/.test(text.trim()), 'must be an RFC 3339 time')
    .meta({ description: 'An instant, as RFC 3339' }),
});
const quantityTag = z.strictObject({
  value: z
    .union([z.number(), longIntegerText], { error: 'must be a finite number, or the digits of an integer past 2^53' })
    .meta({ description: 'How much, in the unit' }),
  unit: unit.meta({ description: 'A UCUM code' }),
});
export const tagScalar = z.union([z.string().max(MAX_TAG_TEXT_CHARS), z.number(), z.boolean(), timeTag, quantityTag], {
  error: `must be a string of at most ${MAX_TAG_TEXT_CHARS} characters, a finite number, true, false, {"time": RFC 3339} or {"value": number, "unit": UCUM}`,
});
export const tagValue = z.union([tagScalar, z.array(tagScalar).min(1).max(MAX_TAG_LIST).readonly()], {
  error: `must be a string of at most ${MAX_TAG_TEXT_CHARS} characters, a finite number, true, false, {"time": RFC 3339}, {"value": number, "unit": UCUM}, or a list of 1 to ${MAX_TAG_LIST} of these`,
});
export const tags = z
  .record(tagKey, tagValue)
  .refine((value) => Object.keys(value).length <= MAX_TAGS, `must be at most ${MAX_TAGS} tags`)
  .superRefine(refineKeys);

export const tagScalarAnswer = z.union([
  z.string(),
  z.number(),
  z.boolean(),
  z.object({ time: z.string().meta({ description: 'An instant, as it was given' }) }),
  z.object({
    value: z.union([z.number(), z.string()]).meta({ description: 'How much, in the unit' }),
    unit: z.string().meta({ description: 'A UCUM code, as it was given' }),
  }),
]);
const tagValueAnswer = z.union([tagScalarAnswer, z.array(tagScalarAnswer).readonly()]).meta({
  id: 'TagValue',
  description:
    'Text, number, boolean, time or quantity, or a list of these. A bare integer past ±2^53 is kept as text, its digits',
});

export const tagsAnswer = z.record(z.string(), tagValueAnswer);
