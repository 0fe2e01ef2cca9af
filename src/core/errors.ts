/**
 * Errors by meaning. Whoever throws one says what went wrong with which subject. Whoever is at a door (HTTP, CLI, a
 * job) decides what that means there. Errors are compared by `code`, never by `instanceof`: an error may have crossed a
 * thread or a module realm.
 */

export type ErrorCode =
  | 'invalid-input' // malformed: the caller must change the request
  | 'unprocessable' // well-formed, but wrong for this series
  | 'not-found'
  | 'conflict' // clashes with what is stored
  | 'gone' // was there, and will not come back
  | 'precondition-failed' // If-Match does not hold
  | 'unauthorized'
  | 'forbidden'
  | 'unsupported-media-type'
  | 'not-acceptable'
  | 'limit-exceeded' // larger than a stated limit
  | 'corrupt' // stored bytes do not match their checksum: run `varve verify`
  | 'unavailable' // try again later
  | 'too-many-requests' // of this caller, at this moment
  | 'request-timeout' // the caller did not send what it had announced
  | 'storage-full'; // no space left on the data disk

/** One wrong field of a request: a path such as `channels[1].unit` or a query parameter's name. */
export interface FieldError {
  readonly field: string;
  readonly message: string;
}

export class VarveError extends Error {
  override readonly name = 'VarveError';
  readonly code: ErrorCode;
  /** Stable slug that names the exact cause within the code, for example `duplicate-time`. */
  readonly slug: string;
  readonly errors: readonly FieldError[];
  /** For `unavailable` and `too-many-requests`: seconds after which a retry makes sense. */
  readonly retryAfterS?: number;

  constructor(
    code: ErrorCode,
    message: string,
    options: { slug?: string; errors?: readonly FieldError[]; retryAfterS?: number; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.slug = options.slug ?? code;
    this.errors = options.errors ?? [];
    if (options.retryAfterS !== undefined) this.retryAfterS = options.retryAfterS;
  }
}

/** A malformed field (HTTP 400). */
export function invalidField(field: string, message: string, slug?: string): VarveError {
  return new VarveError('invalid-input', `${field}: ${message}`, { slug, errors: [{ field, message }] });
}

/** A well-formed field that is wrong for this series (HTTP 422). */
export function unprocessableField(field: string, message: string, slug?: string): VarveError {
  return new VarveError('unprocessable', `${field}: ${message}`, { slug, errors: [{ field, message }] });
}

export function notFound(what: string, id: string): VarveError {
  return new VarveError('not-found', `no ${what} ${id}`);
}

/** The plain-object form that crosses threads, and back. */
export interface ErrorRecord {
  readonly code: string;
  readonly message: string;
  readonly slug?: string;
  readonly errors?: readonly FieldError[];
  readonly retryAfterS?: number;
}

const CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'invalid-input',
  'unprocessable',
  'not-found',
  'conflict',
  'gone',
  'precondition-failed',
  'unauthorized',
  'forbidden',
  'unsupported-media-type',
  'not-acceptable',
  'limit-exceeded',
  'corrupt',
  'unavailable',
  'too-many-requests',
  'request-timeout',
  'storage-full',
]);

/** True for a VarveError, also one made in another realm or rebuilt from a record. */
export function isVarveError(error: unknown): error is VarveError {
  return (
    typeof error === 'object' && error !== null && 'code' in error && 'slug' in error && CODES.has(String(error.code))
  );
}

/**
 * What an error says, whatever was thrown. An error that stands for several attempts, as at a host with two addresses,
 * has no message of its own. Then it is the message of each attempt, or the code, or the cause.
 */
export function messageOf(error: unknown): string {
  const { message, errors, code, cause } = (error ?? {}) as Partial<AggregateError> & { code?: unknown };
  if (typeof message === 'string' && message !== '') return message;
  if (Array.isArray(errors) && errors.length > 0) return [...new Set(errors.map(messageOf))].join('; ');
  if (typeof code === 'string' && code !== '') return code;
  return cause === undefined ? String(error) : messageOf(cause);
}

export function toErrorRecord(error: unknown): ErrorRecord {
  if (isVarveError(error)) {
    const { code, message, slug, errors, retryAfterS } = error;
    return { code, message, slug, errors, retryAfterS };
  }
  const { code } = (error ?? {}) as { code?: string };
  return { code: code ?? 'error', message: messageOf(error) };
}

export function fromErrorRecord(record: ErrorRecord): Error {
  if (record.slug !== undefined && CODES.has(record.code)) {
    return new VarveError(record.code as ErrorCode, record.message, record);
  }
  return Object.assign(new Error(record.message), { code: record.code });
}
