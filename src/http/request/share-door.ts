/** The door of links: `/s/{secret}/…` answers what the link shows, to whoever has it, and never anything else. */
import type { RequestHandler } from 'express';
import { isVarveError, VarveError } from '../../core/errors.ts';
import type { ShareService } from '../../flows/share/share-service.ts';

const SHARED_PATH = /^\/s\/([^/]+)(\/.*)?$/;
/** Reads of series, of what belongs to one, and who asks. */
const READ = /^\/v1\/(?:series(?:\/.*)?|session)$/;
const QUERY = /^\/v1\/query\/?$/;

/** Links that are unknown are answered 403, up to so many in a minute; further ones are asked to wait. */
const MAX_GUESSES = 60;
const GUESS_WINDOW_MS = 60_000;
const RETRY_AFTER_S = 60;

/** The path as it may be told and logged: whoever has the secret of a link can use it. */
export function withoutSecret(path: string): string {
  return path.replace(/^\/s\/[^/?]+/, '/s/…');
}

/** True of what a link may be asked for. */
function isSharable(method: string, path: string): boolean {
  if (method === 'GET' || method === 'HEAD') return READ.test(path);
  return method === 'POST' && QUERY.test(path);
}

/**
 * Makes a request under a link the same request without it, by a principal who sees what is shared. Answers forbidden
 * for a link that is unknown or has ended, and for all that is no read of series. The page is for the routes to answer.
 * @param isPage whether a browser opens the page
 */
export function shareDoor(
  shares: Pick<ShareService, 'openShare' | 'assertShown'>,
  isPage: (req: Parameters<RequestHandler>[0]) => boolean,
): RequestHandler {
  const guesses = new GuessCount();
  return async (req, res, next) => {
    const [, secret, path = '/'] = SHARED_PATH.exec(req.path) ?? [];
    if (secret === undefined) return next();
    const open = () => shares.openShare(secret);
    try {
      const principal = await open();
      res.locals.principal = principal;
      res.locals.stillPrincipal = open;
      res.locals.assertShown = shares.assertShown.bind(null, principal);
    } catch (error) {
      if (!isVarveError(error) || error.code !== 'forbidden') throw error;
      // The page says in a sentence that a link has ended.
      if (isPage(req) && !path.startsWith('/v1')) res.status(403);
      else throw guesses.refusal(error);
    }
    res.set('Cache-Control', 'private, no-cache');
    if (path === '/' || (isPage(req) && !path.startsWith('/v1'))) return next();
    if (!isSharable(req.method, path)) {
      const message = 'A link lets read what it shows, and nothing else';
      throw new VarveError('forbidden', message, { slug: 'not-shared' });
    }
    req.url = path + req.url.slice(req.path.length);
    next();
  };
}

/** Counts unknown links of all clients. What is known costs nothing to look up, and is answered all the same. */
class GuessCount {
  #sinceMs = -Infinity;
  #count = 0;

  refusal(error: VarveError): VarveError {
    if (error.slug !== 'share-unknown') return error;
    const nowMs = performance.now();
    if (nowMs - this.#sinceMs > GUESS_WINDOW_MS) {
      this.#sinceMs = nowMs;
      this.#count = 0;
    }
    if (++this.#count <= MAX_GUESSES) return error;
    return new VarveError('too-many-requests', 'too many links were tried that do not exist', {
      retryAfterS: RETRY_AFTER_S,
    });
  }
}
