/** Projects and tokens. */
import express, { type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { AccessService } from '../../flows/people/access-service.ts';
import { needs, needsAdmin, principalOf } from '../request/authenticate.ts';
import { bodyOf, jsonBody } from '../body/json-body.ts';
import { json, problems } from '../request/operation.ts';
import { pathId } from '../request/path-id.ts';
import { queryOf } from '../request/query.ts';
import {
  createdTokenAnswer,
  projectAnswer,
  projectCreate,
  toProjectAnswer,
  tokenAnswer,
  tokenCreate,
  toTokenAnswer,
} from '../wire/access-schema.ts';
import { idOf, noQuery } from '../wire/scalars.ts';

export function accessRoutes(access: Omit<AccessService, 'authenticate'>): Router {
  const router = express.Router({ caseSensitive: true });

  router.get('/v1/projects', needs('read'), async (req, res) => {
    queryOf(req, noQuery);
    res.json({ items: (await access.listProjects(principalOf(res))).map(toProjectAnswer) });
  });

  router.post('/v1/projects', needsAdmin, jsonBody(), async (req, res) => {
    queryOf(req, noQuery);
    res.status(201).json(toProjectAnswer(await access.createProject(bodyOf(req, projectCreate).name)));
  });

  router.get('/v1/tokens', needsAdmin, async (req, res) => {
    queryOf(req, noQuery);
    res.json({ items: (await access.listTokens()).map(toTokenAnswer) });
  });

  router.post('/v1/tokens', needsAdmin, jsonBody(), async (req, res) => {
    queryOf(req, noQuery);
    const { token, record } = await access.createToken(bodyOf(req, tokenCreate));
    res
      .status(201)
      .set('Cache-Control', 'no-store')
      .json({ ...toTokenAnswer(record), token });
  });

  router.delete('/v1/tokens/:id', needsAdmin, async (req, res) => {
    queryOf(req, noQuery);
    await access.revokeToken(pathId(req, 'token'));
    res.status(204).end();
  });

  return router;
}

export const accessDescriptions: ZodOpenApiPathsObject = {
  '/v1/projects': {
    get: {
      operationId: 'listProjects',
      tags: ['access'],
      summary: 'List the projects the token may see',
      description: 'A token that is limited to projects sees those.',
      responses: {
        200: {
          description: 'By name',
          content: json(z.object({ items: z.array(projectAnswer).meta({ description: 'All of them' }) })),
        },
        ...problems(),
      },
    },
    post: {
      operationId: 'createProject',
      tags: ['access'],
      summary: 'Create a project (scope admin)',
      description: 'Names of series are unique within a project, and tokens can be limited to projects.',
      requestBody: { description: 'Its name', required: true, content: json(projectCreate) },
      responses: { 201: { description: 'The project', content: json(projectAnswer) }, ...problems(409, 413, 415) },
    },
  },
  '/v1/tokens': {
    get: {
      operationId: 'listTokens',
      tags: ['access'],
      summary: 'List the tokens that are valid (scope admin)',
      description: 'The tokens themselves are not kept, only their hashes.',
      responses: {
        200: {
          description: 'Oldest first',
          content: json(z.object({ items: z.array(tokenAnswer).meta({ description: 'All of them' }) })),
        },
        ...problems(),
      },
    },
    post: {
      operationId: 'createToken',
      tags: ['access'],
      summary: 'Create a token (scope admin)',
      description:
        'The token itself is shown in this answer only. `admin` implies the other scopes; `write` does not imply `read`, and neither of them `subjects`.',
      requestBody: { description: 'What it is for, and what it may do', required: true, content: json(tokenCreate) },
      responses: { 201: { description: 'The token', content: json(createdTokenAnswer) }, ...problems(404, 413, 415) },
    },
  },
  '/v1/tokens/{id}': {
    delete: {
      operationId: 'revokeToken',
      tags: ['access'],
      summary: 'Revoke a token (scope admin)',
      description:
        'It acts at once in the process that is asked, and in others within milliseconds. Processes that are ' +
        'cut off from the notifications of Postgres take a second.',
      requestParams: { path: z.object({ id: idOf('token') }) },
      responses: { 204: { description: 'Revoked' }, ...problems(404) },
    },
  },
};
