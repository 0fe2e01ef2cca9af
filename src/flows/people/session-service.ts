/** Sessions of browsers. */
import type { Principal } from '../principal.ts';

/** Who is signed in. */
export interface SignedIn {
  readonly token: { readonly id: string; readonly name: string };
  readonly principal: Principal;
  /** Null: for as long as the token is valid. */
  readonly endsAt: Date | null;
}

export interface SessionService {
  /** @throws unauthorized for a token or a code that is not valid, or no more */
  signIn(by: { readonly token: string } | { readonly code: string }): Promise<{ secret: string; endsAt: Date }>;
  /** @throws unauthorized for a session that is unknown or has ended, as it does with its token */
  authenticateSession(secret: string): Promise<Principal>;
  /** Who a request comes from. @param secret of its session; null: it sent a token. @throws unauthorized */
  session(principal: Principal, secret: string | null): Promise<SignedIn>;
  /** Ends a session, if there is one. */
  signOut(secret: string): Promise<void>;
}
