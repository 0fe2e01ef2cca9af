/** Writes: what an append, a replacement or a removal did. */
import express, { type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { AppendService } from '../../flows/append/append-service.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { json, problems } from '../request/operation.ts';
import { queryOf } from '../request/query.ts';
import { noQuery } from '../wire/scalars.ts';
import { toWriteAnswer, writeAnswer } from '../wire/writes-schema.ts';

export function writeRoutes(samples: Pick<AppendService, 'write'>): Router {
  const router = express.Router({ caseSensitive: true });

  router.get('/v1/writes/:id', needs('read'), async (req, res) => {
    queryOf(req, noQuery);
    res.json(toWriteAnswer(await samples.write(principalOf(res), String(req.params.id))));
  });

  return router;
}

export const writeDescriptions: ZodOpenApiPathsObject = {
  '/v1/writes/{id}': {
    get: {
      operationId: 'getWrite',
      tags: ['samples'],
      summary: 'Ask what a write did',
      description:
        'Writes are told of for 30 days. One whose answer was lost is found by sending it again with the same Idempotency-Key.',
      requestParams: {
        path: z.object({ id: z.string().meta({ description: 'Id of the write, as it was answered' }) }),
      },
      responses: { 200: { description: 'What it did', content: json(writeAnswer) }, ...problems(404) },
    },
  },
};
