/** Errors as agents that write lines expect them: InfluxDB's JSON, and no status that makes them throw away what another try would store. */
import { MAX_TOLD_LINES } from '../../formats/line-protocol/line-parser.ts';
import type { LinesOutcome } from '../../flows/ingest/ingest-service.ts';
import type { Problem } from './problem.ts';

export const V1_WRITE = '/write';
export const V1_QUERY = '/query';
export const V2_WRITE = '/api/v2/write';

/** What agents try again; what else is below 500 they drop, and some drop 507 as well. */
const AGAIN: ReadonlySet<number> = new Set([408, 429, 503, 507]);
const UNAVAILABLE = 503;
const RETRY_AFTER_S = 5;

/** InfluxDB 2's words for statuses. */
const CODES: Readonly<Record<number, string>> = {
  400: 'invalid',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not found',
  405: 'method not allowed',
  413: 'request too large',
  415: 'invalid',
  422: 'unprocessable entity',
  503: 'unavailable',
};

export interface AgentAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
}

/** @returns null for a request that is no agent's */
export function agentAnswer(
  { method, path }: { readonly method: string; readonly path: string },
  { status, headers, document }: Problem,
): AgentAnswer | null {
  const plain = path.replace(/\/$/, '');
  const isQuery = plain === V1_QUERY && (method === 'GET' || method === 'POST');
  if (!isQuery && (method !== 'POST' || (plain !== V1_WRITE && plain !== V2_WRITE))) return null;
  const isAgain = AGAIN.has(status);
  return {
    status: isAgain ? UNAVAILABLE : status,
    headers: {
      ...headers,
      ...(isAgain && { 'Retry-After': headers['Retry-After'] ?? String(RETRY_AFTER_S) }),
      ...(status === 401 && { 'WWW-Authenticate': 'Basic realm="varve"' }),
    },
    body: agentBody(plain, isAgain ? UNAVAILABLE : status, document.detail),
  };
}

/** What is said of lines that were refused. */
export function partialWrite(path: string, { refused, first }: LinesOutcome): AgentAnswer {
  const told = first.map(({ line, text, reason }) =>
    text === '' ? `line ${line}: ${reason}` : `line ${line}: unable to parse '${text}': ${reason}`,
  );
  const more = refused > first.length ? `; and ${refused - Math.min(first.length, MAX_TOLD_LINES)} more` : '';
  const message = `partial write: ${told.join('; ')}${more} dropped=${refused}`;
  const body = agentBody(path, 400, message);
  if (path === V1_WRITE) return { status: 400, headers: {}, body };
  // Programs need not take the sentence apart.
  const lines = first.map(({ line, reason }) => ({ line, reason }));
  return { status: 400, headers: {}, body: { ...body, dropped: refused, lines } };
}

function agentBody(path: string, status: number, message: string): Record<string, string> {
  return path === V1_WRITE || path === V1_QUERY
    ? { error: message }
    : { code: CODES[status] ?? 'internal error', message };
}
