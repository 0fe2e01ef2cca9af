/** Rows of many series in one request: what an item says, and what became of each. */
import { z } from 'zod';
import { invalidField, isVarveError, VarveError } from '../../core/errors.ts';
import type { NewSeries } from '../../core/series.ts';
import type { AppendManyOutcome, ItemOutcome, SeriesRef } from '../../flows/service.ts';
import { parseWith } from '../field-errors.ts';
import { refuseUnstorable } from '../json-body.ts';
import { problemDocument, type ProblemDocument } from './problem.ts';
import { isUuid, name, queryBoolean } from './scalars.ts';
import { samplesBody } from './samples.ts';
import { DEFAULT_PROJECT, newSeries, seriesCreate } from './series.ts';

export const appendManyQuery = z.strictObject({
  project: name.default(DEFAULT_PROJECT).meta({ description: 'Project of the names' }),
  atomic: queryBoolean
    .optional()
    .meta({ description: 'true: one refused item refuses all, and nothing is stored (422). Default: the others are stored' }),
});

/** For the document only: the lines are read by the format. */
export const appendItem = z
  .object({
    series: z.string().meta({ description: 'Id of the series, or its name in the project of the query' }),
    ...samplesBody.shape,
    idempotency_key: z
      .string()
      .optional()
      .meta({ description: 'As the header Idempotency-Key of an append: the same key for the same series stores once' }),
    create: z
      .looseObject({})
      .optional()
      .meta({ description: 'If there is no series of the name, it is made of this: a body of POST /v1/series without name and project' }),
  })
  .meta({ id: 'AppendItem', description: 'A line: rows of one series' });

export const APPEND_MANY_EXAMPLE = [
  { series: 'plant/pump-1', times: ['2026-05-01T09:00:00Z'], values: [1.5] },
  { series: 'plant/pump-2', values: [3, 4], create: { dtype: 'int16', sampling: { kind: 'regular', rate_hz: 10 } } },
]
  .map((item) => JSON.stringify(item))
  .join('\n');

const line = z.int().meta({ description: 'Number of the line, from 1; of Arrow the number of the series among the others' });

const storedItem = z.object({
  line,
  status: z.literal(201).meta({ description: 'Its rows are durable, and readers see them' }),
  rows: z.int().meta({ description: 'Rows that were stored' }),
  first_row: z
    .int()
    .optional()
    .meta({ description: 'Number of the first of them. Not of irregular series: their rows are numbered in order of time' }),
  replayed: z.literal(true).optional().meta({ description: 'It was stored before, under the same key' }),
});

const refusedItem = z.object({
  line,
  status: z.int().meta({ description: 'As the append of one series would have answered' }),
  problem: problemDocument.extend({ line }).meta({ description: 'Why nothing of it was stored' }),
});

export const appendManyAnswer = z
  .object({
    commit: z
      .int()
      .nullable()
      .meta({ description: 'The change of the samples that all came with; null: nothing is stored' }),
    items: z.array(z.union([storedItem, refusedItem])).meta({ description: 'One an item, in their order' }),
  })
  .meta({ id: 'AppendedMany', description: 'What became of each item' });

export const refusedManyAnswer = problemDocument
  .extend({ items: z.array(refusedItem).meta({ description: 'Those that are to blame' }) })
  .meta({ id: 'RefusedMany', description: 'Why nothing was stored of items that belong together' });

/** Which series an item means. @returns for texts of the project given */
export function itemRef(project: string): (text: string) => SeriesRef {
  return (text) => {
    if (isUuid(text)) return { id: text.toLowerCase() };
    if (/\p{Cs}/u.test(text)) throw invalidField('series', 'has half a surrogate pair, which no name has');
    return { project, name: parseWith(name, text, 'series') };
  };
}

/** What a series is to be, but for its name and project, which its item and the query say. @throws invalid-input naming the field */
export function readSpec(create: unknown): Omit<NewSeries, 'name' | 'project'> {
  if (typeof create !== 'object' || create === null || Array.isArray(create)) {
    throw invalidField('create', 'must be an object, as POST /v1/series takes it');
  }
  for (const key of ['name', 'project']) {
    if (Object.hasOwn(create, key)) throw invalidField(`create.${key}`, 'is not known here: `series` is the name, and the query has its project');
  }
  try {
    refuseUnstorable(create);
    const { name: _name, project: _project, ...spec } = newSeries(parseWith(seriesCreate, { ...create, name: 'name' }, 'body'));
    return spec;
  } catch (error) {
    throw isVarveError(error) ? within('create', error) : error;
  }
}

function within(place: string, { code, slug, errors, message }: VarveError): VarveError {
  const named = errors.map((each) => ({ ...each, field: `${place}.${each.field}` }));
  return new VarveError(code, `${place}.${message}`, { slug, errors: named });
}

/** An item of an answer. @param toDocument the problem that an error is */
export function toItemAnswer(
  outcome: ItemOutcome,
  toDocument: (error: VarveError) => ProblemDocument,
): z.input<typeof storedItem> | z.input<typeof refusedItem> {
  const { line: number } = outcome;
  if ('error' in outcome) {
    const problem = toDocument(outcome.error);
    return { line: number, status: problem.status, problem: { ...problem, line: number } };
  }
  const { rows, firstRow, replayed } = outcome;
  return {
    line: number,
    status: 201,
    rows,
    ...(firstRow !== null && { first_row: firstRow }),
    ...(replayed && { replayed }),
  };
}

export function toAppendManyAnswer(
  { commit, items }: AppendManyOutcome,
  toDocument: (error: VarveError) => ProblemDocument,
): z.input<typeof appendManyAnswer> {
  return { commit: commit === null ? null : Number(commit), items: items.map((each) => toItemAnswer(each, toDocument)) };
}
