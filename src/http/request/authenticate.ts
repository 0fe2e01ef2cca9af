/** Who asks, and what they may: bearer tokens and their scopes. */
import type { RequestHandler, Response } from 'express';
import { VarveError } from '../../core/errors.ts';
import type { AccessService } from '../../flows/people/access-service.ts';
import type { Principal, Scope } from '../../flows/principal.ts';

const BEARER = /^Bearer +([\x21-\x7e]+) *$/i;

/**
 * Knows the caller by `Authorization: Bearer` (RFC 6750) and by nothing else: a token in a URL ends up in logs and histories.
 * Answers unauthorized for a request without a valid token.
 */
export function authenticate(access: Pick<AccessService, 'authenticate'>): RequestHandler {
  return async (req, res, next) => {
    const header = req.get('authorization');
    if (header === undefined) {
      throw new VarveError('unauthorized', 'Send a token: Authorization: Bearer <token>', { slug: 'token-missing' });
    }
    const token = BEARER.exec(header)?.[1];
    if (token === undefined) {
      throw new VarveError('unauthorized', 'The Authorization header is not "Bearer <token>"', {
        slug: 'invalid-token',
      });
    }
    const authenticated = (): Promise<Principal> => access.authenticate(token);
    res.locals.principal = await authenticated();
    res.locals.stillPrincipal = authenticated;
    next();
  };
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
 * read; neither implies `subjects`.
 */
export function needs(scope: Scope): RequestHandler {
  return (_req, res, next) => {
    if (!allows(principalOf(res).scopes, scope)) throw missingScope(scope);
    next();
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
