/** The small values bodies and queries are made of. */
import { z } from 'zod';
import { isLongInteger } from '../../core/numbers/long-integer.ts';
import { formatTime, parseBound, parseTime, TIME_FORMS } from '../../core/time.ts';
import { isTimeZone } from '../../flows/time-zone.ts';

const NOT_A_TIME = `must be ${TIME_FORMS}`;
const LONG_FLOAT = 'is a float past 2^53, which has lost digits: send it as a string, or as an integer';
const TIME_META = {
  description: 'RFC 3339, or integer nanoseconds UTC; the years 1678 to 2261',
  example: '2026-05-01T09:00:00Z',
};
const BOUND_META = {
  description: 'RFC 3339, or integer nanoseconds UTC; 0001-01-01 and 9999-12-31 leave a side open',
  example: '2026-05-01T09:00:00Z',
};

/** A time in a JSON body, as int64 ns UTC. */
export const bodyTime = timeOf(z.union([z.string(), z.number()], { error: NOT_A_TIME }), (value) =>
  isLongFloat(value) ? undefined : parseTime(String(value)),
);

/** A bound of a question in a JSON body, as int64 ns UTC: 9999-12-31 leaves a side open. */
export const bodyBound = timeOf(z.union([z.string(), z.number()], { error: NOT_A_TIME }), parseBound, BOUND_META);

/** A time in a query, as int64 ns UTC. */
export const queryTime = timeOf(z.string(), (text) => parseTime(withPlus(text)));

/** A bound of a question in a query, as int64 ns UTC: 9999-12-31 leaves a side open. */
export const queryBound = timeOf(z.string(), (text) => parseBound(withPlus(text)), BOUND_META);

function timeOf<T extends string | number>(
  schema: z.ZodType<T, T>,
  parse: (value: T) => bigint | undefined,
  meta = TIME_META,
) {
  return schema
    .transform((value, context) => {
      const ns = parse(value);
      if (ns !== undefined) return ns;
      context.addIssue({ code: 'custom', message: isLongFloat(value) ? LONG_FLOAT : NOT_A_TIME });
      return z.NEVER;
    })
    .meta(meta);
}

/** Integers past 2^53 come as their digits; a number as large was written as a float, such as 1.7e18. */
function isLongFloat(value: string | number): boolean {
  return typeof value === 'number' && Math.abs(value) > Number.MAX_SAFE_INTEGER;
}

/** The plus of a zone that was not percent-encoded arrives as a space. */
function withPlus(text: string): string {
  return text.replace(/([Tt]\d\d:\d\d\S*) (\d\d:?\d\d)$/, '$1+$2');
}

/** A whole number in a query. */
export function queryInteger(min: number, max: number, description: string): z.ZodType<number, string> {
  return z
    .string()
    .transform((text, context) => {
      const value = Number(text);
      if (!/^\d{1,16}$/.test(text) || value < min || value > max) {
        context.addIssue({ code: 'custom', message: `must be a whole number from ${min} to ${max}` });
        return z.NEVER;
      }
      return value;
    })
    .meta({ description, override: { type: 'integer', minimum: min, maximum: max } });
}

export const queryBoolean = z.enum(['true', 'false']).transform((text) => text === 'true');

/** Most characters of the name of a project, series or token. */
const MAX_NAME_CHARS = 512;

/** A name: one line, no space around it. */
export const name = z
  .string()
  .min(1)
  .max(MAX_NAME_CHARS)
  .refine((text) => !/\p{Cc}/u.test(text), 'must have no control characters')
  .refine((text) => text.trim() === text, 'must not start or end with a space');

const MAX_UNIT_CHARS = 200;

/** The unit of a quantity or of values: a UCUM code, or any text where that will do. */
export const unit = z.string().min(1).max(MAX_UNIT_CHARS);

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export function isUuid(text: string): boolean {
  return UUID.test(text);
}

export const uuid = z.string().regex(UUID).meta({ format: 'uuid' });

/** An id in a path. */
export function idOf(what: string): z.ZodString {
  return uuid.meta({ description: `Id of the ${what}` });
}

/** Largest free-form JSON object: payload of an annotation, description of a channel, what is known of a subject. */
export const MAX_OBJECT_BYTES = 64 * 1024;

export function fitsBytes(value: object, bytes: number): boolean {
  return Buffer.byteLength(JSON.stringify(value)) <= bytes;
}

export const freeObject = z
  .record(z.string(), z.unknown())
  .refine((value) => fitsBytes(value, MAX_OBJECT_BYTES), `must have at most ${MAX_OBJECT_BYTES} bytes of JSON`);

/** An instant of our own clock, or a sample's, on the way out. */
export const instant = z.string().meta({ format: 'date-time', description: 'RFC 3339' });

export function timeOrNull(ns: bigint | null): string | null {
  return ns === null ? null : formatTime(ns);
}

/** As {@link isTimeZone} knows them. */
export const timeZone = z
  .string()
  .refine(isTimeZone, 'is no time zone: IANA names are read, such as Europe/Berlin')
  .meta({ example: 'Europe/Berlin' });

/** The digits of an integer past ±2^53, which is how such an integer is read. */
export const longIntegerText = z
  .string()
  .refine(isLongInteger, 'must be a number, or the digits of an integer past 2^53');

/** A float64. An integer past ±2^53 must be one exactly. */
export function float<S extends z.ZodType<number>>(schema: S): z.ZodType<number, z.input<S>> {
  const read = (value: unknown): unknown => {
    if (typeof value !== 'string' || !isLongInteger(value)) return value;
    const number = Number(value);
    return Number.isFinite(number) && BigInt(number) === BigInt(value) ? number : value;
  };
  return z.preprocess(read, schema) as unknown as z.ZodType<number, z.input<S>>;
}

/** JSON numbers end at 2^53: integers past it are digits, as those of samples are. */
export function numberOrDigits(value: number | bigint | null): number | string | null {
  if (typeof value !== 'bigint') return value;
  return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
}

/** A query that has no parameters. */
export const noQuery = z.strictObject({});
