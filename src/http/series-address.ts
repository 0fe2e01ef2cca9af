/** The two ways to address a series: by id, and by name within a project. */
import express, { type Request, type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiOperationObject, ZodOpenApiPathsObject } from 'zod-openapi';
import { notFound } from '../core/errors.ts';
import type { SeriesRef } from '../flows/service.ts';
import { isUuid, name, uuid } from './wire/scalars.ts';
import { DEFAULT_PROJECT } from './wire/series.ts';

const BY_NAME = 'by-name';

/**
 * The paths of one resource of a series, for a router of {@link seriesRouter}. A name may be written with its slashes as they
 * are; then a resource's path behind it wins, and a name that ends like one has to be percent-encoded (`%2F`).
 * @param resource empty for the series itself; else begins with a slash
 */
export function seriesPaths(resource: '' | `/${string}`): string[] {
  return [`/v1/series/${BY_NAME}/*name${resource}`, `/v1/series/:id${resource}`];
}

/** A router on which `:id` is never the word that introduces a name: `by-name/samples` is the series called samples. */
export function seriesRouter(): Router {
  const router = express.Router({ caseSensitive: true });
  router.param('id', (_req, _res, next, id) => (id === BY_NAME ? next('route') : next()));
  return router;
}

const projectParameter = { project: name.default(DEFAULT_PROJECT) };

/**
 * Which series a request means, and the rest of its query.
 * @param query what the resource takes; a by-name path takes `project` besides
 * @throws not-found for what is no id, or no name; invalid-input naming the parameter
 */
export function addressOf<S extends z.ZodRawShape>(
  req: Pick<Request, 'params' | 'originalUrl'>,
  query: z.ZodObject<S, z.core.$strict>,
  options: { lists?: readonly string[] } = {},
): { ref: SeriesRef; query: z.output<z.ZodObject<S, z.core.$strict>> } {
  const { id, name: segments } = req.params;
  if (typeof id === 'string') {
    if (!isUuid(id)) throw notFound('series', id);
    return { ref: { id }, query: queryOf(req, query, options) };
  }
  const text = [segments].flat().join('/');
  if (!name.safeParse(text).success) throw notFound('series', text);
  // The project is read by itself, so that the rest keeps the type the resource gave it.
  const { project } = queryOf(req, z.object(projectParameter), { lists: [...req.originalUrl] });
  return { ref: { project, name: text }, query: queryOf(req, query, options) };
}
