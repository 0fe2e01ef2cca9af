/** Signing in and out: a page has a cookie that its scripts cannot read, in place of a token. */
import express, { type RequestHandler, type Router } from 'express';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { SessionService } from '../../flows/people/session-service.ts';
import type { ShareService } from '../../flows/share/share-service.ts';
import { principalOf } from '../request/authenticate.ts';
import { bodyOf, jsonBody } from '../body/json-body.ts';
import { json, problems } from '../request/operation.ts';
import { queryOf } from '../request/query.ts';
import {
  clearSessionCookie,
  isSameOrigin,
  refuseOtherOrigins,
  sessionSecret,
  setSessionCookie,
} from '../request/session-cookie.ts';
import { noQuery } from '../wire/scalars.ts';
import { sessionAnswer, signInBody, toLinkSessionAnswer, toSessionAnswer } from '../wire/session-schema.ts';

/** @param authenticated for the request that asks who is signed in; the others are there before anybody is */
export function sessionRoutes(
  sessions: SessionService,
  shares: Pick<ShareService, 'share'>,
  authenticated: RequestHandler,
): Router {
  const router = express.Router({ caseSensitive: true });

  router.post('/v1/session', jsonBody(), async (req, res) => {
    queryOf(req, noQuery);
    // Another site could sign somebody in as its own user. Programs say nothing of origins.
    if (isSameOrigin(req) === false) refuseOtherOrigins(req);
    const { token, code = '' } = bodyOf(req, signInBody);
    const { secret, endsAt } = await sessions.signIn(token === undefined ? { code } : { token });
    const principal = await sessions.authenticateSession(secret);
    setSessionCookie(req, res, secret, endsAt);
    res.status(201).set('Cache-Control', 'no-store');
    res.json(toSessionAnswer(await sessions.session(principal, secret)));
  });

  router.get('/v1/session', authenticated, async (req, res) => {
    queryOf(req, noQuery);
    res.set('Cache-Control', 'no-store');
    const principal = principalOf(res);
    if (principal.share) {
      res.json(toLinkSessionAnswer(await shares.share(principal)));
      return;
    }
    const secret = req.get('authorization') === undefined ? sessionSecret(req) : null;
    res.json(toSessionAnswer(await sessions.session(principal, secret)));
  });

  router.delete('/v1/session', async (req, res) => {
    queryOf(req, noQuery);
    const secret = sessionSecret(req);
    if (secret !== null) {
      refuseOtherOrigins(req);
      await sessions.signOut(secret);
      clearSessionCookie(req, res);
    }
    res.status(204).end();
  });

  return router;
}

const SET_COOKIE = {
  'Set-Cookie': { description: 'The session, out of reach of scripts', schema: { type: 'string' as const } },
};

export const sessionDescriptions: ZodOpenApiPathsObject = {
  '/v1/session': {
    post: {
      operationId: 'signIn',
      tags: ['access'],
      summary: 'Sign a browser in',
      description: `A token, or the code of a link that the service has printed, becomes a cookie. From then on the cookie stands for the token, wherever
\`Authorization: Bearer\` is taken. It ends after 30 days, when it is deleted, and with its token. With a cookie, only pages of this service may change something, as \`Sec-Fetch-Site\` or
\`Origin\` say. Others are answered 403 (\`cross-origin\`).`,
      security: [],
      requestBody: { description: 'A token or a code', required: true, content: json(signInBody) },
      responses: {
        201: { description: 'Who is signed in', headers: SET_COOKIE, content: json(sessionAnswer) },
        ...problems(413, 415),
      },
    },
    get: {
      operationId: 'getSession',
      tags: ['access'],
      summary: 'Who is signed in',
      description: 'The same is told of a token that is sent in the header, and of a link.',
      responses: { 200: { description: 'Who asks', content: json(sessionAnswer) }, ...problems() },
    },
    delete: {
      operationId: 'signOut',
      tags: ['access'],
      summary: 'Sign out',
      description: 'The session ends for whoever has its cookie. Without a session there is nothing to end.',
      security: [],
      responses: { 204: { description: 'Nobody is signed in', headers: SET_COOKIE }, ...problems() },
    },
  },
};
