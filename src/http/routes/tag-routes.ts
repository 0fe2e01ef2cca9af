/** Tags: which keys there are, and which values a key has. */
import express, { type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { SearchService } from '../../flows/series/series-service.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { nextLink, openCursor } from '../request/cursor.ts';
import { json, problems } from '../request/operation.ts';
import { queryOf, refuseNul } from '../request/query.ts';
import { flagged } from '../wire/search-schema.ts';
import { tagKeyPage, tagPosition, tagQuery, tagValuePage } from '../wire/tags-schema.ts';

export function tagRoutes(search: SearchService): Router {
  const router = express.Router({ caseSensitive: true });

  router.get('/v1/tags', needs('read'), async (req, res) => {
    const { cursor, ...query } = queryOf(req, tagQuery);
    const after = openCursor(req.originalUrl, cursor, tagPosition);
    const page = await search.tagKeys(principalOf(res), { ...query, after });
    const next = page.after === null ? null : nextLink(req.originalUrl, page.after);
    res.json({ items: page.items.map(flagged), next });
  });

  router.get('/v1/tags/:key', needs('read'), async (req, res) => {
    const key = String(req.params.key);
    refuseNul('key', key);
    const { cursor, ...query } = queryOf(req, tagQuery);
    const after = openCursor(req.originalUrl, cursor, tagPosition);
    const page = await search.tagValues(principalOf(res), key, { ...query, after });
    const next = page.after === null ? null : nextLink(req.originalUrl, page.after);
    const items = page.items.map(({ value, count, estimated }) => flagged({ value, count, estimated }));
    res.json({ key, items, next });
  });

  return router;
}

export const tagDescriptions: ZodOpenApiPathsObject = {
  '/v1/tags': {
    get: {
      operationId: 'listTagKeys',
      tags: ['series'],
      summary: 'Keys of tags, with counts',
      description: 'Keys in all series that the token may see. `?prefix=` is for type-ahead.',
      requestParams: { query: tagQuery },
      responses: { 200: { description: 'One page, in alphabetical order', content: json(tagKeyPage) }, ...problems() },
    },
  },
  '/v1/tags/{key}': {
    get: {
      operationId: 'listTagValues',
      tags: ['series'],
      summary: 'Values of a tag, with counts',
      description: 'For type-ahead: `?prefix=mo&limit=10`. A key that no series has is an empty page.',
      requestParams: {
        path: z.object({ key: z.string().meta({ description: 'Key of the tag, percent-encoded' }) }),
        query: tagQuery,
      },
      responses: {
        200: { description: 'One page: texts by code point, numbers by size', content: json(tagValuePage) },
        ...problems(),
      },
    },
  },
};
