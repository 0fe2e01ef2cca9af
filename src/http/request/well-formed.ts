/** Refuses what is no request that can be trusted to mean one thing, before any route sees it. */
import type { RequestHandler } from 'express';
import { invalidField } from '../../core/errors.ts';
import { HttpRefusal, refusedHeader } from './refusal.ts';

/** Longest path with its query. The lists of a search that need more go into the body of `POST /v1/series/search`. */
const MAX_URL_CHARS = 16 * 1024;

/** Headers whose second value Node drops in silence. */
const SINGULAR = ['Authorization', 'Content-Type', 'If-Match', 'If-None-Match', 'If-Range', 'Range'] as const;

export const wellFormed: RequestHandler = (req, res, next) => {
  if (req.originalUrl.length > MAX_URL_CHARS) {
    throw new HttpRefusal(414, 'uri-too-long', 'The URL is too long', `A URL may have ${MAX_URL_CHARS} characters`);
  }
  if (req.httpVersion === '1.1' && req.headers.host === undefined) throw invalidField('Host', 'is required');
  const coding = req.get('transfer-encoding');
  if (coding !== undefined && coding.trim().toLowerCase() !== 'chunked') {
    // What the body is, and where it ends, is not known.
    res.set('Connection', 'close');
    const message = 'must be chunked; compress with Content-Encoding';
    throw refusedHeader(501, 'transfer-coding', 'This transfer coding is not read', 'Transfer-Encoding', message);
  }
  for (const name of SINGULAR) {
    const given = req.headersDistinct[name.toLowerCase()] ?? [];
    if (given.length > 1) throw invalidField(name, 'is given more than once');
  }
  next();
};
