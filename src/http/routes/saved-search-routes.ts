/** Searches that a project keeps by name. */
import express, { type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { SavedSearchService } from '../../flows/series/saved-search-service.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { bodyOf, jsonBody } from '../body/json-body.ts';
import { json, problems } from '../request/operation.ts';
import { pathId } from '../request/path-id.ts';
import { queryOf } from '../request/query.ts';
import { idOf, noQuery } from '../wire/scalars.ts';
import {
  savedSearchAnswer,
  savedSearchChange,
  savedSearchCreate,
  savedSearchQuery,
  toQuestion,
  toSavedSearchAnswer,
} from '../wire/saved-searches-schema.ts';

const NOUN = 'saved search';

/** Whoever changes one is shown it, and so has to read. */
export function savedSearchRoutes(searches: SavedSearchService): Router {
  const router = express.Router({ caseSensitive: true });

  router.get('/v1/searches', needs('read'), async (req, res) => {
    const { project } = queryOf(req, savedSearchQuery);
    res.json({ items: (await searches.saved(principalOf(res), project)).map(toSavedSearchAnswer) });
  });

  router.post('/v1/searches', needs('read'), needs('write'), jsonBody(), async (req, res) => {
    queryOf(req, noQuery);
    const body = bodyOf(req, savedSearchCreate);
    const { project, name } = body;
    const saved = await searches.save(principalOf(res), { project, name, question: toQuestion(body) });
    res.status(201).location(`/v1/searches/${saved.id}`).json(toSavedSearchAnswer(saved));
  });

  router.get('/v1/searches/:id', needs('read'), async (req, res) => {
    queryOf(req, noQuery);
    res.json(toSavedSearchAnswer(await searches.savedOne(principalOf(res), pathId(req, NOUN))));
  });

  router.put('/v1/searches/:id', needs('read'), needs('write'), jsonBody(), async (req, res) => {
    queryOf(req, noQuery);
    const body = bodyOf(req, savedSearchChange);
    const change = { name: body.name, question: toQuestion(body) };
    res.json(toSavedSearchAnswer(await searches.replaceSaved(principalOf(res), pathId(req, NOUN), change)));
  });

  router.delete('/v1/searches/:id', needs('read'), needs('write'), async (req, res) => {
    queryOf(req, noQuery);
    await searches.deleteSaved(principalOf(res), pathId(req, NOUN));
    res.status(204).end();
  });

  return router;
}

const path = z.object({ id: idOf(NOUN) });

export const savedSearchDescriptions: ZodOpenApiPathsObject = {
  '/v1/searches': {
    get: {
      operationId: 'listSavedSearches',
      tags: ['series'],
      summary: 'List saved searches',
      description: 'Those of the projects that the token reaches, or of one.',
      requestParams: { query: savedSearchQuery },
      responses: {
        200: {
          description: 'By name',
          content: json(z.object({ items: z.array(savedSearchAnswer).meta({ description: 'All of them' }) })),
        },
        ...problems(),
      },
    },
    post: {
      operationId: 'saveSearch',
      tags: ['series'],
      summary: 'Keep a search by name (scopes read and write)',
      description:
        'It is checked as if it were asked, and kept as it was sent. A name that the project has already is a 409.',
      requestBody: {
        description: 'What it is called, and what it asks',
        required: true,
        content: json(savedSearchCreate),
      },
      responses: {
        201: {
          description: 'The saved search',
          headers: { Location: { description: 'Its path', schema: { type: 'string' } } },
          content: json(savedSearchAnswer),
        },
        ...problems(404, 409, 413, 415, 422),
      },
    },
  },
  '/v1/searches/{id}': {
    get: {
      operationId: 'getSavedSearch',
      tags: ['series'],
      summary: 'Show a saved search',
      description: 'To be asked as the body of `POST /v1/series/search`: its `where`, `sort` and `facets`.',
      requestParams: { path },
      responses: { 200: { description: 'The saved search', content: json(savedSearchAnswer) }, ...problems(404) },
    },
    put: {
      operationId: 'replaceSavedSearch',
      tags: ['series'],
      summary: 'Put another search in its place (scopes read and write)',
      description: 'It may be called otherwise, too. It stays in its project.',
      requestParams: { path },
      requestBody: { description: 'The whole of it', required: true, content: json(savedSearchChange) },
      responses: {
        200: { description: 'As it is now', content: json(savedSearchAnswer) },
        ...problems(404, 409, 413, 415, 422),
      },
    },
    delete: {
      operationId: 'deleteSavedSearch',
      tags: ['series'],
      summary: 'Forget a saved search (scopes read and write)',
      description: 'What it finds stays.',
      requestParams: { path },
      responses: { 204: { description: 'It is gone' }, ...problems(404) },
    },
  },
};
