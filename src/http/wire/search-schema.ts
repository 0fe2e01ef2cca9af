/** A search on the wire: query parameters, the JSON form, the answer. */
import { z } from 'zod';
import { readUnit } from '../../flows/series/tag-units.ts';
import { MAX_LAST_VALUES } from '../../flows/table/last-value.ts';
import type { SearchResult } from '../../flows/series/series-service.ts';
import { parseFacets, parseSort, type SearchRequest } from '../../core/tags/search-request.ts';
import type { LastValue } from '../../core/signal/series.ts';
import { allOf, silentFor, withWords, type Expression } from '../../core/tags/tag-expression.ts';
import { parseOverlaps } from '../../core/tags/tag-parameters.ts';
import { readExpression } from '../../core/tags/tag-tree.ts';
import { isUuid, queryBoolean, queryInteger, queryBound, uuid } from './scalars.ts';
import { inclusion, seriesAnswer, toSeriesAnswer } from './series-schema.ts';
import { tagScalarAnswer } from './tag-values-schema.ts';

/** Series of one page of a search. */
const MAX_PAGE = 1000;
const DEFAULT_PAGE = 100;

const includeDescription = `last_value: the newest row of each series; for pages of at most ${MAX_LAST_VALUES}`;

/** Checks that a page whose last values are read is a small one. */
const refineInclude = (
  { include, limit }: { include?: string | readonly string[]; limit: number },
  context: Pick<z.RefinementCtx, 'addIssue'>,
): void => {
  if (!include || include.length === 0 || limit <= MAX_LAST_VALUES) return;
  context.addIssue({ code: 'custom', path: ['limit'], message: `is at most ${MAX_LAST_VALUES} with include` });
};

/** Parameters of a search but its tags, which are named `tag.<key>` or `tag.<key>[op]`. */
export const seriesQuery = z
  .strictObject({
    project: z.string().optional().meta({ description: 'Only series of this project' }),
    name: z.string().optional().meta({ description: 'Only series of exactly this name' }),
    unit: z.string().optional().meta({ description: 'Only series whose unit is written so' }),
    kind: z
      .enum(['regular', 'irregular'])
      .optional()
      .meta({ description: 'Only series with a rate, or with a time on every row' }),
    recording: z.string().optional().meta({ description: 'Only series of the recording of this id, or name' }),
    q: z.string().optional().meta({ description: 'Words that name or description must have, all of them' }),
    overlaps: z.string().optional().meta({
      description: 'start,end: series that have samples in this time',
      example: '2026-05-01T00:00:00Z,2026-06-01T00:00:00Z',
    }),
    active_since: queryBound.optional().meta({ description: 'Series whose last sample is not before this time' }),
    silent_for: z.string().optional().meta({
      description:
        'Series to which nothing has come for so long, by the clock of the service. A whole number of s, m, h or d, up to 30d',
      example: '10m',
    }),
    sort: z.string().optional().meta({
      description:
        'Fields or tag.<key>, separated by commas; a minus puts the largest first. Default: oldest series first',
      example: '-last_time,tag.age_days',
    }),
    'sort[]': z.array(z.string()).optional().meta({ description: 'One each, as it is: of keys that have commas' }),
    facets: z.string().optional().meta({
      description:
        'Tags, or field.<name>, separated by commas, whose values are counted among all series that are found',
      example: 'species,field.unit',
    }),
    'facets[]': z.array(z.string()).optional().meta({ description: 'One each, as it is: of keys that have commas' }),
    explain: queryBoolean.optional().meta({ description: 'Tell how the search is run, and what would make it faster' }),
    limit: queryInteger(1, MAX_PAGE, `Series of a page; default ${DEFAULT_PAGE}`).default(DEFAULT_PAGE),
    cursor: z.string().optional().meta({ description: 'From the link to the next page' }),
    include: inclusion.optional().meta({ description: includeDescription }),
  })
  .superRefine(refineInclude);

/** @param tags conditions from parameters of their own */
export function toSearchRequest(
  query: z.output<typeof seriesQuery>,
  tags: readonly Expression[],
  after: SearchRequest['after'],
): SearchRequest {
  const conditions: Expression[] = [...tags];
  for (const field of ['project', 'name', 'unit', 'kind'] as const) {
    const text = query[field];
    if (text !== undefined)
      conditions.push({ kind: 'field', field, test: { op: 'any', values: [{ type: 'text', text }] } });
  }
  if (query.recording !== undefined) {
    const field = isUuid(query.recording) ? 'recording_id' : 'recording';
    const values = [{ type: 'text', text: query.recording } as const];
    conditions.push({ kind: 'field', field, test: { op: 'any', values } });
  }
  if (query.q !== undefined) conditions.push(withWords(query.q, 'q'));
  // The plus of a zone that was not percent-encoded arrives as a space.
  const overlaps = query.overlaps?.replaceAll(/([Tt]\d\d:\d\d\S*) (\d\d:?\d\d)/g, '$1+$2');
  if (overlaps !== undefined) conditions.push(parseOverlaps('overlaps', overlaps));
  if (query.active_since !== undefined) conditions.push({ kind: 'active_since', ns: query.active_since });
  if (query.silent_for !== undefined) conditions.push(silentFor(query.silent_for, 'silent_for'));
  return {
    where: allOf(conditions),
    sort: parseSort(listed(query.sort, query['sort[]']), () => 'sort'),
    facets: parseFacets(listed(query.facets, query['facets[]']), () => 'facets'),
    limit: query.limit,
    after,
    explain: query.explain ?? false,
  };
}

function listed(text: string | undefined, whole: readonly string[] = []): string[] {
  return [...(text === undefined ? [] : text.split(',')), ...whole];
}

export const SEARCH_EXAMPLE = {
  where: {
    and: [
      { tag: 'species', eq: 'mouse' },
      { or: [{ tag: 'age_days', gte: 60 }, { not: { tag: 'anaesthetised', eq: true } }] },
      { tag: 'depth', range: { gte: { value: 0.3, unit: 'mm' }, lt: { value: 500, unit: 'um' } } },
      { overlaps: ['2026-05-01T00:00:00Z', '2026-06-01T00:00:00Z'] },
    ],
  },
  facets: ['species', 'field.unit'],
  sort: ['-last_time'],
  limit: 100,
};

export const searchBody = z
  .strictObject({
    where: z
      .unknown()
      .optional()
      .meta({
        override: { type: 'object' },
        description: `A tree of \`{"and": […]}\`, \`{"or": […]}\` and \`{"not": …}\` over conditions: \`{"tag": key, operator: value}\`,
\`{"field": name, operator: value}\`, \`{"text": words}\`, \`{"overlaps": [start, end]}\`, \`{"active_since": time}\`, \`{"silent_for": "10m"}\`,
\`{"has_annotation": {"label": …, "overlaps": …}}\`, \`{"has_channel": {"label" | "unit" | "location" | "group" | "filtering" | "reference": text, "bad": boolean}}\`. Operators: eq, ne, in, exists, prefix, contains, regex, gt, gte, lt, lte, range.`,
      }),
    facets: z
      .array(z.string())
      .default([])
      .meta({ description: 'Tags, or field.<name>, whose values are counted among all series that are found' }),
    sort: z
      .array(z.string())
      .default([])
      .meta({ description: 'Fields or tag.<key>; a minus puts the largest first. Default: oldest series first' }),
    limit: z.int().min(1).max(MAX_PAGE).default(DEFAULT_PAGE).meta({ description: 'Series of a page' }),
    cursor: z.string().optional().meta({ description: 'Cursor of the page before, with the same where and sort' }),
    explain: z
      .boolean()
      .default(false)
      .meta({ description: 'Tell how the search is run, and what would make it faster' }),
    include: z.array(inclusion).default([]).meta({ description: includeDescription }),
  })
  .superRefine(refineInclude)
  .meta({ id: 'Search', description: 'Which series to find, and in which order', example: SEARCH_EXAMPLE });

/** What the pages of a search have in common. */
export function questionOf({ where, sort }: z.output<typeof searchBody>): string {
  return JSON.stringify({ search: where ?? null, sort });
}

export function fromSearchBody(body: z.output<typeof searchBody>, after: SearchRequest['after']): SearchRequest {
  return {
    where: body.where === undefined ? null : readExpression(body.where, 'where', readUnit),
    sort: parseSort(body.sort, (index) => `sort[${index}]`),
    facets: parseFacets(body.facets, (index) => `facets[${index}]`),
    limit: body.limit,
    after,
    explain: body.explain,
  };
}

/** Where a page ended. */
export const searchPosition = z.strictObject({ values: z.array(z.string().nullable()), id: uuid });

const answerParts = {
  items: z.array(seriesAnswer).meta({ description: 'The series of this page' }),
  facets: z
    .record(
      z.string(),
      z.array(
        z.object({
          value: tagScalarAnswer.nullable().meta({ description: 'The value; null: that a field has none' }),
          count: z.int().meta({ description: 'Series that have it' }),
          estimated: z
            .literal(true)
            .optional()
            .meta({ description: 'The count is reckoned from some thousand of the series, of all ages' }),
        }),
      ),
    )
    .optional()
    .meta({ description: 'If asked for: by name, the most frequent value first' }),
  explain: z
    .object({
      plan: z.array(z.string()).meta({ description: 'What Postgres does, in short' }),
      hints: z.array(z.string()).meta({ description: 'What would make it faster' }),
    })
    .optional()
    .meta({ description: 'If asked for: the plan of Postgres in short, and what would make the search faster' }),
};

export const seriesPage = z
  .object({
    ...answerParts,
    next: z.string().nullable().meta({ description: 'Link to the next page; null on the last' }),
  })
  .meta({ id: 'SeriesPage', description: 'A part of the series that a search finds' });

export const searchPage = z
  .object({
    ...answerParts,
    cursor: z.string().nullable().meta({ description: 'Cursor of the next page; null on the last' }),
  })
  .meta({ id: 'SearchPage', description: 'A part of the series that a search finds' });

type AnswerParts = Pick<z.input<typeof searchPage>, 'items' | 'facets' | 'explain'>;

/** @param last of each series; undefined: were not asked for */
export function toSearchAnswer(
  { items, facets, explain }: SearchResult,
  last?: readonly (LastValue | null)[],
): AnswerParts {
  return {
    items: items.map((series, at) => toSeriesAnswer(series, last?.[at])),
    ...(facets && {
      facets: Object.fromEntries(Object.entries(facets).map(([name, values]) => [name, values.map(flagged)])),
    }),
    ...(explain && { explain: { plan: [...explain.plan], hints: [...explain.hints] } }),
  };
}

/** `estimated` is said only where it is so. */
export function flagged<T extends { readonly estimated: boolean }>({
  estimated,
  ...counted
}: T): Omit<T, 'estimated'> & { estimated?: true } {
  return estimated ? { ...counted, estimated } : counted;
}
