/** Series that were deleted and can still be restored. */
import express, { type Router } from 'express';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { RESTORE_DAYS } from '../../core/upkeep/retention.ts';
import type { SeriesService } from '../../flows/series/series-service.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { nextLink, openCursor } from '../request/cursor.ts';
import { json, problems } from '../request/operation.ts';
import { queryOf } from '../request/query.ts';
import { toDeletedAnswer, trashPage, trashPosition, trashQuery } from '../wire/trash-schema.ts';

export function trashRoutes(series: Pick<SeriesService, 'deleted'>): Router {
  const router = express.Router({ caseSensitive: true });

  router.get('/v1/trash', needs('read'), async (req, res) => {
    const { project, limit, cursor } = queryOf(req, trashQuery);
    const after = openCursor(req.originalUrl, cursor, trashPosition);
    const page = await series.deleted(principalOf(res), { project, limit, after });
    res.json({ items: page.items.map(toDeletedAnswer), next: page.after && nextLink(req.originalUrl, page.after) });
  });

  return router;
}

export const trashDescriptions: ZodOpenApiPathsObject = {
  '/v1/trash': {
    get: {
      operationId: 'listDeletedSeries',
      tags: ['series'],
      summary: 'List deleted series that can be restored',
      description: `A deletion can be undone for ${RESTORE_DAYS} days, by \`POST /v1/series/{id}/restore\`. Those that were deleted last come first.`,
      requestParams: { query: trashQuery },
      responses: { 200: { description: 'One page', content: json(trashPage) }, ...problems() },
    },
  },
};
