/** Annotations on the wire. */
import { z } from 'zod';
import { repeatedName } from '../../core/same-name.ts';
import { formatTime } from '../../core/time.ts';
import type { Annotation, NewAnnotation } from '../../core/signal/series.ts';
import { bodyTime, freeObject, instant, queryBound, queryInteger, uuid } from './scalars.ts';

/** Annotations of one request: the beats of a few hours of ECG. */
const MAX_ANNOTATIONS = 10_000;
const DEFAULT_PAGE = 1000;
const MAX_LABEL_CHARS = 512;
const MAX_AUTHOR_CHARS = 512;
const MAX_CHANNEL_CHARS = 200;
const MAX_ANNOTATION_CHANNELS = 1000;

const annotation = z
  .strictObject({
    start: bodyTime.meta({ description: 'When it begins: RFC 3339, or integer nanoseconds UTC' }),
    end: bodyTime.optional().meta({ description: 'Exclusive; default: start, which makes it a point' }),
    label: z.string().min(1).max(MAX_LABEL_CHARS).meta({ description: 'What it is; searches and lists select by it' }),
    payload: freeObject.default({}).meta({ description: 'Anything else, as a JSON object' }),
    channels: z
      .array(z.string().min(1).max(MAX_CHANNEL_CHARS))
      .min(1)
      .max(MAX_ANNOTATION_CHANNELS)
      .refine((labels) => repeatedName(labels) < 0, 'must not repeat a channel')
      .optional()
      .meta({ description: 'Labels of the channels that are meant; default: all' }),
    author: z
      .string()
      .min(1)
      .max(MAX_AUTHOR_CHARS)
      .optional()
      .meta({ description: 'Who says so, a person or a program' }),
  })
  .refine(({ start, end }) => end === undefined || end >= start, { path: ['end'], message: 'is before start' })
  .meta({
    id: 'NewAnnotation',
    description: 'A point or an interval on the time line',
    example: {
      start: '2026-05-01T09:00:01.5Z',
      label: 'N',
      channels: ['MLII'],
      author: 'M. Curie',
      payload: { confidence: 0.9 },
    },
  });

const annotationList = z.strictObject({
  items: z.array(annotation).min(1).max(MAX_ANNOTATIONS).meta({ description: 'All are stored, or none' }),
});

/** The body as the document shows it: one annotation, or a list. */
export const annotationBody = z.union([annotation, annotationList]);

/** What has `items` is meant as a list, so that complaints name the item. */
export function annotationSchemaFor(body: unknown): typeof annotation | typeof annotationList {
  return typeof body === 'object' && body !== null && 'items' in body ? annotationList : annotation;
}

export function toNewAnnotations(body: z.output<typeof annotationBody>): NewAnnotation[] {
  const list = 'items' in body ? body.items : [body];
  return list.map(({ start, end, ...rest }) => ({ startNs: start, endNs: end ?? start, ...rest }));
}

export const annotationIds = z
  .object({
    ids: z.array(uuid).meta({ description: 'Ids of the new annotations, in the order in which they were sent' }),
  })
  .meta({ id: 'AnnotationIds', description: 'What was stored' });

const annotationParameters = z.strictObject({
  start: queryBound.optional().meta({ description: 'Those that touch the time from here …' }),
  end: queryBound.optional().meta({ description: '… to here, exclusive' }),
  label: z.string().optional().meta({ description: 'Only those with exactly this label' }),
  limit: queryInteger(1, MAX_ANNOTATIONS, `Annotations of a page; default ${DEFAULT_PAGE}`).default(DEFAULT_PAGE),
  cursor: z.string().optional().meta({ description: 'From the link to the next page' }),
});

export const annotationQuery = annotationParameters.superRefine(({ start, end }, context) => {
  if (start === undefined || end === undefined || start <= end) return;
  context.addIssue({ code: 'custom', path: ['start'], message: 'is after end' });
  context.addIssue({ code: 'custom', path: ['end'], message: 'is before start' });
});

/** Where a page of annotations ended, inside a cursor. */
export const annotationPosition = z
  .strictObject({ start: z.string().regex(/^-?\d{1,19}$/), id: uuid })
  .transform(({ start, id }, context) => {
    const startNs = BigInt(start);
    if (BigInt.asIntN(64, startNs) === startNs) return { startNs, id };
    context.addIssue({ code: 'custom', message: 'is outside int64' });
    return z.NEVER;
  });

const annotationAnswer = z
  .object({
    id: uuid.meta({ description: 'To delete it by' }),
    start: z.string().meta({ description: 'When it begins: integer nanoseconds UTC', example: '1777626001500000000' }),
    end: z.string().meta({ description: 'When it ends, exclusive: integer nanoseconds UTC; of a point, its start' }),
    start_time: instant.meta({ description: 'start as RFC 3339' }),
    end_time: instant.meta({ description: 'end as RFC 3339' }),
    label: z.string().meta({ description: 'What it is' }),
    payload: z.record(z.string(), z.unknown()).meta({ description: 'Anything else, as it was given' }),
    channels: z
      .array(z.string())
      .optional()
      .meta({ description: 'Labels of the channels that are meant; absent: all' }),
    author: z.string().optional().meta({ description: 'Who says so, a person or a program' }),
  })
  .meta({ id: 'Annotation', description: 'A point or an interval on the time line' });

export const annotationPage = z
  .object({
    items: z.array(annotationAnswer).meta({ description: 'In order of their start' }),
    next: z.string().nullable().meta({ description: 'Link to the next page; null on the last' }),
  })
  .meta({ id: 'AnnotationPage', description: 'A part of the annotations of a series' });

export function toAnnotationAnswer(annotation: Annotation): z.input<typeof annotationAnswer> {
  return {
    id: annotation.id,
    start: annotation.startNs.toString(),
    end: annotation.endNs.toString(),
    start_time: formatTime(annotation.startNs),
    end_time: formatTime(annotation.endNs),
    label: annotation.label,
    payload: annotation.payload,
    ...(annotation.channels && { channels: [...annotation.channels] }),
    ...(annotation.author !== undefined && { author: annotation.author }),
  };
}
