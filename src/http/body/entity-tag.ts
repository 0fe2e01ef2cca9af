/** Entity tags of series, of their samples, and of subjects. */
import { createHash } from 'node:crypto';
import { VarveError } from '../../core/errors.ts';
import type { Series } from '../../core/signal/series.ts';
import type { StoredSubject } from '../../flows/series/subject-service.ts';
import { isFile, WIRE_FORMATS, type AnswerFormatName } from '../../formats/samples/wire-formats.ts';

/**
 * Version of the metadata, then commit of the samples: a series' representation has both, so a cache must see either change.
 * If-Match looks at the version only, so that arriving samples do not get in the way of whoever edits the metadata.
 */
export function entityTag(series: Pick<Series, 'version' | 'commit'>): string {
  return `"${series.version}-${series.commit}"`;
}

/**
 * The tag of an answer to a request for samples. It is strong where equal tags mean equal bytes, and weak for texts,
 * which may be sent compressed.
 * @param url of the request: what was selected, and what its links say
 */
export function samplesTag(state: Pick<Series, 'version' | 'commit'>, url: string, format: AnswerFormatName): string {
  const isStrong = isFile(format) || !WIRE_FORMATS[format].isText;
  return (isStrong ? '' : 'W/') + tagOfRequest(state, url, format);
}

/**
 * The tag of an answer to a request for buckets. It is weak: a mean of floats may come from summaries that were
 * computed in another order.
 */
export function bucketsTag(state: Pick<Series, 'version' | 'commit'>, url: string, format: AnswerFormatName): string {
  return `W/${tagOfRequest(state, url, format)}`;
}

function tagOfRequest({ version, commit }: Pick<Series, 'version' | 'commit'>, url: string, format: string): string {
  const request = createHash('sha256').update(`${format} ${url}`).digest('base64url').slice(0, DIGEST_CHARS);
  return `"${version}-${commit}-${request}"`;
}

/** 132 bits: no two share them. */
const DIGEST_CHARS = 22;

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

/** The tag of a subject. Equal tags mean equal content, so that nobody overwrites what they have not seen. */
export function subjectTag({ content, updatedAt }: StoredSubject): string {
  const digest = createHash('sha256').update(`${updatedAt.toISOString()} ${JSON.stringify(content)}`);
  return `"${digest.digest('base64url').slice(0, DIGEST_CHARS)}"`;
}

/**
 * Checks If-Match of what has one tag.
 * @param tag null: it is not there
 * @throws precondition-failed
 */
export function checkIfMatch(ifMatch: string | undefined, tag: string | null): void {
  if (ifMatch === undefined) return;
  const named = ifMatch.split(',').map((each) => each.trim());
  if (tag !== null && (named.includes('*') || named.includes(tag))) return;
  const message = tag === null ? 'there is nothing that could match' : `does not match ${tag}`;
  throw new VarveError('precondition-failed', `If-Match: ${message}`, { errors: [{ field: 'If-Match', message }] });
}

/**
 * True if If-None-Match names this tag: the client has the representation already. Express does not decide this, for it
 * sends the representation again to a client that says no-cache, as fetch does with every conditional request.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
 */
export function isKnownTo(ifNoneMatch: string | undefined, tag: string): boolean {
  const opaque = (each: string): string => each.trim().replace(/^W\//, '');
  const known = (ifNoneMatch ?? '').split(',').map(opaque);
  return known.includes(opaque(tag)) || known.includes('*');
}
