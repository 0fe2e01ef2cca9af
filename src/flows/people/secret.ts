/** What is secret: the texts of tokens, sessions, links and codes, and what is stored of them. */
import { createHash, randomBytes } from 'node:crypto';

/** What a text is taken for. A session or a link is no token, and the other way around. */
export type SecretKind = 'token' | 'session' | 'share' | 'code';

const SECRET_BYTES = 24;

/** Beyond guessing, and fit for a header, a cookie and a path. */
export function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

/** What is stored of a secret, and what it is looked up by: its SHA-256. No token has a space, so none is a session. */
export function hashOf(kind: SecretKind, text: string): Buffer {
  return createHash('sha256')
    .update(kind === 'token' ? text : `${kind} ${text}`)
    .digest();
}
