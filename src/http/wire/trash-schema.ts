/** Deleted series on the wire. */
import { z } from 'zod';
import type { DeletedSeries } from '../../flows/series/series-service.ts';
import { instant, name, queryInteger, uuid } from './scalars.ts';
import { seriesAnswer, toSeriesAnswer } from './series-schema.ts';

const MAX_DELETED = 1000;
const DEFAULT_DELETED = 100;

export const trashQuery = z.strictObject({
  project: name.optional().meta({ description: 'Only series of this project' }),
  limit: queryInteger(1, MAX_DELETED, `Series of a page; default ${DEFAULT_DELETED}`).default(DEFAULT_DELETED),
  cursor: z.string().optional().meta({ description: 'From the link to the next page' }),
});

export const trashPosition = z.strictObject({ deletedAt: z.string(), id: uuid });

const deletedAnswer = seriesAnswer
  .extend({
    deleted_at: instant.meta({ description: 'When it was deleted' }),
    restorable_until: instant.meta({ description: 'Until when `POST /v1/series/{id}/restore` undoes it' }),
  })
  .meta({ id: 'DeletedSeries', description: 'A series that was deleted, as it was' });

export const trashPage = z
  .object({
    items: z.array(deletedAnswer).meta({ description: 'The series of this page' }),
    next: z.string().nullable().meta({ description: 'Link to the next page; null on the last' }),
  })
  .meta({ id: 'TrashPage', description: 'A part of the deleted series' });

export function toDeletedAnswer({ series, deletedAt, restorableUntil }: DeletedSeries): z.input<typeof deletedAnswer> {
  return {
    ...toSeriesAnswer(series),
    deleted_at: deletedAt.toISOString(),
    restorable_until: restorableUntil.toISOString(),
  };
}
