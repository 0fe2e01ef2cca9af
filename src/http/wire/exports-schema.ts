/** Exports on the wire. */
import { z } from 'zod';
import { openRange } from '../../core/time.ts';
import { readExpression } from '../../core/tags/tag-tree.ts';
import { EXPORT_FORMATS, type ExportRecord, type ExportRequest } from '../../flows/export/export-service.ts';
import type { Principal } from '../../flows/principal.ts';
import { MAX_TABLE_SERIES } from '../../flows/series/choose-series.ts';
import { readUnit } from '../../flows/series/tag-units.ts';
import { refineRange } from './overview-schema.ts';
import { bodyBound, instant, queryInteger, uuid } from './scalars.ts';

const MOST_NAME = 100;

export const exportCreate = z
  .strictObject({
    format: z.enum(EXPORT_FORMATS).meta({
      description:
        'edf and wfdb: one recording of all series, refused where it would lose samples, times, labels or calibration. Of the others: a file for each series, in a zip if there are several',
    }),
    series: z
      .array(uuid)
      .min(1)
      .max(MAX_TABLE_SERIES)
      .optional()
      .meta({ description: 'Ids, in the order in which they are written. Excludes where' }),
    where: z
      .unknown()
      .optional()
      .meta({ override: { type: 'object' }, description: 'A search as of POST /v1/series/search. Excludes series' }),
    start: bodyBound.optional().meta({ description: 'First instant; without: from the beginning' }),
    end: bodyBound.optional().meta({ description: 'Instant before which rows lie; without: to the end' }),
    physical: z
      .boolean()
      .default(false)
      .meta({ description: 'Calibrated values as float64. Not for edf and wfdb, which keep the calibration' }),
    name: z
      .string()
      .regex(/^[A-Za-z0-9_][A-Za-z0-9_-]*$/, 'must be letters, digits, - and _')
      .max(MOST_NAME)
      .default('varve-export')
      .meta({ description: 'Name of the file, without its extension' }),
  })
  .superRefine((wanted, context) => {
    const { format, series, where, physical } = wanted;
    if ((series === undefined) === (where === undefined)) {
      const message = series === undefined ? 'one of series and where is needed' : 'excludes where';
      context.addIssue({ code: 'custom', path: ['series'], message });
    }
    if (physical && (format === 'edf' || format === 'wfdb')) {
      context.addIssue({
        code: 'custom',
        path: ['physical'],
        message: `${format} keeps stored values and calibration`,
      });
    }
    refineRange(wanted, context);
  })
  .meta({
    id: 'NewExport',
    description: 'What is to be in the file',
    example: { format: 'edf', where: { tag: 'species', eq: 'mouse' }, name: 'mice' },
  });

export const exportAnswer = z
  .object({
    id: uuid.meta({ description: 'To ask for it by' }),
    state: z.enum(['waiting', 'running', 'done', 'failed']).meta({ description: 'How far it is' }),
    series: z.int().meta({ description: 'How many series it is of' }),
    bytes: z.int().meta({ description: 'Bytes written so far; of the file when it is done' }),
    file: z
      .object({
        name: z.string().meta({ description: 'Name with extension' }),
        media_type: z.string().meta({ description: 'What it is' }),
        url: z.string().meta({ description: 'Path to fetch it from, with Range if wanted' }),
      })
      .nullable()
      .meta({ description: 'Null until it is done' }),
    notes: z.array(z.string()).meta({ description: 'What of the series is not in the file' }),
    error: z
      .object({
        code: z.string().meta({ description: 'Slug of the reason' }),
        message: z.string().meta({ description: 'Why it failed' }),
      })
      .nullable()
      .meta({ description: 'Null unless it has failed' }),
    created_at: instant.meta({ description: 'When it was asked for. A day later it is gone' }),
    finished_at: instant.nullable().meta({ description: 'When it was done, or failed' }),
  })
  .meta({ id: 'Export', description: 'A file that is made in the background' });

const PAGE_MOST = 1_000;

export const exportsQuery = z.strictObject({
  limit: queryInteger(1, PAGE_MOST, 'Exports of the page').default(100),
  cursor: z.string().optional().meta({ description: 'Where the page before ended' }),
});

export const exportPage = z
  .object({
    items: z.array(exportAnswer).meta({ description: 'Newest first' }),
    next: z.string().nullable().meta({ description: 'Path of the next page; null on the last' }),
  })
  .meta({ id: 'ExportPage', description: 'One page of exports' });

/** @param asked the body as it came, to be told again */
export function toExportRequest(
  wanted: z.output<typeof exportCreate>,
  asked: unknown,
  principal: Principal,
): ExportRequest {
  const { format, series, where, physical, name } = wanted;
  return {
    principal,
    format,
    series: series
      ? { by: 'ids', ids: series }
      : { by: 'search', where: readExpression(where, 'where', readUnit), sort: [] },
    ...openRange(wanted),
    physical,
    name,
    asked,
  };
}

export function toExportAnswer(made: ExportRecord): z.input<typeof exportAnswer> {
  const { id, state, series, written, fileName, mediaType, notes, error, createdAt, finishedAt } = made;
  return {
    id,
    state,
    series,
    bytes: written,
    file: fileName === null ? null : { name: fileName, media_type: mediaType!, url: `/v1/exports/${id}/file` },
    notes: [...notes],
    error: error && { code: error.slug, message: error.message },
    created_at: createdAt.toISOString(),
    finished_at: finishedAt?.toISOString() ?? null,
  };
}
