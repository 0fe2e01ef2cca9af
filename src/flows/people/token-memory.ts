/**
 * Who is known by which token, session or link. It is remembered, so that no request costs a query, whether what it
 * says is valid or not.
 */
import { knownSecrets, type KnownSecret } from '../../catalog/people/access-store.ts';
import type { Database } from '../../catalog/database.ts';
import type { Principal } from '../principal.ts';

/** What a secret stands for, as it is remembered. */
export interface Known {
  readonly principal: Principal;
  readonly endsAt: Date | null;
  readonly share: KnownSecret['share'];
}

/** Most tokens, sessions and links that are remembered, valid ones and others: some 3 MB each. */
const MAX_TOKENS = 10_000;
/** All tokens are asked for again after so long, though every change is told. */
const TRUST_MS = 60_000;
/** The same while changes are not heard of: a token that was revoked works for at most so long. */
const TRUST_UNHEARD_MS = 1_000;
/**
 * Another process may have made an unknown token this instant. So all tokens are asked for again, but not more often
 * than this.
 */
const ASK_AGAIN_MS = 250;

/**
 * Remembers all valid tokens, up to {@link MAX_TOKENS}. Then no other text is a token, and however many are tried cost
 * four queries a second. If there are more tokens, it remembers those that were asked for last, and as many texts that
 * were no tokens.
 *
 * Tokens are looked up by their SHA-256, so the time that takes tells nothing of the text of another.
 */
export class TokenMemory {
  readonly #db: Database;
  readonly #isHearing: () => boolean;
  #known = new Map<string, Known>();
  readonly #unknown = new Set<string>();
  /** True if all valid tokens are known, so that any other text is no token. */
  #isWhole = false;
  #since = -Infinity;
  /** Raised by every change: what was asked before a change is not remembered. */
  #epoch = 0;
  #asking: Promise<void> | null = null;

  /** @param isHearing whether {@link forget} is called for every change */
  constructor(db: Database, isHearing: () => boolean) {
    this.#db = db;
    this.#isHearing = isHearing;
  }

  /** Forgets all tokens; to be called after every change of tokens. */
  forget(): void {
    this.#epoch++;
    this.#known = new Map();
    this.#unknown.clear();
    this.#isWhole = false;
    this.#since = -Infinity;
    this.#asking = null;
  }

  /**
   * Whom a token or session stands for.
   * @param hash as `secret.ts` makes it. @returns null for one that is unknown, revoked, replaced or past its end
   */
  async principal(hash: Buffer): Promise<Principal | null> {
    const known = await this.known(hash);
    return known === null || isPast(known) ? null : known.principal;
  }

  /** The same with what is known besides. Something that has ended may still be told. */
  async known(hash: Buffer): Promise<Known | null> {
    const key = hash.toString('hex');
    if (this.#age() > (this.#isHearing() ? TRUST_MS : TRUST_UNHEARD_MS)) await this.#ask();
    const known = this.#known.get(key);
    if (known) return known;
    if (this.#isWhole && this.#age() > ASK_AGAIN_MS) {
      await this.#ask();
      return this.#known.get(key) ?? null;
    }
    if (this.#isWhole || this.#unknown.has(key)) return null;
    return this.#askFor(hash, key);
  }

  #age(): number {
    return performance.now() - this.#since;
  }

  /** All who ask at once wait for one query; it is asked again if a change was told meanwhile. */
  async #ask(): Promise<void> {
    for (let epoch = -1; epoch !== this.#epoch;) {
      epoch = this.#epoch;
      this.#asking ??= this.#load(epoch).finally(() => {
        if (epoch === this.#epoch) this.#asking = null;
      });
      await this.#asking;
    }
  }

  async #load(epoch: number): Promise<void> {
    const began = performance.now();
    const secrets = await knownSecrets(this.#db, { limit: MAX_TOKENS + 1 });
    if (epoch !== this.#epoch) return;
    this.#known = new Map(secrets.slice(0, MAX_TOKENS).map((secret) => [secret.hash, toKnown(secret)]));
    this.#unknown.clear();
    this.#isWhole = secrets.length <= MAX_TOKENS;
    this.#since = began;
  }

  async #askFor(hash: Buffer, key: string): Promise<Known | null> {
    const epoch = this.#epoch;
    const [secret = null] = await knownSecrets(this.#db, { hashes: [hash] });
    const known = secret && toKnown(secret);
    if (epoch !== this.#epoch) return known;
    if (known) {
      this.#known.set(key, known);
      dropOldest(this.#known);
    } else {
      this.#unknown.add(key);
      dropOldest(this.#unknown);
    }
    return known;
  }
}

/** True past the end, by the clock of this process, and of a link that was revoked or whose token was. */
export function isPast({ endsAt, share }: Known): boolean {
  return share?.isEnded === true || (endsAt !== null && endsAt.getTime() <= Date.now());
}

function dropOldest(remembered: Map<string, unknown> | Set<string>): void {
  if (remembered.size <= MAX_TOKENS) return;
  const [oldest] = remembered.keys();
  remembered.delete(oldest);
}

function toKnown({ id, scopes, projects, endsAt, share }: KnownSecret): Known {
  return {
    principal: {
      tokenId: id,
      scopes,
      projects: projects && { ids: projects.map((each) => each.id), names: projects.map((each) => each.name) },
    },
    endsAt,
    share,
  };
}
