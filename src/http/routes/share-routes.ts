/** Links that show a part of the store: to make, list and revoke them, and what each shows. */
import express, { type Request, type RequestHandler, type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { ShareService } from '../../flows/share/share-service.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { bodyOf, jsonBody } from '../body/json-body.ts';
import { json, problems, problemsOnly } from '../request/operation.ts';
import { pathId } from '../request/path-id.ts';
import { queryOf } from '../request/query.ts';
import { isOverTls } from '../request/session-cookie.ts';
import { wantsPage } from './page-routes.ts';
import { idOf, noQuery } from '../wire/scalars.ts';
import {
  createdShareAnswer,
  shareAnswer,
  shareCreate,
  sharedAnswer,
  toNewShare,
  toShareAnswer,
  toSharedAnswer,
} from '../wire/shares-schema.ts';

export function shareRoutes(shares: ShareService): Router {
  const router = express.Router({ caseSensitive: true });

  router.post('/v1/shares', needs('read'), jsonBody(), async (req, res) => {
    queryOf(req, noQuery);
    const { secret, share } = await shares.createShare(principalOf(res), toNewShare(bodyOf(req, shareCreate)));
    res.status(201).set('Cache-Control', 'no-store');
    res.json({ ...toShareAnswer(share), url: `${originOf(req)}/s/${secret}` });
  });

  router.get('/v1/shares', needs('read'), async (req, res) => {
    queryOf(req, noQuery);
    const items = await shares.listShares(principalOf(res));
    res.json({ items: items.map((share) => toShareAnswer(share)) });
  });

  router.delete('/v1/shares/:id', needs('read'), async (req, res) => {
    queryOf(req, noQuery);
    await shares.revokeShare(principalOf(res), pathId(req, 'share'));
    res.status(204).end();
  });

  return router;
}

/** Behind the door of links. @param index what browsers are shown */
export function sharedRoutes(shares: Pick<ShareService, 'share'>, index: RequestHandler): Router {
  const router = express.Router({ caseSensitive: true });

  router.get('/s/:share', async (req, res, next) => {
    res.vary('Accept');
    if (wantsPage(req)) {
      await index(req, res, next);
      return;
    }
    queryOf(req, noQuery);
    res.json(toSharedAnswer(await shares.share(principalOf(res))));
  });

  return router;
}

/** How the client reached the service: the host it named. */
function originOf(req: Request): string {
  return `${isOverTls(req) ? 'https' : 'http'}://${req.get('host') ?? 'localhost'}`;
}

export const shareDescriptions: ZodOpenApiPathsObject = {
  '/v1/shares': {
    post: {
      operationId: 'createShare',
      tags: ['access'],
      summary: 'Make a link that shows a part of the store',
      description: `Whoever has the link \`/s/{share}\` reads what it shows, on the page or by the API below it. That is \`GET\` and \`HEAD\` of
\`/s/{share}/v1/series\` and of all that belongs to a series, and \`POST /s/{share}/v1/query\`. All else is 403, and so is a link that has ended.
A link shows at most what the token that made it may read, and ends with it. Only a hash of it is stored.`,
      requestBody: { description: 'What it is to show, and for how long', required: true, content: json(shareCreate) },
      responses: {
        201: { description: 'The link', content: json(createdShareAnswer) },
        ...problems(404, 409, 413, 415, 422),
      },
    },
    get: {
      operationId: 'listShares',
      tags: ['access'],
      summary: 'List links',
      description:
        'Those that this token has made; with the scope admin, and no limit to projects, those of all. Links that have ended are told of for 90 days.',
      responses: {
        200: {
          description: 'Newest first',
          content: json(z.object({ items: z.array(shareAnswer).meta({ description: 'All of them' }) })),
        },
        ...problems(),
      },
    },
  },
  '/v1/shares/{id}': {
    delete: {
      operationId: 'revokeShare',
      tags: ['access'],
      summary: 'Revoke a link',
      description:
        'It acts as the revocation of a token does: at once here, and in other processes within milliseconds.',
      requestParams: { path: z.object({ id: idOf('share') }) },
      responses: { 204: { description: 'Revoked' }, ...problems(404) },
    },
  },
  '/s/{share}': {
    get: {
      operationId: 'getShared',
      tags: ['access'],
      summary: 'What a link shows',
      description: 'The page for browsers, JSON for everybody else. The link is all that is needed.',
      security: [],
      requestParams: { path: z.object({ share: z.string().meta({ description: 'The secret of the link' }) }) },
      responses: {
        200: {
          description: 'What it shows',
          content: { ...json(sharedAnswer), 'text/html': { schema: { type: 'string' } } },
        },
        ...problemsOnly(400, 403, 429, 500, 503),
      },
    },
  },
};
