/** Many series in one request, one on each line, and what became of each. */
import { z } from 'zod';
import type { CreateOutcome } from '../../flows/series/series-service.ts';
import { problemDocument, type ProblemDocument } from './problem-schema.ts';
import { uuid } from './scalars.ts';

/** Lines of one request. */
export const MAX_BULK_LINES = 10_000;
/** Most bytes of a body, decompressed. */
export const MAX_BULK_BYTES = 32 * 1024 * 1024;

export const BULK_EXAMPLE = [
  { name: 'mouse-12/ecg', dtype: 'int16', sampling: { kind: 'regular', rate_hz: 360 }, tags: { species: 'mouse' } },
  { name: 'mouse-12/spikes', dtype: 'float32', sampling: { kind: 'irregular' }, tags: { species: 'mouse' } },
]
  .map((series) => JSON.stringify(series))
  .join('\n');

const line = z.int().meta({ description: 'Number of the line, from 1' });

export const bulkAnswer = z
  .object({
    items: z
      .array(
        z.union([
          z.object({
            line,
            status: z.literal(201).meta({ description: 'It was created' }),
            id: uuid.meta({ description: 'Id of the new series' }),
          }),
          z.object({
            line,
            status: z.int().meta({ description: 'As POST /v1/series would have answered' }),
            problem: problemDocument.meta({ description: 'Why it was not created' }),
          }),
        ]),
      )
      .meta({ description: 'One a line, in their order' }),
  })
  .meta({ id: 'BulkAnswer', description: 'What became of each line' });

type BulkItem = z.input<typeof bulkAnswer>['items'][number];

export function toBulkItem(
  line: number,
  outcome: CreateOutcome,
  toDocument: (error: unknown) => ProblemDocument,
): BulkItem {
  if ('id' in outcome) return { line, status: 201, id: outcome.id };
  const problem = toDocument(outcome.error);
  return { line, status: problem.status, problem };
}
