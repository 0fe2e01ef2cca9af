/** Writes: what became of an append. */
import express, { type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { SampleService } from '../flows/service.ts';
import { needs, principalOf } from './authenticate.ts';
import { json, problems } from './operation.ts';
import { pathId } from './path-id.ts';
import { queryOf } from './query.ts';
import { idOf, noQuery } from './wire/scalars.ts';
import { toWriteAnswer, writeAnswer } from './wire/writes.ts';

export function writeRoutes(samples: Pick<SampleService, 'write'>): Router {
  const router = express.Router({ caseSensitive: true });

  router.get('/v1/writes/:id', needs('read'), async (req, res) => {
    queryOf(req, noQuery);
    res.json(toWriteAnswer(await samples.write(principalOf(res), pathId(req, 'write'))));
  });

  return router;
}

export const writeDescriptions: ZodOpenApiPathsObject = {
  '/v1/writes/{id}': {
    get: {
      operationId: 'getWrite',
      tags: ['samples'],
      summary: 'Ask what became of an append',
      description: 'Writes are remembered for a week after they became visible; one that failed stays.',
      requestParams: { path: z.object({ id: idOf('write') }) },
      responses: { 200: { description: 'Its state', content: json(writeAnswer) }, ...problems(404) },
    },
  },
};
