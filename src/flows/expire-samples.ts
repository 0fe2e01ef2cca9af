/** Retention: the rules, and their doing. What has expired is hidden at once; sealing drops it and keeps its summaries. */
import { setTimeout as sleep } from 'node:timers/promises';
import { v7 as uuidv7 } from 'uuid';
import type { Database, ReadsAndWrites } from '../catalog/database.ts';
import { claimLease, releaseLease, renewLease, LEASE_SECONDS, type Lease } from '../catalog/lane-store.ts';
import {
  createRetentionRule,
  deleteRetentionRule,
  expireSeries,
  listRetentionRules,
  readExpirable,
  seriesToExpire,
  type ExpirableSeries,
} from '../catalog/retention-store.ts';
import { longestTerms, nextExpiry, type Expiry, type RetentionTerms } from '../core/retention.ts';
import { withoutRows } from '../core/row-ranges.ts';
import { selectRows, timesOfRows } from '../core/segment.ts';
import { INT64_MAX, INT64_MIN } from '../core/time.ts';
import { isGone, type ProcessIdentity } from '../storage/process-identity.ts';
import { measureErasure, type MeasureDeps } from './measure-erasure.ts';
import type { RetentionService } from './service.ts';

export function retentionService({ reads, writes }: ReadsAndWrites): RetentionService {
  return {
    create: (rule) => createRetentionRule(writes, uuidv7(), rule),
    list: () => listRetentionRules(reads),
    delete: (id) => deleteRetentionRule(writes, id),
  };
}

export interface ExpireDeps extends MeasureDeps {
  /** This process, as the leases' holder. */
  readonly holder: ProcessIdentity;
  readonly log: Record<'info' | 'warn', (fields: object, message: string) => void>;
}

/** A lane that is being drained is tried so often; then its turn comes in the next round. */
const CLAIM_TRIES = 20;
const CLAIM_PAUSE_MS = 50;

/**
 * Lets expire what is old by now. A series that fails keeps no other from expiring.
 * @param signal ends the round after the series at hand
 * @returns the series of which samples or summaries have expired
 */
export async function expireSamples(deps: ExpireDeps, signal?: AbortSignal): Promise<string[]> {
  const expired: string[] = [];
  for (const [laneId, due] of await seriesToExpire(deps.db)) {
    for (const { id, terms } of due) {
      if (signal?.aborted) return expired;
      try {
        // Most are not due after all: looked at without the lease, which keeps drains waiting.
        if ((await whatExpires(deps.db, id, terms)) && (await underLease(deps, laneId, expire(deps, id, terms)))) {
          expired.push(id);
        }
      } catch (error) {
        deps.log.warn({ series: id, err: error }, 'samples could not expire');
      }
    }
  }
  if (expired.length > 0) deps.log.info({ series: expired.length }, 'samples expired');
  return expired;
}

async function whatExpires(
  db: Database,
  seriesId: string,
  terms: readonly RetentionTerms[],
): Promise<{ known: ExpirableSeries; expiry: Expiry } | null> {
  const longest = longestTerms(terms);
  const known = longest && (await readExpirable(db, seriesId));
  if (!known?.facts) return null;
  const expiry = nextExpiry(known.facts, longest!);
  return expiry.expiredNs === null && expiry.summariesExpiredNs === null ? null : { known, expiry };
}

/** The lease of the drain: it decides on the times of the first and the last sample, too. @returns null if the lane is busy */
async function underLease<T>(
  { db, holder }: ExpireDeps,
  laneId: string,
  work: (lease: Lease) => Promise<T>,
): Promise<T | null> {
  let lease = await claimLease(db, laneId, holder, isGone);
  for (let tries = 1; !lease && tries < CLAIM_TRIES; tries++) {
    await sleep(CLAIM_PAUSE_MS);
    lease = await claimLease(db, laneId, holder, isGone);
  }
  if (!lease) return null;
  const claimed = lease;
  const heartbeat = setInterval(
    () => {
      renewLease(db, claimed).catch(() => {}); // the transaction decides whether the lease still holds
    },
    (LEASE_SECONDS * 1000) / 3,
  );
  try {
    return await work(claimed);
  } finally {
    clearInterval(heartbeat);
    await releaseLease(db, claimed, false);
  }
}

function expire(
  deps: ExpireDeps,
  seriesId: string,
  terms: readonly RetentionTerms[],
): (lease: Lease) => Promise<bigint | null> {
  return async (lease) => {
    const found = await whatExpires(deps.db, seriesId, terms);
    if (!found) return null;
    const { known, expiry } = found;
    const firstNs = expiry.expiredNs === null ? null : await firstAfter(deps, known, expiry.expiredNs);
    return expireSeries(deps.db, lease, seriesId, expiry, firstNs);
  };
}

/** Time of the first sample that is left. */
async function firstAfter(
  deps: ExpireDeps,
  { series, segments, holes }: ExpirableSeries,
  expiredNs: bigint,
): Promise<bigint | null> {
  const { sampling } = series;
  if (sampling.kind === 'irregular') return (await measureErasure(deps, series, INT64_MIN, expiredNs)).firstNs;
  const left = withoutRows(selectRows(segments, sampling.rate, expiredNs, INT64_MAX), holes);
  if (left.length === 0) return null;
  return timesOfRows(segments, sampling.rate, { from: left[0].from, to: left[0].from + 1 })[0];
}
