/** Series: create, find, show, change, delete, restore. */
import type { Request, Response, Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { parseTagParameter, type SeriesFilter } from '../core/series-filter.ts';
import type { Series } from '../core/series.ts';
import type { SeriesService } from '../flows/service.ts';
import { needs, principalOf } from './authenticate.ts';
import { nextLink, openCursor } from './cursor.ts';
import { entityTag, insistsOnVersion, isKnownTo } from './entity-tag.ts';
import { bodyOf, jsonBody } from './json-body.ts';
import { json, problems } from './operation.ts';
import { pathId } from './path-id.ts';
import { queryOf, refuseNul, searchParamsOf } from './query.ts';
import { addressOf, describeBoth, seriesPaths, seriesRouter } from './series-address.ts';
import { noQuery, uuid } from './wire/scalars.ts';
import {
  newSeries,
  seriesAnswer,
  seriesCreate,
  seriesPage,
  seriesPatch,
  seriesQuery,
  toSeriesAnswer,
  toSeriesPatch,
} from './wire/series.ts';

const TAG_PREFIX = 'tag.';

export function seriesRoutes(series: SeriesService): Router {
  const router = seriesRouter();

  router.post('/v1/series', needs('write'), jsonBody(), async (req, res) => {
    queryOf(req, noQuery);
    const created = await series.create(principalOf(res), newSeries(bodyOf(req, seriesCreate)));
    sendSeries(res.status(201).location(`/v1/series/${created.id}`), created);
  });

  router.get('/v1/series', needs('read'), async (req, res) => {
    const { limit, cursor, ...named } = queryOf(req, seriesQuery, { skip: (name) => name.startsWith(TAG_PREFIX) });
    const filter = { ...named, tags: tagConditions(req) };
    const after = openCursor(req.originalUrl, cursor, uuid);
    const page = await series.search(principalOf(res), filter, { limit, after });
    const next = page.after === null ? null : nextLink(req.originalUrl, page.after);
    res.json({ items: page.items.map(toSeriesAnswer), next });
  });

  router.get(seriesPaths(''), needs('read'), async (req, res) => {
    const { ref } = addressOf(req, noQuery);
    const found = await series.get(principalOf(res), ref);
    const tag = entityTag(found);
    if (isKnownTo(req.get('if-none-match'), tag)) res.status(304).set('ETag', tag).end();
    else sendSeries(res, found);
  });

  router.patch(seriesPaths(''), needs('write'), jsonBody(), async (req, res) => {
    const { ref } = addressOf(req, noQuery);
    const patch = toSeriesPatch(bodyOf(req, seriesPatch));
    const current = await series.get(principalOf(res), ref);
    const version = insistsOnVersion(req.get('if-match'), current) ? current.version : undefined;
    sendSeries(res, await series.update(principalOf(res), current.id, patch, version));
  });

  router.delete(seriesPaths(''), needs('write'), async (req, res) => {
    const { ref } = addressOf(req, noQuery);
    const current = await series.get(principalOf(res), ref);
    insistsOnVersion(req.get('if-match'), current);
    await series.delete(principalOf(res), current.id);
    res.status(204).end();
  });

  router.post('/v1/series/:id/restore', needs('write'), async (req, res) => {
    queryOf(req, noQuery);
    sendSeries(res, await series.restore(principalOf(res), pathId(req, 'series')));
  });

  return router;
}

function sendSeries(res: Response, series: Series): void {
  res.set('ETag', entityTag(series)).json(toSeriesAnswer(series));
}

function tagConditions(req: Request): SeriesFilter['tags'] {
  const tags = [...searchParamsOf(req.originalUrl)].filter(([name]) => name.startsWith(TAG_PREFIX));
  return tags.map(([name, text]) => {
    refuseNul(name, text);
    return parseTagParameter(name, text);
  });
}

const ETAG = {
  ETag: { description: 'Version of the metadata and commit of the samples', schema: { type: 'string' as const } },
};
const ifMatch = z.object({
  'If-Match': z.string().optional().meta({ description: 'Refuse unless the metadata still have this entity tag' }),
});

export const seriesDescriptions: ZodOpenApiPathsObject = {
  '/v1/series': {
    post: {
      operationId: 'createSeries',
      tags: ['series'],
      summary: 'Create a series',
      requestBody: { required: true, content: json(seriesCreate) },
      responses: {
        201: {
          description: 'The series',
          headers: { ...ETAG, Location: { schema: { type: 'string' } } },
          content: json(seriesAnswer),
        },
        ...problems(404, 409, 413, 415, 507),
      },
    },
    get: {
      operationId: 'searchSeries',
      tags: ['series'],
      summary: 'Find series by tags and other metadata',
      description: `Conditions on tags are parameters of their own, all of which must hold: \`tag.<key>=<value>\`, or with an
operator \`tag.<key>[op]=<value>\` where op is eq, ne, gt, gte, lt, lte or exists (true or false).
Example: \`/v1/series?tag.species=mouse&tag.age_days[gte]=60\``,
      requestParams: { query: seriesQuery },
      responses: { 200: { description: 'One page, oldest first', content: json(seriesPage) }, ...problems() },
    },
  },
  '/v1/series/{id}/restore': {
    post: {
      operationId: 'restoreSeries',
      tags: ['series'],
      summary: 'Undo the deletion of a series',
      requestParams: { path: z.object({ id: uuid }) },
      responses: {
        200: { description: 'The series', headers: ETAG, content: json(seriesAnswer) },
        ...problems(404, 409),
      },
    },
  },
  ...describeBoth('', ({ path, by, query }) => ({
    get: {
      operationId: `getSeries${by}`,
      tags: ['series'],
      summary: 'Show a series',
      requestParams: { path, query: query(noQuery) },
      responses: {
        200: { description: 'The series', headers: ETAG, content: json(seriesAnswer) },
        304: { description: 'If-None-Match names the current entity tag' },
        ...problems(404),
      },
    },
    patch: {
      operationId: `updateSeries${by}`,
      tags: ['series'],
      summary: 'Change the metadata of a series',
      requestParams: { path, query: query(noQuery), header: ifMatch },
      requestBody: { required: true, content: json(seriesPatch) },
      responses: {
        200: { description: 'The series', headers: ETAG, content: json(seriesAnswer) },
        ...problems(404, 409, 412, 413, 415, 422),
      },
    },
    delete: {
      operationId: `deleteSeries${by}`,
      tags: ['series'],
      summary: 'Delete a series; can be undone for some days',
      requestParams: { path, query: query(noQuery), header: ifMatch },
      responses: { 204: { description: 'Deleted' }, ...problems(404, 412) },
    },
  })),
};
