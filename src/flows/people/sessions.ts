/** Sessions: a token, or a code in its place, is exchanged for a secret that a browser keeps from its scripts. */
import { tokenById } from '../../catalog/people/access-store.ts';
import { deleteSession, storeSession } from '../../catalog/people/session-store.ts';
import type { ReadsAndWrites } from '../../catalog/database.ts';
import { VarveError } from '../../core/errors.ts';
import { hashOf, newSecret } from './secret.ts';
import type { SessionService } from './session-service.ts';
import type { SignInCodes } from './sign-in-codes.ts';
import type { TokenMemory } from './token-memory.ts';

/** A session lasts so long, if nobody ends it before. */
const SESSION_DAYS = 30;

export function sessionService(
  { reads, writes }: ReadsAndWrites,
  tokens: TokenMemory,
  codes: SignInCodes,
): SessionService {
  return {
    async signIn(by) {
      const tokenHash = 'token' in by ? hashOf('token', by.token) : codes.take(by.code);
      const principal = tokenHash && (await tokens.principal(tokenHash));
      if (!principal) throw 'token' in by ? unknownToken() : usedCode();
      const secret = newSecret();
      const endsAt = new Date(Date.now() + SESSION_DAYS * 86_400_000);
      await storeSession(writes, { hash: hashOf('session', secret), tokenId: principal.tokenId, endsAt });
      tokens.forget();
      return { secret, endsAt };
    },
    async authenticateSession(secret) {
      const principal = await tokens.principal(hashOf('session', secret));
      if (principal) return principal;
      throw new VarveError('unauthorized', 'the session has ended: sign in again', { slug: 'session-ended' });
    },
    async session(principal, secret) {
      const known = secret === null ? null : await tokens.known(hashOf('session', secret));
      const { id, name } = await tokenById(reads, principal.tokenId);
      return { token: { id, name }, principal, endsAt: known?.endsAt ?? null };
    },
    async signOut(secret) {
      await deleteSession(writes, hashOf('session', secret));
      tokens.forget();
    },
  };
}

function unknownToken(): VarveError {
  return new VarveError('unauthorized', 'token: is unknown or has been revoked', {
    slug: 'invalid-token',
    errors: [{ field: 'token', message: 'is unknown or has been revoked' }],
  });
}

function usedCode(): VarveError {
  const message = 'was used before, or is too old: sign in with a token, or start the service again for another link';
  return new VarveError('unauthorized', `code: ${message}`, {
    slug: 'code-used',
    errors: [{ field: 'code', message }],
  });
}
