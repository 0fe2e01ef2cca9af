/** Annotations: marks on the time line of a series. */
import type { Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { notFound } from '../../core/errors.ts';
import type { SeriesService } from '../../flows/series/series-service.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { nextLink, openCursor } from '../request/cursor.ts';
import { bodyOf, jsonBody } from '../body/json-body.ts';
import { json, problems } from '../request/operation.ts';
import { addressOf, describeBoth, seriesPaths, seriesRouter } from '../request/series-address.ts';
import {
  annotationBody,
  annotationIds,
  annotationPage,
  annotationPosition,
  annotationQuery,
  annotationSchemaFor,
  toAnnotationAnswer,
  toNewAnnotations,
} from '../wire/annotations-schema.ts';
import { idOf, isUuid, noQuery } from '../wire/scalars.ts';

/** A full list of short marks fits into this. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;

export function annotationRoutes(
  series: Pick<SeriesService, 'get' | 'annotate' | 'annotations' | 'deleteAnnotation'>,
): Router {
  const router = seriesRouter();

  router.post(seriesPaths('/annotations'), needs('write'), jsonBody(MAX_BODY_BYTES), async (req, res) => {
    const { ref } = addressOf(req, noQuery);
    const annotations = toNewAnnotations(bodyOf(req, annotationSchemaFor(req.body)));
    const { id } = await series.get(principalOf(res), ref);
    res.status(201).json({ ids: await series.annotate(principalOf(res), id, annotations) });
  });

  router.get(seriesPaths('/annotations'), needs('read'), async (req, res) => {
    const { ref, query } = addressOf(req, annotationQuery);
    const filter = {
      ...(query.start !== undefined && { startNs: query.start }),
      ...(query.end !== undefined && { endNs: query.end }),
      ...(query.label !== undefined && { label: query.label }),
    };
    const after = openCursor(req.originalUrl, query.cursor, annotationPosition);
    const { id } = await series.get(principalOf(res), ref);
    const page = await series.annotations(principalOf(res), id, filter, { limit: query.limit, after });
    const position = page.after && { start: page.after.startNs.toString(), id: page.after.id };
    const next = position && nextLink(req.originalUrl, position);
    res.json({ items: page.items.map(toAnnotationAnswer), next });
  });

  router.delete(seriesPaths('/annotations/:annotation'), needs('write'), async (req, res) => {
    const { ref } = addressOf(req, noQuery);
    const annotation = String(req.params.annotation);
    if (!isUuid(annotation)) throw notFound('annotation', annotation);
    const { id } = await series.get(principalOf(res), ref);
    await series.deleteAnnotation(principalOf(res), id, annotation);
    res.status(204).end();
  });

  return router;
}

const listDescriptions = describeBoth('/annotations', ({ path, by, query }) => ({
  post: {
    operationId: `annotateSeries${by}`,
    tags: ['annotations'],
    summary: 'Mark points and intervals on the time line: all or none',
    description: 'A mark may lie anywhere in time, also where there are no samples.',
    requestParams: { path, query: query(noQuery) },
    requestBody: { description: 'One annotation, or a list of them', required: true, content: json(annotationBody) },
    responses: {
      201: { description: 'Their ids, in the order given', content: json(annotationIds) },
      ...problems(404, 413, 415, 422, 507),
    },
  },
  get: {
    operationId: `listAnnotations${by}`,
    tags: ['annotations'],
    summary: 'List marks in order of time',
    description: 'With start and end, those that touch the range.',
    requestParams: { path, query: query(annotationQuery) },
    responses: { 200: { description: 'One page', content: json(annotationPage) }, ...problems(404) },
  },
}));

const deleteDescriptions = describeBoth('/annotations/{annotation}', ({ path, by, query }) => ({
  delete: {
    operationId: `deleteAnnotation${by}`,
    tags: ['annotations'],
    summary: 'Delete a mark',
    description: 'At once and for good.',
    requestParams: { path: z.object({ ...path.shape, annotation: idOf('annotation') }), query: query(noQuery) },
    responses: { 204: { description: 'Deleted' }, ...problems(404) },
  },
}));

export const annotationDescriptions: ZodOpenApiPathsObject = { ...listDescriptions, ...deleteDescriptions };
