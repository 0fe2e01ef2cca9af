/**
 * Rows of many series in one request, and what became of each item. An item is a line, or all rows with one value of
 * the column that names the series.
 */
import { z } from 'zod';
import { invalidField, isVarveError, VarveError } from '../../core/errors.ts';
import type { NewSeries } from '../../core/signal/series.ts';
import { withinCreate, type AppendManyOutcome, type ItemOutcome } from '../../flows/append/append-many.ts';
import { MAX_BODY_ITEMS } from '../../formats/samples/sample-items.ts';
import { parseWith } from '../body/field-errors.ts';
import { refuseUnstorable } from '../body/json-body.ts';
import { problemDocument, type ProblemDocument } from './problem-schema.ts';
import { name, queryBoolean } from './scalars.ts';
import { gapRule, sourceParameter } from './samples-schema.ts';
import { DEFAULT_PROJECT } from '../../core/signal/series.ts';
import { newSeries, seriesCreate } from './series-schema.ts';

export const appendManyQuery = z.strictObject({
  project: name.default(DEFAULT_PROJECT).meta({ description: 'Project of series that are called by their names' }),
  atomic: queryBoolean
    .optional()
    .meta({ description: 'true: one item that is refused refuses all, and nothing is stored' }),
  gaps: gapRule,
  source: sourceParameter,
});

export const ITEMS_EXAMPLE = [
  { series: '0198c5e0-7c3a-7b61-9d0e-1f5a2b3c4d5e', values: [12, 13, 13] },
  { series: 'plant-3/door', times: ['2026-05-01T09:00:00Z'], values: [1], idempotency_key: 'door-17' },
  {
    series: 'plant-3/oven/temperature',
    times: ['2026-05-01T09:00:00.5Z'],
    values: [451.2],
    create: { dtype: 'float32', unit: 'Cel', sampling: { kind: 'irregular' } },
  },
]
  .map((item) => JSON.stringify(item))
  .join('\n');

const place = {
  line: z.int().meta({ description: 'Number of the line, from 1; of an Arrow stream: of the series, as they come' }),
  series: z.string().optional().meta({ description: 'Arrow: what the stream calls the series' }),
};

const refusedItem = z
  .object({
    ...place,
    status: z.int().meta({ description: 'As POST /v1/series/{id}/samples would have answered' }),
    problem: problemDocument.meta({
      description: 'Why it was refused; `errors` names the field, such as values[3][0]',
    }),
  })
  .meta({ id: 'RefusedItem', description: 'An item of which nothing was stored' });

export const appendManyAnswer = z
  .object({
    commit: z
      .int()
      .nullable()
      .meta({ description: 'The commit that all items came with; null: nothing was stored, or all of it before' }),
    items: z
      .array(
        z.union([
          z.object({
            ...place,
            status: z.literal(201).meta({ description: 'Its rows are durable, and readers see them' }),
            rows: z.int().meta({ description: 'Rows that were stored' }),
            first_row: z
              .int()
              .optional()
              .meta({ description: 'Number of the first of them; not of irregular series, which number by time' }),
            replayed: z.literal(true).optional().meta({ description: 'The key was used before; stored once' }),
          }),
          refusedItem,
        ]),
      )
      .max(MAX_BODY_ITEMS)
      .meta({ description: 'One an item, in their order' }),
  })
  .meta({
    id: 'ManyStored',
    description: 'What became of each item',
    example: { commit: 17, items: [{ line: 1, status: 201, rows: 3, first_row: 12 }] },
  });

export const refusedManyAnswer = problemDocument
  .extend({ items: z.array(refusedItem).meta({ description: 'Those that are to blame' }) })
  .meta({ id: 'ManyRefused', description: 'Why nothing of an atomic request was stored' });

type Item = z.input<typeof appendManyAnswer>['items'][number];
export type ToDocument = (error: unknown) => ProblemDocument;

export function toAppendManyAnswer(
  { commit, items }: AppendManyOutcome,
  toDocument: ToDocument,
): z.input<typeof appendManyAnswer> {
  return { commit: commit === null ? null : Number(commit), items: items.map((item) => toItem(item, toDocument)) };
}

/** The problem of an atomic request, with those of its items. */
export function toRefusedMany({ items }: AppendManyOutcome, toDocument: ToDocument): z.input<typeof refusedManyAnswer> {
  const refused = items.flatMap((item) => (item.kind === 'refused' ? [refusedOf(item, toDocument)] : []));
  const count = refused.length === 1 ? '1 item was' : `${refused.length} items were`;
  const [first] = refused;
  const which = first ? `: line ${first.line}: ${first.problem.detail}` : '';
  const error = new VarveError('unprocessable', `${count} refused, so nothing was stored${which}`, {
    slug: 'items-refused',
    errors: refused.flatMap(({ line, problem }) =>
      problem.errors.map(({ field, message }) => ({ field: `line ${line} ${field}`, message })),
    ),
  });
  return { ...toDocument(error), items: refused };
}

export function toItem(item: ItemOutcome, toDocument: ToDocument): Item {
  if (item.kind === 'refused') return refusedOf(item, toDocument);
  const { line, rows, firstRow, replayed } = item;
  return {
    line,
    ...calledOf(item),
    status: 201,
    rows,
    ...(firstRow !== null && { first_row: firstRow }),
    ...(replayed && { replayed }),
  };
}

function refusedOf(
  item: Extract<ItemOutcome, { readonly kind: 'refused' }>,
  toDocument: ToDocument,
): z.input<typeof refusedItem> {
  const problem = toDocument(item.error);
  return { line: item.line, ...calledOf(item), status: problem.status, problem };
}

function calledOf({ series }: ItemOutcome): { series?: string } {
  return series === null ? {} : { series };
}

/** What `create` of an item says, as the body of `POST /v1/series` would. @throws invalid-input naming a field of it, or `series` */
export function describedSeries(spec: unknown, called: string, project: string): NewSeries {
  refuseUnstorable({ create: spec, series: called });
  for (const key of ['name', 'project']) {
    if (Object.hasOwn(spec as object, key)) throw invalidField(`create.${key}`, 'is not known here');
  }
  try {
    return newSeries(parseWith(seriesCreate, { ...(spec as object), name: called, project }, 'create'));
  } catch (error) {
    throw isVarveError(error) ? withinCreate(error) : error;
  }
}
