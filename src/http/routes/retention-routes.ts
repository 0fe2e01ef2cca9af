/** Rules that say how long samples are kept. */
import express, { type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { RetentionService } from '../../flows/compact/retention-service.ts';
import { needsAdmin } from '../request/authenticate.ts';
import { bodyOf, jsonBody } from '../body/json-body.ts';
import { json, problems } from '../request/operation.ts';
import { pathId } from '../request/path-id.ts';
import { queryOf } from '../request/query.ts';
import { retentionAnswer, retentionCreate, toNewRule, toRetentionAnswer } from '../wire/retention-schema.ts';
import { idOf, noQuery } from '../wire/scalars.ts';

export function retentionRoutes(retention: RetentionService): Router {
  const router = express.Router({ caseSensitive: true });

  router.get('/v1/retention', needsAdmin, async (req, res) => {
    queryOf(req, noQuery);
    res.json({ items: (await retention.list()).map(toRetentionAnswer) });
  });

  router.post('/v1/retention', needsAdmin, jsonBody(), async (req, res) => {
    queryOf(req, noQuery);
    const rule = await retention.create(toNewRule(bodyOf(req, retentionCreate)));
    res.status(201).json(toRetentionAnswer(rule));
  });

  router.delete('/v1/retention/:id', needsAdmin, async (req, res) => {
    queryOf(req, noQuery);
    await retention.delete(pathId(req, 'retention rule'));
    res.status(204).end();
  });

  return router;
}

export const retentionDescriptions: ZodOpenApiPathsObject = {
  '/v1/retention': {
    get: {
      operationId: 'listRetentionRules',
      tags: ['space'],
      summary: 'List the retention rules (scope admin)',
      description: 'Where several match a series, the one that keeps longest counts.',
      responses: {
        200: {
          description: 'By project, oldest first',
          content: json(z.object({ items: z.array(retentionAnswer).meta({ description: 'All of them' }) })),
        },
        ...problems(),
      },
    },
    post: {
      operationId: 'createRetentionRule',
      tags: ['space'],
      summary: 'Create a retention rule (scope admin)',
      description: `Samples older than \`keep_days\` expire: within about a minute nobody sees them any more, and compaction frees their space. Their
summaries stay for \`keep_summaries_days\`. Age counts back from the newest sample of the series, or from now if that lies in the future. Only what lies in
compacted shards expires, so a series may keep about a day more than the rule says, and a hundredth of \`keep_days\`. Where several rules match a series, the one
that keeps longest counts, of samples and of summaries each. Without any rule, everything is kept.`,
      requestBody: { description: 'Which series, and how long', required: true, content: json(retentionCreate) },
      responses: { 201: { description: 'The rule', content: json(retentionAnswer) }, ...problems(404, 413, 415) },
    },
  },
  '/v1/retention/{id}': {
    delete: {
      operationId: 'deleteRetentionRule',
      tags: ['space'],
      summary: 'Delete a retention rule (scope admin); what has expired does not come back',
      description: 'From then on the series it matched are kept as the other rules say, or for ever.',
      requestParams: { path: z.object({ id: idOf('retention rule') }) },
      responses: { 204: { description: 'Deleted' }, ...problems(404) },
    },
  },
};
