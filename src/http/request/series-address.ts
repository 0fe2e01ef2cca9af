/** The two ways to address a series: by id, and by name within a project. */
import express, { type Request, type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathItemObject, ZodOpenApiPathsObject } from 'zod-openapi';
import { notFound } from '../../core/errors.ts';
import type { SeriesRef } from '../../flows/series/series-service.ts';
import { pathId } from './path-id.ts';
import { queryOf } from './query.ts';
import { idOf, name } from '../wire/scalars.ts';
import { DEFAULT_PROJECT } from '../../core/signal/series.ts';

const BY_NAME = 'by-name';

/**
 * The paths of one resource of a series, for a router of {@link seriesRouter}. A name may be written with its slashes
 * as they are. A resource's path behind the name wins then, so a name that ends like one has to be percent-encoded
 * (`%2F`).
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

const projectQuery = z.object({
  project: name.default(DEFAULT_PROJECT).meta({ description: 'Project of the name' }),
});

/** Which series a request means; null for one whose path names none. @throws as {@link addressOf} */
export function seriesRefOf(req: Pick<Request, 'params' | 'originalUrl'>): SeriesRef | null {
  const { id, name: segments } = req.params;
  if (id !== undefined) return { id: pathId(req, 'series') };
  if (segments === undefined) return null;
  const text = [segments].flat().join('/');
  if (!name.safeParse(text).success) throw notFound('series', text);
  const { project } = queryOf(req, projectQuery, { skip: (parameter) => !isProject(parameter) });
  return { project, name: text };
}

function isProject(parameter: string): boolean {
  return parameter === 'project';
}

/**
 * Which series a request means, and the rest of its query.
 * @param query what the resource takes; a by-name path takes `project` besides
 * @throws not-found for what is no id, or no name; invalid-input naming the parameter
 */
export function addressOf<S extends z.ZodType>(
  req: Pick<Request, 'params' | 'originalUrl'>,
  query: S,
  lists: readonly string[] = [],
): { ref: SeriesRef; query: z.output<S> } {
  const ref = seriesRefOf(req);
  if (ref === null) throw new Error('the path of this route names no series');
  return { ref, query: queryOf(req, query, { lists, ...('name' in ref && { skip: isProject }) }) };
}

/** The descriptions of one resource of a series under both addresses, each operation written once. */
export function describeBoth(
  resource: '' | `/${string}`,
  operations: (address: Address) => ZodOpenApiPathItemObject,
): ZodOpenApiPathsObject {
  return {
    [`/v1/series/{id}${resource}`]: operations({
      path: z.object({ id: idOf('series') }),
      by: '',
      query: (schema) => schema,
    }),
    [`/v1/series/${BY_NAME}/{name}${resource}`]: operations({
      path: z.object({ name: name.meta({ description: 'Percent-encoded, or with its slashes as they are' }) }),
      by: 'ByName',
      query: (schema) => z.object({ ...schema.shape, ...projectQuery.shape }),
    }),
  };
}

interface Address {
  readonly path: z.ZodObject;
  /** Ends the operation's id. */
  readonly by: '' | 'ByName';
  readonly query: (schema: z.ZodObject) => z.ZodObject;
}
