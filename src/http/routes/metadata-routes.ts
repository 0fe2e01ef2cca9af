/** Tags of many series at once, renaming of their keys, undoing of both, and the history of a series. */
import type { Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { invalidField } from '../../core/errors.ts';
import { nameKey } from '../../core/same-name.ts';
import { readExpression } from '../../core/tags/tag-tree.ts';
import type { MetadataService } from '../../flows/series/metadata-service.ts';
import { readUnit } from '../../flows/series/tag-units.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { nextLink, openCursor } from '../request/cursor.ts';
import { bodyOf, jsonBody } from '../body/json-body.ts';
import { json, problems } from '../request/operation.ts';
import { pathId } from '../request/path-id.ts';
import { queryOf, refuseNul } from '../request/query.ts';
import { addressOf, describeBoth, seriesPaths, seriesRouter } from '../request/series-address.ts';
import { idOf, noQuery } from '../wire/scalars.ts';
import {
  editAnswer,
  editPage,
  editPreview,
  historyPage,
  historyPosition,
  historyQuery,
  tagEditBody,
  tagRenameBody,
  toEditItem,
  toHistoryItem,
  toUndoAnswer,
  undoAnswer,
} from '../wire/tag-edits-schema.ts';

/** Which series an edit finds tells what is stored of them, so who edits must also be allowed to read. */
const EDITS = [needs('read'), needs('write')];

export function metadataRoutes(metadata: MetadataService): Router {
  const router = seriesRouter();

  router.get(seriesPaths('/history'), needs('read'), async (req, res) => {
    const { ref, query } = addressOf(req, historyQuery);
    const after = openCursor(req.originalUrl, query.cursor, historyPosition);
    const page = await metadata.history(principalOf(res), ref, { limit: query.limit, after });
    const next = page.after === null ? null : nextLink(req.originalUrl, page.after);
    res.json({ items: page.items.map(toHistoryItem), next });
  });

  router.post('/v1/series/tags', ...EDITS, jsonBody(), async (req, res) => {
    queryOf(req, noQuery);
    const { where, set, remove, dry_run: isDryRun } = bodyOf(req, tagEditBody);
    const expression = readExpression(where, 'where', readUnit);
    const edit = { set, remove };
    if (isDryRun) {
      res.json(await metadata.previewEdit(principalOf(res), expression, edit));
      return;
    }
    const { id, series } = await metadata.editTags(principalOf(res), expression, edit, { where, set, remove });
    res.json({ edit: id, series });
  });

  router.post('/v1/tags/:key/rename', ...EDITS, jsonBody(), async (req, res) => {
    queryOf(req, noQuery);
    const from = String(req.params.key);
    refuseNul('key', from);
    const renaming = bodyOf(req, tagRenameBody);
    if (nameKey(renaming.to) === nameKey(from)) throw invalidField('to', 'is the name that it has');
    const { id, series } = await metadata.renameTag(principalOf(res), { from, ...renaming });
    res.json({ edit: id, series });
  });

  router.get('/v1/metadata-edits', needs('read'), async (req, res) => {
    const { limit, cursor } = queryOf(req, historyQuery);
    const after = openCursor(req.originalUrl, cursor, historyPosition);
    const page = await metadata.listEdits(principalOf(res), { limit, after });
    const next = page.after === null ? null : nextLink(req.originalUrl, page.after);
    res.json({ items: page.items.map(toEditItem), next });
  });

  router.post('/v1/metadata-edits/:id/undo', ...EDITS, async (req, res) => {
    queryOf(req, noQuery);
    res.json(toUndoAnswer(await metadata.undoEdit(principalOf(res), pathId(req, 'edit'))));
  });

  return router;
}

export const metadataDescriptions: ZodOpenApiPathsObject = {
  '/v1/series/tags': {
    post: {
      operationId: 'editTags',
      tags: ['metadata'],
      summary: 'Set and remove tags of all series that an expression finds',
      description: `In one transaction: all or none. At most 1,000,000 series; beyond that 413 (\`too-many-series\`). With \`dry_run\` it only says
how many there are. The answer's \`edit\` can be undone. Needs the scopes read and write, for what is found tells of what is stored.`,
      requestBody: {
        description: 'Which series, and what becomes of their tags',
        required: true,
        content: json(tagEditBody),
      },
      responses: {
        200: { description: 'What was changed, or would be', content: json(z.union([editAnswer, editPreview])) },
        ...problems(413, 415, 422),
      },
    },
  },
  '/v1/tags/{key}/rename': {
    post: {
      operationId: 'renameTag',
      tags: ['metadata'],
      summary: 'Rename a tag in all series of a project',
      description: `A new name that the project has already is a 409 (\`key-in-use\`), unless the two are to be merged.
A series that has both then gets a list of the values of both, equal ones once. At most 1,000,000 series, in one transaction. Needs the scopes read and write.`,
      requestParams: { path: z.object({ key: z.string().meta({ description: 'Key of the tag, percent-encoded' }) }) },
      requestBody: { description: 'The new key', required: true, content: json(tagRenameBody) },
      responses: {
        200: { description: 'What was changed', content: json(editAnswer) },
        ...problems(404, 409, 413, 415, 422),
      },
    },
  },
  '/v1/metadata-edits': {
    get: {
      operationId: 'listEdits',
      tags: ['metadata'],
      summary: 'Edits of many series: who, when, what, and whether it was undone',
      description: 'A token that is limited to projects sees those whose series it reaches, all of them.',
      requestParams: { query: historyQuery },
      responses: { 200: { description: 'One page, newest first', content: json(editPage) }, ...problems() },
    },
  },
  '/v1/metadata-edits/{id}/undo': {
    post: {
      operationId: 'undoEdit',
      tags: ['metadata'],
      summary: 'Put back what an edit or a renaming has changed',
      description: `Tags that have changed since stay as they are, and are named in the answer. A renaming is put back wholly in a series, or not at all.
Vocabularies are not asked. Needs the scopes read and write.`,
      requestParams: { path: z.object({ id: idOf('edit') }) },
      responses: { 200: { description: 'What was put back', content: json(undoAnswer) }, ...problems(404, 409) },
    },
  },
  ...describeBoth('/history', ({ path, by, query }) => ({
    get: {
      operationId: `getSeriesHistory${by}`,
      tags: ['metadata'],
      summary: 'Who has changed what of the metadata of a series',
      description: 'Written in the transaction of each change. It goes when a deleted series is purged.',
      requestParams: { path, query: query(historyQuery) },
      responses: { 200: { description: 'One page, newest first', content: json(historyPage) }, ...problems(404) },
    },
  })),
};
