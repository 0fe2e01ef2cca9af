/** The Prefer header (RFC 7240): how long a writer wants to wait. */

/** A write that is asked nothing else waits this long to become visible. */
const DEFAULT_WAIT_S = 10;
/** Longer waits hold a connection for no gain: the write can be asked about. */
const MAX_WAIT_S = 60;

export interface WaitPreference {
  readonly waitMs: number;
  /** What `Preference-Applied` says if the answer does not wait for visibility, and if it does. */
  readonly appliedIfDurable: string | null;
  readonly appliedIfVisible: string | null;
}

/**
 * Reads `wait=N` (seconds; more than {@link MAX_WAIT_S} counts as that) and `respond-async`, which alone means not to wait.
 * Preferences that are unknown or malformed are ignored, and of repeated ones the first holds, as the RFC demands.
 * @see https://www.rfc-editor.org/rfc/rfc7240#section-4
 */
export function parsePrefer(header: string | undefined): WaitPreference {
  const preferences = new Map<string, string>();
  for (const item of (header ?? '').split(',')) {
    const match = /^\s*([!#$%&'*+.^_`|~\w-]+)\s*(?:=\s*("[^"]*"|[^\s;"]*)\s*)?(?:;.*)?$/.exec(item);
    if (!match) continue;
    const name = match[1].toLowerCase();
    if (!preferences.has(name)) preferences.set(name, (match[2] ?? '').replaceAll('"', ''));
  }
  const async = preferences.has('respond-async');
  const wait = preferences.get('wait');
  const waitS = wait !== undefined && /^\d{1,9}$/.test(wait) ? Math.min(Number(wait), MAX_WAIT_S) : null;
  const waited = waitS === null ? null : `wait=${waitS}`;
  return {
    waitMs: (waitS ?? (async ? 0 : DEFAULT_WAIT_S)) * 1000,
    appliedIfDurable: [async ? 'respond-async' : null, waited].filter((item) => item !== null).join(', ') || null,
    appliedIfVisible: waited,
  };
}
