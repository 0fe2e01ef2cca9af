/** What every error means in HTTP: the one table, for the door and for the client of the command line. */
import type { ErrorCode } from '../../core/errors.ts';

export const STATUS_OF: Readonly<Record<ErrorCode, number>> = {
  'invalid-input': 400,
  unauthorized: 401,
  forbidden: 403,
  'not-found': 404,
  'not-acceptable': 406,
  'request-timeout': 408,
  conflict: 409,
  gone: 410,
  'precondition-failed': 412,
  'limit-exceeded': 413,
  'unsupported-media-type': 415,
  unprocessable: 422,
  'too-many-requests': 429,
  corrupt: 500,
  unavailable: 503,
  'storage-full': 507,
};

/** The error that an answer of this status tells of; undefined if it is no error of ours. */
export function codeOfStatus(status: number): ErrorCode | undefined {
  return (Object.keys(STATUS_OF) as ErrorCode[]).find((code) => STATUS_OF[code] === status);
}
