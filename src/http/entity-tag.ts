/** Entity tags of series. */
import { VarveError } from '../core/errors.ts';
import type { Series } from '../core/series.ts';

/**
 * Version of the metadata, then commit of the samples: a series' representation has both, so a cache must see either change.
 * If-Match looks at the version only, so that arriving samples do not get in the way of whoever edits the metadata.
 */
export function entityTag(series: Pick<Series, 'version' | 'commit'>): string {
  return `"${series.version}-${series.commit}"`;
}

/**
 * Checks If-Match.
 * @returns true if the update must insist on the version of `series`
 * @throws precondition-failed
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1 (weak tags never match)
 */
export function insistsOnVersion(ifMatch: string | undefined, series: Pick<Series, 'version' | 'commit'>): boolean {
  if (ifMatch === undefined || ifMatch.trim() === '*') return false;
  const versions = ifMatch.split(',').map((tag) => /^\s*"(\d+)(?:-\d+)?"\s*$/.exec(tag)?.[1]);
  if (versions.includes(String(series.version))) return true;
  throw new VarveError('precondition-failed', `If-Match: the series has the entity tag ${entityTag(series)}`, {
    errors: [{ field: 'If-Match', message: `does not match ${entityTag(series)}` }],
  });
}

/**
 * True if If-None-Match names this tag: the client has the representation already. Not left to Express, which sends it again
 * to a client that says no-cache, as fetch does with every conditional request.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
 */
export function isKnownTo(ifNoneMatch: string | undefined, tag: string): boolean {
  const known = (ifNoneMatch ?? '').split(',').map((each) => each.trim().replace(/^W\//, ''));
  return known.includes(tag) || known.includes('*');
}
