/** From an error to an answer: the one table of statuses, and RFC 9457 problem documents. */
import type { ErrorRequestHandler, RequestHandler } from 'express';
import { isVarveError, notFound, VarveError, type ErrorCode } from '../../core/errors.ts';
import { faultOf } from '../../core/fault.ts';
import { agentAnswer } from './agent-answers.ts';
import { throwAwayRest } from '../body/linger.ts';
import { HttpRefusal } from './refusal.ts';
import { withoutSecret } from './share-door.ts';
import type { Log } from './request-log.ts';
import { STATUS_OF } from '../wire/error-status.ts';
import { PROBLEM_MEDIA_TYPE, type ProblemDocument } from '../wire/problem-schema.ts';

/** What a problem is called. */
const TITLES: Readonly<Record<ErrorCode, string>> = {
  'invalid-input': 'The request is malformed',
  unauthorized: 'A valid token is needed',
  forbidden: 'The token does not allow this',
  'not-found': 'There is no such thing',
  'not-acceptable': 'None of the accepted formats is offered',
  'request-timeout': 'The body did not come',
  conflict: 'The request clashes with what is stored',
  gone: 'It is gone for good',
  'precondition-failed': 'The precondition does not hold',
  'limit-exceeded': 'The request is too large',
  'unsupported-media-type': 'The format of the body is not read here',
  unprocessable: 'The request does not fit this series',
  'too-many-requests': 'Too many requests',
  corrupt: 'Stored bytes are damaged or missing',
  unavailable: 'The service cannot take the request now',
  'storage-full': 'The data disk is full',
};

/** For what is temporarily away and does not say for how long. */
const DEFAULT_RETRY_AFTER_S = 2;

export interface Problem {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly document: ProblemDocument;
  /** Ours to look into, rather than the client's to mend. */
  readonly isFault: boolean;
}

/**
 * The answer to an error.
 * @param request where it happened, as the document should name it
 * @see https://www.rfc-editor.org/rfc/rfc9457
 */
export function toProblem(error: unknown, request: { path: string; id: string }): Problem {
  const known = isRefusal(error) ? error : toVarveError(error);
  const { status, title } = !known
    ? { status: 500, title: 'Something went wrong' }
    : isRefusal(known)
      ? known
      : { status: STATUS_OF[known.code], title: TITLES[known.code] };
  const document = {
    type: `urn:varve:problem:${known?.slug ?? 'internal'}`,
    title,
    status,
    detail: known?.message ?? 'The service failed to answer. Its log has the cause under this request id.',
    instance: request.path,
    request_id: request.id,
    errors: [...(known?.errors ?? [])],
  };
  return { status, headers: known && !isRefusal(known) ? headersOf(known) : {}, document, isFault: status === 500 };
}

function isRefusal(error: unknown): error is HttpRefusal {
  return error instanceof HttpRefusal;
}

function headersOf(error: VarveError): Record<string, string> {
  switch (error.code) {
    case 'unauthorized':
      return {
        'WWW-Authenticate': `Bearer realm="varve"${error.slug === 'invalid-token' ? ', error="invalid_token"' : ''}`,
      };
    case 'forbidden':
      return { 'WWW-Authenticate': 'Bearer realm="varve", error="insufficient_scope"' };
    case 'request-timeout':
      return { Connection: 'close' };
    case 'too-many-requests':
    case 'unavailable':
      return { 'Retry-After': String(error.retryAfterS ?? DEFAULT_RETRY_AFTER_S) };
    default:
      return {};
  }
}

/** Undefined for what no client can do anything about. */
function toVarveError(error: unknown): VarveError | undefined {
  if (isVarveError(error)) return error;
  return fromHttpLibrary(error) ?? fromEnvironment(error);
}

/** Errors of express, its router and its body parser. */
function fromHttpLibrary(error: unknown): VarveError | undefined {
  const { type, status, message, limit } = (error ?? {}) as {
    type?: string;
    status?: number;
    message?: string;
    limit?: number;
  };
  if (typeof status !== 'number' || status < 400 || status > 499) return undefined;
  const inBody = (code: ErrorCode, text: string): VarveError =>
    new VarveError(code, `body: ${text}`, { errors: [{ field: 'body', message: text }], cause: error });
  switch (type) {
    case 'entity.parse.failed':
      return inBody('invalid-input', `is not valid JSON: ${withoutBody(message ?? '')}`);
    case 'entity.too.large':
      return inBody('limit-exceeded', `is larger than ${limit} bytes`);
    case 'encoding.unsupported':
      return inBody('unsupported-media-type', 'has a Content-Encoding other than gzip, deflate and br');
    case 'charset.unsupported':
      return inBody('unsupported-media-type', 'has a character set other than UTF-8');
    default:
      // The router's complaint about a path that is not percent-encoded text, or a body that does not inflate.
      return type === undefined && error instanceof URIError
        ? new VarveError('invalid-input', 'the path is not valid percent-encoded UTF-8', { cause: error })
        : inBody('invalid-input', 'cannot be read');
  }
}

/** V8 quotes what surrounds the mistake, which may be personal: an answer ends up in more places than the request. */
function withoutBody(message: string): string {
  return message.replace(/, (\.\.\.)?".*"(\.\.\.)? is not valid JSON$/s, '');
}

/** Errors of Postgres, the network and the disk. A disk that fails is ours to look into, hence an internal fault. */
function fromEnvironment(error: unknown): VarveError | undefined {
  switch (faultOf(error)) {
    case 'full':
      return new VarveError('storage-full', 'There is no space left to store this. Nothing was stored.', {
        cause: error,
      });
    case 'away':
      return new VarveError('unavailable', 'A part of the service is away. Try again.', { cause: error });
    default:
      return undefined;
  }
}

/** The last route: whatever no other one took. */
export const unknownRoute: RequestHandler = (req) => {
  throw notFound('route', `${req.method} ${withoutSecret(req.path)}`);
};

/** How a stream or a wait says that the other end has left. */
const DISCONNECTIONS: ReadonlySet<string> = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'EPIPE', 'ABORT_ERR']);

function isDisconnection(error: unknown): boolean {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
  return DISCONNECTIONS.has(String(code)) || name === 'AbortError';
}

/** Answers errors with problem documents. */
export function answerProblems(log: Log): ErrorRequestHandler {
  return (error, req, res, _next) => {
    const { requestId } = res.locals;
    const isBroken = res.closed || res.destroyed;
    if (isBroken && isDisconnection(error)) {
      log.debug({ err: error, requestId }, 'a client went away');
      return;
    }
    const problem = toProblem(error, { path: withoutSecret(req.path), id: requestId });
    if (problem.isFault) log.error({ err: error, requestId }, 'a request failed');
    else if (problem.status > 500) log.warn({ err: error, requestId }, 'a request could not be served');
    if (isBroken || res.headersSent) {
      // The status is out and says success: only a broken connection still tells the client that the answer is short.
      res.destroy();
      return;
    }
    const agent = agentAnswer(req, problem);
    if (agent) res.status(agent.status).set(agent.headers).json(agent.body);
    else res.status(problem.status).set(problem.headers).type(PROBLEM_MEDIA_TYPE).json(problem.document);
    throwAwayRest(req);
  };
}
