/** The vocabulary of a project. */
import express, { type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { MetadataService } from '../../flows/series/metadata-service.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { bodyOf, jsonBody } from '../body/json-body.ts';
import { json, problems } from '../request/operation.ts';
import { queryOf, refuseNul } from '../request/query.ts';
import { noQuery } from '../wire/scalars.ts';
import {
  storedVocabularyAnswer,
  toVocabularyAnswer,
  vocabularyAnswer,
  vocabularyBody,
} from '../wire/vocabulary-schema.ts';

const PATH = '/v1/projects/:name/vocabulary';

export function vocabularyRoutes(metadata: MetadataService): Router {
  const router = express.Router({ caseSensitive: true });
  router.param('name', (_req, _res, next, name: string) => {
    refuseNul('name', name);
    next();
  });

  router.get(PATH, needs('read'), async (req, res) => {
    queryOf(req, noQuery);
    const project = String(req.params.name);
    res.json(toVocabularyAnswer(project, await metadata.vocabulary(principalOf(res), project)));
  });

  router.put(PATH, needs('admin'), jsonBody(), async (req, res) => {
    queryOf(req, noQuery);
    const project = String(req.params.name);
    const wanted = bodyOf(req, vocabularyBody);
    const { vocabulary, unfit } = await metadata.setVocabulary(principalOf(res), project, wanted);
    res.json({ ...toVocabularyAnswer(project, vocabulary), unfit });
  });

  router.delete(PATH, needs('admin'), async (req, res) => {
    queryOf(req, noQuery);
    await metadata.deleteVocabulary(principalOf(res), String(req.params.name));
    res.status(204).end();
  });

  return router;
}

const path = z.object({ name: z.string().meta({ description: 'Name of the project' }) });

export const vocabularyDescriptions: ZodOpenApiPathsObject = {
  '/v1/projects/{name}/vocabulary': {
    get: {
      operationId: 'getVocabulary',
      tags: ['metadata'],
      summary: 'Which tags the series of a project may and must have',
      description: 'A project without one is a 404: any tags are allowed.',
      requestParams: { path },
      responses: { 200: { description: 'The vocabulary', content: json(vocabularyAnswer) }, ...problems(404) },
    },
    put: {
      operationId: 'setVocabulary',
      tags: ['metadata'],
      summary: 'Set the vocabulary of a project (scope admin)',
      description: `From now on a series that is created, and a tag that is changed, must fit; else 422 (\`not-in-vocabulary\`) names \`tags.<key>\` and what is
allowed. Of a list every value must. What is there stays, and the answer counts the series that do not fit.`,
      requestParams: { path },
      requestBody: { description: 'Which tags there may and must be', required: true, content: json(vocabularyBody) },
      responses: {
        200: { description: 'The vocabulary', content: json(storedVocabularyAnswer) },
        ...problems(404, 413, 415, 422),
      },
    },
    delete: {
      operationId: 'deleteVocabulary',
      tags: ['metadata'],
      summary: 'Delete the vocabulary of a project (scope admin): any tags are allowed',
      description: 'What the series have stays.',
      requestParams: { path },
      responses: { 204: { description: 'Deleted' }, ...problems(404) },
    },
  },
};
