/** Codes that sign in once: a link with one shows no token. They are known to the process that made them, and to no other. */
import { hashOf, newSecret } from './secret.ts';

/** For so long a code can be used. */
const CODE_MS = 60 * 60_000;

export class SignInCodes {
  readonly #tokenOf = new Map<string, { readonly tokenHash: Buffer; readonly endsMs: number }>();
  readonly #nowMs: () => number;

  /** @param nowMs a clock that does not go back */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** @param token whose session it will open. @returns the code, which is kept as a hash only */
  make(token: string): string {
    const code = newSecret();
    this.#tokenOf.set(keyOf(code), { tokenHash: hashOf('token', token), endsMs: this.#nowMs() + CODE_MS });
    return code;
  }

  /** Uses a code up. @returns SHA-256 of its token; null for a code that is unknown, used or too old */
  take(code: string): Buffer | null {
    const key = keyOf(code);
    const made = this.#tokenOf.get(key);
    this.#tokenOf.delete(key);
    return made === undefined || made.endsMs <= this.#nowMs() ? null : made.tokenHash;
  }
}

function keyOf(code: string): string {
  return hashOf('code', code).toString('hex');
}
