/** What the descriptions of all routes share. */
import type { z } from 'zod';
import type { ZodOpenApiResponsesObject } from 'zod-openapi';
import { PROBLEM_MEDIA_TYPE, problemDocument } from '../wire/problem-schema.ts';

const MEANINGS = {
  400: 'Malformed; `errors` names each field',
  401: 'No valid token',
  403: 'The token does not allow this',
  404: 'Not found',
  406: 'No accepted format is offered',
  408: 'The body stopped coming; nothing was stored',
  409: 'Clashes with what is stored',
  410: 'Gone for good',
  412: 'If-Match does not hold',
  413: 'Too large; the detail states the limit',
  415: 'The format or encoding of the body is not read here',
  422: 'Well-formed, but wrong for this series',
  429: 'Too many requests of this token are under way; `Retry-After` says when to try again',
  500: 'A fault of the service, or stored bytes that do not match their checksum',
  503: 'Cannot be served now; `Retry-After` says when to try again',
  507: 'The data disk is full; nothing was stored',
} as const;

/** The problem answers of a route that needs a token: those named, and those any such route may give. */
export function problems(...statuses: (keyof typeof MEANINGS)[]): ZodOpenApiResponsesObject {
  return problemsOnly(400, 401, 403, ...statuses, 429, 500, 503);
}

/** The problem answers named, and no other. */
export function problemsOnly(...statuses: (keyof typeof MEANINGS)[]): ZodOpenApiResponsesObject {
  const content = { [PROBLEM_MEDIA_TYPE]: { schema: problemDocument } };
  return Object.fromEntries(statuses.map((status) => [status, { description: MEANINGS[status], content }]));
}

/** A JSON body, asked or answered. */
export function json<S extends z.ZodType>(schema: S): { 'application/json': { schema: S } } {
  return { 'application/json': { schema } };
}
