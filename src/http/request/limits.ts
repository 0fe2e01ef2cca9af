/** What clients may take of the service. */

export interface HttpLimits {
  /** How long a client may neither send what it has announced nor read what it has asked for. */
  readonly stallMs: number;
  /** Most connections; further ones are closed at once. */
  readonly maxConnections: number;
  /** Most requests under way at a time; further ones are answered 429. */
  readonly maxRequestsPerToken: number;
}

export const DEFAULT_HTTP_LIMITS: HttpLimits = { stallMs: 30_000, maxConnections: 4096, maxRequestsPerToken: 1024 };
