/** Where a regular series has data, and the marks of its clock. */
import type { Router } from 'express';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { openRange } from '../../core/time.ts';
import type { TimeAxisService } from '../../flows/series/time-axis-service.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { nextLink, openCursor } from '../request/cursor.ts';
import { json, problems } from '../request/operation.ts';
import { addressOf, describeBoth, seriesPaths, seriesRouter } from '../request/series-address.ts';
import {
  markPosition,
  marksAnswer,
  marksQuery,
  segmentPosition,
  segmentsAnswer,
  segmentsQuery,
  toMarkAnswer,
  toSegmentAnswer,
} from '../wire/time-axis-schema.ts';

export function timeAxisRoutes(axis: TimeAxisService): Router {
  const router = seriesRouter();

  router.get(seriesPaths('/segments'), needs('read'), async (req, res) => {
    const { ref, query } = addressOf(req, segmentsQuery);
    const after = openCursor(req.originalUrl, query.cursor, segmentPosition);
    const wanted = { ...openRange(query), limit: query.limit, after };
    const page = await axis.segments(principalOf(res), ref, wanted);
    const next = page.after === null ? null : nextLink(req.originalUrl, page.after.toString());
    res.json({ items: page.items.map(toSegmentAnswer), next });
  });

  router.get(seriesPaths('/clock-marks'), needs('read'), async (req, res) => {
    const { ref, query } = addressOf(req, marksQuery);
    const after = openCursor(req.originalUrl, query.cursor, markPosition);
    const page = await axis.clockMarks(principalOf(res), ref, { limit: query.limit, after });
    const next = page.after === null ? null : nextLink(req.originalUrl, page.after);
    res.json({ items: page.items.map(toMarkAnswer), next });
  });

  return router;
}

const segmentDescriptions = describeBoth('/segments', ({ path, by, query }) => ({
  get: {
    operationId: `listSegments${by}`,
    tags: ['samples'],
    summary: 'List where a regular series has data, in order of time',
    description: 'With start and end, those that touch the range. What was removed or has expired is a gap.',
    requestParams: { path, query: query(segmentsQuery) },
    responses: { 200: { description: 'One page', content: json(segmentsAnswer) }, ...problems(404, 422) },
  },
}));

const markDescriptions = describeBoth('/clock-marks', ({ path, by, query }) => ({
  get: {
    operationId: `listClockMarks${by}`,
    tags: ['samples'],
    summary: 'List the times that clients said rows of a regular series have',
    description:
      'Clock marks are kept of the times that came with appends. The first ones are all kept. A later one is kept if it comes 256 rows or more after the one before, or if it tells that a clock drifts.',
    requestParams: { path, query: query(marksQuery) },
    responses: { 200: { description: 'One page', content: json(marksAnswer) }, ...problems(404, 422) },
  },
}));

export const timeAxisDescriptions: ZodOpenApiPathsObject = { ...segmentDescriptions, ...markDescriptions };
