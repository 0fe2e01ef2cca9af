/** Logs one line for each request at the level debug, with the id that ties it to a problem document. */
import { randomUUID } from 'node:crypto';
import type { RequestHandler } from 'express';
import { withoutSecret } from './share-door.ts';

/** What is asked of a logger; pino's has it. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** An id from a client or a proxy is taken over if it cannot disturb a log. */
const CLIENT_REQUEST_ID = /^[\w.:/+=-]{1,128}$/;

/** Headers and query are left out: either may carry a secret. So may the path of a link. */
export function logRequests(log: Log): RequestHandler {
  return (req, res, next) => {
    const given = req.get('x-request-id');
    const requestId = given !== undefined && CLIENT_REQUEST_ID.test(given) ? given : randomUUID();
    res.locals.requestId = requestId;
    res.set('X-Request-Id', requestId);
    const { method } = req;
    const path = withoutSecret(req.path);
    const begun = performance.now();
    res.once('close', () => {
      const ms = Math.round((performance.now() - begun) * 10) / 10;
      const fields = { requestId, method, path, status: res.statusCode, ms, complete: res.writableFinished };
      log.debug(fields, 'request');
    });
    next();
  };
}
