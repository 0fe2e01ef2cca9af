/** Imports of files on the wire. */
import { z } from 'zod';
import { fromWire, recordingOptionFields } from '../../flows/import/recording-options.ts';
import type { ImportedFile, ImportProgress, ImportRequest, ImportStatus } from '../../flows/import/import-service.ts';
import { DEFAULT_PROJECT } from '../../core/signal/series.ts';
import { instant, name, queryInteger, uuid } from './scalars.ts';
import { tags } from './tag-values-schema.ts';

/** Files of one import. */
const MAX_FILES = 1000;
const MAX_PATH_CHARS = 4096;
/** Imports of one page. */
const MAX_IMPORTS = 1000;
const DEFAULT_IMPORTS = 100;

const importOptions = z.strictObject({
  ...recordingOptionFields,
  name: name.optional().meta({ description: 'Name of the recording; default: that of the file. For one file only' }),
});

export const importCreate = z
  .strictObject({
    project: name.default(DEFAULT_PROJECT).meta({ description: 'Project of the series' }),
    paths: z
      .array(
        z
          .string()
          .min(1)
          .max(MAX_PATH_CHARS)
          .refine((path) => !path.includes('\0'), 'must have no NUL'),
      )
      .max(MAX_FILES)
      .default([])
      .meta({ description: 'Absolute paths of files of the server, below the folders of its VARVE_IMPORT_ROOTS' }),
    uploads: z
      .array(z.string().min(1).max(64))
      .max(MAX_FILES)
      .default([])
      .meta({ description: 'Ids of finished uploads. Files that belong together are given together' }),
    options: importOptions.default({}).meta({ description: 'As `varve import` has them' }),
    tags: tags.default({}).meta({ description: 'For every series, before those that the files bring' }),
    recording: name
      .nullable()
      .default(null)
      .meta({ description: 'Id or name of a recording that is there, to which the files are added' }),
    dry_run: z.boolean().default(false).meta({ description: 'Tell what would be made, and make nothing' }),
  })
  .superRefine(({ paths, uploads, options }, context) => {
    const count = paths.length + uploads.length;
    if (count === 0)
      context.addIssue({ code: 'custom', path: ['paths'], message: 'names no file, and uploads neither' });
    if (count > MAX_FILES) {
      context.addIssue({ code: 'custom', path: ['paths'], message: `with uploads: at most ${MAX_FILES} files` });
    }
    if (options.name !== undefined && count > 1 && uploads.length === 0) {
      context.addIssue({ code: 'custom', path: ['options', 'name'], message: 'is of one file, and there are several' });
    }
    for (const [field, list] of [
      ['paths', paths],
      ['uploads', uploads],
    ] as const) {
      list.forEach((each, at) => {
        if (list.indexOf(each) !== at)
          context.addIssue({ code: 'custom', path: [field, at], message: 'is given twice' });
      });
    }
  })
  .meta({
    id: 'NewImport',
    description: 'Files to be imported',
    example: { uploads: ['6f4b1e2c0d9a4c57b0c1d2e3f4a5b6c7'], tags: { species: 'mouse' }, dry_run: true },
  });

export function toImportRequest(body: z.output<typeof importCreate>): ImportRequest {
  const { options, dry_run: dryRun, ...rest } = body;
  return { ...rest, options: fromWire(options), dryRun };
}

const IMPORT_STATES = ['waiting', 'running', 'done', 'failed', 'cancelled'] as const;

export const importsQuery = z.strictObject({
  project: z.string().optional().meta({ description: 'Only imports into this project' }),
  state: z.enum(IMPORT_STATES).optional().meta({ description: 'Only imports in this state' }),
  limit: queryInteger(1, MAX_IMPORTS, `Imports of a page; default ${DEFAULT_IMPORTS}`).default(DEFAULT_IMPORTS),
  cursor: z.string().optional().meta({ description: 'From the link to the next page' }),
});

/** Where a page ended. */
export const importPosition = uuid;

const importedSeries = z
  .object({
    id: uuid.nullable().meta({ description: 'Id of the series; null: it is only planned' }),
    name: z.string().meta({ description: 'Its name' }),
    outcome: z.enum(['created', 'appended', 'present', 'planned']).meta({
      description: 'present: the same file had brought it before; planned: of a dry run',
    }),
    dtype: z.string().meta({ description: 'Its number type' }),
    channels: z.int().meta({ description: 'How many it has' }),
    rate_hz: z.number().nullable().meta({ description: 'Rows a second; null: it is irregular' }),
    rows: z.int().nullable().meta({ description: 'Rows of the file; null: it does not say, and was not read' }),
    annotations: z.int().meta({ description: 'Annotations of the file' }),
  })
  .meta({ id: 'ImportedSeries', description: 'What became of a series of a file' });

const importProblem = z
  .object({
    type: z.string().meta({ description: 'Stable name of the cause' }),
    detail: z.string().meta({ description: 'What is wrong, beginning with the file' }),
    errors: z
      .array(
        z.object({
          field: z.string().meta({ description: 'Its name' }),
          message: z.string().meta({ description: 'What is wrong with it' }),
        }),
      )
      .meta({ description: 'Each option or path that is wrong' }),
  })
  .meta({ id: 'ImportProblem', description: 'Why an import failed' });

export const importAnswer = z
  .object({
    id: uuid.meta({ description: 'Id of the import' }),
    project: z.string().meta({ description: 'Project of the series' }),
    state: z.enum(IMPORT_STATES).meta({ description: 'Nothing of it is stored unless it is done' }),
    dry_run: z.boolean().meta({ description: 'Whether nothing is to be made' }),
    progress: z
      .object({
        files: z.int().meta({ description: 'Files of the import' }),
        files_done: z.int().meta({ description: 'Files that have been read' }),
        file: z.string().nullable().meta({ description: 'The one that is being read' }),
        bytes: z.number().meta({ description: 'Bytes of it that have been looked through' }),
        total_bytes: z.number().meta({ description: 'Bytes that will be' }),
        rows: z.number().meta({ description: 'Rows that have been read' }),
      })
      .nullable()
      .meta({ description: 'How far it is; null: nobody has begun' }),
    files: z
      .array(
        z.object({
          file: z.string().meta({ description: 'Name of the file' }),
          format: z.string().meta({ description: 'What it was read as' }),
          sha256: z.string().meta({ description: 'SHA-256 of its bytes, or of all that belong to it' }),
          notes: z.array(z.string()).meta({ description: 'What the reader had to assume or leave out' }),
          series: z.array(importedSeries).meta({ description: 'Its series' }),
        }),
      )
      .nullable()
      .meta({ description: 'What the files were, once it is done' }),
    problem: importProblem.nullable().meta({ description: 'Why it failed' }),
    same_as: uuid.nullable().meta({ description: 'An import before that did the same; this one changed nothing' }),
    created_at: instant.meta({ description: 'When it was asked for' }),
    ended_at: instant.nullable().meta({ description: 'When it was done, failed or cancelled' }),
  })
  .meta({
    id: 'Import',
    description: 'Files on their way to be series',
    example: {
      id: '0198c5e0-0000-7000-8000-000000000003',
      project: 'default',
      state: 'running',
      dry_run: false,
      progress: { files: 1, files_done: 0, file: '100.hea', bytes: 1_953_988, total_bytes: 1_953_988, rows: 650_000 },
      files: null,
      problem: null,
      same_as: null,
      created_at: '2026-05-02T08:00:00Z',
      ended_at: null,
    },
  });

export const importPage = z
  .object({
    items: z.array(importAnswer).meta({ description: 'Newest first' }),
    next: z.string().nullable().meta({ description: 'Link to the next page; null on the last' }),
  })
  .meta({ id: 'ImportPage', description: 'A part of the imports' });

/** What is told of an import to who may not read. */
export const importReceipt = z
  .object({ id: uuid.meta({ description: 'Id of the import' }) })
  .meta({ id: 'ImportReceipt', description: 'What a token that may not read is told of an import' });

export function toImportAnswer(status: ImportStatus): z.input<typeof importAnswer> {
  const { problem } = status;
  return {
    id: status.id,
    project: status.project,
    state: status.state,
    dry_run: (status.request as unknown as ImportRequest).dryRun,
    progress: status.progress as ImportProgress | null,
    files:
      (status.files as readonly ImportedFile[] | null)?.map((file) => ({
        ...file,
        notes: [...file.notes],
        series: file.series.map((series) => ({ ...series })),
      })) ?? null,
    problem: problem && {
      type: `urn:varve:problem:${problem.slug ?? problem.code}`,
      detail: problem.message,
      errors: (problem.errors ?? []).map((each) => ({ ...each })),
    },
    same_as: status.sameAs,
    created_at: status.createdAt.toISOString(),
    ended_at: status.endedAt?.toISOString() ?? null,
  };
}
