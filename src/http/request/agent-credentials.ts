/** Who sends lines: a token, in each of the ways in which the clients of InfluxDB say one. */
import type { RequestHandler } from 'express';
import { VarveError } from '../../core/errors.ts';
import type { AccessService } from '../../flows/people/access-service.ts';
import type { SessionService } from '../../flows/people/session-service.ts';
import { knownBySession } from './authenticate.ts';
import { searchParamsOf } from './query.ts';

const HEADER = /^(Token|Bearer|Basic) +([\x21-\x7e]+) *$/i;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * `Authorization: Token` (InfluxDB 2), `Bearer`, `Basic` with any name and the token as password, or `u` and `p` of the query (InfluxDB 1). A header goes
 * before the query, where many clients repeat it.
 * A session is taken where there is neither. Answers unauthorized for a request without a valid token.
 */
export function authenticateAgent(
  access: Pick<AccessService, 'authenticate'>,
  sessions: Pick<SessionService, 'authenticateSession'>,
): RequestHandler {
  return async (req, res, next) => {
    const header = req.get('authorization');
    const token = header === undefined ? queryToken(req.originalUrl) : headerToken(header);
    const bySession = token === null ? knownBySession(req, sessions) : null;
    if (bySession) {
      res.locals.principal = await bySession();
      return next();
    }
    if (token === null) {
      const message = 'send a token: Authorization: Token <token>, or as password of Basic or of u and p';
      throw new VarveError('unauthorized', message, { slug: 'token-missing' });
    }
    res.locals.principal = await access.authenticate(token);
    next();
  };
}

/** @throws unauthorized for a header that says none */
function headerToken(header: string): string {
  const [, scheme = '', value = ''] = HEADER.exec(header) ?? [];
  const token = scheme.toLowerCase() === 'basic' ? passwordOf(value) : value;
  if (token) return token;
  throw new VarveError('unauthorized', 'the Authorization header is not "Token <token>", Bearer or Basic', {
    slug: 'invalid-token',
  });
}

/** What stands behind the first colon. */
function passwordOf(base64: string): string | null {
  if (!BASE64.test(base64)) return null;
  const pair = Buffer.from(base64, 'base64').toString();
  const colon = pair.indexOf(':');
  return colon < 0 ? null : pair.slice(colon + 1);
}

function queryToken(url: string): string | null {
  const [given, ...others] = searchParamsOf(url).getAll('p');
  if (others.length > 0) throw new VarveError('unauthorized', 'p: is given more than once', { slug: 'invalid-token' });
  return given === undefined || given === '' ? null : given;
}
