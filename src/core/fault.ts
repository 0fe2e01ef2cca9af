/** What an error of the system means: no room, a part that is away, or a disk that refuses. None of them is the fault of what was asked. */

/**
 * `full`: no space is left. `away`: a connection, its time limit, or a resource that others hold; another try may pass. `disk`: the file
 * system refuses to read or write at all.
 */
export type Fault = 'full' | 'away' | 'disk';

const FULL_CODES: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', '53100']);
/** Errors of connections, their time limits, and exhausted descriptors or memory. */
const AWAY_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EMFILE',
  'ENFILE',
]);
const DISK_CODES: ReadonlySet<string> = new Set(['EIO', 'EROFS', 'EACCES', 'EPERM', 'ESTALE', 'ENODEV', 'ENXIO']);
/**
 * SQLSTATE classes: connection exception, transaction rollback, insufficient resources, operator intervention. And
 * three limits of time: on waiting for a lock, on an idle transaction, and on a whole transaction.
 */
const AWAY_SQLSTATE = /^(?:(?:08|40|53|57)[0-9A-Z]{3}|55P03|25P03|25P04)$/;
/** What pg says, without any code, when a connection breaks, a server falls silent, or the pool has none free in time. */
const AWAY_MESSAGE =
  /^(Connection terminated|Query read timeout|Client (has encountered a connection error|was closed) and is not queryable|timeout exceeded when trying to connect)/;

/** @returns null if the error is about something else. Causes are looked into. */
export function faultOf(error: unknown): Fault | null {
  const { code, message, cause } = (error ?? {}) as { code?: unknown; message?: unknown; cause?: unknown };
  const name = String(code);
  if (FULL_CODES.has(name)) return 'full';
  if (AWAY_CODES.has(name) || AWAY_SQLSTATE.test(name) || AWAY_MESSAGE.test(String(message))) return 'away';
  if (DISK_CODES.has(name)) return 'disk';
  return cause === undefined ? null : faultOf(cause);
}

/**
 * The code of an answer of Postgres that does not end the connection. It has a digit, unlike codes of the operating
 * system, and is not of the classes 08 and 57.
 */
const REFUSAL_SQLSTATE = /^(?!08|57)(?=.*\d)[0-9A-Z]{5}$/;

/**
 * True if Postgres has answered a transaction with this error, so that it certainly changed nothing. A lost connection
 * leaves that open.
 */
export function isRefusedByPostgres(error: unknown): boolean {
  return REFUSAL_SQLSTATE.test(String(((error ?? {}) as { code?: unknown }).code));
}
