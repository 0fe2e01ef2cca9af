/** The feed of changes on the wire. */
import { z } from 'zod';
import type { ChangesPage, ToldCommit } from '../../flows/live/live-service.ts';
import { instant, name, queryInteger, uuid } from './scalars.ts';

/** Commits of one page. */
const MAX_COMMITS = 1_000;
/** Longest wait of an empty page, in seconds: proxies cut off what takes longer. */
const MAX_WAIT_S = 60;
const KINDS = [
  'append',
  'replace',
  'remove',
  'create',
  'update',
  'delete',
  'restore',
  'purge',
  'expire',
  'seal',
  'unseal',
] as const;

export const changesQuery = z.strictObject({
  after: queryInteger(
    0,
    Number.MAX_SAFE_INTEGER,
    'The last commit that is known: those after it are told. Without it, those that come from now on',
  ).optional(),
  limit: queryInteger(1, MAX_COMMITS, 'Commits of a page, at most').optional(),
  wait: queryInteger(0, MAX_WAIT_S, 'Seconds that an empty page waits for a commit').optional(),
  project: name.optional().meta({ description: 'Only changes of this project' }),
  format: z
    .enum(['json', 'sse', 'ndjson'])
    .optional()
    .meta({ description: 'Instead of Accept; sse and ndjson tell what comes, without an end' }),
});

export const DEFAULT_COMMITS = MAX_COMMITS;

const change = z
  .object({
    series: uuid.meta({ description: 'Id of the series' }),
    project: z.string().meta({ description: 'Its project' }),
    kind: z.enum(KINDS).meta({ description: 'What happened to it' }),
    first_row: z
      .int()
      .nullable()
      .meta({ description: 'Number of the first row that came or went; null: the rows have no numbers' }),
    rows: z.int().nullable().meta({ description: 'Rows that came or went; null: of other kinds' }),
  })
  .meta({ id: 'Change', description: 'What a commit has changed of one series' });

export const commitAnswer = z
  .object({
    commit: z.int().meta({ description: 'Its number: commits become readable in the order of their numbers' }),
    at: instant.meta({ description: 'When it was made' }),
    changes: z.array(change).meta({ description: 'Within the reach of the token, in their order' }),
  })
  .meta({ id: 'Commit', description: 'What became readable at one instant' });

export const changesAnswer = z
  .object({
    commits: z
      .array(commitAnswer)
      .meta({ description: 'In their order; those that touch nothing in reach are left out' }),
    after: z.int().meta({ description: 'The last commit that was looked at: the next page goes on from it' }),
    more: z.boolean().meta({ description: 'There is more to be told now' }),
    next: z.string().meta({ description: 'Link to what follows; there is always one' }),
  })
  .meta({
    id: 'Changes',
    description: 'A part of the feed of changes',
    example: {
      commits: [
        {
          commit: 17,
          at: '2026-05-01T09:00:00.123Z',
          changes: [
            {
              series: '0198c5e0-7c3a-7b61-9d0e-1f5a2b3c4d5e',
              project: 'default',
              kind: 'append',
              first_row: 0,
              rows: 3,
            },
          ],
        },
      ],
      after: 18,
      more: false,
      next: '/v1/changes?after=18',
    },
  });

export function toCommitAnswer({ commit, at, changes }: ToldCommit): z.input<typeof commitAnswer> {
  return {
    commit: Number(commit),
    at: at.toISOString(),
    changes: changes.map(({ seriesId, project, kind, firstRow, rows }) => ({
      series: seriesId,
      project,
      kind,
      first_row: firstRow,
      rows,
    })),
  };
}

export function toChangesAnswer({ commits, after, hasMore }: ChangesPage, next: string): z.input<typeof changesAnswer> {
  return { commits: commits.map(toCommitAnswer), after: Number(after), more: hasMore, next };
}
