/** Retention: for how long samples and summaries are kept, and up to where those of a series have expired. Pure. */
import { INT64_MIN } from '../time.ts';

export interface RetentionTerms {
  /** Raw samples; more than 0. */
  readonly keepDays: number;
  /** Not less than `keepDays`; null: for ever. */
  readonly keepSummariesDays: number | null;
}

/** A deleted series can be restored for this long; then it is purged. */
export const RESTORE_DAYS = 7;

/** A day longer, and int64 nanoseconds could not hold the span. */
export const MAX_KEEP_DAYS = 106_751;

const NS_PER_DAY = 86_400e9;
/**
 * Expiry advances in steps of at least this part of what is kept. Each step is a commit, and makes caches forget what
 * they know of the series.
 */
const LEAST_STEP = 100n;

/**
 * The terms that keep longest among rules that mean one series, for samples and for summaries each. @returns null for
 * none
 */
export function longestTerms(terms: readonly RetentionTerms[]): RetentionTerms | null {
  if (terms.length === 0) return null;
  const summaries = terms.map(({ keepSummariesDays }) => keepSummariesDays ?? Infinity);
  const most = Math.max(...summaries);
  return {
    keepDays: Math.max(...terms.map(({ keepDays }) => keepDays)),
    keepSummariesDays: Number.isFinite(most) ? most : null,
  };
}

export interface ExpiryFacts {
  /** By Postgres' clock. */
  readonly nowNs: bigint;
  /** Newest sample: what is said to lie in the future must not make the present old. */
  readonly lastNs: bigint;
  /** Oldest sample that is still there. */
  readonly firstNs: bigint;
  /** Oldest sample that has no summary, because it is not in a compacted shard yet; null: all are. */
  readonly unsummarisedNs: bigint | null;
  /** What has expired so far. */
  readonly expiredNs: bigint | null;
  readonly summariesExpiredNs: bigint | null;
}

/** Samples, and summaries, before these times expire now; null: no more than before. */
export interface Expiry {
  readonly expiredNs: bigint | null;
  readonly summariesExpiredNs: bigint | null;
}

/**
 * Says up to where samples and summaries of a series expire. What has expired stays so, also where rules become longer.
 */
export function nextExpiry(facts: ExpiryFacts, { keepDays, keepSummariesDays }: RetentionTerms): Expiry {
  const referenceNs = facts.nowNs < facts.lastNs ? facts.nowNs : facts.lastNs;
  const firstNs = facts.expiredNs !== null && facts.expiredNs > facts.firstNs ? facts.expiredNs : facts.firstNs;
  const expiredNs = advance(firstNs, referenceNs, keepDays, facts.unsummarisedNs ?? referenceNs);
  // A cell over samples that are still there is made again whenever they are rewritten.
  const limitNs = expiredNs ?? facts.expiredNs;
  const summariesExpiredNs =
    keepSummariesDays === null || limitNs === null
      ? null
      : advance(facts.summariesExpiredNs, referenceNs, keepSummariesDays, limitNs);
  return { expiredNs, summariesExpiredNs };
}

/** @param fromNs nothing is left before; null: unknown @param limitNs never beyond */
function advance(fromNs: bigint | null, referenceNs: bigint, keepDays: number, limitNs: bigint): bigint | null {
  const keepNs = BigInt(Math.ceil(keepDays * NS_PER_DAY));
  const wanted = referenceNs - keepNs;
  const nextNs = wanted < limitNs ? wanted : limitNs;
  if (nextNs < INT64_MIN) return null;
  return fromNs === null || (nextNs > fromNs && (nextNs - fromNs) * LEAST_STEP >= keepNs) ? nextNs : null;
}
