/** Saved searches on the wire. */
import { z } from 'zod';
import { DEFAULT_PROJECT } from '../../core/signal/series.ts';
import type { SavedQuestion, SavedSearch } from '../../flows/series/saved-search-service.ts';
import { fitsBytes, instant, MAX_OBJECT_BYTES, name, uuid } from './scalars.ts';

const WHERE = 'A tree of conditions, as `POST /v1/series/search` takes it';

const questionParts = {
  name: name.meta({ description: 'What it is called; unique in its project' }),
  where: z
    .record(z.string(), z.unknown())
    .refine((where) => fitsBytes(where, MAX_OBJECT_BYTES), `must have at most ${MAX_OBJECT_BYTES} bytes of JSON`)
    .nullable()
    .default(null)
    .meta({ description: `${WHERE}; null: all series` }),
  sort: z.array(z.string()).default([]).meta({ description: 'Fields or tag.<key>; a minus puts the largest first' }),
  facets: z.array(z.string()).default([]).meta({ description: 'Tags, or field.<name>, whose values are counted' }),
};

export const savedSearchChange = z
  .strictObject(questionParts)
  .meta({ id: 'SavedSearchChange', description: 'What takes the place of a saved search' });

export const savedSearchCreate = z
  .strictObject({
    ...questionParts,
    project: name.default(DEFAULT_PROJECT).meta({ description: 'The project that keeps it' }),
  })
  .meta({
    id: 'NewSavedSearch',
    description: 'A search to be kept',
    example: { name: 'old mice', where: { tag: 'age_days', gte: 600 }, sort: ['-last_time'] },
  });

export const savedSearchQuery = z.strictObject({
  project: name.optional().meta({ description: 'Only those of this project' }),
});

export const savedSearchAnswer = z
  .object({
    id: uuid.meta({ description: 'Stays, whatever it is called' }),
    project: z.string().meta({ description: 'The project that keeps it' }),
    name: z.string().meta({ description: 'What it is called' }),
    where: z
      .record(z.string(), z.unknown())
      .nullable()
      .meta({ description: `${WHERE}; null: all series` }),
    sort: z.array(z.string()).meta({ description: 'The order of what it finds' }),
    facets: z.array(z.string()).meta({ description: 'What is counted' }),
    created_at: instant.meta({ description: 'When it was made' }),
    updated_at: instant.meta({ description: 'When it was changed last' }),
  })
  .meta({ id: 'SavedSearch', description: 'A search that a project keeps by name' });

export function toQuestion({ where, sort, facets }: z.output<typeof savedSearchChange>): SavedQuestion {
  return { where, sort, facets };
}

export function toSavedSearchAnswer(saved: SavedSearch): z.input<typeof savedSearchAnswer> {
  return {
    id: saved.id,
    project: saved.project,
    name: saved.name,
    where: saved.where as Record<string, unknown> | null,
    sort: [...saved.sort],
    facets: [...saved.facets],
    created_at: saved.createdAt.toISOString(),
    updated_at: saved.updatedAt.toISOString(),
  };
}
