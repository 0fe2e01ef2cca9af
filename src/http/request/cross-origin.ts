/** Pages of other origins, for which browsers ask whether they may read what a request of theirs is answered. */
import type { RequestHandler } from 'express';

/** Origins as browsers write them; `*`: any. */
export type AllowedOrigins = readonly string[];

/** What scripts may read of an answer besides its body and the few headers that all may. */
const EXPOSED = [
  'Accept-Ranges',
  'Content-Encoding',
  'Content-Length',
  'Content-Range',
  'ETag',
  'Idempotency-Replayed',
  'Link',
  'Location',
  'Retry-After',
  'X-Request-Id',
  'X-Varve-Channels',
  'X-Varve-Commit',
  'X-Varve-Dtype',
  'X-Varve-First-Row',
  'X-Varve-Rows',
  'X-Varve-Series',
].join(', ');

const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE';
const HEADER_NAMES = /^[\w-]+(?: *, *[\w-]+)*$/;
const PREFLIGHT_S = 600;

/**
 * Lets pages of the named origins ask with a token, or over a share link. They never ask with the cookie of a session: no answer allows credentials.
 * @see https://fetch.spec.whatwg.org/#http-cors-protocol
 */
export function crossOrigin(origins: AllowedOrigins): RequestHandler {
  const isAny = origins.includes('*');
  return (req, res, next) => {
    if (origins.length === 0) return next();
    const origin = req.get('origin');
    if (!isAny) res.vary('Origin');
    if (origin === undefined || !(isAny || origins.includes(origin))) return next();
    res.set('Access-Control-Allow-Origin', isAny ? '*' : origin);
    if (req.method !== 'OPTIONS' || req.get('access-control-request-method') === undefined) {
      res.set('Access-Control-Expose-Headers', EXPOSED);
      return next();
    }
    const headers = req.get('access-control-request-headers') ?? '';
    res.vary('Access-Control-Request-Headers');
    res.set('Access-Control-Allow-Methods', METHODS).set('Access-Control-Max-Age', String(PREFLIGHT_S));
    // A wildcard would leave Authorization out. Nothing is given away: what the headers say is looked at all the same.
    if (HEADER_NAMES.test(headers)) res.set('Access-Control-Allow-Headers', headers);
    res.status(204).end();
  };
}
