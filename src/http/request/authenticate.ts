/** Who asks, and what they may: bearer tokens, sessions in their place, and scopes. */
import type { Request, RequestHandler, Response } from 'express';
import { VarveError } from '../../core/errors.ts';
import type { AccessService } from '../../flows/people/access-service.ts';
import type { SessionService } from '../../flows/people/session-service.ts';
import type { Principal, Scope } from '../../flows/principal.ts';
import { seriesRefOf } from './series-address.ts';
import { refuseOtherOrigins, sessionSecret } from './session-cookie.ts';

const BEARER = /^Bearer +([\x21-\x7e]+) *$/i;

/**
 * Knows the caller by `Authorization: Bearer` (RFC 6750), or by the cookie of a session. It looks at nothing else: a
 * token in a URL ends up in logs and histories. Answers unauthorized for a request without either, and forbidden for
 * one that another site makes a browser send.
 */
export function authenticate(
  access: Pick<AccessService, 'authenticate'>,
  sessions: Pick<SessionService, 'authenticateSession'>,
): RequestHandler {
  return async (req, res, next) => {
    // Whoever came by a link is known already, and is nobody else.
    if (res.locals.principal === undefined) {
      const authenticated = credentialOf(req, access, sessions);
      res.locals.principal = await authenticated();
      res.locals.stillPrincipal = authenticated;
    }
    next();
  };
}

/** @throws unauthorized, forbidden */
function credentialOf(
  req: Request,
  access: Pick<AccessService, 'authenticate'>,
  sessions: Pick<SessionService, 'authenticateSession'>,
): () => Promise<Principal> {
  const header = req.get('authorization');
  if (header === undefined) {
    const bySession = knownBySession(req, sessions);
    if (bySession) return bySession;
    throw new VarveError('unauthorized', 'Send a token: Authorization: Bearer <token>', { slug: 'token-missing' });
  }
  const token = BEARER.exec(header)?.[1];
  if (token !== undefined) return () => access.authenticate(token);
  throw new VarveError('unauthorized', 'The Authorization header is not "Bearer <token>"', { slug: 'invalid-token' });
}

/** How to know the caller by a session; null without its cookie. @throws forbidden where another site could have sent it */
export function knownBySession(
  req: Request,
  sessions: Pick<SessionService, 'authenticateSession'>,
): (() => Promise<Principal>) | null {
  const secret = sessionSecret(req);
  if (secret === null) return null;
  refuseOtherOrigins(req);
  return () => sessions.authenticateSession(secret);
}

/** The caller of an authenticated request. */
export function principalOf(res: Response): Principal {
  return res.locals.principal;
}

/** Asks anew whether the caller's token is valid, for what goes on. @returns a function that throws unauthorized once it is not */
export function stillPrincipalOf(res: Response): () => Promise<Principal> {
  return res.locals.stillPrincipal;
}

/**
 * Lets tokens with this scope pass. `admin` implies the others. `write` does not imply `read`, for a sensor need not
 * read; neither implies `subjects`. Whoever came by a link passes for the series that it shows.
 */
export function needs(scope: Scope): RequestHandler {
  return (req, res, next) => {
    if (!allows(principalOf(res).scopes, scope)) throw missingScope(scope);
    const ref = principalOf(res).share ? seriesRefOf(req) : null;
    if (ref === null) next();
    else return res.locals.assertShown(ref).then(() => next());
  };
}

/**
 * Lets tokens with this scope pass that are not limited to projects, for what is told or done of the whole service. A
 * limited one could learn of other projects here, or give itself a token for them.
 */
export function needsForAll(scope: Scope): RequestHandler {
  return (_req, res, next) => {
    const { scopes, projects } = principalOf(res);
    if (!allows(scopes, scope)) throw missingScope(scope);
    if (projects !== null) {
      const message = `This needs a token with the scope ${scope} that is not limited to projects`;
      throw new VarveError('forbidden', message);
    }
    next();
  };
}

export const needsAdmin: RequestHandler = needsForAll('admin');

/**
 * Whether the caller may be shown what is stored. A token that may write and not read is told what it sent, what became
 * of it, and why something is refused. It is never told what others have stored. Each answer to a write asks this
 * before it shows more.
 */
export function mayRead(res: Response): boolean {
  return allows(principalOf(res).scopes, 'read');
}

function allows(scopes: readonly Scope[], scope: Scope): boolean {
  return scopes.includes(scope) || scopes.includes('admin');
}

function missingScope(scope: Scope): VarveError {
  return new VarveError('forbidden', `This needs a token with the scope ${scope}`, { slug: 'scope-missing' });
}
