/** Changes of the tags of many series, and the history of one, on the wire. */
import { z } from 'zod';
import { keyedAs } from '../../core/same-name.ts';
import { MAX_TAGS, type MetadataEdit } from '../../core/tags/tag-edit.ts';
import type { HistoryEntry } from '../../core/tags/series-changes.ts';
import type { UndoneEdit } from '../../flows/series/metadata-service.ts';
import { instant, name, queryInteger, uuid } from './scalars.ts';
import { DEFAULT_PROJECT } from '../../core/signal/series.ts';
import { tagKey, tags } from './tag-values-schema.ts';

const MAX_HISTORY = 200;
const DEFAULT_HISTORY = 50;

export const EDIT_EXAMPLE = {
  where: {
    and: [
      { tag: 'species', eq: 'Mouse' },
      { field: 'project', eq: 'lab' },
    ],
  },
  set: { species: 'mouse' },
  remove: ['old_id'],
  dry_run: true,
};

export const tagEditBody = z
  .strictObject({
    where: z.unknown().meta({ override: { type: 'object' }, description: 'As in POST /v1/series/search' }),
    set: tags.default({}).meta({ description: 'Tags that all of them get, in place of values that are there' }),
    remove: z.array(tagKey).max(MAX_TAGS).default([]).meta({ description: 'Keys of tags that they lose' }),
    dry_run: z.boolean().default(false).meta({ description: 'Only count, and name the first of the series' }),
  })
  .superRefine((body, context) => {
    if (body.where === undefined) context.addIssue({ code: 'custom', path: ['where'], message: 'is required' });
    if (Object.keys(body.set).length + body.remove.length === 0) {
      context.addIssue({ code: 'custom', path: ['set'], message: 'or remove must name a tag' });
    }
    body.remove.forEach((key, at) => {
      if (keyedAs(body.set, key) === undefined) return;
      context.addIssue({ code: 'custom', path: ['remove', at], message: 'is set, too' });
    });
  })
  .meta({ id: 'TagEdit', description: 'A change of the tags of many series', example: EDIT_EXAMPLE });

export const tagRenameBody = z
  .strictObject({
    to: tagKey.meta({ description: 'The new key' }),
    merge: z.boolean().default(false).meta({ description: 'Unite it with a key that is there already' }),
    project: name.default(DEFAULT_PROJECT).meta({ description: 'In whose series' }),
  })
  .meta({
    id: 'TagRenaming',
    description: 'A new key for a tag',
    example: { to: 'species', merge: true, project: 'lab' },
  });

export const editPreview = z
  .object({
    series: z.int().meta({ description: 'That the expression finds' }),
    sample: z.array(uuid).meta({ description: 'The first of them' }),
  })
  .meta({ id: 'TagEditPreview', description: 'What an edit would change' });

export const editAnswer = z
  .object({
    edit: uuid.meta({ description: 'To undo it by' }),
    series: z.int().meta({ description: 'That were changed; others had these tags already' }),
  })
  .meta({ id: 'AppliedTagEdit', description: 'An edit that was made' });

export const undoAnswer = z
  .object({
    edit: uuid.meta({ description: 'Id of the undo, which can be undone in turn' }),
    undone: z.int().meta({ description: 'Series' }),
    kept: z
      .array(
        z.object({
          series: uuid.meta({ description: 'Id of the series' }),
          reason: z.enum(['changed-since', 'deleted']).meta({ description: 'Why it was left as it is' }),
          fields: z.array(z.string()).meta({ description: 'What was left, such as tags.species' }),
        }),
      )
      .meta({ description: 'What was left as it is' }),
  })
  .meta({ id: 'UndoneTagEdit', description: 'What an undo has put back, and what it has not' });

export function toUndoAnswer({ id, undone, kept }: UndoneEdit): z.input<typeof undoAnswer> {
  return {
    edit: id,
    undone,
    kept: kept.map(({ seriesId, reason, fields }) => ({ series: seriesId, reason, fields: [...fields] })),
  };
}

export const historyQuery = z.strictObject({
  limit: queryInteger(1, MAX_HISTORY, `Entries of a page; default ${DEFAULT_HISTORY}`).default(DEFAULT_HISTORY),
  cursor: z.string().optional().meta({ description: 'From the link to the next page' }),
});

/** Where a page ended: the id of its last entry. */
export const historyPosition = uuid;

const asker = z.object({
  id: uuid.meta({ description: 'Id of the token' }),
  name: z.string().meta({ description: 'What the token is for' }),
});

export const historyPage = z
  .object({
    items: z
      .array(
        z.object({
          id: uuid.meta({ description: 'Id of the entry' }),
          action: z
            .enum(['create', 'update', 'edit', 'rename', 'undo', 'delete', 'restore', 'seal', 'unseal'])
            .meta({ description: 'What was done; edit and rename are changes of many series at once' }),
          at: instant.meta({ description: 'When' }),
          token: asker.nullable().meta({ description: 'Who asked; null: the service itself' }),
          edit: uuid.nullable().meta({ description: 'Id of a change of many series at once' }),
          changes: z
            .array(
              z.object({
                field: z.string().meta({ description: 'What was changed' }),
                old: z.unknown().meta({ description: 'What it was' }),
                new: z.unknown().meta({ description: 'What it is since' }),
              }),
            )
            .meta({ description: 'Tags and provenance by key: `tags.species`. Null: not there' }),
        }),
      )
      .meta({ description: 'Newest first' }),
    next: z.string().nullable().meta({ description: 'Link to the next page; null on the last' }),
  })
  .meta({ id: 'SeriesHistory', description: 'A part of the changes of a series' });

export const editPage = z
  .object({
    items: z
      .array(
        z.object({
          id: uuid.meta({ description: 'To undo it by' }),
          kind: z
            .enum(['edit', 'rename', 'undo'])
            .meta({ description: 'What it did: set and remove tags, rename one, or undo another' }),
          at: instant.meta({ description: 'When' }),
          token: asker.nullable().meta({ description: 'Who asked' }),
          request: z.unknown().meta({
            override: { type: 'object' },
            description:
              'As it was asked: `where`, `set` and `remove`; `project`, `from`, `to` and `merge`; or the edit to `undo`',
          }),
          series: z.int().meta({ description: 'That were changed' }),
          undone_by: uuid.nullable().meta({ description: 'The edit that has undone it; null: it stands' }),
        }),
      )
      .meta({ description: 'Newest first' }),
    next: z.string().nullable().meta({ description: 'Link to the next page; null on the last' }),
  })
  .meta({ id: 'MetadataEdits', description: 'A part of the changes of many series at once' });

export function toEditItem(edit: MetadataEdit): z.input<typeof editPage>['items'][number] {
  const { id, kind, at, token, request, series, undoneBy } = edit;
  return { id, kind, at: at.toISOString(), token, request, series, undone_by: undoneBy };
}

export function toHistoryItem(entry: HistoryEntry): z.input<typeof historyPage>['items'][number] {
  return {
    id: entry.id,
    action: entry.action,
    at: entry.at.toISOString(),
    token: entry.token,
    edit: entry.editId,
    changes: entry.changes.map((change) => ({ ...change })),
  };
}
